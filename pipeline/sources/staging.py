"""All that a source tells, gathered in Parquet, so that it need not fit in memory.

The statements of the catalogue's properties come first, then every entity that they name; an item that was merged
into another is replaced by it. Of a statement that was read twice the newest revision counts.
Leaves out: how a source is read (`pipeline.sources`), and what its statements mean (`pipeline.build`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from chronofacts.pipeline.sources import EntityBatch, Source, Window
from chronofacts.pipeline.sources.entities import LABELS, named_entities
from chronofacts.pipeline.sources.sparql.neighbourhood import reach, resolve
from chronofacts.pipeline.sources.statements import properties_of
from chronofacts.pipeline.storage.parquet_stream import Spool, pieces, read_whole, spool, spool_query
from chronofacts.pipeline.storage.rejections import rejection_rows
from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.tables import STATEMENTS

__all__ = ["Gathered", "Told", "copies_elsewhere", "gather_source", "read_source", "write_each_once", "write_told"]

log = logging.getLogger("chronofacts.refresh")
MEMORY_GIB = 0.8
"""DuckDB's bound in the stages over all statements; beyond it they spill."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Parquet of all that a source told."""

    statements: Path
    """`STATEMENTS` of the relations, each once."""
    lifecycle: Path
    """`STATEMENTS` of types, births, deaths, of all entities named."""
    labels: Path
    """`pipeline.sources.entities.LABELS` of all entities named."""
    rejections: pa.Table


@dataclass(frozen=True, slots=True)
class Told:
    """The same in memory, statements sorted by their id."""

    statements: pa.Table
    entities: EntityBatch
    rejections: pa.Table


def read_source(source: Source, catalogue: Catalogue, language: str, window: Window | None = None) -> Told:
    """What `gather_source` gathers, in memory."""
    with TemporaryDirectory(prefix="chronofacts-told-") as folder:
        told = gather_source(source, catalogue, language, Path(folder), window)
        return Told(
            read_whole(told.statements, STATEMENTS).sort_by("statement_id"),
            EntityBatch(read_whole(told.lifecycle, STATEMENTS), read_whole(told.labels, LABELS)),
            told.rejections,
        )


def write_told(told: Told, folder: Path) -> Gathered:
    """What was told, in Parquet."""
    gathered = Gathered(folder / "statements.parquet", folder / "lifecycle", folder / "labels", told.rejections)
    spool([told.statements], STATEMENTS, gathered.statements)
    spool([told.entities.lifecycle], STATEMENTS, gathered.lifecycle / "0.parquet")
    spool([told.entities.labels], LABELS, gathered.labels / "0.parquet")
    return gathered


def gather_source(
    source: Source, catalogue: Catalogue, language: str, folder: Path, window: Window | None = None
) -> Gathered:
    """Read all statements of the catalogue's properties, and every entity that they name, into a folder.

    window: read only what has a date in it, and what that names (`pipeline.sources.sparql.neighbourhood`).
    """
    properties = properties_of(catalogue)
    if window is not None:
        told: Iterable[pa.Table] = reach(source, catalogue, window, folder / "hops")
    else:
        told = source.statements(properties)
    rows = spool(told, STATEMENTS, folder / "told.parquet")
    log.info("read %d statements of %d properties", rows, len(properties))
    statements = folder / "statements.parquet"
    rejections = write_each_once(folder / "told.parquet", statements)
    (folder / "told.parquet").unlink()
    statements = _gather_entities(source, statements, language, folder)
    rejections = pa.concat_tables([rejections, source.rejections()])
    return Gathered(statements, folder / "lifecycle", folder / "labels", rejections)


def _gather_entities(source: Source, statements: Path, language: str, folder: Path) -> Path:
    """Write `lifecycle` and `labels` of all entities that the statements name; returns the statements, with merged
    items replaced by what they became."""
    named = named_entities(statements)
    read = _read_entities(source, named, language, folder, "0.parquet")
    nameless = _without_label(named, folder / "labels")
    known = set(named) if nameless else set()
    for turn in count(1):
        moved = source.redirects(nameless) if nameless else {}
        if not moved:
            break
        resolved = folder / f"statements-{turn}.parquet"
        spool((resolve(table, moved) for table in pieces(statements, STATEMENTS)), STATEMENTS, resolved)
        statements.unlink()
        statements = resolved
        nameless = sorted(set(named_entities(statements)) - known)
        read += _read_entities(source, nameless, language, folder, f"{turn}.parquet")
        known.update(nameless)
    log.info("read %d entities", read)
    return statements


def _read_entities(source: Source, qids: Sequence[str], language: str, folder: Path, file: str) -> int:
    with Spool(folder / "lifecycle" / file, STATEMENTS) as lifecycle, Spool(folder / "labels" / file, LABELS) as labels:
        for batch in source.entities(qids, language):
            lifecycle.write(batch.lifecycle)
            labels.write(batch.labels)
    return labels.rows


def _without_label(qids: Sequence[str], labels: Path) -> list[str]:
    """Those of the ids that have no row of labels, sorted."""
    with connect(memory_gib=MEMORY_GIB) as connection:
        register(connection, "labels", labels)
        register(connection, "named", pa.table({"qid": pa.array(iter(qids), pa.string(), size=len(qids))}))
        rows = connection.execute("SELECT qid FROM named ANTI JOIN labels USING (qid) ORDER BY qid").fetchall()
    return [qid for (qid,) in rows]


def write_each_once(statements: Tabular, file: Path) -> pa.Table:
    """Write each statement once, with its newest revision, in any order; returns `REJECTIONS` of the copies."""
    with connect(memory_gib=MEMORY_GIB) as connection:
        register(connection, "told", statements)
        for step in (REPEATED, NUMBERED):
            connection.execute(step)
        spool_query(connection, ONCE, STATEMENTS, file)
        copies = connection.execute("SELECT subject, property, statement_id FROM numbered WHERE copy > 0").fetchall()
    return rejection_rows(
        ("statements", "duplicate_statement", subject, property_, [id_], "read again")
        for subject, property_, id_ in sorted(copies)
    )


def copies_elsewhere(statements: Tabular, others: Tabular) -> pa.Table:
    """`REJECTIONS` of the statements whose id one of the others has too: ids are unique in a snapshot."""
    with connect(memory_gib=MEMORY_GIB) as connection:
        register(connection, "told", statements)
        register(connection, "others", others)
        copies = connection.execute(ELSEWHERE).fetchall()
    return rejection_rows(
        ("statements", "duplicate_statement", subject, property_, [id_], "another statement has this id")
        for subject, property_, id_ in sorted(copies)
    )


ELSEWHERE = """
WITH likely AS (SELECT * FROM told WHERE hash(statement_id) IN (SELECT hash(statement_id) FROM others))
SELECT subject, property, statement_id FROM likely SEMI JOIN others USING (statement_id)
"""

# A hash takes a fifth of an id's room; that two ids may share one costs nothing here.
REPEATED = """
CREATE TEMP TABLE repeated AS
SELECT hash(statement_id) AS id FROM told GROUP BY hash(statement_id) HAVING count(*) > 1
"""

NUMBERED = """
CREATE TEMP TABLE numbered AS
SELECT *, row_number() OVER (PARTITION BY statement_id ORDER BY revision DESC NULLS LAST, rank, object) - 1 AS copy
FROM told WHERE hash(statement_id) IN (SELECT id FROM repeated)
"""

ONCE = """
SELECT * FROM told WHERE hash(statement_id) NOT IN (SELECT id FROM repeated)
UNION ALL
SELECT * EXCLUDE (copy) FROM numbered WHERE copy = 0
"""
