"""Days before year 1: how the tables of a snapshot hold them, and how they are read back.

Wikidata knows days of years before 1; Python's dates, and with them pandas and `datasets`, do not. The pipeline decides
with the days as they are. In a snapshot they are null, and what stands beside them says what the null means
(`schemas.tables`): a start or end that is `known` to the year or better and yet has no day lies before year 1. That is
before every day that can be asked, so that nothing is lost which could decide. Days after 9999 are faults when they are
read (`schemas.dates`).
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.pipeline.storage.columns import replace_column
from chronofacts.pipeline.storage.session import connect, register
from chronofacts.schemas.dates import FIRST_DAY, LAST_DAY, YEAR, to_day_number

__all__ = ["read_back", "read_back_columns", "without_early_days"]

_FIRST, _LAST = to_day_number(FIRST_DAY), to_day_number(LAST_DAY)


class Bound(NamedTuple):
    """One pair of columns, `*_earliest` and `*_latest`, and when a null in them is a day before year 1."""

    prefix: str
    early: str


_IS_EARLY = f"{{0}}_kind = 'known' AND {{0}}_precision >= {YEAR}"
BOUNDS = {
    "statements": tuple(Bound(name, _IS_EARLY.format(name)) for name in ("start", "end", "point_in_time")),
    "timelines": (
        Bound("valid_from", f"valid_from_precision >= {YEAR}"),
        # A span that is known to have ended has a day, whether it was stated or inferred.
        Bound("valid_to", "valid_to_kind = 'known'"),
    ),
    "entities": (Bound("ended", "ended_kind = 'known'"),),
}


def without_early_days(table: pa.Table) -> pa.Table:
    """The rows as a snapshot holds them: every day that Python cannot hold is null.

    A span that ended before year 1 on a day that nobody knows is written as one that is known to have: what is
    unknown of it decides nothing.
    """
    for column in table.schema:
        if column.type == pa.date32():
            days = table[column.name].cast(pa.int32())
            outside = pc.or_(pc.less(days, _FIRST), pc.greater(days, _LAST))
            if pc.any(outside).as_py():
                if column.name == "valid_to_latest":
                    early = pc.fill_null(pc.less(days, _FIRST), False)
                    table = replace_column(table, "valid_to_kind", pc.if_else(early, "known", table["valid_to_kind"]))
                kept = pc.if_else(outside, pa.scalar(None, pa.date32()), table[column.name])
                table = replace_column(table, column.name, kept)
    return table


def read_back_columns(name: str, day: str = f"DATE '{FIRST_DAY}'") -> str:
    """All columns of a snapshot's table, in SQL, with a day in place of those before year 1."""
    replaced = ", ".join(
        f"CASE WHEN {bound.early} THEN coalesce({column}, {day}) ELSE {column} END AS {column}"
        for bound in BOUNDS.get(name, ())
        for column in (f"{bound.prefix}_earliest", f"{bound.prefix}_latest")
    )
    return f"* REPLACE ({replaced})" if replaced else "*"


def read_back(table: pa.Table, name: str) -> pa.Table:
    """A snapshot's table with the eve of year 1 in place of the days before it: the pipeline decides as it did."""
    with connect() as connection:
        connection.execute("SET preserve_insertion_order = true")
        register(connection, written=table)
        columns = read_back_columns(name, f"DATE '{FIRST_DAY}' - 1")
        return connection.sql(f"SELECT {columns} FROM written").to_arrow_table().cast(table.schema)
