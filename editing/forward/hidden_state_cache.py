"""The hidden states that leave frozen blocks, kept for the next time the same text is read.

As long as nothing below block k is trained, what enters k is the same in every epoch and for every member of a sweep.
Kept per text, within a limit of bytes; what does not fit is computed anew each time. Leaves out the model's identity:
one store serves one base model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from chronofacts.editing.forward.packing import Layout, Reading
from chronofacts.editing.forward.partial import Passage
from chronofacts.editing.models.encoding import Encoded

__all__ = ["PrefixStore"]

Texts = Sequence[Encoded]


class PrefixStore:
    """Hidden states by (block, tokens). `limit`: bytes that may be kept; 0: none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self.found = 0
        """Texts whose states were here when they were asked for."""
        self.computed = 0
        """Texts that went through the blocks below."""
        self._states: dict[tuple[int, tuple[int, ...]], torch.Tensor] = {}

    def entering(self, passage: Passage, block: int, reading: Reading, texts: Texts, layout: Layout) -> torch.Tensor:
        """What enters `block` when these texts are read: (rows, length, width), zeros where nothing is read.

        reading: the texts in this layout. Only texts that are not kept are computed, from the nearest block below for
        which all of them are kept.
        """
        missing = [text for text in texts if (block, text.ids) not in self._states]
        self.found += len(texts) - len(missing)
        self.computed += len(missing)
        states = {text.ids: self._states[block, text.ids] for text in texts if (block, text.ids) in self._states}
        if missing:
            states |= self._compute(passage, block, missing, layout)
        return _laid_out(reading, [states[text.ids] for text in texts])

    def _compute(
        self, passage: Passage, block: int, texts: Texts, layout: Layout
    ) -> dict[tuple[int, ...], torch.Tensor]:
        """(tokens, width) of each text, kept where there is room."""
        reading = layout(texts, True, passage.device)
        lower = self._nearest(block, texts)
        given = _laid_out(reading, [self._states[lower, text.ids] for text in texts]) if lower else None
        whole = passage.states(reading, block, given, lower).flatten(0, 1)
        computed = {}
        for text, slots in zip(texts, reading.slots, strict=True):
            own = whole.index_select(0, torch.from_numpy(slots).to(whole.device))
            computed[text.ids] = own
            size = own.numel() * own.element_size()
            if self.bytes + size <= self.limit and (block, text.ids) not in self._states:
                self._states[block, text.ids] = own
                self.bytes += size
        return computed

    def _nearest(self, block: int, texts: Texts) -> int:
        """The highest block below for which all the texts are kept; 0 if there is none."""
        for lower in sorted({kept for kept, _ in self._states if kept < block}, reverse=True):
            if all((lower, text.ids) in self._states for text in texts):
                return lower
        return 0


def _laid_out(reading: Reading, states: Sequence[torch.Tensor]) -> torch.Tensor:
    """Each text's states at its slots; of a slot that several texts share, those of the first."""
    if reading.mask is None:
        padded = pad_sequence(list(states), batch_first=True)
        return pad(padded, (0, 0, 0, reading.ids.shape[1] - padded.shape[1]))
    slots, first = np.unique(np.concatenate(reading.slots), return_index=True)
    told = torch.cat(list(states))
    source = torch.from_numpy(first).to(told.device)
    if len(slots) < reading.ids.numel():
        whole = told.new_zeros(reading.ids.numel(), told.shape[1])
        whole[torch.from_numpy(slots).to(told.device)] = told[source]
    else:
        whole = told.index_select(0, source)
    return whole.view(*reading.ids.shape, -1)
