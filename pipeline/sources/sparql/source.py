"""Statements and entities from any SPARQL engine, in batches of ids.

An engine is one function, `ask`: query text to solutions. It raises `QueryTooBig`, before the first of them, when it
ran out of time or cut its answer; the batch is then halved instead of repeated, since the same question costs the same
time again.
Leaves out: HTTP and its politeness (`pipeline.sources.sparql.client`), and the embedded engine
(`pipeline.sources.sample`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa

from chronofacts.pipeline.sources import EntityBatch, Freshness, QueryTooBig, Source, Window
from chronofacts.pipeline.sources.sparql import queries
from chronofacts.pipeline.sources.sparql.discovery import Part, discover
from chronofacts.pipeline.sources.sparql.results import (
    Revision,
    Solution,
    SortedRows,
    label_table,
    read_counts,
    read_items,
    read_redirects,
    read_revisions,
    sort_out,
    statement_table,
)
from chronofacts.pipeline.sources.statements import LIFECYCLE, Origin

__all__ = ["Ask", "QueryTooBig", "SparqlSource", "batches", "halving"]

T = TypeVar("T")
Ask = Callable[[str], Iterable[Solution]]
STATEMENT_BATCH = 300  # ids in one detail query
ENTITY_BATCH = 600
REVISION_BATCH = 5000  # a query service answers so many ids of one value each (wikidata.md, 2.1)


class SparqlSource(Source):
    """One engine as a source.

    with_revisions: False for an engine that knows neither revisions nor redirects.
    """

    def __init__(self, name: str, ask: Ask, freshness: Callable[[], Freshness], with_revisions: bool = True) -> None:
        self.name = name
        self._ask = ask
        self._freshness = freshness
        self._with_revisions = with_revisions

    def freshness(self) -> Freshness:
        return self._freshness()

    def entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        for batch in batches(sorted(set(qids)), ENTITY_BATCH):
            yield self._entities(batch, language)

    def subjects(self, properties: Sequence[str], window: Window | None = None) -> list[str]:
        """QIDs with a statement of one of the properties, sorted; with a window, with one dated in it."""
        return sorted(self._discover(properties, window, with_revisions=False))

    def subjects_with_revisions(self, properties: Sequence[str], window: Window | None = None) -> dict[str, int | None]:
        """The same subjects, each with its revision where the engine keeps it on the item."""
        return self._discover(properties, window, self._with_revisions)

    def _discover(
        self, properties: Sequence[str], window: Window | None, with_revisions: bool
    ) -> dict[str, int | None]:
        if window is None:
            return discover(self._ask, properties, with_revisions=with_revisions)
        # One property at a time: whoever asks for a window asks an engine that cannot do all at once.
        found: dict[str, int | None] = {}
        for pid in properties:
            found.update(discover(self._ask, [pid], Part(window), with_revisions))
        return found

    def subjects_with_value(self, property_: str, qids: Sequence[str]) -> list[str]:
        """QIDs whose statements of the property have one of these values, sorted."""
        found: set[str] = set()
        for batch in batches(sorted(set(qids)), ENTITY_BATCH):
            found.update(read_items(self._answers(lambda part: queries.subjects_with_value(property_, part), batch)))
        return sorted(found)

    def statements_of(self, qids: Sequence[str], properties: Sequence[str]) -> Iterator[pa.Table]:
        """`STATEMENTS` of these subjects and properties, all ranks."""
        for batch in batches(qids, STATEMENT_BATCH):
            yield self._statements(batch, properties)

    def revisions(self, qids: Sequence[str]) -> dict[str, Revision]:
        """The revision of each item that has one."""
        found: dict[str, Revision] = {}
        for batch in batches(sorted(set(qids)), REVISION_BATCH):
            found.update(read_revisions(self._answers(queries.revisions, batch)))
        return found

    def redirects(self, qids: Sequence[str]) -> dict[str, str]:
        """What each of these ids was merged into; ids that were not are left out."""
        moved: dict[str, str] = {}
        if self._with_revisions:
            for batch in batches(sorted(set(qids)), ENTITY_BATCH):
                moved.update(read_redirects(self._answers(queries.redirects, batch)))
        return moved

    def origin(self) -> Origin:
        """What the rows of this reading say of where they come from."""
        return Origin(self.name, self._freshness().retrieved_at)

    def _statements(self, qids: Sequence[str], properties: Sequence[str]) -> pa.Table:
        told = self._told(lambda part: queries.statements(properties, part, self._with_revisions), qids)
        return statement_table(told.statements, self.origin(), read_revisions(told.revisions))

    def _entities(self, qids: Sequence[str], language: str) -> EntityBatch:
        languages = list(dict.fromkeys((language, "mul", "en")))
        told = self._told(lambda part: queries.entities(LIFECYCLE, part, languages, self._with_revisions), qids)
        lifecycle = statement_table(told.statements, self.origin(), read_revisions(told.revisions))
        return EntityBatch(lifecycle, label_table(qids, told.names, read_counts(told.sitelinks), language))

    def _told(self, write: Callable[[Sequence[str]], str], qids: Sequence[str]) -> SortedRows:
        return sort_out(self._answers(write, qids))

    def _answers(self, write: Callable[[Sequence[str]], str], qids: Sequence[str]) -> Iterator[Solution]:
        """Solutions of the query that `write` writes about the ids, asked in parts where it is too big at once."""
        for answer in halving(lambda part: self._ask(write(part)), qids):
            yield from answer


def batches(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(ids), size):
        yield ids[first : first + size]


def halving(read: Callable[[Sequence[str]], T], ids: Sequence[str]) -> Iterator[T]:
    """read(ids), or of its halves where it is too big; raises QueryTooBig when one id alone is."""
    try:
        yield read(ids)
    except QueryTooBig:
        if len(ids) == 1:
            raise
        middle = len(ids) // 2
        yield from halving(read, ids[:middle])
        yield from halving(read, ids[middle:])
