"""Teacher forcing of many texts in one row: nothing is padding, a beginning that several share is read once, and the
vocabulary head reads the answers alone (`editing.forward.partial`).

One prompt with its new and its old answer, or one wording with many names, cost little more than one. Leaves out models
that cannot be read so: those are told by a trial on the model itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from chronofacts.editing.forward.packing import label_logits, pack
from chronofacts.editing.forward.partial import open_partial_forward
from chronofacts.editing.models.encoding import Encoded, common_length
from chronofacts.editing.scoring.likelihood import Forced, judged

__all__ = ["force_packed"]

FEWEST = 16
"""Texts below which the trial costs more than it saves."""
TRIED = 4
"""Texts on which the model is tried."""


@torch.inference_mode(False)  # the trial asks for gradients
@torch.no_grad()
def force_packed(model: Any, encoded: Sequence[Encoded], batch_size: int, batch_tokens: int) -> list[Forced] | None:
    """As `teacher_forcing.teacher_force`, in order; None for a model that takes no packed texts, and for few of
    them."""
    if len(encoded) < FEWEST or batch_size == 1:
        return None
    order = sorted(range(len(encoded)), key=lambda index: encoded[index].ids)  # neighbours begin alike
    tried = sorted(encoded, key=lambda row: len(row.ids))[:TRIED]
    forced: dict[int, Forced] = {}
    with open_partial_forward(model, tried) as passage:
        if not passage.packs or not passage.shortened:
            return None
        most = min(batch_tokens, passage.row_tokens)
        for indices in _rows(order, encoded, batch_size, most):
            texts = [encoded[index] for index in indices]
            reading = pack(texts, True, passage.device)
            logits = label_logits(reading, passage.logits(reading)).float()
            nll = torch.nn.functional.cross_entropy(logits, reading.labels, reduction="none").cpu().numpy()
            right = (logits.argmax(-1) == reading.labels).cpu().numpy()
            ends = np.cumsum([len(text.ids) - text.start for text in texts])
            for index, text, end in zip(indices, texts, ends.tolist(), strict=True):
                mine = slice(end - (len(text.ids) - text.start), end)
                forced[index] = judged(nll[mine], right[mine], text.end - text.start)
    return [forced[index] for index in range(len(encoded))]


def _rows(order: Sequence[int], encoded: Sequence[Encoded], texts: int, tokens: int) -> Iterator[list[int]]:
    """The texts in order, as many in a row as it may hold tokens; what neighbours share counts once."""
    row: list[int] = []
    held, before = 0, ()  # type: int, tuple[int, ...]
    for index in order:
        new = len(encoded[index].ids) - common_length([before, encoded[index].ids])
        if row and (len(row) == texts or held + new > tokens):
            yield row
            row, held, new = [], 0, len(encoded[index].ids)
        row.append(index)
        held, before = held + new, encoded[index].ids
    if row:
        yield row
