"""One property that is two relations, by the class of the object; and the newest stable version of software."""

from __future__ import annotations

import datetime

from chronofacts.pipeline.sources.statements import Snak
from chronofacts.pipeline.timelines.build import values_at
from chronofacts.schemas.catalogue import load_catalogue
from tests.pipeline.timelines.statement_world import World, time, world
from tests.pipeline.whole_tables import draw_timelines

CATALOGUE = load_catalogue().select(["P54", "software_version"])
DAY = datetime.date(2024, 1, 1)


def on(made: World, day: datetime.date = DAY) -> dict[str, str | None]:
    """relation -> its certain value; None where it is not certain."""
    statements, entities = made.tables()
    timelines, _ = draw_timelines(statements, entities, CATALOGUE, datetime.date(2025, 1, 1))
    return {row["relation"]: row["object"] for row in values_at(timelines, day).to_pylist()}


def reasons(made: World) -> list[tuple[str, str, list[str]]]:
    statements, entities = made.tables()
    _, rejections = draw_timelines(statements, entities, CATALOGUE, datetime.date(2025, 1, 1))
    return [(row["relation"], row["reason"], row["ids"]) for row in rejections.to_pylist()]


def player() -> World:
    made = world().is_a("Q2", "Q476028").is_a("Q3", "Q103229495").is_a("Q4", "Q6979593").is_a("Q5", "Q2412834")
    return made.is_a("Q6", "Q476028", "Q2412834").country("Q1", "P54")


def test_a_player_has_one_club_and_one_national_team() -> None:
    made = player().held_by("Q2", "2015", "2021-07-01").held_by("Q3", "2021-07-01").held_by("Q4", "2018-03-27")
    assert on(made) == {"club": "Q3", "national_team": "Q4"}
    assert on(made, datetime.date(2020, 1, 1)) == {"club": "Q2", "national_team": "Q4"}
    assert ("club", "other_class", ["S3"]) in reasons(made)


def test_a_reserve_side_is_neither_even_where_it_is_called_a_club_too() -> None:
    made = player().held_by("Q2", "2021").held_by("Q6", "2022").held_by("Q5", "2022")
    assert on(made) == {"club": "Q2"}
    assert {(relation, reason) for relation, reason, _ in reasons(made)} >= {
        ("club", "other_class"), ("national_team", "other_class"),
    }  # fmt: skip


def test_a_team_of_an_unknown_class_may_be_the_club_and_blocks() -> None:
    made = player().held_by("Q2", "2021").held_by("Q9", "2022")
    assert on(made) == {"club": None, "national_team": None}


def test_a_player_who_is_lent_out_plays_for_neither_club_for_certain() -> None:
    made = player().held_by("Q2", "2021").held_by("Q3", "2023-07-01", "2024-06-30", P1642="Q2914547")
    assert on(made) == {"club": None}
    assert on(made, datetime.date(2023, 1, 1)) == {"club": "Q2"}


def version(made: World, number: str, published: str, type_: str = "Q2804309") -> World:
    made.number += 1
    qualifiers = {"P577": [time(published)], "P548": [Snak("item", type_)]}
    made.rows.add(f"S{made.number}", "Q1", "P348", "normal", Snak("string", number), qualifiers, None)
    made.names.add("Q1")
    return made


def test_a_version_is_current_from_its_publication_until_the_next() -> None:
    made = version(version(world(), "3.11.0", "2022-10-24"), "3.12.0", "2023-10-02")
    assert on(made, datetime.date(2023, 10, 1)) == {"software_version": "3.11.0"}
    assert on(made) == {"software_version": "3.12.0"}


def test_a_release_of_an_older_branch_and_a_beta_are_not_current() -> None:
    made = version(version(world(), "3.12.0", "2023-10-02"), "3.9.18", "2023-11-01")
    made = version(made, "3.13.0b1", "2023-12-08", "Q3295609")
    assert on(made) == {"software_version": "3.12.0"}
    assert [(reason, ids) for _, reason, ids in reasons(made)] == [("no_release", ["S3"]), ("older_branch", ["S2"])]


def test_a_version_that_nobody_followed_for_years_is_not_believed() -> None:
    assert on(version(world(), "1.0", "2018-01-01")) == {"software_version": None}


def heads_of(made: World, *relations: str) -> dict[tuple[str, str], str | None]:
    statements, entities = made.tables()
    timelines, rejections = draw_timelines(
        statements, entities, load_catalogue().select(relations), datetime.date(2025, 1, 1)
    )
    assert rejections.num_rows == 0
    return {(row["relation"], row["subject"]): row["object"] for row in values_at(timelines, DAY).to_pylist()}


def test_the_head_of_a_city_is_its_mayor_and_that_of_a_state_or_a_city_that_is_one_leads_a_government() -> None:
    made = world().is_a("Q1", "Q515").is_a("Q2", "Q6256").is_a("Q3", "Q515", "Q3624078")
    for qid in ("Q1", "Q2", "Q3", "Q4"):
        made.country(qid, "P6").held_by(f"Q1{qid[1:]}", "2020")
    assert heads_of(made, "P6") == {
        ("mayor", "Q1"): "Q11", ("head_of_government", "Q2"): "Q12", ("head_of_government", "Q3"): "Q13",
        ("head_of_government", "Q4"): "Q14",
    }  # fmt: skip


def test_a_relation_that_is_read_alone_takes_the_subjects_of_every_class() -> None:
    made = world().is_a("Q1", "Q515").country("Q1", "P6").held_by("Q11", "2020")
    assert heads_of(made, "head_of_government") == {("head_of_government", "Q1"): "Q11"}
