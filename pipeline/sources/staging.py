"""All statements and entities of a source, staged in Parquet, so that they need not fit in memory.

The statements of the catalogue's properties come first, then every entity that they name; an item that was merged
into another is replaced by it. Of a statement that was read twice the newest revision counts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import duckdb
import pyarrow as pa

from chronofacts.pipeline.sources import Source, Window
from chronofacts.pipeline.sources.entities import LABELS, list_named_entities
from chronofacts.pipeline.sources.sparql.neighbourhood import read_neighbourhood, replace_merged
from chronofacts.pipeline.sources.statements import properties_of
from chronofacts.pipeline.storage.parquet_stream import ParquetStream, read_batches, write_batches, write_query
from chronofacts.pipeline.storage.rejections import rejection_rows
from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.tables import STATEMENTS

__all__ = ["MEMORY_GIB", "StagedSource", "copies_elsewhere", "stage_source", "write_each_once"]

log = logging.getLogger("chronofacts.refresh")
MEMORY_GIB = 0.8
"""DuckDB's bound in the stages over all statements; beyond it they spill."""


@dataclass(frozen=True, slots=True)
class StagedSource:
    """Parquet of all statements and entities of a source."""

    statements: Path
    """`STATEMENTS` of the relations, each once."""
    lifecycle: Path
    """`STATEMENTS` of types, births, deaths, of all entities named."""
    labels: Path
    """`pipeline.sources.entities.LABELS` of all entities named."""
    rejections: pa.Table


def stage_source(
    source: Source, catalogue: Catalogue, language: str, folder: Path, window: Window | None = None
) -> StagedSource:
    """Read all statements of the catalogue's properties, and every entity that they name, into a folder.

    window: read only what has a date in it, and what that names (`pipeline.sources.sparql.neighbourhood`).
    """
    properties = properties_of(catalogue)
    if window is not None:
        found = read_neighbourhood(source, catalogue, window, folder / "hops")
    else:
        found = source.statements(properties)
    rows = write_batches(found, STATEMENTS, folder / "found.parquet")
    log.info("read %d statements of %d properties", rows, len(properties))
    if rows == 0 and window is None:
        named = ", ".join(properties[:5]) + (" …" if len(properties) > 5 else "")
        raise BadInput(f"{source.name} has no statement of {named}; choose other relations, or another source")
    copies = write_each_once(folder / "found.parquet", folder / "statements.parquet")
    (folder / "found.parquet").unlink()
    statements = _stage_entities(source, folder / "statements.parquet", language, folder)
    rejections = pa.concat_tables([copies, source.rejections()])
    return StagedSource(statements, folder / "lifecycle", folder / "labels", rejections)


def _stage_entities(source: Source, statements: Path, language: str, folder: Path) -> Path:
    """Write `lifecycle` and `labels` of all entities that the statements name; returns the statements, with merged
    items replaced by what they became."""
    named = list_named_entities(statements)
    read = _write_entities(source, named, language, folder, "0.parquet")
    nameless = _without_label(named, folder / "labels")
    known = set(named) if nameless else set()
    for turn in count(1):
        merged = source.redirects(nameless) if nameless else {}
        if not merged:
            break
        replaced = folder / f"statements-{turn}.parquet"
        tables = (replace_merged(table, merged) for table in read_batches(statements, STATEMENTS))
        write_batches(tables, STATEMENTS, replaced)
        statements.unlink()
        statements = replaced
        nameless = sorted(set(list_named_entities(statements)) - known)
        read += _write_entities(source, nameless, language, folder, f"{turn}.parquet")
        known.update(nameless)
    log.info("read %d entities", read)
    return statements


def _write_entities(source: Source, qids: Sequence[str], language: str, folder: Path, file: str) -> int:
    with (
        ParquetStream(folder / "lifecycle" / file, STATEMENTS) as lifecycle,
        ParquetStream(folder / "labels" / file, LABELS) as labels,
    ):
        for batch in source.entities(qids, language):
            lifecycle.write(batch.lifecycle)
            labels.write(batch.labels)
    return labels.rows


def _without_label(qids: Sequence[str], labels: Path) -> list[str]:
    """Those of the ids that have no row of labels, sorted."""
    with connect(memory_gib=MEMORY_GIB) as connection:
        register(connection, labels=labels, named=pa.table({"qid": pa.array(iter(qids), pa.string(), size=len(qids))}))
        rows = connection.execute("SELECT qid FROM named ANTI JOIN labels USING (qid) ORDER BY qid").fetchall()
    return [qid for (qid,) in rows]


def write_each_once(statements: Tabular, file: Path) -> pa.Table:
    """Write each statement once, with its newest revision, in any order; returns `REJECTIONS` of the copies."""
    with connect(memory_gib=MEMORY_GIB) as connection:
        register(connection, statements=statements)
        connection.execute(REPEATED)
        connection.execute(NUMBERED)
        write_query(connection, ONCE, STATEMENTS, file)
        return _reject(connection, "SELECT subject, property, statement_id FROM numbered WHERE copy > 0", "read again")


def copies_elsewhere(statements: Tabular, others: Tabular) -> pa.Table:
    """`REJECTIONS` of the statements whose id one of the others has too: ids are unique in a snapshot."""
    with connect(memory_gib=MEMORY_GIB) as connection:
        register(connection, statements=statements, others=others)
        return _reject(connection, ELSEWHERE, "another statement has this id")


def _reject(connection: duckdb.DuckDBPyConnection, copies: str, detail: str) -> pa.Table:
    rows = sorted(connection.execute(copies).fetchall())
    return rejection_rows(
        ("statements", "duplicate_statement", subject, property_, [id_], detail) for subject, property_, id_ in rows
    )


ELSEWHERE = """
WITH likely AS (SELECT * FROM statements WHERE hash(statement_id) IN (SELECT hash(statement_id) FROM others))
SELECT subject, property, statement_id FROM likely SEMI JOIN others USING (statement_id)
"""

# A hash takes a fifth of an id's room; that two ids may share one costs nothing here.
REPEATED = """
CREATE TEMP TABLE repeated AS
SELECT hash(statement_id) AS id FROM statements GROUP BY hash(statement_id) HAVING count(*) > 1
"""

NUMBERED = """
CREATE TEMP TABLE numbered AS
SELECT *, row_number() OVER (PARTITION BY statement_id ORDER BY revision DESC NULLS LAST, rank, object) - 1 AS copy
FROM statements WHERE hash(statement_id) IN (SELECT id FROM repeated)
"""

ONCE = """
SELECT * FROM statements WHERE hash(statement_id) NOT IN (SELECT id FROM repeated)
UNION ALL
SELECT * EXCLUDE (copy) FROM numbered WHERE copy = 0
"""
