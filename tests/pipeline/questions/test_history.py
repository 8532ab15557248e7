"""Past days are asked only where one holder is beyond doubt, at the precision that is certain."""

from __future__ import annotations

import datetime

from tests.pipeline.questions.question_world import SINCE, World, small_country, world


def asked(told: World, kind: str = "history", **settings: object) -> list[dict]:
    return [row for row in told.questions(**settings).questions.to_pylist() if row["kind"] == kind]


def office(*spans: tuple[str | None, str, str | None], new: str = "Q4") -> World:
    told = world().named("Q1", "Chancellor of Redland")
    for i, name in enumerate(("Ada Old", "Bea Mid", "Cat New", "Dee Far")):
        told.person(f"Q{i + 2}", name)
    for holder, start, end in spans:
        told.held("office_holder", "Q1", holder, start, end)
    return told.changed("office_holder", "Q1", None, new, "2022-05-16")


def test_a_year_is_named_only_when_the_holder_held_all_of_it() -> None:
    rows = asked(office(("Q2", "2016-12-31", "2018-01-02")), history_per_edit=9)
    assert [row["question"] for row in rows] == ["Who was the Chancellor of Redland in 2017?"]


def test_a_month_is_named_when_no_year_is_whole() -> None:
    rows = asked(office(("Q2", "2017-01-31", "2017-03-02")), history_per_edit=9)
    assert [row["question"] for row in rows] == ["Who was the Chancellor of Redland in February 2017?"]


def test_a_single_day_lies_strictly_inside() -> None:
    rows = asked(office(("Q2", "2017-03-10", "2017-03-20")), history_per_edit=9)
    assert [row["question"] for row in rows] == ["Who was the Chancellor of Redland on 15 March 2017?"]


def test_a_day_on_which_somebody_unknown_may_have_held_is_not_asked() -> None:
    told = office(("Q2", "2010-01-01", "2020-01-01"), (None, "2009-06-01", "2020-01-01"))
    assert not asked(told, history_per_edit=9)


def test_nothing_after_since_is_asked_and_the_old_holder_is() -> None:
    rows = asked(small_country(), history_per_edit=9)
    assert all(row["asked_on"] <= SINCE for row in rows)
    assert "Jean Castex" in {row["answer"] for row in rows}
    assert all(row["answer"] == row["answer_before"] for row in rows)


def test_who_came_before_is_the_span_right_before() -> None:
    rows = asked(office(("Q2", "2010-01-01", "2015-01-01"), ("Q3", "2015-01-01", "2022-05-01")), "timeline")
    assert [(row["question"], row["answer"]) for row in rows] == [
        ("Who was the Chancellor of Redland before Cat New?", "Bea Mid")
    ]


def test_who_came_before_is_not_asked_across_a_hole() -> None:
    assert not asked(office(("Q3", "2015-01-01", "2022-04-14")), "timeline")


def test_who_came_before_is_asked_across_a_hole_where_wikidata_says_who_replaced_whom() -> None:
    hole = ("Q3", "2015-01-01", "2021-04-14")
    for said in ({"subject": "Q4", "replaces": "Q3"}, {"subject": "Q3", "replaced_by": "Q4"}):
        told = office(hole).said(said.pop("subject"), "P39", "Q1", None, "absent", **said)
        assert [row["answer"] for row in asked(told, "timeline")] == ["Bea Mid"]
    other = office(hole).said("Q4", "P39", "Q1", None, "absent", replaces="Q2")
    assert not asked(other, "timeline")


def test_who_came_before_is_not_asked_of_one_who_returned() -> None:
    told = office(("Q4", "2010-01-01", "2015-01-01"), ("Q3", "2015-01-01", "2020-01-01"))
    assert not asked(told, "timeline")


def test_an_asked_day_lies_in_the_phrase_that_asks_it() -> None:
    for row in asked(small_country(), history_per_edit=9):
        assert isinstance(row["asked_on"], datetime.date)
        assert str(row["asked_on"].year) in row["question"]
