"""What a snapshot says about itself, as `manifest.json` beside its tables."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from chronofacts.schemas.errors import BadInput, CheckFailed

__all__ = ["CURATED", "FORMAT", "FileEntry", "SnapshotManifest", "hash_files", "read_manifest"]

CURATED = "sample"
"""Source of a snapshot whose facts nobody read from Wikidata."""
FORMAT = 1
"""Version of the snapshot layout; a reader refuses a newer one."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One Parquet file: its number of rows and the sha256 of its bytes."""

    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    """Everything that decides what is in a snapshot, and the sums of what was written.

    There is no time of writing in it: the same inputs give the same bytes.
    """

    name: str
    """What kind of facts and which days, for a person: `sample 2021-01-01 to 2025-01-01`."""
    since: datetime.date
    as_of: datetime.date
    language: str
    source: str
    source_day: datetime.date
    """The last day that the source speaks of."""
    source_detail: str
    retrieved_at: datetime.datetime
    code_version: str
    catalogue_hash: str
    relations: tuple[str, ...]
    seed: int
    origin: str = "wikidata"
    """`wikidata`, or the benchmark that was imported."""
    label_languages: Mapping[str, int] = field(default_factory=dict)
    """Entities by the language of their label: the snapshot's, `mul`, or `en` as fallback."""
    set_aside: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What broke a promise and was set aside, by the promise's id: rows of `edits`, `questions` and `sentences`."""
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def curated(self) -> bool:
        """Were the facts written by hand in Wikidata's form, rather than read from Wikidata?"""
        return self.origin == "wikidata" and self.source == CURATED

    def describe_set_aside(self) -> str:
        """What was set aside, in one line; empty when nothing was."""
        if not self.set_aside:
            return ""
        edits, questions, sentences = (
            sum(counts.get(table, 0) for counts in self.set_aside.values())
            for table in ("edits", "questions", "sentences")
        )
        return (
            f"set aside, because a promise was broken ({', '.join(sorted(self.set_aside))}): "
            f"{edits} edits, {questions} questions, {sentences} sentences"
        )

    def as_json(self) -> str:
        values = asdict(self)
        values["files"] = {name: asdict(entry) for name, entry in sorted(self.files.items())}
        values["retrieved_at"] = self.retrieved_at.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
        return json.dumps(values, indent=1, sort_keys=True, default=str, ensure_ascii=False) + "\n"


def hash_files(files: Mapping[str, Any]) -> str:
    """One hash, of 16 hex digits, over the sums of a snapshot's files; `files` as `manifest.json` has it."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16]


def read_manifest(snapshot: Path) -> SnapshotManifest:
    """The manifest of a snapshot folder.

    Raises BadInput when the folder is no snapshot, CheckFailed when its manifest is damaged.
    """
    path = snapshot / "manifest.json"
    if not path.is_file():
        raise BadInput(f"{snapshot} is not a snapshot (it has no manifest.json); make one with `chronofacts refresh`")
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        if int(values["format"]) > FORMAT:
            raise BadInput(f"{path} has layout {values['format']}, newer than this program reads; upgrade chronofacts")
        values["files"] = {name: FileEntry(**entry) for name, entry in values["files"].items()}
        for name in ("since", "as_of", "source_day"):
            values[name] = datetime.date.fromisoformat(values[name])
        values["retrieved_at"] = datetime.datetime.fromisoformat(values["retrieved_at"])
        values["relations"] = tuple(values["relations"])
        return SnapshotManifest(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckFailed(f"{path} is damaged ({type(error).__name__}: {error}); make the snapshot again") from error
