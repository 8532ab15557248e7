"""Teacher forcing of many texts in one row: nothing is padding, the model reads a shared beginning once, and the
vocabulary head computes the answers alone (`editing.forward.partial`).

One prompt with its new and its old answer, or one wording with many names, cost little more than one. A trial on the
model itself shows whether it can be read so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from chronofacts.editing.forward.packing import pack, predicting, shared_beginning
from chronofacts.editing.forward.partial import open_passage
from chronofacts.editing.models.encoding import Encoded
from chronofacts.editing.scoring.likelihood import Likelihood, measure_likelihood

__all__ = ["teacher_force_packed"]

FEWEST = 16
"""Texts below which the trial costs more than it saves."""
TRIED = 4
"""Texts on which the model is tried."""


@torch.inference_mode(False)  # the trial asks for gradients
@torch.no_grad()
def teacher_force_packed(
    model: Any, encoded: Sequence[Encoded], batch_size: int, batch_tokens: int
) -> list[Likelihood] | None:
    """As `teacher_forcing.teacher_force`, in order; None for a model that takes no packed texts, and for few texts."""
    if len(encoded) < FEWEST or batch_size == 1:
        return None
    order = sorted(range(len(encoded)), key=lambda index: encoded[index].ids)  # neighbours begin alike
    tried = sorted(encoded, key=lambda row: len(row.ids))[:TRIED]
    found: dict[int, Likelihood] = {}
    with open_passage(model, tried) as passage:
        if not passage.packs or not passage.shortened:
            return None
        most = min(batch_tokens, passage.row)
        for indices in _rows(order, encoded, batch_size, most):
            texts = [encoded[index] for index in indices]
            reading = pack(texts, True, passage.device)
            logits = predicting(reading, passage.logits(reading)).float()
            nll = torch.nn.functional.cross_entropy(logits, reading.labels, reduction="none").cpu().numpy()
            hits = (logits.argmax(-1) == reading.labels).cpu().numpy()
            ends = np.cumsum([len(text.ids) - text.start for text in texts])
            for index, text, end in zip(indices, texts, ends.tolist(), strict=True):
                mine = slice(end - (len(text.ids) - text.start), end)
                found[index] = measure_likelihood(nll[mine], hits[mine], text.end - text.start)
    return [found[index] for index in range(len(encoded))]


def _rows(order: Sequence[int], encoded: Sequence[Encoded], texts: int, tokens: int) -> Iterator[list[int]]:
    """The texts in order, as many in a row as it may hold tokens; what neighbours share counts once."""
    row: list[int] = []
    held, before = 0, ()  # type: int, tuple[int, ...]
    for index in order:
        new = len(encoded[index].ids) - shared_beginning(before, encoded[index].ids)
        if row and (len(row) == texts or held + new > tokens):
            yield row
            row, held, new = [], 0, len(encoded[index].ids)
        row.append(index)
        held, before = held + new, encoded[index].ids
    if row:
        yield row
