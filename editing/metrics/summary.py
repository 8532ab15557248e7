"""From scores of probes to figures with intervals: what was learnt, what follows from it, what was forgotten.

Every figure (`definitions`) is a share or mean over questions with a 95 % interval over facts, since the questions of
one edit stand or fall together. A share has Wilson's score interval (`share_interval`), any other mean and the
difference between two editors a bootstrap that draws facts (`interval`, `paired_differences`). None of them has the
width zero where all answers are alike: 60 of 60 is 0.94 to 1.
Leaves out cost (seconds, memory), which the run measures.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.facts import Change
from chronofacts.editing.metrics.definitions import DEFINITIONS, FORGETTING, LIFELONG, Metric, Row, Rows, gather_rows

__all__ = [
    "DIFFERENCES",
    "METRICS",
    "as_mapping",
    "compare",
    "interval",
    "lifelong",
    "over_batches",
    "paired_differences",
    "share_interval",
    "summarise",
    "summarise_forgetting",
]  # fmt: skip

COMPARED = (
    "edit_success", "paraphrase", "portability", "multi_hop", "locality", "history", "preservation", "stale_rate",
)  # fmt: skip
"""Metrics of which editors are compared in pairs."""
DIFFERENCES = pa.schema(
    [
        pa.field("metric", pa.string()),
        pa.field("first", pa.string()),  # editor
        pa.field("second", pa.string()),
        pa.field("value", pa.float64()),  # first - second
        pa.field("n", pa.int32()),  # questions that both were asked
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)

METRICS = pa.schema(
    [
        pa.field("metric", pa.string()),
        pa.field("by", pa.string()),  # all, base_state, relation, kind, before, hops, hops, edits, chunk, batches …
        pa.field("group", pa.string()),  # the relation, the number of hops …; null for all
        pa.field("value", pa.float64()),
        pa.field("n", pa.int32()),  # questions
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)

LOW, HIGH = 0.025, 0.975
NORMAL = 1.959964
"""Standard errors on both sides of 95 % of a normal distribution."""


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
    the comparison trained; they do not count as paraphrases. changes: of every fact, by which figures are
    also given by kind of change. Each figure is also given by what the unedited model answered to the edit
    (`answer_states`). A metric without questions has no row.
    Raises CheckFailed when the two tables do not hold the same probes.
    """
    return _tabulate(DEFINITIONS, gather_rows(scores, base_scores, trained, changes), seed, resamples)


def summarise_forgetting(curve: pa.Table, scores: pa.Table, resamples: int = 1000, seed: int = 0) -> pa.Table:
    """The forgetting curve (`METRICS`, by chunk) of edits that were made chunk after chunk.

    curve: `scoring.SCORES` with `chunk` (int32), of each chunk's own `edit` questions right after it was edited.
    scores: of all questions after the last chunk.
    """
    at_end, at_once = (
        {(row["question_id"], row["phrasing"]): row for row in table.to_pylist() if row["kind"] == "edit"}
        for table in (scores, curve)
    )
    rows = [row | {"right_at_end": at_end[key]["exact_match"]} for key, row in at_once.items() if key in at_end]
    return _tabulate(FORGETTING, {"edit": rows}, seed, resamples)


def lifelong(
    asked: pa.Table,
    scores: pa.Table,
    base_scores: pa.Table,
    trained: frozenset[str] = frozenset(),
    resamples: int = 1000,
    seed: int = 0,
) -> pa.Table:
    """Metrics (`METRICS`) after so many edits, over samples of the questions that were asked then.

    asked: `scoring.SCORES` with `edits` (int32), the number of edits made before. scores: of all questions after the
    last edit. by: `edits` (the answers right then) and `edits_at_end` (the same questions' answers at the end).
    """
    chosen = {name: DEFINITIONS[name]._replace(by=()) for name in LIFELONG}
    at_end = {_identity(row): row for row in scores.to_pylist()}
    found = []
    for edits in sorted(set(asked["edits"].to_pylist())):
        then = asked.filter(pc.equal(asked["edits"], edits)).select(scores.column_names)
        same = [at_end[key] for row in then.to_pylist() if (key := _identity(row)) in at_end]
        for by, table in (("edits", then), ("edits_at_end", pa.Table.from_pylist(same, schema=then.schema))):
            rows = gather_rows(table, base_scores, trained, {})
            part = _tabulate(chosen, rows, seed, resamples, also=())
            part = part.set_column(1, METRICS.field("by"), pa.array([by] * part.num_rows, pa.string()))
            groups = pa.array([str(edits)] * part.num_rows, pa.string())
            found.append(part.set_column(2, METRICS.field("group"), groups))
    return pa.concat_tables(found) if found else METRICS.empty_table()


