"""Run only some of a model's blocks: those below a start are replaced by the states they would give.

What the tensors look like, in a model with blocks 0 … n - 1:
    states entering block 0     (rows, length, width)   the embeddings
    states entering block k     (rows, length, width)   what block k - 1 gives
    states after block n - 1    (rows, length, width)   what the final norm and the head read
A block gives its states bare, or first in a tuple; nobody reads its other members (attention weights, a cache) here.
`running(start=k, states=s)` hands `s` to block k; blocks below k give back what enters them, at no cost.
`running(stop=k)` keeps what enters block k in `entered`; k and all above give back what enters them.
`keeping(k)` keeps it where all blocks run.
Blocks are skipped by a `forward` of their own on each block, since a hook can change a result but prevent no work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from chronofacts.editing.models.blocks import find_blocks, has_blocks

__all__ = ["BlockRange", "lowest_block", "lowest_trained"]


class BlockRange:
    """Which blocks of a model run; `attach` puts it onto the model."""

    def __init__(self) -> None:
        self.entered: torch.Tensor | None = None
        """What entered the block at which the last run stopped, or that was to be kept."""
        self._states: torch.Tensor | None = None
        self._start = 0
        self._stop: int | None = None
        self._kept: int | None = None
        self._tuple_lengths: dict[int, int] = {}  # block -> length of the tuple that it gives, 0 for a bare tensor

    @contextmanager
    def attach(self, blocks: nn.ModuleList) -> Iterator[None]:
        """While inside, the blocks obey `running`; each must run once in full before it may be skipped."""
        own = [vars(block).get("forward") for block in blocks]
        try:
            for index, block in enumerate(blocks):
                block.forward = self._forward_of(block.forward, index)  # type: ignore[method-assign]
            yield
        finally:
            for block, forward in zip(blocks, own, strict=True):
                if forward is None:
                    vars(block).pop("forward", None)
                else:
                    block.forward = forward  # type: ignore[method-assign]

    @contextmanager
    def running(self, start: int = 0, states: torch.Tensor | None = None, stop: int | None = None) -> Iterator[None]:
        """While inside, blocks from `start` on run, if `states` are what enters it, and up to `stop`."""
        self._start, self._states, self._stop = start if states is not None else 0, states, stop
        try:
            yield
        finally:
            self._start, self._states, self._stop = 0, None, None

    @contextmanager
    def keeping(self, block: int) -> Iterator[None]:
        """While inside, `entered` is what last entered the block."""
        self._kept = block
        try:
            yield
        finally:
            self._kept = None

    def _forward_of(self, plain: Any, index: int) -> Any:
        def forward(*given: Any, **named: Any) -> Any:
            entering = given[0] if given else named["hidden_states"]
            if self._states is not None and index == self._start:
                entering = self._states
                given, named = ((entering, *given[1:]), named) if given else ((), {**named, "hidden_states": entering})
            if index in (self._stop, self._kept):
                self.entered = entering
            if index < self._start or (self._stop is not None and index >= self._stop):
                length = self._tuple_lengths[index]
                return (entering, *[None] * (length - 1)) if length else entering
            leaving = plain(*given, **named)
            self._tuple_lengths[index] = len(leaving) if isinstance(leaving, tuple) else 0
            return leaving

        return forward


def lowest_block(model: nn.Module, names: Iterable[str]) -> int:
    """The lowest block that holds one of the named modules or parameters; 0 where one is outside of the blocks."""
    if not has_blocks(model):
        return 0
    prefix = f"{find_blocks(model)[0]}."
    return min(
        (int(name.removeprefix(prefix).partition(".")[0]) if name.startswith(prefix) else 0 for name in names),
        default=0,
    )


def lowest_trained(model: nn.Module) -> int:
    """The lowest block with a parameter that wants a gradient; 0 if one outside of the blocks wants it too."""
    if not has_blocks(model):
        return 0
    _, blocks = find_blocks(model)
    inside = {id(parameter) for block in blocks for parameter in block.parameters()}
    if any(parameter.requires_grad and id(parameter) not in inside for parameter in model.parameters()):
        return 0
    trained = (n for n, block in enumerate(blocks) if any(p.requires_grad for p in block.parameters()))
    return next(trained, 0)
