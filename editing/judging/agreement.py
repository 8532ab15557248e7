"""How far a judge and exact match agree about the same answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from chronofacts.editing.judging.items import list_items

__all__ = ["Agreement", "compare_verdicts", "measure_agreement"]


class Agreement(NamedTuple):
    """Of the answers that a judge judged. Shares are from 0 to 1."""

    n: int
    agreed: float
    kappa: float | None
    """Cohen's (1960): agreement beyond chance. None where both always say the same one word."""
    judged_right: float
    matched: float
    only_judge: int
    """Right by the judge alone."""
    only_match: int


def measure_agreement(judged: Sequence[bool], matched: Sequence[bool]) -> Agreement | None:
    """kappa = (p - e) / (1 - e), p the share that agrees, e what independent raters of these shares would."""
    n = len(judged)
    if not n:
        return None
    agreed = sum(one == other for one, other in zip(judged, matched, strict=True)) / n
    first, second = sum(judged) / n, sum(matched) / n
    expected = first * second + (1 - first) * (1 - second)
    kappa = None if expected == 1 else (agreed - expected) / (1 - expected)
    pairs = list(zip(judged, matched, strict=True))
    return Agreement(n, agreed, kappa, first, second, pairs.count((True, False)), pairs.count((False, True)))


def compare_verdicts(scores: pa.Table, verdicts: pa.Table) -> dict[str, Agreement]:
    """Judge -> its agreement over the answers of one model state. verdicts: `verdicts.VERDICTS`."""
    by_judge: dict[str, dict[str, bool]] = {}
    for row in verdicts.to_pylist():
        if row["right"] is not None:
            by_judge.setdefault(row["judge"], {})[row["prompt_hash"]] = row["right"]
    items = list_items(scores) if by_judge else []
    found = {}
    for judge, right in sorted(by_judge.items()):
        known = [item for item in items if item.prompt_hash in right]
        one = measure_agreement([right[item.prompt_hash] for item in known], [item.exact_match for item in known])
        if one is not None:
            found[judge] = one
    return found
