"""How stale is a model? Its answers by the month in which the facts changed, and where its knowledge seems to end."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Cutoff", "Month", "estimate_cutoff", "months"]

RESAMPLES = 200
PENALTY = 2
"""Parameters that a break has over none: the day, and a second rate (Bayesian information criterion)."""
FEWEST = 12
"""Facts below which nothing is estimated."""
EPOCH = datetime.date(1970, 1, 1).toordinal()


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
    dated = _select_dated(scores)
    if not dated.num_rows:
        return []
    month = pc.floor_temporal(dated["changed_on_latest"], unit="month")
    answers = [("exact_match", "mean"), ("exact_match_before", "mean"), ("exact_match_before", "count")]
    shares = dated.append_column("month", month).group_by("month").aggregate(
        [([], "count_all"), *answers, ("likelier", "mean")]
    )  # fmt: skip
    fields = ["month", "count_all", *("_".join(one) for one in answers), "likelier_mean"]
    return [Month(*row.values()) for row in shares.sort_by("month").select(fields).to_pylist()]


def estimate_cutoff(scores: pa.Table, seed: int = 0) -> Cutoff | None:
    """Where the model's knowledge ends, by the dates of the facts alone; None where no such day stands out.

    A fact counts as known when the new answer is given, as unknown when the old one is; where neither is, the likelier
    of the two decides. Facts without an old answer (injections, updates) decide nothing, since they could only count as
    known. Of all days between two changes the likeliest break is taken, with one rate of known facts
    before and a lower one after (maximum likelihood of two Bernoulli rates), if it explains more than one rate for
    all by the Bayesian information criterion.
    """
    dated = _select_dated(scores)
    if not dated.num_rows:
        return None
    seen = dated.filter(pc.is_valid(dated["known"])).sort_by("changed_on_latest")
    if seen.num_rows < FEWEST:
        return None
    days = seen["changed_on_latest"].cast(pa.int32()).to_numpy() + EPOCH
    known = seen["known"].cast(pa.int8()).to_numpy().astype(float)
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


def _select_dated(scores: pa.Table) -> pa.Table:
    """The edit questions about changes of which the month is known, and of each whether the model knows the new state.

    Adds `known`: true where the new answer is given, false where the old one is; where neither is, whether the new one
    is the likelier; null without an old answer.
    """
    if "changed_on_latest" not in scores.column_names:
        return scores.slice(0, 0)
    first, last = (scores[f"changed_on_{end}"].cast(pa.int32()) for end in ("earliest", "latest"))
    dated = scores.filter(pc.and_(pc.equal(scores["kind"], "edit"), pc.less_equal(pc.subtract(last, first), 31)))
    given, old = dated["exact_match"], dated["exact_match_before"]
    likelier = pc.greater(dated["p_new_over_old"], 0.5)
    known = pc.if_else(pc.is_null(old), None, pc.if_else(pc.or_(given, old), given, likelier))
    return dated.append_column("likelier", likelier).append_column("known", known)
