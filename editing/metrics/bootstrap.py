"""How sure a mean is: percentile bootstrap intervals over facts (Efron & Tibshirani 1993).

Facts are drawn, not questions, since the questions of one edit stand or fall together.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["interval"]

LOW, HIGH = 0.025, 0.975


def interval(
    values: np.ndarray,
    weights: np.ndarray,
    facts: Sequence[str],
    seed: int,
    name: str,
    resamples: int = 1000,
    scale: Callable[[np.ndarray], np.ndarray] = lambda means: means,
) -> tuple[float, float]:
    """2.5 and 97.5 % quantiles of the weighted mean when facts are drawn with replacement.

    values, weights: (n,). facts: of each value, what it is about. name: of the figure; figures with different names
    draw independently of each other. scale: applied to every resampled mean.
    """
    _, fact = np.unique(np.array(facts), return_inverse=True)
    sums, counts = np.bincount(fact, weights=values * weights), np.bincount(fact, weights=weights)
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    even = np.full(len(counts), 1 / len(counts))
    drawn = generator.multinomial(len(counts), even, size=resamples)  # (resamples, facts)
    low, high = np.quantile(scale((drawn @ sums) / (drawn @ counts)), [LOW, HIGH])
    return float(low), float(high)
