"""Edits in batches of k cases, each batch on the unedited model, as MQuAKE is measured (Zhong et al. 2023, section 4).

A case is a question over several facts with the edits that it needs; a fact that none needs is a case by itself. Cases
are drawn by seed so that every batch has about the same share of each number of hops. Every question is asked once: one
over several facts in its own batch, any other in the first batch that makes all its edits (locality: one that it
guards). The mean over batches stands beside the mean over questions (`metrics.summary.over_batches`).
Leaves out texts that no edit touches, and questions whose edits no batch makes together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from chronofacts.editing.editors import EditBatch, EditorSettings, ModelCache
from chronofacts.editing.editors.trained.examples import trained_prompts
from chronofacts.editing.facts import facts_of, spread_evenly
from chronofacts.editing.registry import ALL
from chronofacts.editing.scoring import ScoreCache, ScoringSettings, all_probes, evaluate
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.tables import SENTENCES

__all__ = ["BatchScores", "CaseBatch", "choose_batches", "score_batches"]


@dataclass(frozen=True)
class CaseBatch:
    """Edits that are made together, and the questions that are asked then."""

    facts: frozenset[str]
    """Ids of edits, one of each fact."""
    questions: tuple[str, ...]


@dataclass(frozen=True)
class BatchScores:
    scores: pa.Table
    """`scoring.SCORES`, batch after batch"""
    batch_of: Mapping[str, int]
    """Question id -> its batch."""
    trained_prompts: frozenset[str]
    report: Mapping[str, Any]
    seconds: float
    """Of editing."""
    scoring_seconds: float


def choose_batches(snapshot: Snapshot, size: str, seed: int) -> list[CaseBatch]:
    """Batches of so many cases (`ALL`: one of all), without those that nothing would be asked of.

    The same seed gives the same order of cases for every size.
    """
    cases = _list_cases(snapshot)
    order = spread_evenly(_by_hops(cases), seed)
    count = len(order) if size == ALL else int(size)
    groups = [order[begin : begin + count] for begin in range(0, len(order), count)]
    facts = [frozenset[str]().union(*(cases[case].facts for case in group)) for group in groups]
    own = {question: number for number, group in enumerate(groups) for question in group}
    asked = _assign(snapshot, facts, own)
    return [CaseBatch(one, tuple(asked[number])) for number, one in enumerate(facts) if asked[number]]


def score_batches(
    editor: EditorSettings,
    model: Any,
    tokenizer: Any,
    batch: EditBatch,
    snapshot: Snapshot,
    batches: Sequence[CaseBatch],
    settings: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen
    store_of: Callable[[int], ScoreCache | None] = lambda number: None,
) -> BatchScores:
    """Every question of every batch, answered with the edits of its batch alone; restores the model.

    batch: all edits. store_of: number of a batch -> the scores of the model with its edits; a batch that has all its
    scores is not edited again. Raises BadInput when no batch has a question.
    """
    if not batches:
        raise BadInput("no question is about the edits of one batch; take larger batches")
    whole = all_probes(snapshot.questions, SENTENCES.empty_table(), replace(settings, perplexity=0, text=None))
    names, ids = whole["question_id"].to_pylist(), batch.edits["edit_id"].to_pylist()
    cache, tables, trained = ModelCache(covariances={}), list[pa.Table](), set[str]()
    edited_s = scored_s = 0.0
    for number, one in enumerate(batches):
        asked = set(one.questions)
        probes = whole.filter(pa.array([name in asked for name in names], pa.bool_()))
        rows = pa.array([row for row, edit_id in enumerate(ids) if edit_id in one.facts], pa.int64())
        part = replace(batch, edits=batch.edits.take(rows), whole=batch.edits, progress=lambda line: None)
        trained |= trained_prompts(part.edits, editor.settings)
        store, begun = store_of(number), time.perf_counter()
        if _has_scores(store, probes, settings):
            tables.append(evaluate(model, tokenizer, probes, settings, store))
            continue
        edited = editor.method.edit(model, tokenizer, part, editor.settings, cache)
        try:
            made = time.perf_counter()
            tables.append(evaluate(edited.model, tokenizer, probes, settings, store))
            edited_s, scored_s = edited_s + made - begun, scored_s + time.perf_counter() - made
        finally:
            edited.undo()
        batch.progress(f"{editor.name}: {number + 1} of {len(batches)} batches edited and asked about")
    batch_of = {question: number for number, one in enumerate(batches) for question in one.questions}
    facts = [len(one.facts) for one in batches]
    report = {
        "mode": "batches",
        "batches": len(batches),
        "facts of a batch": [min(facts), max(facts)],
        "questions whose edits no batch makes together": snapshot.questions.num_rows - len(batch_of),
    }
    scores = pa.concat_tables(tables)
    return BatchScores(scores, batch_of, frozenset(trained), report, round(edited_s, 3), round(scored_s, 3))


@dataclass(frozen=True)
class _Case:
    facts: frozenset[str]
    hops: int


def _list_cases(snapshot: Snapshot) -> dict[str, _Case]:
    """Question over several facts, or fact -> its case."""
    known = facts_of(snapshot.edits)
    rows = snapshot.questions.select(["question_id", "kind", "edit_ids", "hops"]).to_pylist()
    cases = {
        row["question_id"]: _Case(frozenset(known[one] for one in row["edit_ids"] if one in known), row["hops"] or 0)
        for row in rows
        if row["kind"] == "multi_hop" and row["edit_ids"]
    }
    needed = frozenset[str]().union(*(case.facts for case in cases.values()))
    return cases | {fact: _Case(frozenset([fact]), 1) for fact in sorted(set(known.values()) - needed)}


def _by_hops(cases: Mapping[str, _Case]) -> dict[tuple[str, ...], list[str]]:
    strata: dict[tuple[str, ...], list[str]] = {}
    for name, case in cases.items():
        strata.setdefault((str(case.hops), str(len(case.facts))), []).append(name)
    return strata


def _assign(snapshot: Snapshot, facts: Sequence[frozenset[str]], own: Mapping[str, int]) -> list[list[str]]:
    """The questions of each batch, in the order of the table."""
    known, holding = facts_of(snapshot.edits), dict[str, list[int]]()
    for place, several in enumerate(facts):
        for fact in several:
            holding.setdefault(fact, []).append(place)
    asked: list[list[str]] = [[] for _ in facts]
    for row in snapshot.questions.select(["question_id", "kind", "edit_ids"]).to_pylist():
        need = {known.get(one, one) for one in row["edit_ids"] or ()}
        number: int | None = own.get(row["question_id"])
        if number is None:
            places = sorted({place for fact in need for place in holding.get(fact, ())})
            enough = places if row["kind"] == "locality" else [place for place in places if need <= facts[place]]
            number = enough[0] if enough else None
        if number is not None:
            asked[number].append(row["question_id"])
    return asked


def _has_scores(store: ScoreCache | None, probes: pa.Table, settings: ScoringSettings) -> bool:
    wanted = set(probes["probe_id"].to_pylist())
    return store is not None and wanted <= set(store.read(settings)["probe_id"].to_pylist())
