"""From scores of probes to figures with intervals: what was learnt, what follows from it, what was forgotten.

Every figure is a share or mean over questions with a 95 % bootstrap interval over facts (`bootstrap`). Leaves out cost
(seconds, memory), which the run measures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from chronofacts.editing.facts import Change
from chronofacts.editing.metrics.bootstrap import interval
from chronofacts.editing.scoring.answer_match import normalise
from chronofacts.schemas.errors import CheckFailed

__all__ = ["METRICS", "as_mapping", "forgetting", "summarise"]

METRICS = pa.schema(
    [
        pa.field("metric", pa.string()),
        pa.field("by", pa.string()),  # all, relation, kind, before, hops, edited_hops, locality_kind or chunk
        pa.field("group", pa.string()),  # the relation, the number of hops …; null for all
        pa.field("value", pa.float64()),
        pa.field("n", pa.int32()),  # questions
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)
PORTABILITY = ("alias", "reverse", "multi_hop")
EXTRA = ("chain_of_thought", "hop", "hop_by_hop", "fluency", "general")
"""Kinds of probe that are no question of the snapshot in its own words."""
GROUPED = {
    "edit_success": ("relation", "kind", "before"),
    "edit_wise": ("kind", "before"),
    "paraphrase": ("relation", "kind", "before"),
    "alias": ("kind", "before"),
    "stale_rate": ("kind", "before"),
    "new_over_old": ("kind", "before"),
    "preservation": ("relation", "kind", "before"),
    "preservation_share": ("kind", "before"),
    "multi_hop": ("hops", "edited_hops"),
    "chain_of_thought": ("hops", "edited_hops"),
    "instance_wise": ("hops", "edited_hops"),
    "hop_by_hop": ("hops", "edited_hops"),
    "locality": ("locality_kind",),
    "locality_gold": ("locality_kind",),
    "history": ("relation",),
}
"""Metrics that are also given by group. Kind and before are those of the change, and not of the question."""


@dataclass(frozen=True)
class _Question:
    """One question with the scores of its wordings, the first of them `row`."""

    row: Mapping[str, Any]
    right: bool
    """The question is answered rightly; a multi-hop question under any of its wordings."""
    unchanged: bool
    """It is answered as the unedited model answers it."""
    known_before: bool
    """The unedited model answers it rightly."""
    trained: bool
    """Its wording was trained, word for word."""


@dataclass(frozen=True)
class _ModelState:
    """All scores of one model state."""

    questions: list[_Question]
    extra: Mapping[str, list[Mapping[str, Any]]]
    """Kind of probe (`EXTRA`) -> scores"""


@dataclass(frozen=True)
class _Value:
    """One question's part in a figure."""

    value: float
    row: Mapping[str, Any]
    weight: float = 1.0


@dataclass(frozen=True)
class _Metric:
    values: Callable[[_ModelState], Iterable[_Value]]
    scale: Callable[[Any], Any] = field(default=lambda mean: mean)
    """From the weighted mean to the figure."""


