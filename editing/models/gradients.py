"""Which parameters want a gradient: chosen for one training, and put back as they were."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager

from torch import nn

__all__ = ["gradient_flags", "only_trained", "restore_gradient_flags"]


def gradient_flags(model: nn.Module) -> dict[str, bool]:
    """{parameter: whether it requires a gradient}."""
    return {name: parameter.requires_grad for name, parameter in model.named_parameters()}


def restore_gradient_flags(model: nn.Module, flags: Mapping[str, bool]) -> None:
    """Give every parameter its flag; one that is not named requires a gradient, as in a new model."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(flags.get(name, True))


@contextmanager
def only_trained(model: nn.Module, names: Container[str] = ()) -> Iterator[None]:
    """Only the named parameters require a gradient while inside; afterwards the same as before, without gradients."""
    flags = gradient_flags(model)
    try:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in names)
        yield
    finally:
        restore_gradient_flags(model, flags)
        model.zero_grad(set_to_none=True)
