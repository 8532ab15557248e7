"""The steps of a long command: which one is at work, of how many, and how one is run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import count
from typing import Protocol, TypeVar

__all__ = ["Step", "plain_step", "show_steps"]

T = TypeVar("T")

log = logging.getLogger("chronofacts.steps")


class Step(Protocol):
    """Runs a step of the work under its name, and returns what that returns."""

    def __call__(self, name: str, work: Callable[[], T]) -> T: ...


def plain_step(name: str, work: Callable[[], T]) -> T:
    """Just run it."""
    return work()


def show_steps(*names: str) -> Callable[[], None]:
    """A function to call where the next step begins. It logs the step; on a terminal the bar moves (`flows.output`).

    Steps may have steps inside them: each tells the seconds since its own first one.
    """
    number, started = count(1), time.monotonic()

    def begin() -> None:
        at = next(number)
        where = {"step": at, "steps": len(names), "spent": time.monotonic() - started}
        log.info("step %d of %d: %s", at, len(names), names[at - 1], extra=where)

    return begin
