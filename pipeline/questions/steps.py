"""Steps: what the question stage does to its tables, one statement of SQL at a time.

A step names the one table that it creates, or to which it adds, and every table that its query reads. The constant that
holds a step is called as its table. A test compares `reads` with the query, and the order of the steps with `reads`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import duckdb

__all__ = ["Step", "adds_to", "creates", "run"]


@dataclass(frozen=True, slots=True)
class Step:
    table: str
    reads: frozenset[str]
    """Tables that the query names; the table itself is not among them."""
    drops: frozenset[str]
    """Those of `reads` that no later step reads: they go, since what they hold bounds the size of a question set."""
    query: str
    adds: bool
    """Whether the rows are added to a table that stands."""


def creates(table: str, reads: str = "", drops: str = "") -> Callable[[str], Step]:
    """A step that creates a temporary table, or replaces that of the part before; its query is given in a second call.

    reads, drops: names of tables, separated by spaces.
    """
    return lambda query: Step(table, frozenset(reads.split()), frozenset(drops.split()), query, adds=False)


def adds_to(table: str, reads: str, drops: str = "") -> Callable[[str], Step]:
    """A step that adds rows by the names of their columns; a column that the query does not name is null."""
    return lambda query: Step(table, frozenset(reads.split()), frozenset(drops.split()), query, adds=True)


def run(connection: duckdb.DuckDBPyConnection, steps: Iterable[Step]) -> None:
    for step in steps:
        head = f"INSERT INTO {step.table} BY NAME" if step.adds else f"CREATE OR REPLACE TEMP TABLE {step.table} AS"
        connection.execute(f"{head} {step.query}")
        for table in step.drops:
            connection.execute(f"DROP TABLE {table}")
