"""Attacks, one module a topic: what strangers may send, and what must come of it.

A module has `attacks(folder)`, which prepares what it needs in a folder once and yields its attacks. An attack does one
hostile thing and returns how it was met; it raises `Broken` where something got through, and any error that is not ours
is one that got through. `benchmarks/attacks.py` runs them all, each topic in a process with bounds; the suite
(`tests/security/test_attacks.py`) runs them too. A new topic is a new module here.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from chronofacts.schemas.errors import ChronoFactsError

__all__ = ["Attack", "Broken", "expect_line", "expect_refused", "find_attacks", "topics"]

LONGEST_LINE = 2000
"""Characters of an error: it is read by a person."""


class Broken(AssertionError):
    """The attack did what it should not have done."""


@dataclass(frozen=True)
class Attack:
    """One try. run: says how it was met; raises where it was not."""

    name: str
    run: Callable[[], str]


def topics() -> list[str]:
    """The names of all modules here."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find_attacks(topic: str, folder: Path) -> Iterator[Attack]:
    """The attacks of one topic, prepared in a folder."""
    found: Iterator[Attack] = import_module(f"{__name__}.{topic}").attacks(folder)
    return found


def expect_refused(action: Callable[[], object]) -> str:
    """The error of ours, in one line, with which an action ends; Broken where it ends well."""
    try:
        result = action()
    except ChronoFactsError as error:
        return _as_line(error)
    raise Broken(f"it was taken: {str(result)[:200]}")


def expect_line(action: Callable[[], object]) -> str:
    """What an action ends with, which may be well; any error must be one of ours, in one line."""
    try:
        action()
    except ChronoFactsError as error:
        return _as_line(error)
    return "taken, and harmless"


def _as_line(error: ChronoFactsError) -> str:
    text = " ".join(str(error).split())
    if len(text) > LONGEST_LINE:
        raise Broken(f"an error of {len(text)} characters")
    return text
