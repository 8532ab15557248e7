"""From a staged source to the tables of a snapshot: the stages in their order.

All that grows with the statements goes from Parquet to Parquet, so that it need not fit in memory.
`pipeline.snapshots.write` makes the finished folder of the tables.
"""

from __future__ import annotations

import datetime
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.pipeline.changes import find_changes
from chronofacts.pipeline.memberships import find_memberships
from chronofacts.pipeline.questions.build import QuestionInputs, QuestionSettings, build_questions
from chronofacts.pipeline.sources.entities import DESCRIBE
from chronofacts.pipeline.sources.staging import MEMORY_GIB, StagedSource, copies_elsewhere, write_each_once
from chronofacts.pipeline.storage.columns import mark_fault
from chronofacts.pipeline.storage.parquet_stream import ParquetStream, read_batches, write_batches, write_query
from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.pipeline.timelines.agreement import check_agreement, veto_empty_before, write_confidence
from chronofacts.pipeline.timelines.build import values_at, write_timelines
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.dates import check_dates
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.reasons import REASONS
from chronofacts.schemas.tables import ENTITIES, REJECTIONS, SNAPSHOT_TABLES, STATEMENTS

__all__ = ["SnapshotSettings", "build_files", "check_days", "mark_recent_edits"]

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

    def __post_init__(self) -> None:
        check_dates(self.since, self.as_of)


def check_days(settings: SnapshotSettings, source_day: datetime.date) -> None:
    """Raises BadInput when as_of lies after the day up to which the source knows the world."""
    if settings.as_of > source_day:
        raise BadInput(
            f"--as-of {settings.as_of} lies after {source_day}, the last day that the source speaks of; "
            f"choose {source_day} or an earlier day"
        )


def build_files(
    staged: StagedSource,
    catalogue: Catalogue,
    settings: SnapshotSettings,
    source_day: datetime.date,
    folder: Path,
) -> dict[str, Path]:
    """All tables of `schemas.tables.SNAPSHOT_TABLES` as Parquet files in a folder, sorted, the same for the same input.

    What grows with the statements is in memory a batch at a time; DuckDB spills to the folder.
    """
    rejections = _Rejections(folder / "rejected")
    rejections.add(staged.rejections)
    statements, copies = _split_statements(staged, catalogue, settings, source_day, folder)
    rejections.add(copies)
    entities, timelines = folder / "entities.parquet", folder / "timelines.parquet"
    with connect(memory_gib=MEMORY_GIB, spill=folder) as connection:
        register(connection, lifecycle=staged.lifecycle, labels=staged.labels)
        write_query(connection, DESCRIBE, ENTITIES, entities)
    write_timelines(statements, entities, catalogue, settings.as_of, folder / "drawn", MEMORY_GIB)
    rejections.add(folder / "drawn" / "rejections")
    spans = write_confidence(folder / "drawn" / "timelines", catalogue, timelines)
    log.info("drew %d spans in timelines", spans)
    before, after = (_write_values(timelines, day, catalogue, folder) for day in (settings.since, settings.as_of))
    changes, refused = find_changes(
        timelines, before, after, statements, catalogue, settings.since, settings.as_of, entities=entities
    )
    changes, vetoed = veto_empty_before(changes, before, catalogue)
    rejections.add(refused)
    rejections.add(vetoed)
    log.info("found %d changes from %s to %s", changes.num_rows, settings.since, settings.as_of)
    members, refused = find_memberships(timelines, statements, entities, catalogue, settings.since, settings.as_of)
    rejections.add(refused)
    moved = members.num_rows - (pc.sum(pc.equal(members["role"], "stays")).as_py() or 0)
    log.info("found %d values that joined or left a set", moved)
    inputs = QuestionInputs(changes, timelines, before, after, entities, statements, members)
    written = _write_questions(inputs, catalogue, settings, folder, rejections)
    return {
        "statements": _sort(statements.parent, STATEMENTS, "statement_id", folder / "statements.parquet"),
        "entities": entities,
        "timelines": timelines,
        **written,
        "rejections": rejections.sort(folder / "rejections.parquet"),
    }


