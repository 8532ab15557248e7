"""Teacher forcing: what the model thinks of an answer, given its own tokens so far. Leaves out free generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from chronofacts.editing.forward.prompt_prefix_cache import PromptPrefix, extend_prefix, group_by_prefix
from chronofacts.editing.models.encoding import Encoded, pad
from chronofacts.editing.models.load import answer_logits, keeps_some_logits
from chronofacts.editing.scoring.likelihood import Forced, judged
from chronofacts.editing.scoring.packed import force_packed

__all__ = ["Forced", "bounded_batches", "teacher_force"]


@torch.inference_mode()
def teacher_force(
    model: Any, encoded: Sequence[Encoded], batch_size: int, batch_tokens: int = 16384, share: bool = True
) -> list[Forced]:
    """The answer's likelihood and first choices, given its own tokens so far. One entry per row, in order.

    Token accuracy is what EasyEdit calls rewrite accuracy (mean over tokens of argmax = target); mean NLL is ROME's
    (Meng et al. 2022). Neither counts EOS, `spoken` does. share: read a start that many rows have in common once.
    Raises ChronoFactsError when a likelihood is no number.
    """
    forced: dict[int, Forced] = {}
    limits = [row.start - 1 for row in encoded]  # the answer's first token is predicted from the one before it
    for start in group_by_prefix(model, [row.ids for row in encoded], limits, share):
        packed = (
            force_packed(model, [encoded[i] for i in start.rows], batch_size, batch_tokens) if _whole(start) else None
        )
        if packed is not None:
            forced |= dict(zip(start.rows, packed, strict=True))
            continue
        rests = [_without(encoded[index], start.length) for index in start.rows]
        for places in bounded_batches([len(row.ids) + start.length for row in rests], batch_size, batch_tokens):
            found = _force([rests[place] for place in places], model, start)
            forced |= {start.rows[place]: one for place, one in zip(places, found, strict=True)}
    return [forced[index] for index in range(len(encoded))]


def bounded_batches(lengths: Sequence[int], rows: int, tokens: int) -> Iterator[list[int]]:
    """Indices in batches of at most so many rows and tokens (padding included), the shortest first."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batch and (len(batch) == rows or (len(batch) + 1) * lengths[index] > tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _without(row: Encoded, length: int) -> Encoded:
    """The row after its first so many tokens."""
    if not length:
        return row
    return Encoded(row.ids[length:], row.start - length, row.end - length, row.merged)


def _force(rows: Sequence[Encoded], model: Any, start: PromptPrefix) -> list[Forced]:
    """One batch, after what all of its rows begin with."""
    limit = min(row.start for row in rows) - 1
    length, cache = extend_prefix(model, start, [row.ids for row in rows], limit)
    rows = [_without(row, length) for row in rows]
    batch = pad(rows, True, next(model.parameters()).device)
    labels = batch.labels[:, batch.first :]
    logits = _logits(model, batch.ids, batch.first, cache).float()
    nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
    right, losses = (logits.argmax(-1) == labels).cpu().numpy(), nll.cpu().numpy()
    forced = []
    for place, row in enumerate(rows):
        asked = slice(row.start - batch.first, len(row.ids) - batch.first)
        forced.append(judged(losses[place, asked], right[place, asked], row.end - row.start))
    return forced


def _whole(start: PromptPrefix) -> bool:
    """May these rows be packed, and is no part of them read already?"""
    return start.shares and start.cache is None


def _logits(model: Any, ids: torch.Tensor, first: int, cache: Any) -> torch.Tensor:
    """As `answer_logits`, after what the cache has read."""
    if cache is None:
        return answer_logits(model, ids, first)
    wanted = torch.arange(first - 1, ids.shape[1] - 1, device=ids.device)
    if keeps_some_logits(model):
        return model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=wanted).logits  # type: ignore[no-any-return]
    return model(input_ids=ids, past_key_values=cache, use_cache=True).logits[:, first - 1 : -1]  # type: ignore[no-any-return]
