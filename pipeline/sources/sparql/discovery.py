"""Discovery in parts that an engine can finish: by date, by what has no date, and last by the hash of the subject.

The parts of one split are disjoint and leave nothing out, so that their union is the answer to the whole
question. Dates of a year's precision all stand on 1 January, which therefore gets a window of its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from chronofacts.pipeline.sources import QueryTooBig, Window
from chronofacts.pipeline.sources.sparql import queries
from chronofacts.pipeline.sources.sparql.results import read_subjects
from chronofacts.pipeline.sources.sparql.terms import Solution

__all__ = ["EVERYTHING", "Part", "discover", "split"]

_DAY = datetime.timedelta(days=1)
_CUTS = tuple(datetime.date(year, 1, 1) for year in (1, 1500, 1800, 1900, 1950, 1980, 2000, 2010, 2020, 2030))
_DEEPEST = 3  # hexadecimal digits: a part of 4096


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the statements of a property: all, those dated in a window, or those without any date;
    of these the ones whose subject's hash begins with the digits."""

    window: Window | None = None
    undated: bool = False
    digits: str = ""


EVERYTHING = Part()


def discover(
    ask: Callable[[str], Iterable[Solution]],
    properties: Sequence[str],
    part: Part = EVERYTHING,
    with_revisions: bool = False,
) -> dict[str, int | None]:
    """QIDs of all subjects with a statement of one of the properties within the part, and with_revisions the
    revision of each, where the engine keeps it on the item (else None).

    Raises QueryTooBig when even the smallest part is too big.
    """
    try:
        query = queries.discover(properties, part.window, part.undated, part.digits, with_revisions)
        return read_subjects(ask(query))
    except QueryTooBig:
        middle, parts = len(properties) // 2, split(part)
        if middle:
            smaller = [(properties[:middle], part), (properties[middle:], part)]
        elif parts:
            smaller = [(properties, piece) for piece in parts]
        else:
            raise
    found: dict[str, int | None] = {}
    for piece in smaller:
        found.update(discover(ask, *piece, with_revisions))
    return found


def split(part: Part) -> list[Part]:
    """Smaller parts that together are this one; empty when there are none."""
    if part == EVERYTHING:
        bounds = zip((None, *_CUTS), (*_CUTS, None), strict=True)
        return [*(Part(Window(first, last)) for first, last in bounds), Part(undated=True)]
    if part.window is not None and not part.digits and (windows := _split_window(part.window)):
        return [Part(window) for window in windows]
    if len(part.digits) == _DEEPEST:
        return []
    return [replace(part, digits=part.digits + digit) for digit in "0123456789abcdef"]


def _split_window(window: Window) -> list[Window]:
    """Years first, then 1 January and the rest of its year, then halves; a day or an open window stays whole."""
    first, last = window.first, window.last
    if first is None or last is None or last - first <= _DAY:
        return []
    new_year = datetime.date((first.year + last.year + 1) // 2, 1, 1)
    if first < new_year < last:
        cut = new_year
    elif (first.month, first.day) == (1, 1):
        cut = first + _DAY
    else:
        cut = first + (last - first) // 2
    return [Window(first, cut), Window(cut, last)]
