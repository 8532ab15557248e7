"""One boundary around other people's libraries: whatever they raise becomes one error that a user can act on.

transformers, safetensors, tokenizers and PEFT raise what their own libraries raise, and a Rust panic is not even an
Exception: no list of their errors is ever complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from chronofacts.schemas.errors import ChronoFactsError

__all__ = ["first_line", "library_errors"]

OURS = (ChronoFactsError, KeyboardInterrupt, SystemExit, GeneratorExit, torch.OutOfMemoryError)
LONGEST = 300


@contextmanager
def library_errors(make: Callable[[str], ChronoFactsError]) -> Iterator[None]:
    """Raises `make(reason)` in place of any error but ours, an interrupt, and the device's memory being full."""
    try:
        yield
    except OURS:
        raise
    except BaseException as error:
        raise make(first_line(error)) from error


def first_line(error: BaseException) -> str:
    """The first line of the error that says something, not too long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else type(error).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
