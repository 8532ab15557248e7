"""What the losses and first choices of an answer's tokens say about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronofacts.schemas.errors import ChronoFactsError

__all__ = ["Likelihood", "measure_likelihood"]


@dataclass(frozen=True)
class Likelihood:
    """Teacher-forced figures of one prompt with one answer."""

    nll: float
    accuracy: float
    argmax: bool
    greedy_match: bool
    """All of the answer's tokens and EOS come first: greedy generation gives exactly this answer."""


def measure_likelihood(losses: np.ndarray, hits: np.ndarray, answer: int) -> Likelihood:
    """losses, hits: of the tokens of an answer and its EOS, of which the first `answer` are the answer itself.

    Raises ChronoFactsError when a loss is no number.
    """
    if not np.isfinite(losses[:answer]).all():
        raise ChronoFactsError("the model answers with logits that are no numbers; its weights are damaged")
    own = hits[:answer]
    mean = float(losses[:answer].mean(dtype=np.float64))
    return Likelihood(mean, float(own.mean()), bool(own.all()), bool(hits.all()))
