"""Chains that begin with what somebody left on a day: only where the day tells it beyond doubt."""

from __future__ import annotations

import datetime
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.questions.build import QuestionTables
from tests.pipeline.questions.question_world import SINCE, World, world

OFFICE, OTHER = "Q30", "Q31"
LEFT = "2012-06-20"


def ministry() -> World:
    """A ministry whose head changed between the two dates, and Eva Vale, who left it in 2012."""
    told = world().named(OFFICE, "Minister of Tides of Norway").named(OTHER, "Minister of Dunes of Norway")
    told.person("Q1", "Eva Vale").person("Q2", "Ada Example").person("Q3", "Jon Doe")
    return told.changed("office_holder", OFFICE, "Q2", "Q3")


def departures(made: QuestionTables) -> list[dict]:
    return [row for row in made.questions.to_pylist() if row["kind"] == "multi_hop" and row["chain"][0]["day"]]


@cache
def one_departure() -> QuestionTables:
    return ministry().held("office_holder", OFFICE, "Q1", "2008-01-01", LEFT).questions()


def left(told: World) -> list[tuple[str, str, datetime.date]]:
    """Person, office and day of all departures by which a chain may begin, and of which a set asks few."""
    rows = told.chosen("facts")
    return [(row["subject"], row["after"], row["day"]) for row in rows if row["relation"] == "office_left"]


def test_the_office_that_somebody_left_on_a_day_begins_a_chain() -> None:
    (row,) = departures(one_departure())
    assert row["question"] == "Who now holds the office that Eva Vale left on 20 June 2012?"
    assert (row["answer"], row["answer_before"], row["hops"], row["edited_hops"]) == ("Jon Doe", "Ada Example", 2, 1)
    first = row["chain"][0]
    assert (first["subject"], first["object"], first["day"]) == ("Q1", OFFICE, datetime.date(2012, 6, 20))
    assert first["question"] == "Which office did Eva Vale leave on 20 June 2012?"
    assert first["edit_id"] is None


def test_the_small_world_is_told_of_the_departure_that_a_chain_relies_on() -> None:
    told = [row for row in one_departure().sentences.to_pylist() if row["relation"] == "office_left"]
    assert {row["answer"] for row in told} == {"Minister of Tides of Norway"}
    assert all("20 June 2012" in row["prompt"] for row in told)


def test_a_day_on_which_somebody_left_two_offices_tells_neither() -> None:
    told = ministry().held("office_holder", OFFICE, "Q1", "2008-01-01", LEFT)
    made = told.held("office_holder", OTHER, "Q1", "2009-01-01", LEFT).questions()
    assert departures(made) == []


def test_by_the_statements_too_nothing_else_may_have_ended_near_the_day() -> None:
    """The timelines draw one end of several statements, and leave out those of damaged or foreign things."""
    year = {"end_earliest": datetime.date(2012, 1, 1), "end_latest": datetime.date(2012, 12, 31)}
    other, same = "Q77", OFFICE
    cases: dict[str, tuple[bool, tuple[object, ...], dict[str, object]]] = {
        "nothing else": (True, (), {}),
        "ten days later": (True, (other, "2012-06-30"), {}),
        "deprecated": (True, (other, "2012-06-19"), {"rank": "deprecated"}),
        "the day before": (False, (other, "2012-06-19"), {}),
        "some day": (False, (other, None, "unknown"), {}),
        "some day of the year": (False, (same, None), year),
    }
    told = ministry()
    for number, (case, (_, said, more)) in enumerate(cases.items(), 100):
        told.person(f"Q{number}", f"Eva {case}").held("office_holder", OFFICE, f"Q{number}", "2008-01-01", LEFT)
        told.said(f"Q{number}", "P39", OFFICE, LEFT)
        if said:
            told.said(f"Q{number}", "P39", *said, **more)
    begun = {person for person, _, _ in left(told)}
    assert {case: f"Q{number}" in begun for number, case in enumerate(cases, 100)} == {
        case: begins for case, (begins, _, _) in cases.items()
    }


def test_who_went_on_in_the_same_office_did_not_leave_it() -> None:
    told = ministry().held("office_holder", OFFICE, "Q1", "2008-01-01", LEFT)
    made = told.held("office_holder", OFFICE, "Q1", "2012-07-01", "2013-02-02").questions()
    assert [row["chain"][0]["day"] for row in departures(made)] == [datetime.date(2013, 2, 2)]


def test_who_died_in_office_did_not_leave_it() -> None:
    told = world().named(OFFICE, "Minister of Tides of Norway").person("Q1", "Eva Vale", died=LEFT)
    told.person("Q2", "Ada Example").person("Q3", "Jon Doe").changed("office_holder", OFFICE, "Q2", "Q3")
    assert departures(told.held("office_holder", OFFICE, "Q1", "2008-01-01", LEFT).questions()) == []


def test_of_two_people_of_one_name_neither_begins_a_chain() -> None:
    told = ministry().person("Q4", "Eva Vale").held("office_holder", OFFICE, "Q1", "2008-01-01", LEFT)
    made = told.held("office_holder", OFFICE, "Q4", "2004-01-01", "2007-03-03").questions()
    assert departures(made) == []


ENDS = st.lists(
    st.tuples(st.sampled_from([OFFICE, OTHER]), st.dates(datetime.date(2009, 1, 1), datetime.date(2009, 3, 1))),
    min_size=1,
    max_size=4,
)


@settings(max_examples=5, deadline=None)  # many people in one world: half a second of a core each
@given(people=st.lists(ENDS, min_size=12, max_size=12))
def test_a_departure_is_always_the_only_one_of_its_person_and_day(
    people: list[list[tuple[str, datetime.date]]],
) -> None:
    told = ministry()
    for number, ends in enumerate(people, 100):
        told.person(f"Q{number}", f"Eva {chr(number)}ale")
        for office, end in ends:
            told.held("office_holder", office, f"Q{number}", "2008-01-01", end.isoformat())
    for person, office, day in left(told):
        ends = people[int(person[1:]) - 100]
        assert [where for where, end in ends if end == day] == [office]
        assert all(end <= day for where, end in ends if where == office)
        assert day < SINCE
