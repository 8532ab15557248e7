"""Compute modules at the scored positions alone: the vocabulary head, and parts of the last block.

What the tensors look like, when `n` positions are scored in each of `groups` (one group, or one per row):
    what enters a module          (rows, length, width)
    scored positions              (groups, n)           row * length + position
    what a pruned module reads    (groups, n, width)    its input at those positions
    what a pruned head gives      (groups, n, vocabulary)
    what a pruned part gives      (rows, length, out)   its output there, and zeros at every other position
Zeros are harmless where nothing else looks at a part's output: not after keys and values, which every later position
attends to, but after queries, attention's output matrix and the feed-forward part. Which they are is found by gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from chronofacts.editing.models.hooks import hooked

__all__ = ["Pruning", "idle_elsewhere", "parts_of"]


class Pruning:
    """The positions at which pruned modules are computed; None: at all."""

    def __init__(self) -> None:
        self.positions: torch.Tensor | None = None

    @contextmanager
    def at(self, positions: torch.Tensor) -> Iterator[None]:
        self.positions = positions
        try:
            yield
        finally:
            self.positions = None

    def read(self, _module: Any, given: tuple[Any, ...]) -> Any:
        """Before a module: its input at the scored positions, (rows, length, width) -> (groups, n, width)."""
        if self.positions is None:
            return None
        chosen = given[0].flatten(0, 1).index_select(0, self.positions.flatten())
        return (chosen.view(*self.positions.shape, given[0].shape[-1]), *given[1:])

    def prune(self, part: nn.Module) -> Any:
        """A context: while inside, the part is computed at the scored positions alone, and gives zeros elsewhere."""
        shape: list[torch.Size] = []

        def enter(part: Any, given: tuple[Any, ...]) -> Any:
            shape[:] = [given[0].shape]
            return self.read(part, given)

        def leave(_part: Any, _given: Any, leaving: torch.Tensor) -> Any:
            if self.positions is None:
                return None
            rows, length, _ = shape.pop()
            whole = leaving.new_zeros(rows * length, leaving.shape[-1])
            return whole.index_copy(0, self.positions.flatten(), leaving.flatten(0, 1)).view(rows, length, -1)

        return hooked([(part, leave)], [(part, enter)])


def parts_of(block: nn.Module) -> dict[str, nn.Module]:
    """Children of the block with matrices in them; of an attention, its children."""
    found: dict[str, nn.Module] = {}
    for name, part in block.named_children():
        if "attention" in type(part).__name__.lower():
            found |= {f"{name}.{inner}": child for inner, child in part.named_children() if _has_matrix(child)}
        elif _has_matrix(part):
            found[name] = part
    return found


def idle_elsewhere(
    parts: Mapping[str, nn.Module], logits: Callable[[], torch.Tensor], positions: torch.Tensor, shape: torch.Size
) -> list[str]:
    """The parts of which no output outside of the scored positions reaches the logits: no gradient does.

    logits: computes them, of the scored positions, with gradients. shape: (rows, length) of the batch.
    """
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str, _part: Any, _given: Any, leaving: Any) -> None:
        if isinstance(leaving, torch.Tensor) and leaving.shape[:2] == shape:
            outputs[name] = leaving

    with hooked((part, partial(keep, name)) for name, part in parts.items()), torch.enable_grad():
        found = logits()
        weights = torch.linspace(-1, 2, found.numel(), device=found.device).view_as(found).to(found.dtype)
        gradients = torch.autograd.grad((found * weights).sum(), list(outputs.values()), allow_unused=True)
    elsewhere = torch.ones(shape.numel(), dtype=torch.bool, device=found.device)
    elsewhere[positions.flatten()] = False
    return [
        name
        for name, gradient in zip(outputs, gradients, strict=True)
        if gradient is not None and not bool(gradient.flatten(0, 1)[elsewhere].any())
    ]


def _has_matrix(part: nn.Module) -> bool:
    return any(parameter.dim() > 1 for parameter in part.parameters())
