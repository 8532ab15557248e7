"""The lifelong curve: while edits are made in chunks, a sample of everything is asked again after each of some chunks.

The sample is seeded and has of each kind of question (and of texts to write and to read) so many that all moments
together ask about one and a half times as much as one full evaluation (`EVALUATIONS`). A question that tests edits is
asked once they are made; what no edit may move (locality, history, texts) from the first moment on. Leaves out chains
asked hop by hop and chains of thought.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

__all__ = ["LifelongSample", "choose_moments"]

UNMOVED = ("locality", "history", "fluency", "general")
"""Kinds of probe that no edit may move."""
EVALUATIONS = 1.4
"""What all moments ask, in full evaluations; with each chunk's own questions and what is rounded up, less than 2."""
LEFT_OUT = ("hop", "hop_by_hop", "chain_of_thought")


def choose_moments(chunks: int, points: int) -> frozenset[int]:
    """The chunks, counted from 1, after which the sample is asked: all, or about so many by equal ratios, and the last.

    1,000 chunks and 10 points: after 1, 2, 5, 10, 22, 46, 100, 215, 464 and 1,000.
    """
    if points < 1 or chunks < 1:
        return frozenset()
    if chunks <= points:
        return frozenset(range(1, chunks + 1))
    steps = np.geomspace(1, chunks, points)
    return frozenset({*(round(step) for step in steps.tolist()), chunks})


@dataclass(frozen=True)
class LifelongSample:
    """Which probes are asked after which edits."""

    probes: pa.Table
    """All of `scoring.PROBES`"""
    needs: Mapping[str, frozenset[str]]
    """Question -> the edits that it tests."""
    moments: int
    seed: int

    def after(self, made: frozenset[str]) -> pa.Table:
        """The probes to be asked when these edits are made: of every kind its share, in the order of the table."""
        chosen = set[tuple[str, str]]()
        for kind, questions in self._by_kind().items():
            quota = math.ceil(EVALUATIONS * len(questions) / max(EVALUATIONS, self.moments))
            allowed = [one for one in questions if kind in UNMOVED or self._is_made(one, made)]
            chosen |= {(kind, one) for one in allowed[:quota]}
        rows = zip(self.probes["kind"].to_pylist(), self.probes["question_id"].to_pylist(), strict=True)
        return self.probes.filter(pa.array([row in chosen for row in rows], pa.bool_()))

    def _is_made(self, question: str, made: frozenset[str]) -> bool:
        needs = self.needs.get(question, frozenset())
        return bool(needs) and needs <= made

    def _by_kind(self) -> dict[str, list[str]]:
        """Kind -> its questions in a seeded order, the same at every moment."""
        found: dict[str, dict[str, None]] = {}
        for kind, question in zip(self.probes["kind"].to_pylist(), self.probes["question_id"].to_pylist(), strict=True):
            if kind not in LEFT_OUT:
                found.setdefault(kind, {})[question] = None
        shuffled = {}
        for number, (kind, questions) in enumerate(sorted(found.items())):
            order = np.random.default_rng([self.seed, number]).permutation(len(questions))
            names = list(questions)
            shuffled[kind] = [names[index] for index in order.tolist()]
        return shuffled
