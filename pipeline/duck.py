"""One way to open DuckDB for a stage: in memory, bounded, and with results that do not depend on threads."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

__all__ = ["Tabular", "connect", "register"]

Tabular: TypeAlias = "pa.Table | Path"
"""A stage's input: an Arrow table, or a folder of Parquet files that need not fit in memory."""


def connect(threads: int = 2, memory_gib: float = 2.0, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A private in-memory database.

    memory_gib: DuckDB's own bound; beyond it joins and sorts spill to the folder `spill`.
    Results come unordered (`preserve_insertion_order` off): every stage sorts what it returns.
    """
    connection = duckdb.connect(":memory:")
    connection.execute(f"SET threads = {int(threads)}")
    connection.execute(f"SET memory_limit = '{memory_gib:.3f}GiB'")
    connection.execute("SET preserve_insertion_order = false")
    if spill is not None:
        connection.execute("SET temp_directory = $1", [str(spill)])
    return connection


def register(connection: duckdb.DuckDBPyConnection, name: str, data: Tabular) -> None:
    """Make the input visible to SQL under a name, without copying it."""
    connection.register(name, data if isinstance(data, pa.Table) else ds.dataset(data, format="parquet"))
