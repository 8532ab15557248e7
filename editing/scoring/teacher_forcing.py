"""Teacher forcing: how likely a model finds an answer, given its own tokens so far.

Texts are packed into one row where the model allows it, else padded in batches of like length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from chronofacts.editing.forward.packing import label_logits, pack
from chronofacts.editing.forward.partial import choose_trial, open_partial_forward
from chronofacts.editing.forward.prompt_prefix_cache import PromptPrefix, extend_prefix, group_by_prefix
from chronofacts.editing.forward.scored_logits import logits_at
from chronofacts.editing.models.encoding import Encoded, batches_by_length, common_length, pad
from chronofacts.editing.models.key_value_cache import reading, window_of
from chronofacts.schemas.errors import ChronoFactsError

__all__ = ["Likelihood", "teacher_force", "teacher_force_packed"]

FEWEST_PACKED = 16
"""Texts below which a trial of packing costs more than it saves."""
TRIED = 3
"""Texts of such a trial, of which one is the longest."""


Mix = Callable[[Encoded, torch.Tensor], torch.Tensor]
"""A text, and logits (tokens, vocabulary) of its answer and EOS -> those that count."""


@dataclass(frozen=True)
class Likelihood:
    """Teacher-forced figures of one prompt with one answer."""

    nll: float
    accuracy: float
    argmax: bool
    greedy_match: bool
    """All of the answer's tokens and EOS come first: greedy generation gives exactly this answer."""


@torch.inference_mode()
def teacher_force(
    model: Any,
    encoded: Sequence[Encoded],
    batch_size: int,
    batch_tokens: int = 16384,
    share: bool = True,
    progress: Callable[[int], None] = lambda done: None,
    mix: Mix | None = None,
) -> list[Likelihood]:
    """One entry per row, in order.

    Token accuracy is what EasyEdit calls rewrite accuracy (mean over tokens of argmax = target); mean NLL is ROME's
    (Meng et al. 2022). Neither counts EOS, `greedy_match` does. share: read a start that many rows have in common once.
    progress: called after each batch with the number of rows that are done. mix: what becomes of a text's logits.
    Raises ChronoFactsError when a likelihood is no number.
    """
    found: dict[int, Likelihood] = {}
    window = window_of(model)  # texts that reach beyond it are not packed
    limits = [row.start - 1 for row in encoded]  # the answer's first token is predicted from the one before it
    for start in group_by_prefix(model, [row.ids for row in encoded], limits, share):
        rows, done = [encoded[index] for index in start.rows], len(found)

        def report(more: int, before: int = done) -> None:
            progress(before + more)

        fitting = [place for place, row in enumerate(rows) if window is None or len(row.ids) <= window]
        packed = None
        if start.shares:
            several = [rows[place] for place in fitting]
            packed = teacher_force_packed(model, several, batch_size, batch_tokens, start, report, mix)
        if packed is not None:
            found |= {start.rows[place]: one for place, one in zip(fitting, packed, strict=True)}
        left = [place for place in range(len(rows)) if start.rows[place] not in found]
        for indices in batches_by_length([len(rows[place].ids) for place in left], batch_size, batch_tokens):
            places = [left[index] for index in indices]
            batch = _force_batch([rows[place] for place in places], model, start, mix)
            found |= {start.rows[place]: one for place, one in zip(places, batch, strict=True)}
            progress(len(found))
    return [found[index] for index in range(len(encoded))]


@torch.inference_mode(False)  # the trial asks for gradients
@torch.no_grad()
def teacher_force_packed(
    model: Any,
    encoded: Sequence[Encoded],
    batch_size: int,
    batch_tokens: int,
    prefix: PromptPrefix | None = None,
    progress: Callable[[int], None] = lambda done: None,
    mix: Mix | None = None,
) -> list[Likelihood] | None:
    """As `teacher_force`, many texts in one row; None for a model that takes no packed texts, and for few texts.

    Nothing is padding, the model reads a shared beginning once, and the vocabulary head computes the answers alone
    (`editing.forward.partial`): one prompt with its new and its old answer, or one wording with many names, cost little
    more than one. Trials on the model itself show whether it can be read so, and whether after `prefix`, with which all
    texts begin and which is read already.
    """
    if len(encoded) < FEWEST_PACKED or batch_size == 1:
        return None
    order = sorted(range(len(encoded)), key=lambda index: encoded[index].ids)  # neighbours begin alike
    found: dict[int, Likelihood] = {}
    whole = encoded
    with open_partial_forward(model, choose_trial(encoded, TRIED - 1)) as passage:
        if not passage.packs or not passage.shortened:
            return None
        if prefix is not None and prefix.length and passage.begin_after(prefix):
            encoded = [text.after(prefix.length) for text in encoded]
        most = min(batch_tokens, passage.row_tokens)
        for indices in _rows(order, encoded, batch_size, most):
            texts = [encoded[index] for index in indices]
            batch = pack(texts, True, passage.device)
            logits = label_logits(batch, passage.logits(batch)).float()
            places = _places(texts)
            if mix is not None:
                for index, own in zip(indices, places, strict=True):
                    logits[own] = mix(whole[index], logits[own])
            found |= dict(zip(indices, _measure_all(logits, batch.labels, texts, places), strict=True))
            progress(len(found))
    return [found[index] for index in range(len(encoded))]


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


def _force_batch(whole: Sequence[Encoded], model: Any, start: PromptPrefix, mix: Mix | None) -> list[Likelihood]:
    """One batch of rows, each read after what all of them begin with."""
    rows = [row.after(start.length) for row in whole]
    limit = min(row.start for row in rows) - 1
    length, cache = extend_prefix(model, start, [row.ids for row in rows], limit)
    rows = [row.after(length) for row in rows]
    device = next(model.parameters()).device
    batch = pad(rows, True, device)
    scored, columns = torch.nonzero(batch.labels != -100).T
    ids = batch.ids[:, :-1]  # the last token predicts nothing
    logits = logits_at(model, scored, columns - 1, input_ids=ids, **reading(model, cache)).float()
    places = _places(rows)
    if mix is not None:
        for text, own in zip(whole, places, strict=True):
            logits[own] = mix(text, logits[own])
    return _measure_all(logits, batch.labels[scored, columns], rows, places)


def _places(texts: Sequence[Encoded]) -> list[slice]:
    """Where each text's answer and EOS stand among those of all, one text after the other."""
    lengths = [len(text.ids) - text.start for text in texts]
    return [slice(end - length, end) for length, end in zip(lengths, np.cumsum(lengths).tolist(), strict=True)]


def _measure_all(
    logits: torch.Tensor, labels: torch.Tensor, texts: Sequence[Encoded], places: Sequence[slice]
) -> list[Likelihood]:
    """logits: (scored, vocabulary); labels: (scored,)."""
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none").cpu().numpy()
    hits = (logits.argmax(-1) == labels).cpu().numpy()
    return [_measure(losses[own], hits[own], text.end - text.start) for text, own in zip(texts, places, strict=True)]


def _measure(losses: np.ndarray, hits: np.ndarray, answer: int) -> Likelihood:
    """losses, hits: of the tokens of an answer and its EOS, of which the first `answer` are the answer itself.

    Raises ChronoFactsError when a loss is no number.
    """
    if not np.isfinite(losses[:answer]).all():
        raise ChronoFactsError("the model answers with logits that are no numbers; its weights are damaged")
    own = hits[:answer]
    mean = float(losses[:answer].mean(dtype=np.float64))
    return Likelihood(mean, float(own.mean()), bool(own.all()), bool(hits.all()))