def over_batches(
    scores: pa.Table,
    base_scores: pa.Table,
    batch_of: Mapping[str, int],
    trained: frozenset[str] = frozenset(),
    resamples: int = 1000,
    seed: int = 0,
) -> pa.Table:
    """Means over batches (`METRICS`, by `batches`, whose group is their number): each batch counts once, as in MQuAKE.

    batch_of: question id -> its batch. n is the number of batches that have such a question, and the interval a
    bootstrap over them; of fewer than two there is none to draw from, and the mean is that over questions.
    """
    rows, found = gather_rows(scores, base_scores, trained, {}), []
    count = len(set(batch_of.values()))
    for name, metric in DEFINITIONS.items():
        values: dict[int, list[float]] = {}
        for value, row in metric.values(rows) if metric.is_share else ():
            values.setdefault(batch_of.get(row["question_id"], -1), []).append(value)
        if len(values) < 2:
            continue
        means = np.array([np.mean(values[number]) for number in sorted(values)])
        names = [str(number) for number in sorted(values)]
        low, high = interval(means, np.ones(len(means)), names, seed, f"{name} batches", resamples)
        found.append(
            {"metric": name, "by": "batches", "group": str(count), "value": float(means.mean()), "n": len(means)}
            | {"low": low, "high": high}
        )
    return pa.Table.from_pylist(found, schema=METRICS)


def compare(
    scores: Mapping[str, pa.Table],
    base_scores: pa.Table,
    trained: frozenset[str] = frozenset(),
    resamples: int = 1000,
    seed: int = 0,
) -> pa.Table:
    """The difference (`DIFFERENCES`) between every two editors, over the questions that all of them were asked.

    scores: editor -> its scores; the rest as of `summarise`.
    """
    pairs = list(combinations(scores, 2))
    rows = {name: gather_rows(table, base_scores, trained, {}) for name, table in scores.items()}
    found = []
    for metric in COMPARED if pairs else ():
        values = {name: _by_question(DEFINITIONS[metric].values(one)) for name, one in rows.items()}
        questions = [key for key in values[pairs[0][0]] if all(key in one for one in values.values())]
        if not questions:
            continue
        first, second = (
            np.array([[values[pair[side]][key][0] for key in questions] for pair in pairs]) for side in (0, 1)
        )
        facts = [values[pairs[0][0]][key][1]["fact"] for key in questions]
        measured = paired_differences(first, second, facts, seed, metric, resamples)
        for (one, other), (value, low, high) in zip(pairs, measured.tolist(), strict=True):
            found.append({"metric": metric, "first": one, "second": other, "value": value, "n": len(questions)})
            found[-1] |= {"low": low, "high": high}
    return pa.Table.from_pylist(found, schema=DIFFERENCES)


def as_mapping(metrics: pa.Table) -> dict[str, float]:
    """{metric: value} over all questions."""
    return {row["metric"]: row["value"] for row in metrics.to_pylist() if row["by"] == "all"}


def _identity(row: Row) -> tuple[str, str, int]:
    return row["kind"], row["question_id"], row["phrasing"]


def _by_question(members: list[tuple[float, Row]]) -> dict[tuple[str, str, int], tuple[float, Row]]:
    return {_identity(row): (value, row) for value, row in members}


def _tabulate(
    definitions: Mapping[str, Metric],
    rows: Rows,
    seed: int,
    resamples: int,
    also: Sequence[str] = ("base_state",),
) -> pa.Table:
    """Every metric over all its questions, then by its own groups and by those of `also`."""
    found = []
    for name, metric in definitions.items():
        members = metric.values(rows)
        parts: list[tuple[str, Any, list[tuple[float, Row]]]] = [("all", None, members)]
        for by in (*metric.by, *also):
            groups = [_group_of(row, by) for _, row in members]
            for group in sorted(set(groups) - {None}):
                own = [one for one, its in zip(members, groups, strict=True) if its == group]
                parts.append((by, str(group), own))
        for by, group, part in parts:
            if part:
                figure = _measure(f"{name} {by} {group}", part, metric, seed, resamples)
                found.append({"metric": name, "by": by, "group": group} | figure)
    return pa.Table.from_pylist(found, schema=METRICS)


def _group_of(row: Row, by: str) -> Any:
    return getattr(row["change"], by, None) if by in ("kind", "before") else row.get(by)


