"""Decoding by contrasting knowledge (DeCK, Bi et al. 2025, arXiv 2405.11613): what a told fact changes.

Score of a token y after the told prompt x' and the untold one x, both followed by what is written so far:

    log p(y | x') - log p(y | x)      for y with p(y | x') >= alpha * max p(. | x')    (adaptive plausibility)

so that an answer which the model was sure of before it was told gives way to the told one. In the paper all other
tokens are impossible; ours stand below the least of the plausible ones, by how far they fall short, since the
likelihood of any answer is to be a number. Its enhancement of tokens by their meaning is left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch

from chronofacts.editing.models.load import call_keeping

__all__ = ["Contrast"]

Tokens = tuple[int, ...]
ROWS = 16
"""That are read untold at once."""


class Contrast:
    """Told prompts with the untold ones behind them, and the model that reads both."""

    def __init__(self, base: Any, alpha: float) -> None:
        self._base, self._threshold = base, math.log(alpha)
        self.untold: dict[Tokens, Tokens] = {}
        """Told prompt -> untold prompt, in tokens."""

    def apply(
        self, logits: torch.Tensor, rows: Sequence[list[int]], told: Sequence[Tokens | None], positions: Sequence[int]
    ) -> torch.Tensor:
        """The logits (rows, positions, vocabulary) of told rows, contrasted from the end of the prompt on.

        rows: the tokens of each, as far as they are read. told: with which told prompt each begins. positions: of the
        logits in a row, ascending. A row's scores do not depend on the others: untold rows of one length are read
        together, without padding, and afresh at every step, since they are short.
        """
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)  # by the lengths of both prompts
        for number, prompt in enumerate(told):
            if prompt is not None and positions[-1] >= len(prompt) - 1:
                groups[len(prompt), len(self.untold[prompt])].append(number)
        contrasted = logits.clone() if groups else logits
        for (long, short), members in groups.items():
            wanted = [index for index, position in enumerate(positions) if position >= long - 1]
            kept = [positions[index] - long + short for index in wanted]
            for begin in range(0, len(members), ROWS):
                part = members[begin : begin + ROWS]
                texts = [self._untell(rows[number], told[number], kept[-1]) for number in part]
                for number, untold in zip(part, self._read(texts, kept), strict=True):
                    contrasted[number, wanted] = self._score(contrasted[number, wanted], untold).to(logits.dtype)
        return contrasted

    def _untell(self, row: list[int], prompt: Tokens | None, last: int) -> Tokens:
        """The untold prompt, and after it what the row holds after its own."""
        untold = self.untold[prompt] if prompt is not None else ()
        return (*untold, *row[len(prompt or ()) :])[: last + 1]

    def _read(self, rows: Sequence[Tokens], kept: Sequence[int]) -> torch.Tensor:
        """Logits of rows of one length at some positions."""
        device = next(self._base.parameters()).device
        some, ids = torch.tensor(kept, device=device), torch.tensor(rows, device=device)
        return call_keeping(self._base, some, input_ids=ids, use_cache=False).logits  # type: ignore[no-any-return]

    def _score(self, told: torch.Tensor, untold: torch.Tensor) -> torch.Tensor:
        """(positions, vocabulary) of both prompts -> scores."""
        now, before = told.float().log_softmax(-1), untold.float().log_softmax(-1)
        least = now.max(-1, keepdim=True).values + self._threshold
        plausible, change = now >= least, now - before
        lowest = change.masked_fill(~plausible, math.inf).min(-1, keepdim=True).values
        return torch.where(plausible, change, lowest + (now - least))
