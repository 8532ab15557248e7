"""Where Wikidata says a thing in several places."""

import datetime
import itertools
from pathlib import Path

import pyarrow as pa

from chronofacts.pipeline.build import mark_recent_edits
from chronofacts.pipeline.changes import find_changes
from chronofacts.pipeline.timelines.agreement import check_agreement, veto_empty_before, write_confidence
from chronofacts.pipeline.timelines.build import values_at
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.tables import TIMELINES
from tests.pipeline.timelines.statement_world import World, world
from tests.pipeline.whole_tables import draw_timelines, read_whole

DAY = datetime.date(2022, 1, 1)
CATALOGUE = load_catalogue().select(
    ["head_of_government", "office_holder", "officeholder", "office_of_head_of_government"]
)


def country(p6: str = "Q2", p39: str = "Q2", p1308: str = "Q2", office: str = "Q9") -> World:
    """The country Q1, whose head of government is told in three places; an empty name is not told."""
    return tell(world().fact("Q1", "P1313", office), "Q1", "Q9", p6, p39, p1308)


def tell(made: World, land: str, office: str, p6: str, p39: str, p1308: str) -> World:
    if p6:
        made.country(land, "P6").held_by(p6, "2020-01-01")
    if p39:
        made.office(office).held_by(p39, "2020-01-01")
    if p1308:
        made.country(office, "P1308").held_by(p1308, "2020-01-01")
    return made


def values(made: World) -> dict[str, tuple[str | None, str, int]]:
    """Relation -> value, certainty and confidence."""
    return {relation: value for (_, relation), value in all_values(made).items()}


def all_values(made: World) -> dict[tuple[str, str], tuple[str | None, str, int]]:
    timelines, _ = draw_timelines(*made.tables(), CATALOGUE, DAY)
    return {
        (row["subject"], row["relation"]): (row["object"], row["certainty"], row["confidence"])
        for row in check_agreement(values_at(timelines, DAY), CATALOGUE).to_pylist()
    }


def test_places_that_agree_raise_the_confidence() -> None:
    assert values(country())["head_of_government"] == ("Q2", "certain", 3)
    assert values(country(p1308=""))["head_of_government"] == ("Q2", "certain", 2)
    assert values(country(p39="", p1308=""))["head_of_government"] == ("Q2", "certain", 1)


def test_one_place_that_certainly_says_otherwise_disputes_the_value() -> None:
    found = values(country(p1308="Q3"))
    assert found["head_of_government"][:2] == (None, "disputed")
    assert found["office_holder"][:2] == found["officeholder"][:2] == (None, "disputed")


def test_an_uncertain_place_has_no_vote() -> None:
    made = country(p39="", p1308="").office("Q9").held_by("Q3", "2022")
    assert values(made)["head_of_government"] == ("Q2", "certain", 1)


def test_another_office_has_no_vote() -> None:
    assert values(country(p39="Q3", p1308="", office="Q8"))["head_of_government"] == ("Q2", "certain", 1)


def test_a_value_stays_certain_only_if_nobody_says_otherwise() -> None:
    told = {
        f"Q1{number}": names
        for number, names in enumerate(itertools.product(("Q2", "Q3"), ("", "Q2", "Q3"), ("", "Q2", "Q3")), 10)
    }
    made = world()
    for land, names in told.items():
        tell(made.fact(land, "P1313", f"{land}9"), land, f"{land}9", *names)
    found = all_values(made)
    for land, (value, *others) in told.items():
        _, certainty, confidence = found[land, "head_of_government"]
        agree = {name for name in others if name} <= {value}
        assert (certainty == "certain") == agree, told[land]
        if agree:
            assert confidence == 1 + sum(1 for name in others if name), told[land]


def test_the_confidence_of_a_span_counts_the_places_that_give_its_holder_for_its_time(tmp_path: Path) -> None:
    made = (
        country().country("Q1", "P6").held_by("Q5", "2010-01-01", "2015-01-01")
        .office("Q9").held_by("Q5", "2016-01-01", "2017-01-01")
    )  # fmt: skip
    timelines, _ = draw_timelines(*made.tables(), CATALOGUE, DAY)
    write_confidence(timelines, CATALOGUE, tmp_path / "timelines.parquet")
    rows = read_whole(tmp_path / "timelines.parquet", TIMELINES).to_pylist()
    spans = {(row["relation"], row["object"]): row["confidence"] for row in rows}
    assert spans["head_of_government", "Q2"] == 3
    assert spans["head_of_government", "Q5"] == 1


def edited(table: pa.Table, day: str) -> pa.Table:
    place = table.schema.get_field_index("modified_at")
    moment = datetime.datetime.fromisoformat(f"{day}T12:00:00+00:00")
    column = pa.array([moment] * table.num_rows, table.schema.field(place).type)
    return table.set_column(place, table.schema.field(place), column)


def test_a_statement_edited_in_the_last_days_is_possible_but_no_answer() -> None:
    statements, entities = world().office("Q1").held_by("Q2", "2020-01-01").tables()
    young = mark_recent_edits(edited(statements, "2021-12-30"), DAY, 3)
    timelines, rejections = draw_timelines(young, entities, CATALOGUE, DAY)
    assert [row["certainty"] for row in values_at(timelines, DAY).to_pylist()] == ["unknown"]
    assert [(row["reason"], row["ids"]) for row in rejections.to_pylist()] == [("young_statement", ["S1"])]
    assert mark_recent_edits(edited(statements, "2021-12-29"), DAY, 3)["faults"].to_pylist() == [[]]
    assert mark_recent_edits(edited(statements, "2021-12-30"), DAY, 0)["faults"].to_pylist() == [[]]


SINCE = datetime.date(2021, 1, 1)


def changes(made: World) -> tuple[list[tuple], list[tuple]]:
    """((kind, relation, old, new) of every change, (reason, relation) of every rejection by another place)."""
    statements, entities = made.tables()
    timelines, _ = draw_timelines(statements, entities, CATALOGUE, DAY)
    since, as_of = (check_agreement(values_at(timelines, day), CATALOGUE) for day in (SINCE, DAY))
    found, _ = find_changes(timelines, since, as_of, statements, CATALOGUE, SINCE, DAY, entities=entities)
    found, vetoed = veto_empty_before(found, since, CATALOGUE)
    rejected = [(row["reason"], row["relation"]) for row in vetoed.to_pylist()]
    return [(r["kind"], r["relation"], r["old_object"], r["new_object"]) for r in found.to_pylist()], rejected


def test_nothing_at_since_is_no_injection_where_another_place_names_a_holder() -> None:
    made = world().office("Q9").held_by("Q3", "2021-06-01")
    made.country("Q9", "P1308").held_by("Q2", "2019-01-01", "2021-06-01").held_by("Q3", "2021-06-01")
    assert changes(made) == (
        [("modification", "officeholder", "Q2", "Q3")],
        [("sources_disagree", "office_holder")],
    )