def summarise(
    scores: pa.Table,
    base_scores: pa.Table,
    trained: frozenset[str] = frozenset(),
    resamples: int = 1000,
    seed: int = 0,
    changes: Mapping[str, Change] = MappingProxyType({}),
) -> pa.Table:
    """All metrics (`METRICS`) of one model state.

    scores, base_scores: `scoring.SCORES` of the same probes, edited and unedited. trained: wordings that any editor of
    the comparison trained; they do not count as paraphrases. changes: of every fact, by which the kinds of change are
    kept apart; without them no figure is given by kind. A metric without questions has no row. 1[…] is 1 where it
    holds, else 0; m(x) is the free greedy answer to x, m0 the unedited model's, y the right answer under any name.

    To a plural question, whose answer has several values (`answer_sets`), m(x) = y means that every value that joined
    is named and none that left; where nothing joined, also at least one that stays, since silence is no answer.
    m(x) = y_old means that a value that left is named, or all that held before are and none that joined. Both never
    hold at once, and where a new value is named beside an old one, m(x) = y_old.

    edit_success     mean 1[m(x) = y] over `edit`: reliability (Yao et al. 2023), KnowEdit's edit success
    edit_wise        mean 1[m(x) = y] over `cloze`, no examples before it (MQuAKE, Zhong et al. 2023)
    paraphrase       mean 1[m(x) = y] over `paraphrase` wordings that were not trained: generalization
    portability      mean 1[m(x) = y] over alias, reverse and multi_hop together (Yao et al. 2023)
    alias, reverse   its parts (KnowEdit's subject aliasing and logical generalization, Zhang et al. 2024)
    multi_hop        mean of max over a question's wordings of 1[m(x) = y] (MQuAKE)
    chain_of_thought the same of the first wording, after worked examples that think aloud (MQuAKE)
    instance_wise    mean over questions of min over the facts of their chain of 1[m(x) = y] (MQuAKE)
    hop_by_hop       mean 1[answer of the last hop = y], each hop asked with the model's own answer to the one before
    locality         mean 1[m(x) = m0(x)], normalised, over `locality` (KnowEdit, Zhang et al. 2024)
    locality_gold    mean 1[m(x) = y] over the same questions
    history          mean 1[m(x) = y] over questions about a past date: what held then is still known
    history_kept     the same over those of them that m0 answers rightly: retention
    timeline         mean 1[m(x) = y] over questions about before and after
    preservation     mean 1[every value that stays is named] over plural questions whose answer changed: does an
                     addition or removal leave the others alone? (RippleEdits' forgetfulness, Cohen et al. 2024)
    preservation_share  mean over the same questions of the share of those values that are named
    stale_rate       mean 1[m(x) = y_old] over `edit` and untrained `paraphrase` questions that had another answer
    date_sensitivity mean 1[m(x_now) != m(x_then)] over pairs of an `edit` question and a `history` question about the
                     same fact whose right answers differ: does the date asked for change the answer?
    token_accuracy   mean over `edit` of mean over tokens of 1[argmax = target]: rewrite accuracy in other tools
    answer_argmax    mean over `edit` of 1[every token's argmax = target]
    forced_gap       mean over `edit` of token accuracy - 1[m(x) = y]: what teacher forcing flatters (WILD, 2025)
    token_f1         best word overlap with a right answer, on `edit` (SQuAD)
    new_over_old     mean over `edit` of 1[P(new) > P(old)], P = exp(-mean nll): ROME's efficacy (Meng et al. 2022)
    fluency          mean n-gram entropy in bits of texts written freely (`scoring.fluency`)
    perplexity       exp(sum of nll / number of tokens) over held-out texts that no edit touches
    Raises CheckFailed when the two tables do not hold the same probes.
    """
    state = _gather(scores, base_scores, trained)
    group_of = {
        "kind": lambda row: _change(row, changes, "kind"),
        "before": lambda row: _change(row, changes, "before"),
    }
    rows = []
    for name, metric in _DEFINITIONS.items():
        members = list(metric.values(state))
        rows += _measure(name, "all", None, members, metric, seed, resamples)
        for by in GROUPED.get(name, ()):
            groups = [group_of.get(by, itemgetter(by))(one.row) for one in members]
            for group in sorted({str(one) for one in groups if one is not None}):
                part = [one for one, own in zip(members, groups, strict=True) if str(own) == group]
                rows += _measure(name, by, group, part, metric, seed, resamples)
    return pa.Table.from_pylist(rows, schema=METRICS)


