"""Tables that need not fit in memory: rows written to Parquet as they come, and read back in bounded pieces.

Leaves out: the files of a finished snapshot (`pipeline.snapshots.write`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.pipeline.storage.session import Tabular
from chronofacts.schemas.files import report_full_disk
from chronofacts.schemas.tables import conform

__all__ = ["ROWS", "Spool", "pieces", "read_whole", "spool", "spool_query"]

ROWS = 65_536
"""Rows of the pieces, and of a row group."""


class Spool:
    """One Parquet file that grows by tables of a schema; `rows` counts them.

    Its bytes depend on the rows alone, not on the tables that they came in.
    Raises CheckFailed when the disk is full.
    """

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._file = file
        with report_full_disk(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(file, schema, compression="zstd", store_schema=True)

    def write(self, table: pa.Table) -> None:
        self._waiting.append(conform(table, self._schema, "rows"))
        self.rows += table.num_rows
        if sum(part.num_rows for part in self._waiting) >= ROWS:
            waiting = pa.concat_tables(self._waiting).combine_chunks()  # chunks would end pages
            whole = waiting.num_rows - waiting.num_rows % ROWS
            with report_full_disk(self._file.parent):
                self._writer.write_table(waiting.slice(0, whole), row_group_size=ROWS)
            self._waiting = [waiting.slice(whole)] if whole < waiting.num_rows else []

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with report_full_disk(self._file.parent):
            try:
                if kind is None and self._waiting:
                    self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks(), row_group_size=ROWS)
            finally:
                self._writer.close()


def spool(tables: Iterable[pa.Table], schema: pa.Schema, file: Path) -> int:
    """Write tables one after another; returns their rows."""
    with Spool(file, schema) as sink:
        for table in tables:
            sink.write(table)
    return sink.rows


def spool_query(
    connection: duckdb.DuckDBPyConnection, sql: str, schema: pa.Schema, file: Path, **parameters: object
) -> int:
    """Write the result of a query, in its order; returns its rows. parameters: those that the query names by `$`."""
    told: Mapping[str, object] | None = parameters or None
    reader = connection.sql(sql, params=told).to_arrow_reader(ROWS)
    return spool((pa.Table.from_batches([batch]) for batch in reader), schema, file)


def pieces(data: Tabular, schema: pa.Schema) -> Iterator[pa.Table]:
    """Rows of a table, or of a file or folder of Parquet, in their order, at most `ROWS` at a time."""
    if isinstance(data, pa.Table):
        for first in range(0, data.num_rows, ROWS):
            yield data.slice(first, ROWS)
        return
    files = [data] if data.is_file() else sorted(data.glob("*.parquet"))
    for file in files:
        with pq.ParquetFile(file) as stream:
            for batch in stream.iter_batches(ROWS):
                yield conform(pa.Table.from_batches([batch]), schema, file.name)


def read_whole(data: Tabular, schema: pa.Schema) -> pa.Table:
    """All rows in memory."""
    return pa.concat_tables([schema.empty_table(), *pieces(data, schema)])