def _measure(name: str, members: list[tuple[float, Row]], metric: Metric, seed: int, resamples: int) -> dict[str, Any]:
    """name: of the figure, by which its draws differ from those of others."""
    values = np.array([value for value, _ in members])
    weights = np.array([metric.weight(row) for _, row in members], dtype=np.float64)
    facts = [row["fact"] for _, row in members]
    if metric.is_share:
        low, high = share_interval(values, facts)
    else:
        low, high = interval(values, weights, facts, seed, name, resamples, metric.scale)
    value = float(metric.scale(np.average(values, weights=weights)))
    return {"value": value, "n": len(values), "low": low, "high": high}


def share_interval(values: np.ndarray, facts: Sequence[str]) -> tuple[float, float]:
    """Wilson's score interval (Wilson 1927) of a mean of values from 0 to 1, with the effective number of trials.

    As many independent trials are counted as explain the variance between facts (Korn & Graubard 1998): as many as
    facts where all questions of a fact have one answer, more where they differ, at most as many as questions. One fact
    that is right and one that is wrong are added to estimate that variance, else it would be zero at 0 and 1.

    values: (n,). facts: of each value, what it is about.
    """
    sums, counts = _by_fact(values, np.ones(len(values)), facts)
    mean, number = float(values.mean()), len(counts)
    size = counts.mean()
    sums, counts = np.append(sums, [size, 0.0]), np.append(counts, [size, size])
    smoothed = sums.sum() / counts.sum()
    variance = np.sum((sums - smoothed * counts) ** 2) / counts.sum() ** 2
    trials = min(smoothed * (1 - smoothed) / variance * number / (number + 2), len(values))
    shrink = NORMAL**2 / trials
    centre = (mean + shrink / 2) / (1 + shrink)
    half = NORMAL * np.sqrt(mean * (1 - mean) / trials + shrink / (4 * trials)) / (1 + shrink)
    return float(max(0.0, min(mean, centre - half))), float(min(1.0, max(mean, centre + half)))


def interval(
    values: np.ndarray,
    weights: np.ndarray,
    facts: Sequence[str],
    seed: int,
    name: str,
    resamples: int = 1000,
    scale: Callable[[np.ndarray], np.ndarray] = lambda means: means,
) -> tuple[float, float]:
    """2.5 and 97.5 % quantiles of the weighted mean when facts are drawn with replacement (Efron & Tibshirani 1993).

    values, weights: (n,). facts: of each value, what it is about. name: of the figure; figures with different names
    draw independently of each other. scale: applied to every resampled mean.
    """
    means = _draw_means(*_by_fact(values, weights, facts), seed, name, resamples)
    low, high = np.quantile(scale(means), [LOW, HIGH])
    return float(low), float(high)


def paired_differences(
    first: np.ndarray, second: np.ndarray, facts: Sequence[str], seed: int, name: str, resamples: int = 1000
) -> np.ndarray:
    """(pairs, 3): of each pair of editors the mean of first - second, and its 95 % bootstrap interval over facts.

    first, second: (pairs, n), from 0 to 1, over the same questions. One fact that only the first answers and one that
    only the second does are added to those drawn from, so that facts which are all alike do not claim certainty. All
    pairs have the same draws.
    """
    difference = first - second
    pairs = [_by_fact(one, np.ones(len(one)), facts) for one in difference]
    counts = pairs[0][1]
    size = counts.mean()
    sums = np.array([[*sums, size, -size] for sums, _ in pairs]).T  # (facts + 2, pairs)
    means = _draw_means(sums, np.append(counts, [size, size]), seed, name, resamples)
    low, high = np.quantile(means, [LOW, HIGH], axis=0)
    mean = difference.mean(axis=1)
    return np.stack([mean, np.minimum(mean, low), np.maximum(mean, high)], axis=1)


def _by_fact(values: np.ndarray, weights: np.ndarray, facts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Weighted sum and weight of the values of each fact."""
    _, fact = np.unique(np.array(facts), return_inverse=True)
    return np.bincount(fact, weights=values * weights), np.bincount(fact, weights=weights)


def _draw_means(sums: np.ndarray, counts: np.ndarray, seed: int, name: str, resamples: int) -> np.ndarray:
    """(resamples, …) weighted means of as many facts as there are, drawn with replacement. sums: (facts, …)."""
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    drawn = generator.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=resamples)
    means: np.ndarray = ((drawn @ sums).T / (drawn @ counts)).T
    return means
