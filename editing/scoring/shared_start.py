"""Tokens that many prompts begin with go through the model once: their keys and values are kept and reused.

It serves few-shot and dated prefixes. Only a causal model of the `transformers` library, alone or with an adapter, is
known to read the rest of a text after such a cache as it reads the whole; others get each prompt whole.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from editing.models import keeps_some_logits

__all__ = ["Start", "starts"]

SHORTEST = 24
"""Tokens in common below which sharing is not worth a pass of its own."""
FEWEST = 4
"""Rows below which it is not either."""


@dataclass(frozen=True)
class Start:
    """The first tokens of some rows, and what the model made of them (None: nothing is shared)."""

    rows: list[int]
    length: int = 0
    cache: Any = None

    def cache_for(self, rows: int) -> Any:
        """A copy for a batch of so many rows, that the model may write to."""
        if self.cache is None:
            return None
        made = copy.deepcopy(self.cache)
        made.batch_repeat_interleave(rows)
        return made


def starts(model: Any, rows: Sequence[tuple[int, ...]], limits: Sequence[int], share: bool = True) -> Iterator[Start]:
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
        length = min(_common([rows[index] for index in members]), min(limits[index] for index in members))
        cache = _read(model, rows[members[0]][:length])
        if hasattr(cache, "batch_repeat_interleave"):
            yield Start(members, length, cache)
        else:
            alone += members
    if alone:
        yield Start(sorted(alone))


def _can_share(model: Any) -> bool:
    adapter = getattr(model, "active_peft_config", None)
    if adapter is not None:
        return not adapter.is_prompt_learning
    return isinstance(model, PreTrainedModel)


def _common(rows: Sequence[tuple[int, ...]]) -> int:
    """How many first tokens all rows have in common: as many as the first and the last in order."""
    first, last = min(rows), max(rows)
    for place, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return place
    return min(len(first), len(last))


def _read(model: Any, ids: tuple[int, ...]) -> Any:
    device = next(model.parameters()).device
    only_last = {"logits_to_keep": 1} if keeps_some_logits(model) else {}
    return model(input_ids=torch.tensor([ids], device=device), use_cache=True, **only_last).past_key_values
