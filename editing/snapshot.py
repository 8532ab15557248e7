"""The tables of a snapshot folder that an experiment needs.

Leaves out the tables that no model sees (statements, timelines).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chronofacts.editing.facts import choose_facts
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES, conform

__all__ = ["Snapshot", "load_snapshot", "subset"]


@dataclass(frozen=True)
class Snapshot:
    """What changed between two dates, the questions about it, and the world before it in sentences."""

    edits: pa.Table
    """`tables.EDITS`"""
    questions: pa.Table
    """`tables.QUESTIONS`"""
    sentences: pa.Table
    """`tables.SENTENCES`; without rows there is neither a small world nor replay."""
    manifest: SnapshotManifest


def load_snapshot(path: Path) -> Snapshot:
    """The edits, questions and sentences of a snapshot folder.

    Raises BadInput when the folder is no snapshot or has no edits or no questions, CheckFailed when a file in it is
    damaged, SchemaMismatch when a table lacks a column.
    """
    manifest = read_manifest(path)
    tables = {name: _read_table(path, name) for name in ("edits", "questions", "sentences")}
    for name in ("edits", "questions"):
        if not tables[name].num_rows:
            raise BadInput(f"{path} has no {name}; make a snapshot with more relations or dates further apart")
    return Snapshot(**tables, manifest=manifest)


def subset(snapshot: Snapshot, edits: int, sentences: int, seed: int) -> Snapshot:
    """A smaller snapshot: a seeded choice of facts (`choose_facts`), their questions and the sentences around them.

    A question stays when the choice has every edit that it needs (its answer holds under all of them); a locality
    question stays when it guards a chosen edit. Sentences about the entities of the questions come first, then others
    by chance up to `sentences`.
    """
    generator = np.random.default_rng(seed)
    chosen_edits = choose_facts(snapshot.edits, edits, seed)
    chosen = set(chosen_edits["edit_id"].to_pylist())

    def stays(kind: str, edit_ids: list[str]) -> bool:
        ids = set(edit_ids or ())
        return bool(ids & chosen) if kind == "locality" else bool(ids) and ids <= chosen

    kinds, ids = snapshot.questions["kind"].to_pylist(), snapshot.questions["edit_ids"].to_pylist()
    questions = snapshot.questions.filter(pa.array([stays(*pair) for pair in zip(kinds, ids, strict=True)]))
    if not questions.num_rows:
        return replace(snapshot, edits=chosen_edits)
    near = set(questions["subject"].to_pylist()) | set(chosen_edits["subject"].to_pylist())
    for chain in questions["chain"].to_pylist():
        for fact in chain or ():
            near |= {fact["subject"], fact["object"], fact["object_before"]}
    is_near = pc.is_in(snapshot.sentences["subject"], pa.array(sorted(near - {None}), pa.string()))
    rank = np.where(is_near.to_numpy(zero_copy_only=False), 0.0, 1.0) + generator.random(snapshot.sentences.num_rows)
    nearest = pa.array(np.sort(np.argsort(rank, kind="stable")[:sentences]))
    return replace(snapshot, edits=chosen_edits, questions=questions, sentences=snapshot.sentences.take(nearest))


def _read_table(path: Path, name: str) -> pa.Table:
    files = sorted((path / name).glob("*.parquet"))
    if not files:
        raise BadInput(f"{path} has no table {name} ({path / name}/*.parquet); make the snapshot again")
    try:
        parts = [pq.read_table(file, partitioning=None) for file in files]
    except (pa.ArrowInvalid, OSError) as error:
        raise CheckFailed(
            f"table {name} of {path} cannot be read ({error}); run `chronofacts verify {path}`"
        ) from error
    table = pa.concat_tables([conform(part, SNAPSHOT_TABLES[name], name) for part in parts])
    return table.sort_by("edit_id") if name == "edits" else table  # whichever file they lie in
