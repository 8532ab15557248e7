"""Tables that need not fit in memory: rows written to Parquet as they come, and read back in bounded batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chronofacts.pipeline.storage.session import Tabular
from chronofacts.schemas.files import report_full_disk
from chronofacts.schemas.tables import conform

__all__ = ["ROWS", "ParquetStream", "read_batches", "write_batches", "write_query"]

ROWS = 65_536
"""Rows of a batch, and of a row group at most."""
GROUP_BYTES = 64 << 20
"""Bytes of the texts of a row group, beyond which it ends: a few rows may be large."""
_READ = 8192  # rows of a query's result at a time


class ParquetStream:
    """One Parquet file that grows by tables of a schema; `rows` counts them.

    Its bytes depend on the rows alone, not on the tables that they came in.
    Raises CheckFailed when the disk is full.
    """

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self.rows = 0
        self._schema = schema
        self._waiting: list[pa.Table] = []
        self._bytes = 0
        self._file = file
        with report_full_disk(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(file, schema, compression="zstd", store_schema=True)

    def write(self, table: pa.Table) -> None:
        self._waiting.append(conform(table, self._schema, "rows"))
        self.rows += table.num_rows
        self._bytes += table.nbytes
        if sum(part.num_rows for part in self._waiting) >= ROWS or self._bytes >= 2 * GROUP_BYTES:
            self._write_groups(last=False)

    def _write_groups(self, last: bool) -> None:
        """Write what is waiting up to the end of its last whole row group; with `last`, all."""
        waiting = pa.concat_tables(self._waiting).combine_chunks()  # chunks would end pages
        ends = _group_ends(waiting)
        if last and (ends[-1] if ends else 0) < waiting.num_rows:
            ends.append(waiting.num_rows)
        begin = 0
        with report_full_disk(self._file.parent):
            for end in ends:
                self._writer.write_table(waiting.slice(begin, end - begin), row_group_size=ROWS)
                begin = end
        rest = waiting.slice(begin)
        self._waiting, self._bytes = ([rest], rest.nbytes) if rest.num_rows else ([], 0)

    def __enter__(self) -> ParquetStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with report_full_disk(self._file.parent):
            try:
                if kind is None and self._waiting:
                    self._write_groups(last=True)
            finally:
                self._writer.close()


def _group_ends(table: pa.Table) -> list[int]:
    """Where the whole row groups of a table end: after `ROWS` rows, or after the row that brings the texts of a group
    to `GROUP_BYTES`. That depends on the rows alone, however they came."""
    if table.nbytes < GROUP_BYTES:
        return list(range(ROWS, table.num_rows + 1, ROWS))
    sizes = sum((_text_bytes(column.combine_chunks()) for column in table.columns), np.zeros(table.num_rows, np.int64))
    before, ends, begin = np.concatenate([[0], np.cumsum(sizes)]), list[int](), 0
    while begin < table.num_rows:
        end = min(int(np.searchsorted(before, before[begin] + GROUP_BYTES)), begin + ROWS)
        if end > table.num_rows:
            break
        ends.append(end)
        begin = end
    return ends


def _text_bytes(array: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The bytes of the texts in each row, however deep they lie."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_string(array.type):
        lengths: np.ndarray = pc.fill_null(pc.binary_length(array), 0).to_numpy(zero_copy_only=False)
        return lengths.astype(np.int64)
    if pa.types.is_list(array.type):
        within = np.concatenate([[0], np.cumsum(_text_bytes(array.flatten()))])
        ends = np.cumsum(pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False))
        per_row: np.ndarray = np.diff(within[np.concatenate([[0], ends])])
        return per_row
    if pa.types.is_struct(array.type):
        return sum((_text_bytes(part) for part in array.flatten()), np.zeros(len(array), np.int64))  # type: ignore[no-any-return]
    return np.zeros(len(array), np.int64)


def write_batches(tables: Iterable[pa.Table], schema: pa.Schema, file: Path) -> int:
    """Write tables one after another; returns their rows."""
    with ParquetStream(file, schema) as stream:
        for table in tables:
            stream.write(table)
    return stream.rows


def write_query(connection: duckdb.DuckDBPyConnection, sql: str, schema: pa.Schema, file: Path) -> int:
    """Write the result of a query, in its order; returns its rows."""
    reader = connection.sql(sql).to_arrow_reader(_READ)
    return write_batches((pa.Table.from_batches([batch]) for batch in reader), schema, file)


def read_batches(data: Tabular, schema: pa.Schema) -> Iterator[pa.Table]:
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
