"""Statements and entities from any SPARQL engine, in batches of ids.

An engine is one function, `ask`: query text to solutions. It raises `QueryTooBig`, before the first of them, when it
ran out of time or cut its answer; the batch is then halved instead of repeated, since the same question costs the same
time again.
Who has a statement is discovered in parts that an engine can finish (`Part`): by date, by what has no date, and last by
the hash of the subject. The parts of one split are disjoint and leave nothing out, so that their union is the answer to
the whole question. Dates of a year's precision all stand on 1 January, which therefore gets a window of its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from chronofacts.pipeline.sources import EntityBatch, Freshness, QueryTooBig, Source, Window
from chronofacts.pipeline.sources.entities import name_languages
from chronofacts.pipeline.sources.sparql import queries
from chronofacts.pipeline.sources.sparql.results import (
    Revision,
    Solution,
    label_table,
    read_counts,
    read_redirects,
    read_revisions,
    read_subjects,
    sort_rows,
    statement_table,
)
from chronofacts.pipeline.sources.statements import LIFECYCLE, Origin

__all__ = ["EVERYTHING", "Ask", "Part", "SparqlSource", "ask_in_halves", "batches", "discover", "split"]

Ask = Callable[[str], Iterable[Solution]]
STATEMENT_BATCH = 300  # ids in one detail query
ENTITY_BATCH = 600
REVISION_BATCH = 5000  # a query service answers so many ids of one value each (wikidata.md, 2.1)

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


class SparqlSource(Source):
    """One engine as a source.

    with_revisions: False for an engine that knows neither revisions nor redirects.
    """

    def __init__(self, name: str, ask: Ask, freshness: Callable[[], Freshness], with_revisions: bool = True) -> None:
        self.name = name
        self.ask = ask
        self.with_revisions = with_revisions
        self._freshness = freshness

    def freshness(self) -> Freshness:
        return self._freshness()

    def origin(self) -> Origin:
        """What the rows of this reading say of where they come from."""
        return Origin(self.name, self._freshness().retrieved_at)

    def statements(self, properties: Sequence[str]) -> Iterator[pa.Table]:
        return self.statements_of(self.subjects(properties), properties)

    def subjects(self, properties: Sequence[str], window: Window | None = None) -> list[str]:
        return sorted(self.discover(properties, window, with_revisions=False))

    def discover(self, properties: Sequence[str], window: Window | None, with_revisions: bool) -> dict[str, int | None]:
        """The same subjects, with_revisions each with its revision where the engine keeps it on the item."""
        if window is None:
            return discover(self.ask, properties, with_revisions=with_revisions)
        # One property at a time: whoever asks for a window asks an engine that cannot do all at once.
        found: dict[str, int | None] = {}
        for pid in properties:
            found.update(discover(self.ask, [pid], Part(window), with_revisions))
        return found

    def subjects_with_value(self, property_: str, qids: Sequence[str]) -> list[str]:
        solutions = self._ask_in_batches(lambda ids: queries.subjects_with_value(property_, ids), qids, ENTITY_BATCH)
        return sorted(read_subjects(solutions))

    def statements_of(self, qids: Sequence[str], properties: Sequence[str]) -> Iterator[pa.Table]:
        def write(ids: Sequence[str]) -> str:
            return queries.statements(properties, ids, self.with_revisions)

        for batch in batches(qids, STATEMENT_BATCH):
            rows = sort_rows(ask_in_halves(self.ask, write, batch))
            yield statement_table(rows, self.origin())

    def entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        def write(ids: Sequence[str]) -> str:
            return queries.entities(LIFECYCLE, ids, name_languages(language), self.with_revisions)

        for batch in batches(sorted(set(qids)), ENTITY_BATCH):
            rows = sort_rows(ask_in_halves(self.ask, write, batch))
            labels = label_table(batch, rows.names, read_counts(rows.sitelinks), language)
            yield EntityBatch(statement_table(rows, self.origin()), labels)

    def revisions(self, qids: Sequence[str]) -> dict[str, Revision]:
        """The revision of each item that has one."""
        return read_revisions(self._ask_in_batches(queries.revisions, qids, REVISION_BATCH))

    def redirects(self, qids: Sequence[str]) -> dict[str, str]:
        if not self.with_revisions:
            return {}
        return read_redirects(self._ask_in_batches(queries.redirects, qids, ENTITY_BATCH))

    def _ask_in_batches(
        self, write: Callable[[Sequence[str]], str], qids: Sequence[str], size: int
    ) -> Iterator[Solution]:
        for batch in batches(sorted(set(qids)), size):
            yield from ask_in_halves(self.ask, write, batch)


def batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), size):
        yield ids[first : first + size]


def ask_in_halves(ask: Ask, write: Callable[[Sequence[str]], str], ids: Sequence[str]) -> Iterator[Solution]:
    """Solutions of the query that `write` writes about the ids, or of those about halves of them where it is too big.

    Raises QueryTooBig when the query about one id alone is.
    """
    try:
        solutions = ask(write(ids))
    except QueryTooBig:
        if len(ids) == 1:
            raise
        middle = len(ids) // 2
        yield from ask_in_halves(ask, write, ids[:middle])
        yield from ask_in_halves(ask, write, ids[middle:])
    else:
        yield from solutions


def discover(
    ask: Ask,
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