def forgetting(curve: pa.Table, scores: pa.Table, resamples: int = 1000, seed: int = 0) -> pa.Table:
    """The forgetting curve (`METRICS`, by chunk) of edits that were made chunk after chunk.

    curve: `scoring.SCORES` with `chunk` (int32), of each chunk's own `edit` questions right after it was edited.
    scores: of all questions after the last chunk.

    success_at_once  mean 1[m(x) = y] over a chunk's `edit` questions right after the chunk
    success_at_end   the same questions after all chunks
    forgotten        mean over `edit` of max(0, right at once - right at the end)
    """
    end = {(row["question_id"], row["phrasing"]): row for row in scores.to_pylist() if row["kind"] == "edit"}
    pairs = [
        (row, end[row["question_id"], row["phrasing"]])
        for row in curve.to_pylist()
        if row["kind"] == "edit" and (row["question_id"], row["phrasing"]) in end
    ]
    figures: dict[str, list[_Value]] = {
        "success_at_once": [_Value(float(then["exact_match"]), then) for then, _ in pairs],
        "success_at_end": [_Value(float(now["exact_match"]), then) for then, now in pairs],
        "forgotten": [_Value(float(then["exact_match"] and not now["exact_match"]), then) for then, now in pairs],
    }
    rows = []
    for name, values in figures.items():
        rows += _measure(name, "all", None, values, _Metric(lambda state: ()), seed, resamples)
        for chunk in sorted({one.row["chunk"] for one in values}):
            part = [one for one in values if one.row["chunk"] == chunk]
            rows += _measure(name, "chunk", str(chunk), part, _Metric(lambda state: ()), seed, resamples)
    return pa.Table.from_pylist(rows, schema=METRICS)


def as_mapping(metrics: pa.Table) -> dict[str, float]:
    """{metric: value} over all questions."""
    return {row["metric"]: row["value"] for row in metrics.to_pylist() if row["by"] == "all"}


# ------------------------------------------------------------------------------------------------ definitions


def _over(value: Callable[[_Question], float | None], *kinds: str) -> _Metric:
    """The mean over questions of these kinds; those for which there is no value are left out."""
    return _where(lambda question: question.row["kind"] in kinds, value)


def _where(chosen: Callable[[_Question], bool], value: Callable[[_Question], float | None]) -> _Metric:
    def values(state: _ModelState) -> Iterable[_Value]:
        found = ((value(question), question.row) for question in state.questions if chosen(question))
        return [_Value(float(one), row) for one, row in found if one is not None]

    return _Metric(values)


def _over_extra(kind: str, value: Callable[[Mapping[str, Any]], float | None]) -> _Metric:
    def values(state: _ModelState) -> Iterable[_Value]:
        found = ((value(row), row) for row in state.extra.get(kind, ()))
        return [_Value(float(one), row) for one, row in found if one is not None]

    return _Metric(values)


def _right(*kinds: str) -> _Metric:
    return _over(lambda question: question.right, *kinds)


def _column(name: str) -> Callable[[_Question], float | None]:
    return lambda question: question.row.get(name)


def _change(row: Mapping[str, Any], changes: Mapping[str, Change], what: str) -> str | None:
    found = changes.get(row["fact"])
    return None if found is None else getattr(found, what)


def _untrained(question: _Question) -> bool:
    return question.row["kind"] == "paraphrase" and not question.trained


def _asks_for_new(question: _Question) -> bool:
    return question.row["kind"] == "edit" or _untrained(question)


def _forced_gap(question: _Question) -> float | None:
    accuracy = question.row["token_accuracy"]
    return None if accuracy is None else accuracy - question.row["exact_match"]


def _new_is_likelier(question: _Question) -> float | None:
    share = question.row["p_new_over_old"]
    return None if share is None else share > 0.5


def _whole_chains(state: _ModelState) -> Iterable[_Value]:
    """Every fact of a chain is known."""
    chains: dict[str, list[Mapping[str, Any]]] = {}
    for row in state.extra.get("hop", ()):
        chains.setdefault(row["question_id"], []).append(row)
    of = {q.row["question_id"]: q.row for q in state.questions if q.row["kind"] == "multi_hop"}
    return [
        _Value(float(all(row["exact_match"] for row in hops)), of.get(name, hops[0])) for name, hops in chains.items()
    ]


