"""Chains that begin with what somebody left on a day: only where the day tells it beyond doubt."""

from __future__ import annotations

import datetime

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


def test_the_office_that_somebody_left_on_a_day_begins_a_chain() -> None:
    made = ministry().held("office_holder", OFFICE, "Q1", "2008-01-01", LEFT).questions()
    (row,) = departures(made)
    assert row["question"] == "Who now holds the office that Eva Vale left on 20 June 2012?"
    assert (row["answer"], row["answer_before"], row["hops"], row["edited_hops"]) == ("Jon Doe", "Ada Example", 2, 1)
    first = row["chain"][0]
    assert (first["subject"], first["object"], first["day"]) == ("Q1", OFFICE, datetime.date(2012, 6, 20))
    assert first["question"] == "Which office did Eva Vale leave on 20 June 2012?"
    assert first["edit_id"] is None


def test_the_small_world_is_told_of_the_departure_that_a_chain_relies_on() -> None:
    made = ministry().held("office_holder", OFFICE, "Q1", "2008-01-01", LEFT).questions()
    told = [row for row in made.sentences.to_pylist() if row["relation"] == "office_left"]
    assert {row["answer"] for row in told} == {"Minister of Tides of Norway"}
    assert all("20 June 2012" in row["prompt"] for row in told)


def test_a_day_on_which_somebody_left_two_offices_tells_neither() -> None:
    told = ministry().held("office_holder", OFFICE, "Q1", "2008-01-01", LEFT)
    made = told.held("office_holder", OTHER, "Q1", "2009-01-01", LEFT).questions()
    assert departures(made) == []


def test_by_the_statements_too_nothing_else_may_have_ended_near_the_day() -> None:
    """The timelines draw one end of several statements, and leave out those of damaged or foreign things."""

    def told() -> World:
        return ministry().held("office_holder", OFFICE, "Q1", "2008-01-01", LEFT).said("Q1", "P39", OFFICE, LEFT)

    assert departures(told().questions())
    assert departures(told().said("Q1", "P39", "Q77", "2012-06-30").questions())
    assert departures(told().said("Q1", "P39", "Q77", "2012-06-19", rank="deprecated").questions())
    assert not departures(told().said("Q1", "P39", "Q77", "2012-06-19").questions())
    assert not departures(told().said("Q1", "P39", "Q77", None, "unknown").questions())
    year = {"end_earliest": datetime.date(2012, 1, 1), "end_latest": datetime.date(2012, 12, 31)}
    assert not departures(told().said("Q1", "P39", OFFICE, None, **year).questions())


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


@settings(max_examples=8, deadline=None)  # two seconds of a core each
@given(
    ends=st.lists(
        st.tuples(st.sampled_from([OFFICE, OTHER]), st.dates(datetime.date(2009, 1, 1), datetime.date(2009, 3, 1))),
        min_size=1,
        max_size=4,
    )
)
def test_a_departure_is_always_the_only_one_of_its_person_and_day(ends: list[tuple[str, datetime.date]]) -> None:
    told = ministry()
    for office, end in ends:
        told.held("office_holder", office, "Q1", "2008-01-01", end.isoformat())
    for row in departures(told.questions()):
        day, office = row["chain"][0]["day"], row["chain"][0]["object"]
        assert [where for where, end in ends if end == day] == [office]
        assert all(end <= day for where, end in ends if where == office)
        assert day < SINCE
