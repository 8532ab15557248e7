"""What a snapshot says about itself, as `manifest.json` beside its tables."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from chronofacts.schemas.documents import read_json
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.names import check_name, is_name
from chronofacts.schemas.tables import SNAPSHOT_TABLES

__all__ = ["CURATED", "FORMAT", "WIKIDATA", "FileEntry", "SnapshotManifest", "hash_files", "read_manifest"]

WIKIDATA = "wikidata"
"""Origin of a snapshot that was made from statements."""

CURATED = "sample"
"""Source of a snapshot whose facts nobody read from Wikidata."""
FORMAT = 2
"""Version of the snapshot layout; a reader refuses a newer one. 2 brought `documents`."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_FILES = 10_000


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
    origin: str = WIKIDATA
    """`wikidata`, or the benchmark that was imported; where there are statements, every promise holds for either."""
    label_languages: Mapping[str, int] = field(default_factory=dict)
    """Entities by the language of their label: the snapshot's, `mul`, or `en` as fallback."""
    set_aside: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What broke a promise and was set aside, by the promise's id: rows of `edits`, `questions` and `sentences`."""
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    """The Parquet files of the tables."""
    documents: Mapping[str, str] = field(default_factory=dict)
    """sha256 of the files beside them (`README.md`, `croissant.json`); none in what is published, where the card knows
    its repository and the Hub has a sum of every file."""
    format: int = FORMAT

    @property
    def curated(self) -> bool:
        """Were the facts written by hand in Wikidata's form, rather than read from Wikidata?"""
        return self.origin == WIKIDATA and self.source == CURATED

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
    """The manifest of a snapshot folder, every value of the type and form that it should have.

    Raises BadInput when the folder is no snapshot, CheckFailed when its manifest is damaged or names what it may not.
    """
    path = snapshot / "manifest.json"
    if not path.is_file():
        raise BadInput(f"{snapshot} is not a snapshot (it has no manifest.json); make one with `chronofacts refresh`")
    try:
        values = _as_object(read_json(path))
        layout = values["format"]
        if type(layout) is not int or layout < 1:
            raise ValueError(f"format is {layout!r}")
        if layout > FORMAT:
            raise BadInput(f"{path} has layout {layout}, newer than this program reads; upgrade chronofacts")
        return SnapshotManifest(**_check_types(values, path))
    except OSError as error:
        raise CheckFailed(f"{path} cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise CheckFailed(f"{path} is damaged ({type(error).__name__}: {error}); make the snapshot again") from error


def _check_types(values: dict[str, Any], path: Path) -> dict[str, Any]:
    """The fields with their types; raises ValueError, TypeError or KeyError for what has another."""
    plain = ("name", "language", "source", "source_detail", "code_version", "catalogue_hash", "origin")
    for name in plain:
        if name in values and not isinstance(values[name], str):
            raise TypeError(f"{name} is no text")
    check_name(values.get("origin", WIKIDATA), f"origin of {path}")
    check_name(values["language"], f"language of {path}")
    if type(values["seed"]) is not int:
        raise TypeError("seed is no number")
    if unknown := sorted(values.keys() - {one.name for one in fields(SnapshotManifest)}):
        raise ValueError(f"there is no field {unknown[0]!r}")
    typed = dict(values)
    for name in ("since", "as_of", "source_day"):
        typed[name] = datetime.date.fromisoformat(values[name])
    moment = datetime.datetime.fromisoformat(values["retrieved_at"])
    typed["retrieved_at"] = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    relations = values["relations"]
    if not isinstance(relations, list) or not all(isinstance(relation, str) for relation in relations):
        raise TypeError("relations is no list of texts")
    typed["relations"] = tuple(relations)
    files = _as_object(values["files"])
    if len(files) > _MOST_FILES:
        raise ValueError(f"it names {len(files)} files")
    typed["files"] = {name: _file_entry(name, _as_object(entry), path) for name, entry in files.items()}
    typed["documents"] = {
        check_name(name, f"a document of {path}"): _sha256(sum_)
        for name, sum_ in _as_object(values.get("documents", {})).items()
    }
    typed["label_languages"] = {code: _count(n) for code, n in _as_object(values.get("label_languages", {})).items()}
    typed["set_aside"] = {
        promise: {table: _count(n) for table, n in _as_object(counts).items()}
        for promise, counts in _as_object(values.get("set_aside", {})).items()
    }
    return typed


def _file_entry(name: str, entry: dict[str, Any], path: Path) -> FileEntry:
    """What the manifest says of one file, which is `TABLE/NAME.parquet` and nothing else."""
    table, _, file = name.partition("/")
    if table not in SNAPSHOT_TABLES or not is_name(file) or not file.endswith(".parquet"):
        raise CheckFailed(f"{path} names {name[:60]!r}, which is no file of a table; make the snapshot again")
    if entry.keys() != {"rows", "sha256"}:
        raise ValueError(f"{name} has other fields than rows and sha256")
    return FileEntry(_count(entry["rows"]), _sha256(entry["sha256"]))


def _as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"a {type(value).__name__} stands where an object should")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise ValueError(f"{str(value)[:40]} is no count")
    return value


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise ValueError(f"{str(value)[:80]!r} is no sha256")
    return value
