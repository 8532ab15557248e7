"""Work in parts that fit the memory: where one does not, the rest is done in halves of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from chronofacts.schemas.errors import BadInput

__all__ = ["fits_or_bad_input", "halve_until_fits", "in_parts"]

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def fits_or_bad_input(what: str) -> Iterator[None]:
    """Raises BadInput instead of an out-of-memory error. what: one piece of the work (`example`)."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise BadInput(f"not even one {what} fits the memory; take fewer layers, a smaller model or cpu") from error


def halve_until_fits(
    run: Callable[[int], R], at_once: int, count: int, what: str, progress: Callable[[str], None]
) -> tuple[R, int]:
    """`run(at_once)`, with half as many each time the memory does not hold them; its result and how many fitted.

    count: of all that `run` has to do. Raises BadInput when not even one fits.
    """
    while at_once > 1:
        try:
            return run(at_once), at_once
        except torch.OutOfMemoryError:
            at_once = min(at_once, count) // 2 or 1
        if torch.cuda.is_available():  # after the error, which holds on to what the failed run computed
            torch.cuda.empty_cache()
        progress(f"out of memory: going on with {at_once} {what}s at once")
    with fits_or_bad_input(what):
        return run(1), 1


def in_parts(
    run: Callable[[Sequence[T]], R], items: Sequence[T], at_once: int, what: str, progress: Callable[[str], None]
) -> Iterator[R]:
    """`run` on the items, in order, `at_once` at a time or as many as fit; one result per part."""
    begin = 0

    def run_next(most: int) -> R:
        return run(items[begin : begin + most])

    while begin < len(items):
        done, at_once = halve_until_fits(run_next, at_once, len(items) - begin, what, progress)
        begin += at_once
        yield done
