"""What the exports read of a snapshot, as rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest

__all__ = ["Contents", "read_contents"]


@dataclass(frozen=True, slots=True)
class Contents:
    """The parts of a snapshot that other tools have a use for; edits and questions are sorted by their ids."""

    edits: list[dict[str, Any]]
    questions: list[dict[str, Any]]
    timelines: pa.Table
    entities: pa.Table
    manifest: SnapshotManifest


def read_contents(snapshot: Path) -> Contents:
    """Read a snapshot folder.

    Raises BadInput when it is no snapshot or has nothing to export, CheckFailed when a file in it is damaged.
    """
    manifest = read_manifest(snapshot)
    edits = read_table(snapshot, "edits").sort_by("edit_id").to_pylist()
    if not edits:
        raise BadInput(f"{snapshot} has no edits to export; make one with more relations or dates further apart")
    questions = read_table(snapshot, "questions").sort_by("question_id").to_pylist()
    return Contents(edits, questions, read_table(snapshot, "timelines"), read_table(snapshot, "entities"), manifest)
