"""Rows go to Parquet in batches, and the file says nothing of the batches."""

from __future__ import annotations

import resource
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.storage.parquet_stream import ROWS, ParquetStream, read_batches, write_batches
from chronofacts.schemas.errors import CheckFailed
from tests.pipeline.whole_tables import read_whole

NUMBERS = pa.schema([("number", pa.int64()), ("text", pa.string())])
ROW_COUNT = 2 * ROWS + 777


def rows(first: int, count: int) -> pa.Table:
    numbers = np.arange(first, first + count)
    return pa.table({"number": numbers, "text": numbers.astype(str)}, schema=NUMBERS)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, ROW_COUNT), max_size=6))
def test_the_bytes_of_a_file_depend_on_its_rows_alone(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    whole = rows(0, ROW_COUNT)
    places = [0, *sorted(cuts), ROW_COUNT]
    parts = [whole.slice(a, b - a) for a, b in pairwise(places)]

    assert write_batches(parts, NUMBERS, folder / "parts.parquet") == write_batches(
        [whole], NUMBERS, folder / "whole.parquet"
    )
    assert (folder / "parts.parquet").read_bytes() == (folder / "whole.parquet").read_bytes()


def test_what_was_written_is_read_back_in_order_and_in_bounded_batches(tmp_path: Path) -> None:
    for part in range(3):
        write_batches([rows(part * ROW_COUNT, ROW_COUNT)], NUMBERS, tmp_path / f"{part}.parquet")

    assert max(batch.num_rows for batch in read_batches(tmp_path, NUMBERS)) <= ROWS
    assert read_whole(tmp_path, NUMBERS).equals(rows(0, 3 * ROW_COUNT))
    assert list(read_batches(rows(0, 5), NUMBERS)) == [rows(0, 5)]


def test_no_rows_make_a_file_with_the_columns(tmp_path: Path) -> None:
    write_batches([], NUMBERS, tmp_path / "none.parquet")
    assert read_whole(tmp_path / "none.parquet", NUMBERS).equals(NUMBERS.empty_table())


def test_a_full_disk_is_told_with_its_mend(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with (
            pytest.raises(CheckFailed, match="make room and run the same command again"),
            ParquetStream(tmp_path / "large.parquet", NUMBERS) as sink,
        ):
            sink.write(rows(0, ROW_COUNT))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=6), sizes=st.lists(st.integers(0, 3000), min_size=300, max_size=300))
def test_large_rows_end_a_row_group_wherever_they_came_from(
    cuts: list[int], sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("large")
    schema = pa.schema([("texts", pa.list_(pa.string()))])
    whole = pa.table({"texts": [["x" * size, "y"] for size in sizes]}, schema=schema)
    places = [0, *sorted(cuts), 300]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chronofacts.pipeline.storage.parquet_stream.GROUP_BYTES", 20_000)
        write_batches([whole.slice(a, b - a) for a, b in pairwise(places)], schema, folder / "parts.parquet")
        write_batches([whole], schema, folder / "whole.parquet")

    assert (folder / "parts.parquet").read_bytes() == (folder / "whole.parquet").read_bytes()
    metadata = pq.read_metadata(folder / "whole.parquet")
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    ends = np.cumsum(rows)
    for begin, end in pairwise([0, *ends[:-1]]):  # all but the last are full, by their last row
        assert sum(sizes[begin:end]) + end - begin >= 20_000 > sum(sizes[begin : end - 1]) + end - begin - 1
    assert read_whole(folder / "whole.parquet", schema) == whole
