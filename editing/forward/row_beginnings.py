"""Each row's own beginning, read once, for texts of which the rest is read again and again with something changed.

A vector that is added at one token changes nothing that stands before it: with the keys and values of what does, a step
reads the token and what follows it alone. Beginnings of unlike length are padded on the left, as generation in batches
pads prompts. Whether a model can be read so is tried on its own texts.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from chronofacts.editing.models.key_value_cache import after_cache, cache_of, cache_use, near, select_rows, window_of
from chronofacts.editing.models.library_errors import first_line
from chronofacts.editing.models.load import keeps_some_logits

__all__ = ["RowBeginnings", "read_beginnings"]

log = logging.getLogger("chronofacts.forward")


@dataclass(frozen=True)
class RowBeginnings:
    """What a model made of the first tokens of some rows."""

    model: Any
    cache: Any
    lengths: torch.Tensor  # (rows,) int64, how many tokens of each row are read

    def reading(self, rows: torch.Tensor, length: int) -> dict[str, Any]:
        """Named arguments with which the model reads `length` tokens more of these rows, (n,) int64."""
        cache, device = copy.deepcopy(self.cache), self.lengths.device
        select_rows(cache, rows.tolist(), device)
        own = self.lengths[rows][:, None]
        positions = own + torch.arange(length, device=device)
        mask = torch.cat([_is_read(own, int(self.lengths.max())), torch.ones_like(positions)], 1)
        return {
            "use_cache": True, "position_ids": positions, "attention_mask": mask, **after_cache(self.model, cache)
        }  # fmt: skip


@torch.no_grad()
def read_beginnings(
    model: Any, rows: Sequence[tuple[int, ...]], lengths: Sequence[int], padding: int = 0
) -> RowBeginnings | None:
    """The first `lengths` tokens of each row, read once; None of a model or of rows that cannot be read so.

    padding: a token for the places before a shorter beginning, which no token sees.
    """
    window = window_of(model)
    if not isinstance(model, PreTrainedModel) or not rows or min(lengths) < 1 or not cache_use(model).texts:
        return None
    if window is not None and max(map(len, rows)) > window:
        return None
    try:
        found = _read(model, rows, lengths, padding)
        order = sorted(range(len(rows)), key=lengths.__getitem__)
        fits = all(_gives_the_same(found, rows[index], index) for index in {order[0], order[-1]})
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # each family fails in its own way
        log.info("%s is read without rows' own beginnings (%s)", type(model).__name__, first_line(error))
        return None
    return found if fits else None


def _read(model: Any, rows: Sequence[tuple[int, ...]], lengths: Sequence[int], padding: int) -> RowBeginnings:
    device, longest = next(model.parameters()).device, max(lengths)
    begun = [[padding] * (longest - length) + list(row[:length]) for row, length in zip(rows, lengths, strict=True)]
    own = torch.tensor(lengths, device=device)[:, None]
    positions = (torch.arange(longest, device=device) - (longest - own)).clamp_min(0)
    output = model(
        input_ids=torch.tensor(begun, device=device), attention_mask=_is_read(own, longest), position_ids=positions,
        use_cache=True, **({"logits_to_keep": 1} if keeps_some_logits(model) else {}),
    )  # fmt: skip
    return RowBeginnings(model, cache_of(output), own[:, 0])


def _gives_the_same(found: RowBeginnings, row: tuple[int, ...], index: int) -> bool:
    """Does the rest of a row, read after its beginning, end in the logits of the row read as a whole?"""
    device, begun = found.lengths.device, int(found.lengths[index])
    expected = found.model(input_ids=torch.tensor([row], device=device), use_cache=False).logits[:, -1]
    read = found.reading(torch.tensor([index], device=device), len(row) - begun)
    return near(found.model(input_ids=torch.tensor([row[begun:]], device=device), **read).logits[:, -1], expected)


def _is_read(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    """(rows, longest) int64: 1 where a token stands, 0 before a shorter row. lengths: (rows, 1)."""
    return (torch.arange(longest, device=lengths.device) >= longest - lengths).long()
