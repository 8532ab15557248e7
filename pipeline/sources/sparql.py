"""Statements and entities from any SPARQL engine, in batches of ids.

An engine is one function, `ask`: query text to solutions. It raises `QueryTooBig` when it ran out of time
or cut its answer; the batch is then halved instead of repeated, since the same question costs the same
time again.
Leaves out: HTTP and its politeness (`pipeline.sources.endpoint`), and the embedded engine (`pipeline.sources.sample`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa

from pipeline.sources import EntityBatch, Freshness, Window, queries
from pipeline.sources.answers import Solution, label_table, read_counts, read_items, read_revisions, statement_table
from pipeline.wikidata import LIFECYCLE, Origin
from schemas.errors import ChronoFactsError

__all__ = ["Ask", "QueryTooBig", "SparqlSource"]

T = TypeVar("T")
Ask = Callable[[str], Iterable[Solution]]
STATEMENT_BATCH = 200  # ids in one detail query
ENTITY_BATCH = 400


class QueryTooBig(ChronoFactsError):
    """The engine did not finish in its time: ask for less at once."""


class SparqlSource:
    """The `Source` protocol over one engine."""

    def __init__(self, name: str, ask: Ask, freshness: Callable[[], Freshness], with_revisions: bool = True) -> None:
        self.name = name
        self._ask = ask
        self._freshness = freshness
        self._with_revisions = with_revisions

    def freshness(self) -> Freshness:
        return self._freshness()

    def statements(self, properties: Sequence[str], window: Window | None = None) -> Iterator[pa.Table]:
        for property_ in properties:
            subjects = read_items(self._ask(queries.discover(property_, window)))
            for batch in batches(subjects, STATEMENT_BATCH):
                yield from self._detail([property_], batch)

    def entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        for batch in batches(sorted(set(qids)), ENTITY_BATCH):
            yield from self._entities(batch, language)

    def _detail(self, properties: Sequence[str], subjects: Sequence[str]) -> Iterator[pa.Table]:
        def read(part: Sequence[str]) -> pa.Table:
            revisions = read_revisions(self._ask(queries.revisions(part))) if self._with_revisions else {}
            return statement_table(self._ask(queries.statements(properties, part)), self._origin(), revisions)

        return halving(read, subjects)

    def _entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        languages = list(dict.fromkeys((language, "mul", "en")))

        def read(part: Sequence[str]) -> EntityBatch:
            lifecycle = statement_table(self._ask(queries.statements(LIFECYCLE, part)), self._origin(), {})
            sitelinks = read_counts(self._ask(queries.sitelinks(part)))
            return EntityBatch(
                lifecycle, label_table(part, self._ask(queries.labels(part, languages)), sitelinks, language)
            )

        return halving(read, qids)

    def _origin(self) -> Origin:
        return Origin(self.name, self._freshness().retrieved_at)


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
