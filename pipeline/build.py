"""From what a source told to the tables of a snapshot: the stages in their order, without input or output.

Leaves out: reading a source and writing a folder (`flows.refresh` joins the three).
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.changes import find_changes
from pipeline.crosscheck import count_confidence, cross_check, quarantine, veto_injections
from pipeline.entities import LABELS, describe_entities, named_entities
from pipeline.questions import QuestionSettings, build_questions
from pipeline.rejections import collect, rejection_rows
from pipeline.sources import EntityBatch, Reaching, Rejecting, Source, Window
from pipeline.sources.reach import reach, resolve
from pipeline.timelines import build_timelines, values_at
from schemas.catalogue import Catalogue
from schemas.dates import check_dates
from schemas.errors import BadInput
from schemas.tables import STATEMENTS

__all__ = ["SnapshotSettings", "Told", "build_tables", "check_days", "read_source"]

log = logging.getLogger("chronofacts.refresh")


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """Everything that decides a snapshot besides its source and the catalogue."""

    since: datetime.date
    as_of: datetime.date
    language: str = "en"
    seed: int = 0
    quarantine_days: int = 3
    """A statement whose subject was edited so lately is no answer yet; 0 turns this off."""


@dataclass(frozen=True, slots=True)
class Told:
    """All that a source told: `STATEMENTS` of the relations, `EntityBatch` of all entities named."""

    statements: pa.Table
    entities: EntityBatch
    rejections: pa.Table


def check_days(settings: SnapshotSettings, source_day: datetime.date) -> None:
    """Raises BadInput unless since < as_of <= the day up to which the source knows the world."""
    check_dates(settings.since, settings.as_of)
    if settings.as_of > source_day:
        raise BadInput(
            f"--as-of {settings.as_of} lies after {source_day}, the last day that the source speaks of; "
            f"choose {source_day} or an earlier day"
        )


def read_source(source: Source, catalogue: Catalogue, language: str, window: Window | None = None) -> Told:
    """Read all statements of the catalogue's properties, and every entity that they name.

    window: read only what has a date in it, and what that names (`pipeline.sources.reach`).
    """
    properties = sorted({relation.property for relation in catalogue.relations}, key=lambda pid: int(pid[1:]))
    if window is not None and isinstance(source, Reaching):
        told: Iterable[pa.Table] = [reach(source, catalogue, window)]
    else:
        told = source.statements(properties)
    statements = _concat(told, STATEMENTS)
    log.info("read %d statements of %d properties", statements.num_rows, len(properties))
    statements, rejections = without_duplicates(statements)
    statements, batches = _read_entities(source, statements, language)
    entities = EntityBatch(
        _concat((batch.lifecycle for batch in batches), STATEMENTS),
        _concat((batch.labels for batch in batches), LABELS),
    )
    log.info("read %d entities", entities.labels.num_rows)
    if isinstance(source, Rejecting):
        rejections = pa.concat_tables([rejections, source.rejections()])
    return Told(statements, entities, rejections)


def _read_entities(source: Source, statements: pa.Table, language: str) -> tuple[pa.Table, list[EntityBatch]]:
    """All entities that the statements name, and the statements with merged items replaced by what they became."""
    named = set(named_entities(statements))
    batches = list(source.entities(sorted(named), language))
    if isinstance(source, Reaching):
        nameless = named.difference(*(batch.labels["qid"].to_pylist() for batch in batches))
        while moved := source.redirects(sorted(nameless)):
            statements = resolve(statements, moved)
            nameless = set(named_entities(statements)) - named
            batches += source.entities(sorted(nameless), language)
            named |= nameless
    return statements, batches


def _concat(parts: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    return pa.concat_tables([schema.empty_table(), *parts])


def without_duplicates(statements: pa.Table) -> tuple[pa.Table, pa.Table]:
    """(each statement once, with its newest revision; `REJECTIONS` of the copies), sorted by id."""
    ordered = statements.sort_by([("statement_id", "ascending"), ("revision", "descending")])
    ids = ordered["statement_id"].combine_chunks()
    if len(ids) < 2:
        return ordered, rejection_rows([])
    copy = pa.concat_arrays([pa.array([False]), pc.equal(ids[1:], ids[:-1])])
    rejected = [
        ("statements", "duplicate_statement", row["subject"], row["property"], [row["statement_id"]], "read again")
        for row in ordered.filter(copy).to_pylist()
    ]
    return ordered.filter(pc.invert(copy)), rejection_rows(rejected)


def build_tables(
    told: Told,
    catalogue: Catalogue,
    settings: SnapshotSettings,
    source_day: datetime.date,
    known: pa.Table | None = None,
) -> dict[str, pa.Table]:
    """All tables of `schemas.tables.SNAPSHOT_TABLES`, sorted, the same for the same input.

    known: `STATEMENTS` of an earlier snapshot, which the quarantine takes as old.
    """
    statements = quarantine(told.statements, source_day, settings.quarantine_days, known)
    entities = describe_entities(told.entities.lifecycle, told.entities.labels)
    timelines, timeline_rejections = build_timelines(statements, entities, catalogue, settings.as_of)
    timelines = count_confidence(timelines, catalogue)
    log.info("drew %d spans in timelines", timelines.num_rows)
    values_since, values_as_of = (
        cross_check(values_at(timelines, day), catalogue) for day in (settings.since, settings.as_of)
    )
    changes, change_rejections = find_changes(
        timelines, values_since, values_as_of, statements, catalogue, settings.since, settings.as_of
    )
    changes, vetoed = veto_injections(changes, values_since, catalogue)
    log.info("found %d changes from %s to %s", changes.num_rows, settings.since, settings.as_of)
    made = build_questions(
        changes,
        timelines,
        values_since,
        values_as_of,
        entities,
        catalogue,
        QuestionSettings(since=settings.since, as_of=settings.as_of, language=settings.language, seed=settings.seed),
    )
    log.info("wrote %d edits and %d questions", made.edits.num_rows, made.questions.num_rows)
    lifecycle, copies = without_duplicates(told.entities.lifecycle)
    return {
        "statements": pa.concat_tables([statements, lifecycle]).sort_by("statement_id"),
        "entities": entities,
        "timelines": timelines,
        "edits": made.edits,
        "questions": made.questions,
        "sentences": made.sentences,
        "rejections": collect(
            [told.rejections, copies, timeline_rejections, change_rejections, vetoed, made.rejections]
        ),
    }
