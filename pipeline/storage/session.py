"""One way to open DuckDB for a stage: in memory, bounded, and with results that do not depend on threads."""

from __future__ import annotations

import glob
import tempfile
from pathlib import Path
from typing import TypeAlias

import duckdb
import pyarrow as pa

__all__ = ["Tabular", "connect", "copy_to_parquet", "parquet_in", "quoted", "register"]

Tabular: TypeAlias = "pa.Table | Path"
"""A stage's input: an Arrow table, or a folder of Parquet files that need not fit in memory."""


def connect(threads: int = 2, memory_gib: float = 0.8, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A private in-memory database.

    memory_gib: DuckDB's own bound; beyond it joins and sorts spill to the folder `spill`, by default the
    system's temporary folder.
    Results come unordered (`preserve_insertion_order` off): every stage sorts what it returns.
    """
    connection = duckdb.connect(":memory:")
    connection.execute(f"SET threads = {int(threads)}")
    connection.execute(f"SET memory_limit = '{memory_gib:.3f}GiB'")
    connection.execute("SET preserve_insertion_order = false")
    # DuckDB's own default is a folder in the working directory, which is not ours to write to.
    connection.execute("SET temp_directory = $1", [str(spill or tempfile.gettempdir())])
    return connection


def register(connection: duckdb.DuckDBPyConnection, **tables: Tabular) -> None:
    """Make inputs visible to SQL under their names, without copying them."""
    for name, data in tables.items():
        if isinstance(data, pa.Table):
            connection.register(name, data)
        else:
            connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM read_parquet({parquet_in(data)})")


def parquet_in(path: Path) -> str:
    """A Parquet file, or all those of a folder, to be read: a pattern in a string of SQL, in which only ours is one."""
    text = glob.escape(str(path))
    return quoted(text if path.suffix == ".parquet" else f"{text}/*.parquet")


def quoted(path: Path | str) -> str:
    """A path as a string of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def copy_to_parquet(connection: duckdb.DuckDBPyConnection, sql: str, file: Path) -> None:
    """Write the result of a query to one Parquet file, in the query's order where it has one."""
    connection.execute(f"COPY ({sql}) TO {quoted(file)} (FORMAT parquet, COMPRESSION zstd)")
