"""Where statements come from: one protocol, whatever stands behind it (the sample, an endpoint, a dump).

`statements` makes one row of one statement, `entities` of one entity; `sparql`, `dump`, `sample` and `wikibase_api` are
the sources; `staging` keeps in Parquet all that one of them tells.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from chronofacts.schemas.errors import ChronoFactsError

__all__ = ["EntityBatch", "Freshness", "QueryTooBig", "Reaching", "Rejecting", "Source", "Window"]


class QueryTooBig(ChronoFactsError):
    """A source did not finish in its time, or cut its answer: ask for less at once."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Up to when a source knows the world, and when it was asked.

    day: the last day that its statements can speak of with authority; a snapshot's as_of may not lie after it.
    """

    day: datetime.date
    retrieved_at: datetime.datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Window:
    """Only subjects whose statements of a property start, end or lie on a day in [first, last); None: no bound."""

    first: datetime.date | None
    last: datetime.date | None


class EntityBatch(NamedTuple):
    """What a source tells of some entities: `STATEMENTS` of their types, birth, death, inception and
    abolition, and `pipeline.sources.entities.LABELS`."""

    lifecycle: pa.Table
    labels: pa.Table


class Source(Protocol):
    """Statements and entities of Wikidata, in Arrow batches of bounded size."""

    name: str

    def freshness(self) -> Freshness: ...

    def statements(self, properties: Sequence[str], window: Window | None = None) -> Iterator[pa.Table]:
        """`STATEMENTS` of all subjects with the properties, all ranks; with a window, all statements of
        the subjects that it finds."""
        ...

    def entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        """Names, types and lifecycle of the entities; an unknown id gives no row."""
        ...


@runtime_checkable
class Reaching(Source, Protocol):
    """A source that can be asked about some items only, so that a reading can start from what changed."""

    def subjects(self, properties: Sequence[str], window: Window | None = None) -> list[str]:
        """QIDs with a statement of one of the properties (dated in the window), sorted."""
        ...

    def subjects_naming(self, property_: str, qids: Sequence[str]) -> list[str]:
        """QIDs whose statements of the property have one of these values, sorted."""
        ...

    def statements_of(self, qids: Sequence[str], properties: Sequence[str]) -> Iterator[pa.Table]:
        """`STATEMENTS` of these subjects and properties, all ranks."""
        ...

    def redirects(self, qids: Sequence[str]) -> dict[str, str]:
        """What each of these ids was merged into; ids that were not are left out."""
        ...


@runtime_checkable
class Rejecting(Protocol):
    """A source that may meet things it cannot read."""

    def rejections(self) -> pa.Table:
        """`REJECTIONS` of what could not be read so far."""
        ...
