"""From what a source told to the tables of a snapshot: the stages in their order.

All that grows with the statements goes from Parquet to Parquet, so that it need not fit in memory.
Leaves out: reading a source (`pipeline.sources.staging`) and the finished folder (`pipeline.snapshots.write`).
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.pipeline.changes import find_changes
from chronofacts.pipeline.memberships import find_memberships
from chronofacts.pipeline.questions.build import QuestionInputs, QuestionSettings, build_questions
from chronofacts.pipeline.sources import EntityBatch
from chronofacts.pipeline.sources.entities import DESCRIBE
from chronofacts.pipeline.sources.staging import (
    MEMORY_GIB,
    Gathered,
    Told,
    copies_elsewhere,
    read_source,
    write_each_once,
    write_told,
)
from chronofacts.pipeline.storage.parquet_stream import Spool, pieces, read_whole, spool, spool_query
from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.pipeline.timelines.agreement import cross_check, quarantine, veto_empty_before, write_confidence
from chronofacts.pipeline.timelines.build import values_at, write_timelines
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.dates import check_dates
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.reasons import REASONS
from chronofacts.schemas.tables import ENTITIES, REJECTIONS, SNAPSHOT_TABLES, STATEMENTS

__all__ = [
    "EntityBatch",
    "SnapshotSettings",
    "Told",
    "build_files",
    "build_tables",
    "check_days",
    "read_source",
]

log = logging.getLogger("chronofacts.refresh")
_EDITS_PER_PART = 5_000  # about 60,000 questions in memory at once


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """Everything that decides a snapshot besides its source and the catalogue."""

    since: datetime.date
    as_of: datetime.date
    language: str = "en"
    seed: int = 0
    quarantine_days: int = 3
    """A statement whose subject was edited so lately is no answer yet; 0 turns this off."""
    hops_per_edit: int = 3
    """Multi-hop questions per edit and number of hops, at most."""


def check_days(settings: SnapshotSettings, source_day: datetime.date) -> None:
    """Raises BadInput unless since < as_of <= the day up to which the source knows the world."""
    check_dates(settings.since, settings.as_of)
    if settings.as_of > source_day:
        raise BadInput(
            f"--as-of {settings.as_of} lies after {source_day}, the last day that the source speaks of; "
            f"choose {source_day} or an earlier day"
        )


def build_tables(
    told: Told,
    catalogue: Catalogue,
    settings: SnapshotSettings,
    source_day: datetime.date,
    known: pa.Table | None = None,
) -> dict[str, pa.Table]:
    """What `build_files` builds, in memory."""
    with TemporaryDirectory(prefix="chronofacts-build-") as name:
        gathered = write_told(told, Path(name, "told"))
        files = build_files(gathered, catalogue, settings, source_day, Path(name), known)
        return {table: read_whole(file, SNAPSHOT_TABLES[table]) for table, file in files.items()}


def build_files(
    told: Gathered,
    catalogue: Catalogue,
    settings: SnapshotSettings,
    source_day: datetime.date,
    folder: Path,
    known: pa.Table | None = None,
) -> dict[str, Path]:
    """All tables of `schemas.tables.SNAPSHOT_TABLES` as Parquet files in a folder, sorted, the same for the same input.

    known: `STATEMENTS` of an earlier snapshot, which the quarantine takes as old.
    What grows with the statements is in memory a piece at a time; DuckDB spills to the folder.
    """
    rejected = _Rejected(folder / "rejected", [told.rejections])
    statements, others, copies = _usable(told, catalogue, settings, source_day, folder, known)
    rejected.add(copies)
    entities, timelines = folder / "entities.parquet", folder / "timelines.parquet"
    with connect(memory_gib=MEMORY_GIB, spill=folder) as connection:
        register(connection, "lifecycle", told.lifecycle)
        register(connection, "labels", told.labels)
        spool_query(connection, DESCRIBE, ENTITIES, entities)
    write_timelines(statements, entities, catalogue, settings.as_of, folder / "drawn", MEMORY_GIB)
    rejected.add(folder / "drawn" / "rejections")
    spans = write_confidence(folder / "drawn" / "timelines", catalogue, timelines)
    log.info("drew %d spans in timelines", spans)
    before, after = (_values(timelines, day, catalogue, folder) for day in (settings.since, settings.as_of))
    changes, refused = find_changes(
        timelines, before, after, statements, catalogue, settings.since, settings.as_of, entities=entities
    )
    changes, vetoed = veto_empty_before(changes, before, catalogue)
    rejected.add(refused)
    rejected.add(vetoed)
    log.info("found %d changes from %s to %s", changes.num_rows, settings.since, settings.as_of)
    members, refused = find_memberships(timelines, statements, entities, catalogue, settings.since, settings.as_of)
    rejected.add(refused)
    moved = members.num_rows - (pc.sum(pc.equal(members["role"], "stays")).as_py() or 0)
    log.info("found %d values that joined or left a set", moved)
    inputs = QuestionInputs(changes, timelines, before, after, entities, statements, members)
    made = _write_questions(inputs, catalogue, settings, folder, rejected)
    every = folder / "statements.parquet"
    spool(chain(pieces(statements, STATEMENTS), pieces(others, STATEMENTS)), STATEMENTS, folder / "unsorted.parquet")
    _sort(folder / "unsorted.parquet", STATEMENTS, "statement_id", every)
    return {
        "statements": every,
        "entities": entities,
        "timelines": timelines,
        **made,
        "rejections": rejected.sorted(folder / "rejections.parquet"),
    }


def _usable(
    told: Gathered,
    catalogue: Catalogue,
    settings: SnapshotSettings,
    source_day: datetime.date,
    folder: Path,
    known: pa.Table | None,
) -> tuple[Path, Path, pa.Table]:
    """(statements that may be answers, the young ones marked; the other ones of lifecycle; `REJECTIONS` of copies)."""
    copies = write_each_once(told.lifecycle, folder / "lifecycle.parquet")
    taken = copies_elsewhere(folder / "lifecycle.parquet", told.statements)
    ids = taken["ids"].combine_chunks().flatten()
    answers = pa.array(sorted({relation.property for relation in catalogue.relations}))
    usable, rest = folder / "usable.parquet", folder / "others.parquet"

    def marked(table: pa.Table) -> pa.Table:
        return quarantine(table, source_day, settings.quarantine_days, known)

    with Spool(usable, STATEMENTS) as statements, Spool(rest, STATEMENTS) as others:
        for table in pieces(told.statements, STATEMENTS):
            statements.write(marked(table))
        for table in pieces(folder / "lifecycle.parquet", STATEMENTS):
            table = table.filter(pc.invert(pc.is_in(table["statement_id"], value_set=ids)))
            is_answer = pc.is_in(table["property"], value_set=answers)
            statements.write(marked(table.filter(is_answer)))
            others.write(table.filter(pc.invert(is_answer)))
    return usable, rest, pa.concat_tables([copies, taken])


def _values(timelines: Path, day: datetime.date, catalogue: Catalogue, folder: Path) -> Path:
    """A file with the values on a day, compared with each other."""
    values = cross_check(values_at(timelines, day), catalogue)
    file = folder / f"values-{day}.parquet"
    spool([values], values.schema, file)
    return file


def _write_questions(
    inputs: QuestionInputs, catalogue: Catalogue, settings: SnapshotSettings, folder: Path, rejected: _Rejected
) -> dict[str, Path]:
    """Files of edits, questions and sentences, each sorted by its id."""
    wanted = QuestionSettings(
        since=settings.since,
        as_of=settings.as_of,
        language=settings.language,
        seed=settings.seed,
        hops_per_edit=settings.hops_per_edit,
        memory_gib=MEMORY_GIB,
        edits_per_part=_EDITS_PER_PART,
        spill=folder,
    )
    parts = {name: folder / f"parts-{name}.parquet" for name in ("edits", "questions", "sentences")}
    with ExitStack() as stack:
        sinks = {name: stack.enter_context(Spool(file, SNAPSHOT_TABLES[name])) for name, file in parts.items()}
        for part in build_questions(inputs, catalogue, wanted):
            for name, sink in sinks.items():
                sink.write(getattr(part, name))
            rejected.add(part.rejections)
    log.info("wrote %d edits and %d questions", sinks["edits"].rows, sinks["questions"].rows)
    for name, file in parts.items():
        _sort(file, SNAPSHOT_TABLES[name], f"{name.removesuffix('s')}_id", folder / f"{name}.parquet")
    return {name: folder / f"{name}.parquet" for name in parts}


class _Rejected:
    """Rejections of all stages, as they come."""

    def __init__(self, folder: Path, tables: Iterable[pa.Table]) -> None:
        self._folder, self._files = folder, 0
        for table in tables:
            self.add(table)

    def add(self, rejections: Tabular) -> None:
        spool(pieces(rejections, REJECTIONS), REJECTIONS, self._folder / f"{self._files:06d}.parquet")
        self._files += 1

    def sorted(self, file: Path) -> Path:
        """All of them in one file; raises KeyError for a reason that is not in the closed list."""
        with connect(memory_gib=MEMORY_GIB) as connection:
            register(connection, "rejected", self._folder)
            reasons = {reason for (reason,) in connection.execute("SELECT DISTINCT reason FROM rejected").fetchall()}
        if unknown := reasons - set(REASONS):
            raise KeyError(f"reasons {sorted(unknown)} are not in schemas.reasons")
        _sort(self._folder, REJECTIONS, "stage, reason, relation, subject, detail, ids", file)
        return file


def _sort(data: Path, schema: pa.Schema, order: str, file: Path) -> None:
    """Write the rows of Parquet to one file, in an order."""
    with connect(memory_gib=MEMORY_GIB, spill=file.parent) as connection:
        register(connection, "rows", data)
        spool_query(connection, f"FROM rows ORDER BY {order}", schema, file)
