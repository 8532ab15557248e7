"""The hidden states that leave frozen blocks, cached for the next pass over the same text.

As long as nothing below block k is trained, what enters k is the same in every epoch and for every member of a sweep.
States are cached per text, within a limit of bytes; what does not fit is computed each time. One cache serves one base
model, whose identity it does not check.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from chronofacts.editing.forward.packing import Layout, PackedBatch
from chronofacts.editing.forward.partial import PartialForward
from chronofacts.editing.models.encoding import Encoded

__all__ = ["HiddenStateCache"]

Texts = Sequence[Encoded]


class HiddenStateCache:
    """Hidden states by (block, tokens). `limit`: bytes that may be cached; 0: none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.found = 0
        """Texts whose states were here when they were looked up."""
        self.computed = 0
        """Texts that went through the blocks below."""
        self._states: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}

    def lookup(
        self, forward: PartialForward, block: int, batch: PackedBatch, texts: Texts, layout: Layout
    ) -> torch.Tensor:
        """What enters `block` of these texts: (rows, length, width), zeros where there is no token.

        batch: the texts in this layout. Only texts that are not cached are computed, from the nearest block below
        for which all of them are cached.
        """
        missing = [text for text in texts if (block, text.ids) not in self._states]
        self.found += len(texts) - len(missing)
        self.computed += len(missing)
        states = {text.ids: self._states[block, text.ids] for text in texts if (block, text.ids) in self._states}
        if missing:
            states |= self._compute(forward, block, missing, layout)
        return _lay_out(batch, [states[text.ids] for text in texts])

    def _compute(
        self, forward: PartialForward, block: int, texts: Texts, layout: Layout
    ) -> dict[tuple[int, ...], torch.Tensor]:
        """(tokens, width) of each text, cached where there is room."""
        batch = layout(texts, True, forward.device)
        lower = self._nearest(block, texts)
        given = _lay_out(batch, [self._states[lower, text.ids] for text in texts]) if lower else None
        whole = forward.states(batch, block, given, lower).flatten(0, 1)
        computed = {}
        for text, index in zip(texts, batch.token_index, strict=True):
            own = whole.index_select(0, torch.from_numpy(index).to(whole.device))
            computed[text.ids] = own
            size = own.numel() * own.element_size()
            if self.bytes + size <= self.limit and (block, text.ids) not in self._states:
                self._states[block, text.ids] = own
                self.bytes += size
        return computed

    def _nearest(self, block: int, texts: Texts) -> int:
        """The highest block below for which all the texts are cached; 0 if there is none."""
        for lower in sorted({other for other, _ in self._states if other < block}, reverse=True):
            if all((lower, text.ids) in self._states for text in texts):
                return lower
        return 0


def _lay_out(batch: PackedBatch, states: Sequence[torch.Tensor]) -> torch.Tensor:
    """Each text's states at its tokens; of a token that several texts share, those of the first."""
    if batch.mask is None:
        padded = pad_sequence(list(states), batch_first=True)
        return pad(padded, (0, 0, 0, batch.ids.shape[1] - padded.shape[1]))
    positions, first = np.unique(np.concatenate(batch.token_index), return_index=True)
    joined = torch.cat(list(states))
    source = torch.from_numpy(first).to(joined.device)
    if len(positions) < batch.ids.numel():
        whole = joined.new_zeros(batch.ids.numel(), joined.shape[1])
        whole[torch.from_numpy(positions).to(joined.device)] = joined[source]
    else:
        whole = joined.index_select(0, source)
    return whole.view(*batch.ids.shape, -1)
