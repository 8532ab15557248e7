"""Where statements come from: one protocol, whatever stands behind it (the sample, an endpoint, a dump).

`statements` makes one row of one statement, `entities` of one entity; `sparql`, `dump`, `sample` and `wikibase_api` are
the sources; `staging` writes all statements and entities of one source to Parquet.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, cast, get_args

import pyarrow as pa

from chronofacts.schemas.errors import BadInput, ChronoFactsError
from chronofacts.schemas.tables import REJECTIONS

__all__ = ["EntityBatch", "Freshness", "QueryTooBig", "Scope", "Source", "Window", "choose_scope"]

Scope = Literal["whole", "changes"]
"""What is read of a source: all, or only what changed between two days and what that names."""


class QueryTooBig(ChronoFactsError):
    """A source did not finish in its time, or cut its answer: ask for less at once."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """Up to when a source knows the world, and when it was read.

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
    """Some entities of a source: `STATEMENTS` of their types, birth, death, inception and abolition, and
    `pipeline.sources.entities.LABELS`."""

    lifecycle: pa.Table
    labels: pa.Table


class Source(Protocol):
    """Statements and entities of Wikidata, in Arrow batches of bounded size."""

    name: str
    scope: Scope = "whole"

    def freshness(self) -> Freshness: ...

    def statements(self, properties: Sequence[str]) -> Iterator[pa.Table]:
        """`STATEMENTS` of all subjects with the properties, all ranks."""
        ...

    def statements_of(self, qids: Sequence[str], properties: Sequence[str]) -> Iterator[pa.Table]:
        """`STATEMENTS` of these subjects and properties, all ranks."""
        ...

    def subjects(self, properties: Sequence[str], window: Window | None = None) -> list[str]:
        """QIDs with a statement of one of the properties (dated in the window), sorted."""
        ...

    def subjects_with_value(self, property_: str, qids: Sequence[str]) -> list[str]:
        """QIDs whose statements of the property have one of these values, sorted."""
        ...

    def entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        """Names, types and lifecycle of the entities; an unknown id gives no row."""
        ...

    def redirects(self, qids: Sequence[str]) -> dict[str, str]:
        """(merged id -> what it became) of those ids that were merged."""
        return {}

    def rejections(self) -> pa.Table:
        """`REJECTIONS` of what could not be read so far."""
        return REJECTIONS.empty_table()

    def finish(self) -> None:
        """The snapshot is written: the source drops what it kept for it, and a later reading starts anew."""
        return None

    def abandon(self) -> None:
        """The reading is given up: a later one starts anew."""
        return None


def choose_scope(option: str, otherwise: Scope) -> Scope:
    """The scope that `--scope` names, or the other one where it is empty; BadInput for a word that is none."""
    if option not in ("", *get_args(Scope)):
        raise BadInput(f"--scope {option!r} is unknown; use whole or changes")
    return cast(Scope, option or otherwise)
