"""What the queries of the last check take to hold on a day."""

import datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.pipeline.snapshots.invariants import MACROS

DAY_0 = datetime.date(2020, 1, 1)
days = st.integers(0, 40).map(lambda number: DAY_0 + datetime.timedelta(number))


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(MACROS)
    return connection


@given(days, days, days, days, days)
def test_a_value_is_certain_where_every_day_that_its_dates_may_mean_agrees(
    connection: duckdb.DuckDBPyConnection,
    start: datetime.date,
    start_latest: datetime.date,
    end: datetime.date,
    end_latest: datetime.date,
    at: datetime.date,
) -> None:
    (starts, ends) = sorted((start, start_latest)), sorted((end, end_latest))
    worlds = {first <= at < last for first in starts for last in ends}
    certainly, certainly_not = connection.execute(
        "SELECT certainly($2, $3, 'known', $5), certainly_not($1, $4, $5)", [*starts, *ends, at]
    ).fetchall()[0]
    assert (certainly, certainly_not) == (worlds == {True}, worlds == {False})


@pytest.mark.parametrize(
    ("kind", "holds"), [("none", True), ("open", True), ("unknown", False), ("absent", False), ("known", False)]
)
def test_without_a_day_only_no_end_and_an_open_one_are_certain(
    connection: duckdb.DuckDBPyConnection, kind: str, holds: bool
) -> None:
    told = connection.execute("SELECT certainly($1, NULL, $2, $1), certainly_not($1, NULL, $1)", [DAY_0, kind])
    assert told.fetchall() == [(holds, False)]


def test_a_start_that_is_not_known_decides_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    told = connection.execute("SELECT certainly(NULL, NULL, 'none', $1), certainly_not(NULL, NULL, $1)", [DAY_0])
    assert told.fetchall() == [(False, False)]
