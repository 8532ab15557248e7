"""From scores of probes to figures with intervals: what was learnt, what follows from it, what was forgotten.

Every figure (`definitions`) is a share or mean over questions with a 95 % interval over facts (`bootstrap`): Wilson's
of shares, a bootstrap of the others.
Leaves out cost (seconds, memory), which the run measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from chronofacts.editing.facts import Change
from chronofacts.editing.metrics.bootstrap import interval, paired_differences, share_interval
from chronofacts.editing.metrics.definitions import DEFINITIONS, FORGETTING, Metric, Row, Rows, gather_rows

__all__ = ["DIFFERENCES", "METRICS", "as_mapping", "compare", "forgetting", "summarise"]

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
        pa.field("by", pa.string()),  # all, relation, kind, before, hops, edited_hops, locality_kind or chunk
        pa.field("group", pa.string()),  # the relation, the number of hops …; null for all
        pa.field("value", pa.float64()),
        pa.field("n", pa.int32()),  # questions
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)


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
    also given by kind of change. A metric without questions has no row.
    Raises CheckFailed when the two tables do not hold the same probes.
    """
    return _tabulate(DEFINITIONS, gather_rows(scores, base_scores, trained, changes), seed, resamples)


def forgetting(curve: pa.Table, scores: pa.Table, resamples: int = 1000, seed: int = 0) -> pa.Table:
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


def _by_question(members: list[tuple[float, Row]]) -> dict[tuple[str, str, int], tuple[float, Row]]:
    return {(row["kind"], row["question_id"], row["phrasing"]): (value, row) for value, row in members}


def _tabulate(definitions: Mapping[str, Metric], rows: Rows, seed: int, resamples: int) -> pa.Table:
    """Every metric over all its questions, then by group."""
    found = []
    for name, metric in definitions.items():
        members = metric.values(rows)
        parts: list[tuple[str, Any, list[tuple[float, Row]]]] = [("all", None, members)]
        for by in metric.by:
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
    return getattr(row["change"], by, None) if by in ("kind", "before") else row[by]


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
