"""What changed between two days, and all that it names: the reading of an endpoint too large to be read whole.

It starts from the statements with a date in the window, and goes on from there. Facts without dates (capitals,
birthplaces) are in no window: they are read for the entities that have been named, hop by hop.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.pipeline.sources import Source, Window
from chronofacts.pipeline.sources.statements import properties_of
from chronofacts.pipeline.storage.columns import mark_fault, replace_column
from chronofacts.pipeline.storage.parquet_stream import read_batches, write_batches
from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.ids import is_qid
from chronofacts.schemas.tables import STATEMENTS

__all__ = ["days_of_change", "read_neighbourhood", "replace_merged"]

log = logging.getLogger("chronofacts.refresh")
_HOPS = 3  # facts read beyond what changed: with the first, four hops in all


def days_of_change(since: datetime.date, as_of: datetime.date) -> Window:
    """The window of everything that may have changed: a date of a year's precision stands on its 1 January."""
    return Window(datetime.date(since.year, 1, 1), as_of + datetime.timedelta(days=1))


def read_neighbourhood(source: Source, catalogue: Catalogue, window: Window, folder: Path) -> Iterator[pa.Table]:
    """`STATEMENTS` of all that has a date in the window and of what these name, up to a few hops away.

    folder: where the statements of each hop are kept meanwhile.
    A relation that is read backwards (an office by its holders' P39) needs all its holders: they are looked for
    by name for every office that changed or that was named otherwise. Statements about any other office get the
    fault `unread_subject`, since its other holders have not been read.
    """
    properties = properties_of(catalogue)
    dated = [pid for pid in properties if any(r.undated != "always" for r in catalogue.relations if r.property == pid)]
    forwards = {relation.property for relation in catalogue.relations if not relation.inverse}
    backwards = pa.array([pid for pid in properties if pid not in forwards], pa.string())
    new = set(source.subjects(dated, window))
    log.info("found %d subjects with a change from %s to %s", len(new), window.first, window.last)
    read: set[str] = set()
    named: set[str] = set()
    whole: set[str] = set()
    for hop in range(_HOPS + 1):
        file = folder / f"{hop}.parquet"
        write_batches(source.statements_of(sorted(new), properties), STATEMENTS, file)
        read |= new
        if hop == 0:
            named = set(changed_objects(file, backwards.to_pylist(), window))
        if hop == _HOPS or not new:
            break
        named |= _find_named(read_batches(folder, STATEMENTS), backwards, named)
        holders = {
            qid for pid in backwards.to_pylist() for qid in source.subjects_with_value(pid, sorted(named - whole))
        }
        whole |= named
        new = (named | holders) - read
        log.info("read %d subjects; %d more are named", len(read), len(new))
    about = pa.array(whole, pa.string())
    for batch in read_batches(folder, STATEMENTS):
        yield mark_fault(batch, _about_others(batch, backwards, about).to_pylist(), "unread_subject")


def _find_named(statements: Iterator[pa.Table], backwards: pa.Array, named: set[str]) -> set[str]:
    """Items that statements name, but for those that are read backwards and about an item not among the named."""
    known, found = pa.array(named, pa.string()), set[str]()
    for batch in statements:
        telling = batch.filter(pc.invert(_about_others(batch, backwards, known)))
        for column, kind in (("subject", None), ("object", "item"), ("object_unit", "quantity")):
            rows = telling if kind is None else telling.filter(pc.equal(telling["object_kind"], kind))
            found.update(qid for qid in rows[column].unique().to_pylist() if qid is not None and is_qid(qid))
    return found


def changed_objects(statements: Tabular, properties: list[str], window: Window) -> list[str]:
    """Items that a statement of the properties with a date in the window names, sorted."""
    with connect() as connection:
        register(connection, statements=statements)
        rows = connection.execute(
            """
            SELECT DISTINCT object FROM statements
            WHERE list_contains($1, property) AND object_kind = 'item' AND (
                (start_latest >= $2 AND start_earliest < $3) OR (end_latest >= $2 AND end_earliest < $3)
                OR (point_in_time_latest >= $2 AND point_in_time_earliest < $3))
            ORDER BY object
            """,
            [properties, window.first, window.last],
        ).fetchall()
    return [qid for (qid,) in rows]


def _about_others(statements: pa.Table, backwards: pa.Array, whole: pa.Array) -> pa.ChunkedArray:
    """True for statements read backwards whose object is not among the items that were read whole."""
    known = pc.is_in(statements["object"], value_set=whole)
    reads_back = pc.is_in(statements["property"], value_set=backwards)
    return pc.and_(reads_back, pc.invert(known))


def replace_merged(statements: pa.Table, merged: dict[str, str]) -> pa.Table:
    """The statements with every item that was merged into another replaced by it."""
    for name in ("object", "object_unit", "replaces", "replaced_by"):
        values = [merged.get(value, value) for value in statements[name].to_pylist()]
        statements = replace_column(statements, name, pa.array(values, pa.string()))
    return statements
