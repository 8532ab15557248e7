"""Hooks on a model's modules for as long as a block of code runs, and what they find there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["AfterHook", "BeforeHook", "hidden_of", "hooked", "in_rows", "with_hidden"]

BeforeHook = Callable[[Any, tuple[Any, ...]], Any]
"""(module, inputs) -> other inputs, or None to leave them."""
AfterHook = Callable[[Any, tuple[Any, ...], Any], Any]
"""(module, inputs, output) -> another output, or None to leave it."""


@contextmanager
def hooked(
    after: Iterable[tuple[nn.Module, AfterHook]] = (), before: Iterable[tuple[nn.Module, BeforeHook]] = ()
) -> Iterator[None]:
    """Call each hook after, or before, its module's forward pass; all are removed at the end, also after an error."""
    with ExitStack() as hooks:
        for module, enter in before:
            hooks.callback(module.register_forward_pre_hook(enter).remove)
        for module, leave in after:
            hooks.callback(module.register_forward_hook(leave).remove)
        yield


def hidden_of(output: Any) -> torch.Tensor:
    """The hidden states of a block's output: older architectures wrap them in a tuple or a list."""
    return output[0] if isinstance(output, tuple | list) else output  # type: ignore[no-any-return]


def in_rows(hidden: torch.Tensor, rows: int) -> torch.Tensor:
    """(rows, length, width), also where a family lays the tokens of all rows one after the other (OPT)."""
    return hidden if hidden.dim() > 2 else hidden.unflatten(0, (rows, -1))


def with_hidden(output: Any, hidden: torch.Tensor) -> Any:
    """A block's output with other hidden states, wrapped as before."""
    return type(output)((hidden, *output[1:])) if isinstance(output, tuple | list) else hidden
