"""One way to open DuckDB for a stage: in memory, bounded, and with results that do not depend on threads.

What DuckDB raises for what it read, or for want of room, leaves `connect` as one line of ours; what it raises for a
query that is wrong is a fault of the program, and stays what it is.
"""

from __future__ import annotations

import atexit
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import duckdb
import pyarrow as pa

from chronofacts.schemas.errors import CheckFailed

__all__ = ["Tabular", "connect", "copy_to_parquet", "files_in", "parquet_in", "quoted", "register"]

Tabular: TypeAlias = "pa.Table | Path"
"""A stage's input: an Arrow table, or a folder of Parquet files that need not fit in memory."""


_OF_THE_PROGRAM = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.SyntaxException)


_idle: list[duckdb.DuckDBPyConnection] = []
"""Databases that no stage uses. To make one takes 30 ms of the processor, and a refresh needs one 23 times."""


@contextmanager
def connect(
    threads: int = 2, memory_gib: float = 0.8, spill: Path | None = None, alone: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A private in-memory database, while it is used; what was made in it is gone afterwards.

    memory_gib: DuckDB's own bound; beyond it joins and sorts spill to the folder `spill`, by default the
    system's temporary folder.
    alone: a database that nobody used before and nobody uses again, whatever is set in it. What the stages before it
    keep for the next goes to the system first, since it takes all the memory that it may.
    Results come unordered (`preserve_insertion_order` off): every stage sorts what it returns.
    Raises CheckFailed where what is read is damaged, or finds no room.
    """
    folder = spill or Path(tempfile.gettempdir())
    if alone:
        _close_idle()
        pa.default_memory_pool().release_unused()
    database = duckdb.connect(":memory:") if alone else _take_idle()
    connection, unharmed = database.cursor(), False
    try:
        connection.execute(f"SET threads = {int(threads)}")
        connection.execute(f"SET memory_limit = '{memory_gib:.3f}GiB'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_external_file_cache = false")  # a file may be replaced between two stages
        # DuckDB's own default is a folder in the working directory, which is not ours to write to.
        connection.execute("SET temp_directory = $1", [str(folder)])
        connection.execute("ATTACH ':memory:' AS stage")
        connection.execute("USE stage")
        yield connection
        unharmed = True
    except _OF_THE_PROGRAM:
        raise
    except duckdb.Error as error:
        raise CheckFailed(_describe(error, memory_gib, folder)) from error
    finally:
        connection.close()
        if unharmed and not alone and _clear(database):
            _idle.append(database)
        else:
            database.close()


def _take_idle() -> duckdb.DuckDBPyConnection:
    try:
        return _idle.pop()
    except IndexError:
        return duckdb.connect(":memory:")


def _clear(database: duckdb.DuckDBPyConnection) -> bool:
    """Whether nothing is left of a stage: not of one that spilled, whose folder DuckDB keeps to the end."""
    try:
        database.execute("DETACH stage")
        database.execute("SET temp_directory = $1", [tempfile.gettempdir()])
    except duckdb.Error:
        return False
    return True


def _close_idle() -> None:
    while _idle:
        _idle.pop().close()


atexit.register(_close_idle)
if hasattr(os, "register_at_fork"):  # not on Windows; a child has none of the threads of a database
    os.register_at_fork(before=_close_idle)


def _describe(error: duckdb.Error, memory_gib: float, folder: Path) -> str:
    said = " ".join(str(error).split())[:300]
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"the tables need more than {memory_gib:.1f} GiB of memory and more room in {folder} ({said}); make room"
    if "No space left" in said or "max_temp_directory_size" in said:
        return f"the disk is full ({said}); make room and run the same command again"
    return f"a table cannot be read or written ({said}); `chronofacts verify` says which file of a snapshot is damaged"


def register(connection: duckdb.DuckDBPyConnection, **tables: Tabular) -> None:
    """Make inputs visible to SQL under their names, without copying them."""
    for name, data in tables.items():
        if isinstance(data, pa.Table):
            connection.register(name, data)
        else:
            connection.execute(
                f"CREATE OR REPLACE TEMP VIEW {name} AS "
                f"SELECT * FROM read_parquet({parquet_in(data)}, hive_partitioning = false)"
            )


def parquet_in(path: Path) -> str:
    """A Parquet file, or all those of a folder, to be read: a pattern in a string of SQL, in which only ours is one."""
    text = glob.escape(str(path))
    return quoted(text if path.suffix == ".parquet" else f"{text}/*.parquet")


def files_in(paths: Iterable[Path]) -> str:
    """Parquet files as the argument of `read_parquet`, each read as it is named, whatever signs its name holds."""
    return f"[{', '.join(quoted(glob.escape(str(path))) for path in paths)}]"


def quoted(path: Path | str) -> str:
    """A path as a string of SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def copy_to_parquet(connection: duckdb.DuckDBPyConnection, sql: str, file: Path) -> None:
    """Write the result of a query to one Parquet file, in the query's order where it has one."""
    connection.execute(f"COPY ({sql}) TO {quoted(file)} (FORMAT parquet, COMPRESSION zstd)")
