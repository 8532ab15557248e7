"""Where statements come from: one protocol, whatever stands behind it (the sample, an endpoint, a dump)."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pyarrow as pa

__all__ = ["EntityBatch", "Freshness", "Source", "Window"]


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
    """Only subjects whose statements of a property start or end on a day in [first, last)."""

    first: datetime.date
    last: datetime.date


class EntityBatch(NamedTuple):
    """What a source tells of some entities: `STATEMENTS` of their types, birth, death, inception and
    abolition, and `pipeline.entities.LABELS`."""

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
