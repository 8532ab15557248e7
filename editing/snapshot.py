"""The tables of a snapshot folder that an experiment needs.

Leaves out the tables that no model sees (statements, timelines).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.facts import choose_facts
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.parquet import read_snapshot_table

__all__ = ["Snapshot", "keep_edits", "load_snapshot", "nearest_sentences", "subset"]


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
    tables = {name: read_snapshot_table(path, name) for name in ("edits", "questions", "sentences")}
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
    part = keep_edits(snapshot, choose_facts(snapshot.edits, edits, seed))
    if not part.questions.num_rows:
        return part
    return replace(part, sentences=nearest_sentences(part, sentences, seed))


def keep_edits(snapshot: Snapshot, edits: pa.Table) -> Snapshot:
    """The snapshot with some of its edits, and the questions that need no other, or that guard one of them."""
    chosen = set(edits["edit_id"].to_pylist())

    def stays(kind: str, edit_ids: list[str]) -> bool:
        ids = set(edit_ids or ())
        return bool(ids & chosen) if kind == "locality" else bool(ids) and ids <= chosen

    kinds, ids = snapshot.questions["kind"].to_pylist(), snapshot.questions["edit_ids"].to_pylist()
    kept = pa.array([stays(*pair) for pair in zip(kinds, ids, strict=True)], pa.bool_())
    return replace(snapshot, edits=edits, questions=snapshot.questions.filter(kept))


def nearest_sentences(snapshot: Snapshot, most: int, seed: int) -> pa.Table:
    """So many sentences: those about the entities of the edits and questions first, then others by chance."""
    generator = np.random.default_rng(seed)
    near = set(snapshot.questions["subject"].to_pylist()) | set(snapshot.edits["subject"].to_pylist())
    for chain in snapshot.questions["chain"].to_pylist():
        for fact in chain or ():
            near |= {fact["subject"], fact["object"], fact["object_before"]}
    is_near = pc.is_in(snapshot.sentences["subject"], pa.array(sorted(near - {None}), pa.string()))
    rank = np.where(is_near.to_numpy(zero_copy_only=False), 0.0, 1.0) + generator.random(snapshot.sentences.num_rows)
    nearest = pa.array(np.sort(np.argsort(rank, kind="stable")[:most]))
    return snapshot.sentences.take(nearest)
