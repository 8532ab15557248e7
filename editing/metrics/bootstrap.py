"""How sure a mean is: 95 % intervals over facts, since the questions of one edit stand or fall together.

A share has Wilson's score interval, any other mean and the difference between two editors a bootstrap that draws facts
(`interval`, `paired_differences`). None of them has the width zero where all answers are alike: 60 of 60 is 0.94 to 1.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["interval", "paired_differences", "share_interval"]

LOW, HIGH = 0.025, 0.975
NORMAL = 1.959964
"""Standard errors on both sides of 95 % of a normal distribution."""


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