def _dates(state: _ModelState) -> Iterable[_Value]:
    now = {q.row["fact"]: q.row for q in state.questions if q.row["kind"] == "edit"}
    then = [q.row for q in state.questions if q.row["kind"] == "history" and q.row["fact"] in now]
    return [
        _Value(float(normalise(row["generated"]) != normalise(now[row["fact"]]["generated"])), row)
        for row in then
        if normalise(row["answer"]) != normalise(now[row["fact"]]["answer"])
    ]


def _general_texts(state: _ModelState) -> Iterable[_Value]:
    return [_Value(row["nll_answer"], row, row["tokens"]) for row in state.extra.get("general", ())]


_DEFINITIONS: dict[str, _Metric] = {
    "edit_success": _right("edit"),
    "edit_wise": _right("cloze"),
    "paraphrase": _where(_untrained, lambda question: question.right),
    "portability": _right(*PORTABILITY),
    "alias": _right("alias"),
    "reverse": _right("reverse"),
    "multi_hop": _right("multi_hop"),
    "chain_of_thought": _over_extra("chain_of_thought", itemgetter("exact_match")),
    "instance_wise": _Metric(_whole_chains),
    "hop_by_hop": _over_extra("hop_by_hop", itemgetter("exact_match")),
    "locality": _over(lambda question: question.unchanged, "locality"),
    "locality_gold": _right("locality"),
    "history": _right("history"),
    "history_kept": _over(lambda question: question.right if question.known_before else None, "history"),
    "timeline": _right("timeline"),
    "preservation": _right("preservation"),
    "preservation_share": _over(_column("named_share"), "preservation"),
    "stale_rate": _where(_asks_for_new, _column("exact_match_before")),
    "date_sensitivity": _Metric(_dates),
    "token_accuracy": _over(_column("token_accuracy"), "edit"),
    "answer_argmax": _over(_column("answer_argmax"), "edit"),
    "forced_gap": _over(_forced_gap, "edit"),
    "token_f1": _over(_column("token_f1"), "edit"),
    "new_over_old": _over(_new_is_likelier, "edit"),
    "fluency": _over_extra("fluency", itemgetter("ngram_entropy")),
    "perplexity": _Metric(_general_texts, np.exp),
}


def _gather(scores: pa.Table, base_scores: pa.Table, trained: frozenset[str]) -> _ModelState:
    base = {(row["question_id"], row["phrasing"]): row for row in base_scores.to_pylist() if row["kind"] not in EXTRA}
    by_question: dict[str, list[dict[str, Any]]] = {}
    extra: dict[str, list[Mapping[str, Any]]] = {}
    for row in scores.to_pylist():
        if row["kind"] in EXTRA:
            extra.setdefault(row["kind"], []).append(row)
            continue
        if (row["question_id"], row["phrasing"]) not in base:
            raise CheckFailed(f"question {row['question_id']} was never asked of the unedited model; score it again")
        by_question.setdefault(row["question_id"], []).append(row)
    questions = []
    for wordings in by_question.values():
        first = min(wordings, key=lambda row: row["phrasing"])
        counted = wordings if first["kind"] == "multi_hop" else [first]
        before = base[first["question_id"], first["phrasing"]]
        questions.append(
            _Question(
                first,
                any(row["exact_match"] for row in counted),
                normalise(first["generated"]) == normalise(before["generated"]),
                bool(before["exact_match"]),
                first["prompt"] in trained,
            )
        )
    return _ModelState(questions, extra)


def _measure(
    name: str, by: str, group: str | None, members: list[_Value], metric: _Metric, seed: int, resamples: int
) -> list[dict[str, Any]]:
    if not members:
        return []
    values = np.array([one.value for one in members], dtype=np.float64)
    weights = np.array([one.weight for one in members], dtype=np.float64)
    facts = [one.row["fact"] for one in members]
    low, high = interval(values, weights, facts, seed, f"{name} {by} {group}", resamples, metric.scale)
    value = float(metric.scale(np.average(values, weights=weights)))
    return [{"metric": name, "by": by, "group": group, "value": value, "n": len(values), "low": low, "high": high}]
