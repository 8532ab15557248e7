"""Worlds whose whole truth is known: nothing that the rules call certain is false, and nothing is lost."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pyoxigraph
import pytest

from benchmarks.synthetic_forms import json_lines, triples
from benchmarks.synthetic_world import World, WorldSettings, make_world
from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.changes import find_changes
from chronofacts.pipeline.sources import Freshness
from chronofacts.pipeline.sources.entities import LABELS
from chronofacts.pipeline.sources.sample import engine
from chronofacts.pipeline.sources.sparql.source import SparqlSource
from chronofacts.pipeline.sources.statements import LIFECYCLE, Origin, StatementRows, read_json_statement
from chronofacts.pipeline.timelines.agreement import check_agreement
from chronofacts.pipeline.timelines.build import values_at, write_timelines
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.tables import SOURCE_COLUMNS
from tests.pipeline.whole_tables import StagedTables, build_tables, describe_entities, draw_timelines

SINCE, AS_OF = datetime.date(2019, 1, 1), datetime.date(2025, 1, 1)
NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
RELATIONS = ("office_holder", "officeholder", "head_of_government", "office_of_head_of_government")
CATALOGUE = load_catalogue().select(RELATIONS)
PROPERTIES = ("P39", "P1308", "P6", "P1313")
SEEDS = (0, 1, 2)
YEARS = (1515, 1580, 1650, 1972, 1999, 2010, 2014, 2021, 2023)
PLANTED = (
    "malformed_time", "absurd_year", "unknown_calendar", "start_after_end", "conflicting_dates", "coarse_date",
    "restricted", "deprecated", "wrong_object_type", "unknown_holder", "dateless", "replacement_cycle",
)  # fmt: skip


class Told(NamedTuple):
    """What was read of a world, and the timelines drawn from it."""

    statements: pa.Table
    lifecycle: pa.Table
    labels: pa.Table
    entities: pa.Table
    timelines: pa.Table
    rejections: pa.Table


@cache
def true_world(seed: int) -> World:
    return make_world(WorldSettings(seed=seed, as_of=AS_OF))


@cache
def told(seed: int) -> Told:
    """The world of a seed, read from its JSON."""
    rows, lifecycle = (StatementRows(Origin("json", NOW)) for _ in range(2))
    labels = []
    for line in json_lines(true_world(seed)):
        entity = json.loads(line)
        for pid, claims in (entity["claims"] or {}).items():
            for claim in claims:
                read_json_statement(lifecycle if pid in LIFECYCLE else rows, entity["id"], pid, claim, None)
        names = entity["labels"] or {}
        label = next((name["value"] for name in names.values()), None)
        labels.append({"qid": entity["id"], "label": label, "label_language": next(iter(names), None), "aliases": []})
    named = pa.Table.from_pylist(labels, schema=LABELS)
    entities = describe_entities(lifecycle.table(), named)
    drawn = draw_timelines(rows.table(), entities, CATALOGUE, AS_OF)
    return Told(rows.table(), lifecycle.table(), named, entities, *drawn)


@cache
def values(seed: int, day: datetime.date) -> list[dict]:
    return check_agreement(values_at(told(seed).timelines, day), CATALOGUE).to_pylist()


def number(day: datetime.date) -> int:
    return (day - datetime.date(1970, 1, 1)).days


def content(table: pa.Table) -> pa.Table:
    return table.drop_columns(list(SOURCE_COLUMNS)).sort_by("statement_id")


@pytest.mark.parametrize("seed", SEEDS)
def test_both_forms_of_a_world_read_the_same(seed: int) -> None:
    store = pyoxigraph.Store()
    store.bulk_load("\n".join(triples(true_world(seed))).encode(), format=pyoxigraph.RdfFormat.N_TRIPLES)
    source = SparqlSource("rdf", engine(store), lambda: Freshness(AS_OF, NOW, "synthetic"))
    statements = pa.concat_tables(source.statements(PROPERTIES))
    assert content(statements) == content(told(seed).statements)
    batches = list(source.entities(list(true_world(seed).labels), "en"))
    assert content(pa.concat_tables(batch.lifecycle for batch in batches)) == content(told(seed).lifecycle)


def test_the_same_seed_tells_the_same_world_and_another_seed_another() -> None:
    again = list(json_lines(make_world(WorldSettings(seed=0, as_of=AS_OF))))
    assert again == list(json_lines(true_world(0)))
    assert again != list(json_lines(true_world(1)))


@pytest.mark.parametrize("day", [SINCE, AS_OF, *(datetime.date(year, 7, 1) for year in YEARS)], ids=str)
@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_called_certain_is_the_truth(seed: int, day: datetime.date) -> None:
    truth = true_world(seed)
    for row in values(seed, day):
        if row["certainty"] == "certain":
            subject, relation = row["subject"], row["relation"]
            assert row["object"] in truth.holders_on(subject, relation, number(day)), (subject, relation)


@pytest.mark.parametrize("day", [SINCE, AS_OF])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_subject_told_exactly_and_completely_is_certain_whenever_it_is_held(seed: int, day: datetime.date) -> None:
    truth = true_world(seed)
    disputed = {row["subject"] for row in values(seed, day) if row["certainty"] == "disputed"}
    found = {
        (row["subject"], row["relation"]): row["object"] for row in values_at(told(seed).timelines, day).to_pylist()
    }
    expected = {
        key: holder for key in truth.exact for holder in truth.holders_on(*key, number(day)) if key[0] not in disputed
    }
    assert len(expected) >= 8
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_most_of_what_is_told_messily_is_certain_as_well(seed: int) -> None:
    truth = true_world(seed)
    messy = [
        key for key in truth.terms
        if key[1] == "office_holder" and key not in truth.exact | truth.plural and truth.holders_on(*key, number(AS_OF))
    ]  # fmt: skip
    certain = {(row["subject"], row["relation"]) for row in values(seed, AS_OF) if row["certainty"] == "certain"}
    assert sum(key in certain for key in messy) >= 0.6 * len(messy) > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_every_statement_is_in_a_span_that_counts_or_in_a_rejection(seed: int) -> None:
    read = told(seed)
    kept = [i for row in read.timelines.to_pylist() if row["object_kind"] != "blocked" for i in row["statement_ids"]]
    left = [
        i for row in read.rejections.to_pylist() if row["reason"] not in ("not_single_valued", "plural_relation")
        for i in row["ids"]
    ]  # fmt: skip
    assert Counter(kept + left) == Counter(read.statements["statement_id"].to_pylist())


@pytest.mark.parametrize("reason", PLANTED)
def test_every_defect_is_rejected_by_its_own_name(reason: str) -> None:
    for seed in SEEDS:
        rejected = {i for row in told(seed).rejections.to_pylist() if row["reason"] == reason for i in row["ids"]}
        planted = set(true_world(seed).planted[reason])
        assert planted and planted <= rejected


@pytest.mark.parametrize("reason", [reason for reason in PLANTED if reason != "dateless"])
def test_nothing_is_rejected_by_the_name_of_a_defect_that_it_has_not(reason: str) -> None:
    for seed in SEEDS:
        rejected = {i for row in told(seed).rejections.to_pylist() if row["reason"] == reason for i in row["ids"]}
        assert rejected <= set(true_world(seed).planted[reason])


def test_an_id_that_is_none_is_rejected_by_name() -> None:
    read = told(0)
    rows = StatementRows(Origin("json", NOW))
    value = {"type": "wikibase-entityid", "value": {"entity-type": "item", "id": "Q5"}}
    snak = {"snaktype": "value", "property": "P6", "datavalue": value}
    read_json_statement(rows, "Q007", "P6", {"id": "Q007$1", "rank": "normal", "mainsnak": snak}, None)
    rejections = draw_timelines(rows.table(), read.entities, CATALOGUE, AS_OF)[1].to_pylist()
    assert [(row["reason"], row["ids"]) for row in rejections] == [("malformed_id", ["Q007$1"])]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_office_of_several_seats_makes_no_edit_and_says_why(seed: int) -> None:
    read, truth = told(seed), true_world(seed)
    before, after = (check_agreement(values_at(read.timelines, day), CATALOGUE) for day in (SINCE, AS_OF))
    changes, rejections = find_changes(
        read.timelines, before, after, read.statements, CATALOGUE, SINCE, AS_OF, entities=read.entities
    )
    plural = {subject for subject, _ in truth.plural}
    assert not plural & set(changes["subject"].to_pylist())
    reported = {row["subject"] for row in read.rejections.to_pylist() if row["reason"] == "not_single_valued"}
    assert plural <= reported
    left = {row["subject"]: row["reason"] for row in rejections.to_pylist() if row["subject"] in plural}
    assert set(left.values()) == {"not_single_valued"}


@pytest.mark.parametrize("seed", SEEDS)
def test_every_change_is_a_true_one(seed: int) -> None:
    read, truth = told(seed), true_world(seed)
    before, after = (check_agreement(values_at(read.timelines, day), CATALOGUE) for day in (SINCE, AS_OF))
    changes = find_changes(
        read.timelines, before, after, read.statements, CATALOGUE, SINCE, AS_OF, entities=read.entities
    )[0].to_pylist()
    assert len(changes) > 20
    for change in changes:
        key = change["subject"], change["relation"]
        old = {change["old_object"]} - {None}
        assert (truth.holders_on(*key, number(SINCE)), truth.holders_on(*key, number(AS_OF))) == (
            old,
            {change["new_object"]},
        )


def test_a_change_of_an_entity_without_a_name_is_rejected_by_name() -> None:
    read = told(0)
    staged = StagedTables(read.statements, read.lifecycle, read.labels)
    made = build_tables(staged, CATALOGUE, SnapshotSettings(SINCE, AS_OF, quarantine_days=0), AS_OF)
    nameless = {qid for qid, label in true_world(0).labels.items() if label is None}
    edited = made["edits"].to_pylist()
    assert edited and not nameless & {edit[name] for edit in edited for name in ("subject", "old_object", "new_object")}
    assert "no_label" in made["rejections"]["reason"].to_pylist()


def test_timelines_drawn_in_parts_are_those_drawn_at_once(tmp_path: Path) -> None:
    read = told(0)
    for name, table in (("statements", read.statements), ("entities", read.entities)):
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "part.parquet")
    out = tmp_path / "out"
    write_timelines(tmp_path / "statements", tmp_path / "entities", CATALOGUE, AS_OF, out, rows_per_part=400)
    for name, expected in (("timelines", read.timelines), ("rejections", read.rejections)):
        files = sorted((out / name).glob("*.parquet"))
        written = pa.concat_tables(pq.read_table(file).cast(expected.schema) for file in files)
        assert sorted(map(str, written.to_pylist())) == sorted(map(str, expected.to_pylist()))
    assert sorted(path.name for path in out.iterdir()) == ["rejections", "timelines"]
