"""The prompt-prefix cache: tokens that many prompts begin with go through the model once, and their keys and values
serve all of them.

It serves few-shot and dated prefixes. Only a model that was seen to read the rest of a text after such a cache as it
reads the whole (`models.key_value_cache.cache_use`) shares beginnings; others get each prompt whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from transformers import PreTrainedModel

from chronofacts.editing.models.encoding import common_length
from chronofacts.editing.models.key_value_cache import after_cache, cache_of, cache_use, copy_rows, select_rows
from chronofacts.editing.models.load import keeps_some_logits

__all__ = ["SHORTEST", "PromptPrefix", "extend_prefix", "group_by_prefix", "read_common_prefix"]

SHORTEST = 24
"""Tokens in common below which sharing is not worth a pass of its own."""
FEWEST = 4
"""Rows below which it is not either."""
WORTH = 0.15
"""Share of a batch's tokens that reading equal beginnings once must save."""


@dataclass(frozen=True)
class PromptPrefix:
    """The first tokens of some rows, and what the model made of them (None: nothing is shared)."""

    rows: list[int]
    length: int = 0
    cache: Any = None
    shares: bool = False
    """Rows of a batch that begin alike may share that, too."""
    device: torch.device | None = None
    """Of the cache."""

    def cache_for(self, rows: int) -> Any:
        """A copy for a batch of so many rows, that the model may write to."""
        return None if self.cache is None else copy_rows(self.cache, rows, self.device)


def group_by_prefix(
    model: Any, rows: Sequence[tuple[int, ...]], limits: Sequence[int], share: bool = True
) -> Iterator[PromptPrefix]:
    """The rows in groups by how they begin.

    rows: token ids. limits: of each row, how many tokens may be shared at most (what follows must be read afresh).
    """
    alone: list[int] = []
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, (ids, limit) in enumerate(zip(rows, limits, strict=True)):
        (groups.setdefault(ids[:SHORTEST], []) if limit >= SHORTEST else alone).append(index)
    share = share and _can_share(model)
    for members in groups.values():
        if not share or len(members) < FEWEST:
            alone += members
            continue
        length = min(common_length([rows[index] for index in members]), min(limits[index] for index in members))
        cache = _read_on(model, [rows[members[0]][:length]], None)
        yield PromptPrefix(members, length, cache, True, next(model.parameters()).device)
    if alone:
        yield PromptPrefix(sorted(alone), shares=share)


def read_common_prefix(model: Any, rows: Sequence[tuple[int, ...]], limit: int) -> PromptPrefix:
    """What all rows begin with, up to `limit` tokens, read once; of a model that cannot read on, nothing."""
    length, everything = min(limit, common_length(rows)), list(range(len(rows)))
    if length < SHORTEST or not _can_share(model):
        return PromptPrefix(everything)
    cache = _read_on(model, [rows[0][:length]], None)
    return PromptPrefix(everything, length, cache, device=next(model.parameters()).device)


def extend_prefix(model: Any, prefix: PromptPrefix, rows: Sequence[tuple[int, ...]], limit: int) -> tuple[int, Any]:
    """The rows of one batch, after `prefix`: how many tokens more are read of them, and a cache with a row for each.

    Rows that begin alike (the same wording, or one prompt with two answers) are read once. limit: tokens that may be
    read at most. Of all lengths the one that saves most tokens is taken; 0, and the cache of `prefix`, where none does.
    """
    length = _best_length(rows, limit) if prefix.shares else 0
    if not length:
        return 0, prefix.cache_for(len(rows))
    heads = [row[:length] for row in rows]
    row_of = {head: index for index, head in enumerate(dict.fromkeys(heads))}
    cache = _read_on(model, list(row_of), prefix.cache_for(len(row_of)))
    select_rows(cache, [row_of[head] for head in heads], next(model.parameters()).device)
    return length, cache


def _best_length(rows: Sequence[tuple[int, ...]], limit: int) -> int:
    """The number of first tokens n for which n * (rows - rows that differ in them) is greatest, if it is worth it."""
    if len(rows) < FEWEST or limit < 1:
        return 0
    ordered = sorted(rows)
    alike = [common_length(pair) for pair in pairwise(ordered)]
    saved = [length * sum(one >= length for one in alike) for length in range(limit + 1)]
    best = max(range(limit + 1), key=saved.__getitem__)
    return best if saved[best] >= WORTH * sum(map(len, rows)) else 0


def _can_share(model: Any) -> bool:
    """Models that rewrite prompts, or put something before them, are asked for whole prompts."""
    adapter = getattr(model, "active_peft_config", None)
    if adapter.is_prompt_learning if adapter is not None else not isinstance(model, PreTrainedModel):
        return False
    return cache_use(model).texts


def _read_on(model: Any, rows: Sequence[tuple[int, ...]], cache: Any) -> Any:
    """Keys and values of rows of one length, after those in the cache."""
    device = next(model.parameters()).device
    only_last = {"logits_to_keep": 1} if keeps_some_logits(model) else {}
    ids = torch.tensor(rows, device=device)
    return cache_of(model(input_ids=ids, use_cache=True, **after_cache(model, cache), **only_last))
