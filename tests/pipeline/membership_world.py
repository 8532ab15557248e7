"""A small world of countries and the organisations that they joined and left, and its questions."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa

from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.changes import find_changes
from chronofacts.pipeline.memberships import find_memberships
from chronofacts.pipeline.questions.build import QuestionInputs, QuestionTables
from chronofacts.pipeline.snapshots.write import fill_folder
from chronofacts.pipeline.timelines.build import values_at
from chronofacts.schemas.catalogue import Catalogue, load_catalogue
from chronofacts.schemas.manifest import SnapshotManifest
from tests.pipeline.questions.question_world import question_set
from tests.pipeline.timelines.statement_world import World, world
from tests.pipeline.whole_tables import StagedTables, build_tables, draw_timelines

SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)
CATALOGUE = load_catalogue().select(["member_of", "capital", "official_language"])

NAMES = {
    "Q33": ("Finland", "Republic of Finland"), "Q34": ("Sweden",), "Q55": ("Netherlands",), "Q159": ("Russia",),
    "Q35": ("Denmark",), "Q458": ("European Union", "EU"), "Q7184": ("NATO",), "Q1065": ("United Nations", "UN"),
    "Q8908": ("Council of Europe",), "Q146165": ("Nordic Council",), "Q1757": ("Helsinki",), "Q1754": ("Stockholm",),
    "Q1748": ("Copenhagen",),
}  # fmt: skip


def unions(reads: str = "P463") -> World:
    """Finland joins NATO, Russia leaves the Council of Europe, Denmark stays where it is.

    reads: P463, an open relation, or P37, whose values are all named at once.
    """
    made = world()
    for qid, names in NAMES.items():
        made.called(qid, *names)
    made.country("Q33", reads).held_by("Q458", "1995-01-01").held_by("Q1065", "1955-12-14")
    made.held_by("Q7184", "2023-04-04")
    made.country("Q159", reads).held_by("Q8908", "1996-02-28", "2022-03-16").held_by("Q1065", "1945-10-24")
    made.country("Q35", reads).held_by("Q146165", "1952-01-01").held_by("Q1065", "1945-10-24")
    made.fact("Q33", "P36", "Q1757").fact("Q34", "P36", "Q1754").fact("Q35", "P36", "Q1748")
    return made


def questions_of(made: World, catalogue: Catalogue = CATALOGUE, **settings: object) -> QuestionTables:
    statements, entities = made.tables()
    timelines, _ = draw_timelines(statements, entities, catalogue, AS_OF)
    before, after = values_at(timelines, SINCE), values_at(timelines, AS_OF)
    changes, _ = find_changes(timelines, before, after, statements, catalogue, SINCE, AS_OF, entities=entities)
    members, _ = find_memberships(timelines, statements, entities, catalogue, SINCE, AS_OF)
    return question_set(
        QuestionInputs(changes, timelines, before, after, entities, statements, members), catalogue, **settings
    )


def rows(table: pa.Table, **wanted: object) -> list[dict]:
    return [row for row in table.to_pylist() if all(row[key] == value for key, value in wanted.items())]


def snapshot_of(made: World, folder: Path, catalogue: Catalogue = CATALOGUE) -> Path:
    """A finished snapshot of the world, with its statements and timelines, unverified."""
    statements, labels = made.told()
    staged = StagedTables(statements, made.lifecycle.table(), labels)
    settings = SnapshotSettings(SINCE, AS_OF, quarantine_days=0)
    tables = build_tables(staged, catalogue, settings, AS_OF)
    manifest = SnapshotManifest(
        name="unions", since=SINCE, as_of=AS_OF, language="en", source="test", source_day=AS_OF, source_detail="test",
        retrieved_at=datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC), code_version="0", catalogue_hash="0",
        relations=tuple(sorted(relation.id for relation in catalogue.relations)), seed=0,
    )  # fmt: skip
    fill_folder(folder, tables, manifest)
    return folder
