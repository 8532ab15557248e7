"""A stage's database: private, bounded, and as if nobody had used it before, though databases are used again."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronofacts.pipeline.storage import session
from chronofacts.pipeline.storage.session import connect, parquet_in, register
from chronofacts.schemas.errors import CheckFailed

OBJECTS = """
SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal
UNION ALL SELECT function_name FROM duckdb_functions() WHERE NOT internal
"""


def test_nothing_that_one_stage_made_is_seen_by_the_next() -> None:
    with connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT 1 AS a; CREATE TEMP TABLE u AS SELECT 2 AS a; CREATE VIEW v AS FROM t"
        )
        connection.execute("CREATE MACRO twice(a) AS 2 * a; CREATE TEMP MACRO thrice(a) AS 3 * a; SET VARIABLE day = 4")
        connection.execute("SET preserve_insertion_order = true")
        register(connection, given=pa.table({"a": [5]}))
        used = connection.execute("SELECT current_setting('temp_directory')").fetchall()
    assert session._idle, "a database that a stage left clean is kept for the next"
    with connect() as connection:
        assert connection.execute(OBJECTS).fetchall() == []
        assert connection.execute("SELECT getvariable('day')").fetchall() == [(None,)]
        assert connection.execute("SELECT current_setting('preserve_insertion_order')").fetchall() == [(False,)]
        assert connection.execute("SELECT current_setting('temp_directory')").fetchall() == used
        connection.execute("CREATE TABLE t AS SELECT 6 AS a")
        assert connection.execute("FROM t").fetchall() == [(6,)]


def test_two_stages_at_a_time_and_stages_of_many_threads_have_a_database_each() -> None:
    with connect() as one, connect() as other:
        one.execute("CREATE TABLE t AS SELECT 1 AS a")
        with pytest.raises(duckdb.CatalogException):
            other.execute("FROM t").fetchall()

    def sum_to(number: int) -> int:
        with connect() as connection:
            connection.execute(f"CREATE TABLE t AS FROM range({number + 1}) r(a)")
            return connection.execute("SELECT sum(a)::INTEGER FROM t").fetchall()[0][0]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sum_to, range(40))) == [number * (number + 1) // 2 for number in range(40)]


@pytest.mark.parametrize("alone", [True, False])
def test_a_file_that_was_replaced_by_one_of_its_size_is_read_anew(tmp_path: Path, alone: bool) -> None:
    file, found = tmp_path / "t.parquet", []
    for value in (1, 2):
        pq.write_table(pa.table({"a": [value]}), file)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        with connect(alone=alone) as connection:
            found += connection.execute(f"FROM read_parquet({parquet_in(file)})").fetchall()
    assert found == [(1,), (2,)]


def test_a_stage_that_spilled_leaves_nothing_in_its_folder_and_the_next_spills_to_its_own(tmp_path: Path) -> None:
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        with connect(threads=1, memory_gib=0.05, spill=folder) as connection:
            connection.execute("CREATE TABLE t AS SELECT r.a, md5(r.a::VARCHAR) AS text FROM range(1500000) r(a)")
            assert list(folder.iterdir()), "a table of 60 MB finds no room in 50"
            assert connection.execute("SELECT count(DISTINCT text) FROM t").fetchall() == [(1_500_000,)]
        assert list(folder.iterdir()) == []


def test_a_database_in_which_something_failed_is_not_used_again(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    session._close_idle()
    with pytest.raises(CheckFailed, match="cannot be read"), connect() as connection:
        connection.execute(f"FROM read_parquet({parquet_in(tmp_path / 't.parquet')})").fetchall()
    with pytest.raises(duckdb.ParserException), connect() as connection:
        connection.execute("SELEKT 1")
    with pytest.raises(KeyError), connect():
        raise KeyError("of the stage")
    assert session._idle == []


def test_a_database_of_its_own_has_the_memory_that_stages_before_it_kept() -> None:
    with connect() as connection:
        connection.execute("SELECT 1").fetchall()
    assert session._idle
    with connect(alone=True):
        assert session._idle == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_makes_its_own_database() -> None:
    with connect() as connection:
        connection.execute("SELECT sum(a) FROM range(1000000) r(a)").fetchall()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with connect() as connection:
                code = 0 if connection.execute("SELECT sum(a) FROM range(1000000) r(a)").fetchall() else 1
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    with connect() as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
