"""Read from a snapshot folder the tables that an experiment needs.

Leaves out: making and verifying snapshots (`pipeline`), and the tables that no model sees (statements, timelines).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chronofacts.editing.facts import choose_facts
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.tables import SNAPSHOT_TABLES, conform

__all__ = ["Snapshot", "load_snapshot", "subset"]


@dataclass(frozen=True)
class Snapshot:
    """What changed between two dates, how it is asked, and the world before it in sentences."""

    edits: pa.Table
    """`tables.EDITS`"""
    questions: pa.Table
    """`tables.QUESTIONS`"""
    sentences: pa.Table
    """`tables.SENTENCES`; may have no rows, and then there is neither a small world nor replay."""
    manifest: dict[str, Any]
    """name, since, as_of, files and the rest of `manifest.json`."""

    @property
    def name(self) -> str:
        return str(self.manifest.get("name", "unnamed"))


def load_snapshot(path: Path) -> Snapshot:
    """The edits, questions and sentences of a snapshot folder.

    Raises BadInput when the folder is no snapshot or has nothing to edit or to ask, CheckFailed when a file in it
    is damaged, SchemaMismatch when a table lacks a column.
    """
    manifest = _read_manifest(path)
    tables = {name: _read_table(path, name) for name in ("edits", "questions", "sentences")}
    for name in ("edits", "questions"):
        if not tables[name].num_rows:
            raise BadInput(f"{path} has no {name}; make a snapshot with more relations or dates further apart")
    return Snapshot(**tables, manifest=manifest)


def subset(snapshot: Snapshot, edits: int, sentences: int, seed: int) -> Snapshot:
    """A smaller experiment: a seeded choice of facts, and only what asks about them or surrounds them.

    A question stays when every edit it needs was chosen (its answer was computed under all of them); a locality
    question stays when it guards a chosen edit. Sentences about the entities that questions walk through come first,
    then others by chance up to `sentences`.
    """
    generator = np.random.default_rng(seed)
    chosen_edits = choose_facts(snapshot.edits, edits, generator)
    chosen = set(chosen_edits["edit_id"].to_pylist())

    def asked(kind: str, edit_ids: list[str]) -> bool:
        ids = set(edit_ids or ())
        return bool(ids & chosen) if kind == "locality" else bool(ids) and ids <= chosen

    kinds, ids = snapshot.questions["kind"].to_pylist(), snapshot.questions["edit_ids"].to_pylist()
    questions = snapshot.questions.filter(pa.array([asked(*pair) for pair in zip(kinds, ids, strict=True)]))
    if not questions.num_rows:
        return replace(snapshot, edits=chosen_edits)
    near = set(questions["subject"].to_pylist()) | set(chosen_edits["subject"].to_pylist())
    for chain in questions["chain"].to_pylist():
        for fact in chain or ():
            near |= {fact["subject"], fact["object"], fact["object_before"]}
    is_near = pc.is_in(snapshot.sentences["subject"], pa.array(sorted(near - {None}), pa.string()))
    rank = np.where(is_near.to_numpy(zero_copy_only=False), 0.0, 1.0) + generator.random(snapshot.sentences.num_rows)
    kept = np.sort(np.argsort(rank, kind="stable")[:sentences])
    return replace(snapshot, edits=chosen_edits, questions=questions, sentences=snapshot.sentences.take(pa.array(kept)))


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    if not file.is_file():
        raise BadInput(f"{path} is not a snapshot (it has no manifest.json); make one with `chronofacts refresh`")
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckFailed(f"{file} is damaged ({error}); make the snapshot again") from error
    if not isinstance(manifest, dict):
        raise CheckFailed(f"{file} is damaged (it holds no object); make the snapshot again")
    return manifest


def _read_table(path: Path, name: str) -> pa.Table:
    files: Iterable[Path] = sorted((path / name).glob("*.parquet"))
    if not files:
        raise BadInput(f"{path} has no table {name} ({path / name}/*.parquet); make the snapshot again")
    try:
        parts = [pq.read_table(file, partitioning=None) for file in files]
    except (pa.ArrowInvalid, OSError) as error:
        raise CheckFailed(
            f"table {name} of {path} cannot be read ({error}); run `chronofacts verify {path}`"
        ) from error
    return pa.concat_tables([conform(part, SNAPSHOT_TABLES[name], name) for part in parts])
