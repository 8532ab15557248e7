"""The stages of the pipeline over tables in memory: how tests and benchmarks send small worlds through them."""

from __future__ import annotations

import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pyarrow as pa

from chronofacts.pipeline.build import SnapshotSettings, build_files
from chronofacts.pipeline.sources import Source, Window
from chronofacts.pipeline.sources.entities import DESCRIBE, LABELS
from chronofacts.pipeline.sources.staging import StagedSource, stage_source
from chronofacts.pipeline.storage.parquet_stream import read_batches, write_batches
from chronofacts.pipeline.storage.session import connect, register
from chronofacts.pipeline.timelines.build import write_timelines
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.tables import ENTITIES, REJECTIONS, SNAPSHOT_TABLES, STATEMENTS, TIMELINES


class StagedTables(NamedTuple):
    """A `StagedSource` in memory."""

    statements: pa.Table
    """Sorted by their id."""
    lifecycle: pa.Table
    labels: pa.Table
    rejections: pa.Table = REJECTIONS.empty_table()


def read_whole(path: Path, schema: pa.Schema) -> pa.Table:
    """All rows of a Parquet file, or of a folder of them."""
    return pa.concat_tables([schema.empty_table(), *read_batches(path, schema)])


def stage(source: Source, catalogue: Catalogue, language: str = "en", window: Window | None = None) -> StagedTables:
    with TemporaryDirectory() as folder:
        staged = stage_source(source, catalogue, language, Path(folder), window)
        return StagedTables(
            read_whole(staged.statements, STATEMENTS).sort_by("statement_id"),
            read_whole(staged.lifecycle, STATEMENTS),
            read_whole(staged.labels, LABELS),
            staged.rejections,
        )


def describe_entities(lifecycle: pa.Table, labels: pa.Table) -> pa.Table:
    """`ENTITIES`, one row per row of labels, sorted by qid."""
    with connect() as connection:
        register(connection, lifecycle=lifecycle, labels=labels)
        return connection.sql(DESCRIBE).to_arrow_table().cast(ENTITIES)


def draw_timelines(
    statements: pa.Table, entities: pa.Table, catalogue: Catalogue, as_of: datetime.date
) -> tuple[pa.Table, pa.Table]:
    """(`TIMELINES`, `REJECTIONS`) of all relations of the catalogue, sorted."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_batches([statements], STATEMENTS, folder / "statements.parquet")
        write_batches([entities], ENTITIES, folder / "entities.parquet")
        write_timelines(folder / "statements.parquet", folder / "entities.parquet", catalogue, as_of, folder / "out")
        timelines, rejections = folder / "out" / "timelines", folder / "out" / "rejections"
        return read_whole(timelines, TIMELINES), read_whole(rejections, REJECTIONS)


def build_tables(
    staged: StagedTables, catalogue: Catalogue, settings: SnapshotSettings, source_day: datetime.date
) -> dict[str, pa.Table]:
    """All tables of a snapshot."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = StagedSource(
            folder / "in/a.parquet", folder / "in/b.parquet", folder / "in/c.parquet", staged.rejections
        )
        write_batches([staged.statements], STATEMENTS, files.statements)
        write_batches([staged.lifecycle], STATEMENTS, files.lifecycle)
        write_batches([staged.labels], LABELS, files.labels)
        tables = build_files(files, catalogue, settings, source_day, folder)
        return {table: read_whole(file, SNAPSHOT_TABLES[table]) for table, file in tables.items()}
