"""Statements and entities from any SPARQL engine, in batches of ids.

An engine is one function, `ask`: query text to solutions. It raises `QueryTooBig`, before the first of them, when it
ran out of time or cut its answer; the batch is then halved instead of repeated, since the same question costs the same
time again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa

from chronofacts.pipeline.sources import EntityBatch, Freshness, QueryTooBig, Source, Window
from chronofacts.pipeline.sources.entities import name_languages
from chronofacts.pipeline.sources.sparql import queries
from chronofacts.pipeline.sources.sparql.discovery import Part, discover
from chronofacts.pipeline.sources.sparql.results import (
    Revision,
    label_table,
    read_counts,
    read_redirects,
    read_revisions,
    read_subjects,
    sort_rows,
    statement_table,
)
from chronofacts.pipeline.sources.sparql.terms import Solution
from chronofacts.pipeline.sources.statements import LIFECYCLE, Origin

__all__ = ["Ask", "SparqlSource", "ask_in_halves", "batches"]

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
        self.ask = ask
        self.with_revisions = with_revisions
        self._freshness = freshness

    def freshness(self) -> Freshness:
        return self._freshness()

    def origin(self) -> Origin:
        """What the rows of this reading say of where they come from."""
        return Origin(self.name, self._freshness().retrieved_at)

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
