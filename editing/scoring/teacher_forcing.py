"""Teacher forcing: how likely a model finds an answer, given its own tokens so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from chronofacts.editing.forward.prompt_prefix_cache import Start, read_starts, starts
from chronofacts.editing.models.encoding import Encoded, batches_by_length, pad
from chronofacts.editing.models.load import answer_logits, keeps_some_logits
from chronofacts.editing.scoring.likelihood import Likelihood, measure_likelihood
from chronofacts.editing.scoring.packed import teacher_force_packed

__all__ = ["Likelihood", "teacher_force"]


@torch.inference_mode()
def teacher_force(
    model: Any, encoded: Sequence[Encoded], batch_size: int, batch_tokens: int = 16384, share: bool = True
) -> list[Likelihood]:
    """One entry per row, in order.

    Token accuracy is what EasyEdit calls rewrite accuracy (mean over tokens of argmax = target); mean NLL is ROME's
    (Meng et al. 2022). Neither counts EOS, `greedy_match` does. share: read a start that many rows have in common once.
    Raises ChronoFactsError when a likelihood is no number.
    """
    found: dict[int, Likelihood] = {}
    limits = [row.start - 1 for row in encoded]  # the answer's first token is predicted from the one before it
    for start in starts(model, [row.ids for row in encoded], limits, share):
        may_pack = start.shares and start.cache is None  # and no part of these rows is read already
        rows = [encoded[index] for index in start.rows]
        packed = teacher_force_packed(model, rows, batch_size, batch_tokens) if may_pack else None
        if packed is not None:
            found |= dict(zip(start.rows, packed, strict=True))
            continue
        rests = [_drop_tokens(row, start.length) for row in rows]
        for indices in batches_by_length([len(row.ids) for row in rows], batch_size, batch_tokens):
            batch = _force_batch([rests[index] for index in indices], model, start)
            found |= {start.rows[index]: one for index, one in zip(indices, batch, strict=True)}
    return [found[index] for index in range(len(encoded))]


def _drop_tokens(row: Encoded, length: int) -> Encoded:
    """The row after its first so many tokens."""
    if not length:
        return row
    return Encoded(row.ids[length:], row.start - length, row.end - length, row.merged)


def _force_batch(rows: Sequence[Encoded], model: Any, start: Start) -> list[Likelihood]:
    """One batch, after what all of its rows begin with."""
    limit = min(row.start for row in rows) - 1
    length, cache = read_starts(model, start, [row.ids for row in rows], limit)
    rows = [_drop_tokens(row, length) for row in rows]
    batch = pad(rows, True, next(model.parameters()).device)
    labels = batch.labels[:, batch.first :]
    logits = _predict(model, batch.ids, batch.first, cache).float()
    nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none")
    hits, losses = (logits.argmax(-1) == labels).cpu().numpy(), nll.cpu().numpy()
    found = []
    for index, row in enumerate(rows):
        scored = slice(row.start - batch.first, len(row.ids) - batch.first)
        found.append(measure_likelihood(losses[index, scored], hits[index, scored], row.end - row.start))
    return found


def _predict(model: Any, ids: torch.Tensor, first: int, cache: Any) -> torch.Tensor:
    """As `answer_logits`, after what the cache has read."""
    if cache is None:
        return answer_logits(model, ids, first)
    wanted = torch.arange(first - 1, ids.shape[1] - 1, device=ids.device)
    if keeps_some_logits(model):
        return model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=wanted).logits  # type: ignore[no-any-return]
    return model(input_ids=ids, past_key_values=cache, use_cache=True).logits[:, first - 1 : -1]  # type: ignore[no-any-return]
