"""How stale is a model? Its answers by the month in which the facts changed, and where its knowledge seems to end."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Cutoff", "Month", "estimate_cutoff", "months"]

RESAMPLES = 200
PENALTY = 2
"""Parameters that a break has over none: the day, and a second rate (Bayesian information criterion)."""
FEWEST = 12
"""Facts below which nothing is estimated."""


@dataclass(frozen=True)
class Month:
    """The facts that changed in one month, and one model's answers."""

    day: datetime.date
    """Its first day."""
    n: int
    new: float
    """Share of the answers that are the new one."""
    old: float | None
    """Of the facts of which an old answer is known, the share that are the outdated one; None: no such fact."""
    outdated: int
    """How many facts of which an old answer is known."""
    prefers_new: float | None
    """Share of the facts whose new answer is likelier than the old; None: no old answer is known."""


@dataclass(frozen=True)
class Cutoff:
    """The day about which a model begins to give outdated answers, with a 95 % bootstrap interval."""

    day: datetime.date
    low: datetime.date
    high: datetime.date
    before: float
    """Share of the facts changed before that day of which the model knows the new state."""
    after: float


def months(scores: pa.Table) -> list[Month]:
    """The edit questions by the month of the change, in order.

    scores: `scoring.SCORES` of one model with `changed_on_earliest` and `changed_on_latest`. A fact whose day of
    change is known only to a year has no month and is left out.
    """
    by_month: dict[datetime.date, list[Mapping[str, Any]]] = {}
    for row in _list_dated(scores):
        by_month.setdefault(row["changed_on_latest"].replace(day=1), []).append(row)
    return [_count_month(day, by_month[day]) for day in sorted(by_month)]


def estimate_cutoff(scores: pa.Table, seed: int = 0) -> Cutoff | None:
    """Where the model's knowledge ends, by the dates of the facts alone; None where no such day stands out.

    A fact counts as known when the new answer is given, as unknown when the old one is; where neither is, the likelier
    of the two decides. Facts without an old answer (injections, updates) decide nothing, since they could only count as
    known. Of all days between two changes the likeliest break is taken, with one rate of known facts
    before and a lower one after (maximum likelihood of two Bernoulli rates), if it explains more than one rate for
    all by the Bayesian information criterion.
    """
    seen = [(row["changed_on_latest"], knows) for row in _list_dated(scores) if (knows := _is_known(row)) is not None]
    if len(seen) < FEWEST:
        return None
    seen.sort(key=lambda pair: pair[0])
    days, known = np.array([day.toordinal() for day, _ in seen]), np.array([knows for _, knows in seen], dtype=float)
    found = _find_break(days, known)
    if found is None or found[1] <= PENALTY * math.log(len(days)) / 2:
        return None
    generator = np.random.default_rng(seed)
    sampled = []
    for _ in range(RESAMPLES):
        drawn = np.sort(generator.integers(0, len(days), len(days)))
        if (again := _find_break(days[drawn], known[drawn])) is not None:
            sampled.append(again[0])
    low, high = np.quantile(sampled, [0.025, 0.975])
    before, after = known[days < found[0]], known[days >= found[0]]
    day_of = datetime.date.fromordinal
    return Cutoff(day_of(found[0]), day_of(int(low)), day_of(int(high)), float(before.mean()), float(after.mean()))


def _find_break(days: np.ndarray, known: np.ndarray) -> tuple[int, float] | None:
    """(first day of ignorance, gain in log-likelihood over one rate) of the best break downwards; days ascend."""
    count, total = len(days), known.sum()
    breaks = np.flatnonzero(np.diff(days)) + 1  # a break lies between two days
    if not len(breaks):
        return None
    before = np.cumsum(known)[breaks - 1]
    gain = _likelihood(before, breaks) + _likelihood(total - before, count - breaks) - _likelihood(total, count)
    gain = np.where(before / breaks > (total - before) / (count - breaks), gain, -np.inf)
    best = int(np.argmax(gain))
    return (int(days[breaks[best]]), float(gain[best])) if np.isfinite(gain[best]) else None


def _likelihood(hits: Any, count: Any) -> Any:
    """Log-likelihood of so many hits among so many under their own rate."""
    rate = np.clip(hits / count, 1e-12, 1 - 1e-12)
    return hits * np.log(rate) + (count - hits) * np.log1p(-rate)


def _list_dated(scores: pa.Table) -> list[dict[str, Any]]:
    if "changed_on_latest" not in scores.column_names:
        return []
    names = ["kind", "exact_match", "exact_match_before", "p_new_over_old", "changed_on_earliest", "changed_on_latest"]
    return [row for row in scores.select(names).to_pylist() if row["kind"] == "edit" and _is_within_a_month(row)]


def _is_within_a_month(row: Mapping[str, Any]) -> bool:
    first, last = row["changed_on_earliest"], row["changed_on_latest"]
    return first is not None and last is not None and (last - first).days <= 31


def _is_known(row: Mapping[str, Any]) -> bool | None:
    if row["exact_match_before"] is None:
        return None
    if row["exact_match"] or row["exact_match_before"]:
        return bool(row["exact_match"])
    return None if row["p_new_over_old"] is None else row["p_new_over_old"] > 0.5


def _count_month(day: datetime.date, rows: Sequence[Mapping[str, Any]]) -> Month:
    outdated = [row["exact_match_before"] for row in rows if row["exact_match_before"] is not None]
    preferences = [row["p_new_over_old"] > 0.5 for row in rows if row["p_new_over_old"] is not None]
    return Month(
        day,
        len(rows),
        float(np.mean([bool(row["exact_match"]) for row in rows])),
        float(np.mean(outdated)) if outdated else None,
        len(outdated),
        float(np.mean(preferences)) if preferences else None,
    )