def _split_statements(
    staged: StagedSource, catalogue: Catalogue, settings: SnapshotSettings, source_day: datetime.date, folder: Path
) -> tuple[Path, pa.Table]:
    """(statements that may be answers, recent edits marked; `REJECTIONS` of copies).

    The other statements of lifecycle are in a file beside them.
    """
    copies = write_each_once(staged.lifecycle, folder / "lifecycle.parquet")
    taken = copies_elsewhere(folder / "lifecycle.parquet", staged.statements)
    ids = taken["ids"].combine_chunks().flatten()
    answers = pa.array(sorted({relation.property for relation in catalogue.relations}))
    usable, rest = folder / "split" / "usable.parquet", folder / "split" / "others.parquet"
    with ParquetStream(usable, STATEMENTS) as statements, ParquetStream(rest, STATEMENTS) as others:
        for table in read_batches(staged.statements, STATEMENTS):
            statements.write(mark_recent_edits(table, source_day, settings.quarantine_days))
        for table in read_batches(folder / "lifecycle.parquet", STATEMENTS):
            table = table.filter(pc.invert(pc.is_in(table["statement_id"], value_set=ids)))
            is_answer = pc.is_in(table["property"], value_set=answers)
            statements.write(mark_recent_edits(table.filter(is_answer), source_day, settings.quarantine_days))
            others.write(table.filter(pc.invert(is_answer)))
    return usable, pa.concat_tables([copies, taken])


def mark_recent_edits(statements: pa.Table, source_day: datetime.date, days: int) -> pa.Table:
    """`STATEMENTS`, with the fault `young_statement` where the subject was edited less than `days` days before
    source_day; 0 days marks none.

    5 % of the edits of P6 and 13 % of those of P35 were reverted (WiDiff, 2026). `pipeline.timelines.build` takes such
    a statement as possible but never as an answer. Wikidata tells the time of an edit per entity only.
    """
    if days <= 0 or not statements.num_rows:
        return statements
    first = datetime.datetime.combine(source_day, datetime.time(), datetime.UTC) - datetime.timedelta(days=days - 1)
    edited = statements["modified_at"]
    return mark_fault(statements, pc.greater(edited, pa.scalar(first, edited.type)).to_pylist(), "young_statement")


def _write_values(timelines: Path, day: datetime.date, catalogue: Catalogue, folder: Path) -> Path:
    """A file with the values on a day, compared with each other."""
    values = check_agreement(values_at(timelines, day), catalogue)
    file = folder / f"values-{day}.parquet"
    write_batches([values], values.schema, file)
    return file


def _write_questions(
    inputs: QuestionInputs, catalogue: Catalogue, settings: SnapshotSettings, folder: Path, rejections: _Rejections
) -> dict[str, Path]:
    """Files of edits, questions and sentences, each sorted by its id."""
    wanted = QuestionSettings(
        *(settings.since, settings.as_of, settings.language, settings.seed, settings.hops_per_edit),
        memory_gib=MEMORY_GIB,
        edits_per_part=_EDITS_PER_PART,
        spill=folder,
    )
    parts = {name: folder / f"parts-{name}.parquet" for name in ("edits", "questions", "sentences")}
    with ExitStack() as stack:
        streams = {
            name: stack.enter_context(ParquetStream(file, SNAPSHOT_TABLES[name])) for name, file in parts.items()
        }
        for part in build_questions(inputs, catalogue, wanted):
            for name, stream in streams.items():
                stream.write(getattr(part, name))
            rejections.add(part.rejections)
    log.info("wrote %d edits and %d questions", streams["edits"].rows, streams["questions"].rows)
    return {
        name: _sort(file, SNAPSHOT_TABLES[name], f"{name.removesuffix('s')}_id", folder / f"{name}.parquet")
        for name, file in parts.items()
    }


class _Rejections:
    """Rejections of all stages, as they come."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._files = folder, 0

    def add(self, rejections: Tabular) -> None:
        write_batches(read_batches(rejections, REJECTIONS), REJECTIONS, self._folder / f"{self._files:06d}.parquet")
        self._files += 1

    def sort(self, file: Path) -> Path:
        """All of them in one file; raises KeyError for a reason that is not in the closed list."""
        with connect(memory_gib=MEMORY_GIB) as connection:
            register(connection, rejected=self._folder)
            reasons = {reason for (reason,) in connection.execute("SELECT DISTINCT reason FROM rejected").fetchall()}
        if unknown := reasons - set(REASONS):
            raise KeyError(f"reasons {sorted(unknown)} are not in schemas.reasons")
        return _sort(self._folder, REJECTIONS, "stage, reason, relation, subject, detail, ids", file)


def _sort(data: Path, schema: pa.Schema, order: str, file: Path) -> Path:
    """Write the rows of Parquet to one file, in an order; returns the file."""
    with connect(memory_gib=MEMORY_GIB, spill=file.parent) as connection:
        register(connection, rows=data)
        write_query(connection, f"FROM rows ORDER BY {order}", schema, file)
    return file
