"""What a model keeps that is taught month after month: from its answers after each month to figures with intervals.

Over the facts in their latest state, asked plainly (`now`), after each month: the share answered rightly (`right`) and
with the state before (`stale`); of questions about earlier days the share that is right (`past`).
Of a month's own facts that no later month changed:
at_once        right as soon as the month was taught
at_end         right after the last month
lost           right at once, wrong at the end
flipped_back   right at once, and the old answer again at the end
Of facts that changed again, after the last month: `then` (right about the earlier day), `today` (right about the last
one) and `both_days`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from chronofacts.editing.metrics.summary import METRICS, share_interval

__all__ = ["FOLLOWED", "flipped_back", "measure_months"]

FOLLOWED = pa.schema(
    [
        pa.field("editor", pa.string()),
        pa.field("after", pa.date32()),  # day of the month taught last; null: the unedited model
        pa.field("month", pa.date32()),  # day of the month that changed the fact
        pa.field("ask", pa.string()),  # now, then, today or past: `runs.monthly_changes.asked_probes`
        pa.field("fact", pa.string()),  # edit
        pa.field("relation", pa.string()),
        pa.field("question_id", pa.string()),
        pa.field("prompt", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("answer_before", pa.string()),
        pa.field("generated", pa.string()),
        pa.field("exact_match", pa.bool_()),
        pa.field("exact_match_before", pa.bool_()),
    ]
)
Row = Mapping[str, Any]


def measure_months(answers: pa.Table) -> pa.Table:
    """All figures (`METRICS`) of one editor. by: `after` (a day), `month` (a day), `month after` (both) or `all`.

    answers: `FOLLOWED` of one editor, without those of the unedited model.
    """
    rows = answers.to_pylist()
    found: list[dict[str, Any]] = []
    for day in sorted({row["after"] for row in rows}):
        here = [row for row in rows if row["after"] == day]
        now = [row for row in here if row["ask"] == "now"]
        past = [row for row in here if row["ask"] == "past"]
        found += _figure("right", "after", str(day), [(row["exact_match"], row) for row in now])
        found += _figure("stale", "after", str(day), _stale(now))
        found += _figure("past", "after", str(day), [(row["exact_match"], row) for row in past])
        for month in sorted({row["month"] for row in now}):
            of = [(row["exact_match"], row) for row in now if row["month"] == month]
            found += _figure("right", "month after", f"{month} {day}", of)
    pairs = _pairs(rows)
    for group in (None, *sorted({one["month"] for one, _ in pairs})):
        by, name = ("all", None) if group is None else ("month", str(group))
        of = [(one, end) for one, end in pairs if group in (None, one["month"])]
        for metric, value in DEFINITIONS.items():
            found += _figure(metric, by, name, [(value(one, end), end) for one, end in of])
    found += _of_changed_again(rows)
    return pa.Table.from_pylist(found, schema=METRICS)


def flipped_back(answers: pa.Table) -> list[Row]:
    """The last answers to facts that were right as soon as they were taught, and are the old ones again at the end."""
    return [end for one, end in _pairs(answers.to_pylist()) if _flips(one, end)]


def _flips(one: Row, end: Row) -> bool:
    return bool(one["exact_match"] and not end["exact_match"] and end["exact_match_before"])


DEFINITIONS = {
    "at_once": lambda one, end: one["exact_match"],
    "at_end": lambda one, end: end["exact_match"],
    "lost": lambda one, end: one["exact_match"] and not end["exact_match"],
    "flipped_back": _flips,
}


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Of every fact that still holds at the end: its answer right after its month, and its last answer."""
    last = max((row["after"] for row in rows), default=None)
    now = [row for row in rows if row["ask"] == "now"]
    at_once = {row["fact"]: row for row in now if row["after"] == row["month"]}
    return [(at_once[row["fact"]], row) for row in now if row["after"] == last and row["fact"] in at_once]


def _of_changed_again(rows: Sequence[Row]) -> Iterable[dict[str, Any]]:
    """Figures of the facts that changed again, after the last month; a fact is found again by relation and prompt."""
    last = max((row["after"] for row in rows), default=None)
    asked = [row for row in rows if row["after"] == last and row["ask"] in ("then", "today")]
    right: dict[tuple[str, str], list[bool]] = {}
    for row in asked:
        right.setdefault((row["relation"], row["prompt"]), []).append(row["exact_match"])
    for ask in ("then", "today"):
        yield from _figure(ask, "all", None, [(row["exact_match"], row) for row in asked if row["ask"] == ask])
    firsts = {(row["relation"], row["prompt"]): row for row in asked}
    yield from _figure("both_days", "all", None, [(all(right[key]), row) for key, row in firsts.items()])


def _stale(rows: Sequence[Row]) -> list[tuple[bool, Row]]:
    return [(row["exact_match_before"], row) for row in rows if row["exact_match_before"] is not None]


def _figure(metric: str, by: str, group: str | None, members: Sequence[tuple[bool, Row]]) -> list[dict[str, Any]]:
    """One row of `METRICS`; none without members."""
    if not members:
        return []
    values = np.array([float(value) for value, _ in members])
    low, high = share_interval(values, [row["fact"] for _, row in members])
    row = {"metric": metric, "by": by, "group": group, "value": float(values.mean()), "n": len(values)}
    return [row | {"low": low, "high": high}]
