"""From scores of probes to figures with intervals: what was learnt, what spread, what was forgotten.

Every figure is a share or mean over questions; its 95 % interval comes from a bootstrap over *facts* (Efron &
Tibshirani 1993, percentile), since the questions of one edit stand or fall together. Leaves out cost (seconds, memory),
which the run measures, and fluency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from editing.answers import normalise
from schemas.errors import CheckFailed

__all__ = ["METRICS", "as_mapping", "summarise"]

METRICS = pa.schema(
    [
        pa.field("metric", pa.string()),
        pa.field("by", pa.string()),  # all, relation, hops or locality_kind
        pa.field("group", pa.string()),  # the relation, the number of hops …; null for all
        pa.field("value", pa.float64()),
        pa.field("n", pa.int32()),  # questions
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)
PORTABILITY = ("alias", "reverse", "multi_hop")
GROUPED = {
    "edit_success": ("relation",),
    "paraphrase": ("relation",),
    "multi_hop": ("hops",),
    "locality": ("locality_kind",),
    "history": ("relation",),
}
"""Metrics that are also given by group."""


@dataclass(frozen=True)
class _Question:
    """One question with the scores of its wordings, the first of them `row`."""

    row: Mapping[str, Any]
    right: bool
    """The question is answered rightly; a multi-hop question under any of its wordings."""
    unchanged: bool
    """It is answered as the unedited model answers it."""
    trained: bool
    """Its wording was trained, word for word."""


def summarise(
    scores: pa.Table, base_scores: pa.Table, trained: frozenset[str] = frozenset(), resamples: int = 1000, seed: int = 0
) -> pa.Table:
    """All metrics (`METRICS`) of one model state.

    scores, base_scores: `scoring.SCORES` of the same probes, edited and unedited. trained: wordings that any editor of
    the comparison trained; they do not count as paraphrases. A metric without questions has no row.

    edit_success     exact match on `edit`: reliability (Yao et al. 2023), by free generation
    paraphrase       exact match on `paraphrase` wordings that were not trained: generalization
    portability      exact match on alias, reverse and multi_hop together (Yao et al. 2023)
    multi_hop        right if any of the wordings is answered rightly (MQuAKE, Zhong et al. 2023)
    locality         answer equal, normalised, to the unedited model's own (KnowEdit, Zhang et al. 2024)
    locality_gold    exact match with the true answer on the same questions
    history          exact match on questions about a past date: what held then is still known
    stale_rate       the old answer is given to an edit or an untrained paraphrase question about now
    token_accuracy   teacher-forced token accuracy on `edit`: what other tools report as rewrite accuracy
    token_f1         best word overlap with a right answer, on `edit`
    new_over_old     share of `edit` questions with P(new) > P(old): ROME's efficacy score (Meng et al. 2022)
    Raises CheckFailed when the two tables do not hold the same probes.
    """
    questions = _gather(scores, base_scores, trained)
    generator = np.random.default_rng(seed)
    rows = []
    for name, (chosen, value) in _DEFINITIONS.items():
        members = [question for question in questions if chosen(question)]
        rows += _measure(name, "all", None, members, value, generator, resamples)
        for by in GROUPED.get(name, ()):
            for group in sorted({str(question.row[by]) for question in members}):
                part = [question for question in members if str(question.row[by]) == group]
                rows += _measure(name, by, group, part, value, generator, resamples)
    return pa.Table.from_pylist(rows, schema=METRICS)


def as_mapping(metrics: pa.Table) -> dict[str, float]:
    """{metric: value} over all questions."""
    return {row["metric"]: row["value"] for row in metrics.to_pylist() if row["by"] == "all"}


def _is(*kinds: str) -> Callable[[_Question], bool]:
    return lambda question: question.row["kind"] in kinds


def _paraphrase(question: _Question) -> bool:
    return question.row["kind"] == "paraphrase" and not question.trained


def _could_be_stale(question: _Question) -> bool:
    asks_about_now = question.row["kind"] == "edit" or _paraphrase(question)
    return asks_about_now and question.row["exact_match_before"] is not None


def _prefers_new(question: _Question) -> bool:
    return question.row["kind"] == "edit" and question.row["p_new_over_old"] is not None


def _right(question: _Question) -> float:
    return float(question.right)


_DEFINITIONS: dict[str, tuple[Callable[[_Question], bool], Callable[[_Question], float]]] = {
    "edit_success": (_is("edit"), _right),
    "paraphrase": (_paraphrase, _right),
    "portability": (_is(*PORTABILITY), _right),
    "alias": (_is("alias"), _right),
    "reverse": (_is("reverse"), _right),
    "multi_hop": (_is("multi_hop"), _right),
    "locality": (_is("locality"), lambda question: float(question.unchanged)),
    "locality_gold": (_is("locality"), _right),
    "history": (_is("history"), _right),
    "timeline": (_is("timeline"), _right),
    "stale_rate": (_could_be_stale, lambda question: float(question.row["exact_match_before"])),
    "token_accuracy": (_is("edit"), lambda question: float(question.row["token_accuracy"])),
    "token_f1": (_is("edit"), lambda question: float(question.row["token_f1"])),
    "new_over_old": (_prefers_new, lambda question: float(question.row["p_new_over_old"] > 0.5)),
}


def _gather(scores: pa.Table, base_scores: pa.Table, trained: frozenset[str]) -> list[_Question]:
    base = {(row["question_id"], row["phrasing"]): row["generated"] for row in base_scores.to_pylist()}
    by_question: dict[str, list[dict[str, Any]]] = {}
    for row in scores.to_pylist():
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
                normalise(first["generated"]) == normalise(before),
                first["prompt"] in trained,
            )
        )
    return questions


def _measure(
    name: str,
    by: str,
    group: str | None,
    questions: list[_Question],
    value: Callable[[_Question], float],
    generator: np.random.Generator,
    resamples: int,
) -> list[dict[str, Any]]:
    if not questions:
        return []
    values = np.array([value(question) for question in questions])
    low, high = _interval(values, [question.row["fact"] for question in questions], generator, resamples)
    row = {
        "metric": name,
        "by": by,
        "group": group,
        "value": float(values.mean()),
        "n": len(values),
        "low": low,
        "high": high,
    }
    return [row]


def _interval(
    values: np.ndarray, facts: list[str], generator: np.random.Generator, resamples: int
) -> tuple[float, float]:
    """2.5 and 97.5 % quantiles of the mean when facts are drawn with replacement."""
    _, fact = np.unique(np.array(facts), return_inverse=True)
    sums, counts = np.bincount(fact, weights=values), np.bincount(fact)
    drawn = generator.multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), size=resamples
    )  # (resamples, facts)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
