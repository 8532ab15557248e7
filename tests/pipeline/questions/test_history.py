"""Past days are asked only where one holder is beyond doubt, at the precision that is certain."""

from __future__ import annotations

import datetime
from functools import cache

from tests.pipeline.questions.question_world import SINCE, World, small_country, world


def asked(told: World, kind: str = "history", **settings: object) -> list[dict]:
    return [row for row in told.questions(**settings).questions.to_pylist() if row["kind"] == kind]


Span = tuple[str | None, str, str | None]
"""Holder, start and end."""


def office(*spans: Span) -> World:
    """The Chancellor of Redland, an office that Cat New has held since 2022."""
    return offices({"Redland": spans})


def offices(lands: dict[str, tuple[Span, ...]]) -> World:
    told = world()
    for i, name in enumerate(("Ada Old", "Bea Mid", "Cat New", "Dee Far")):
        told.person(f"Q{i + 2}", name)
    for number, (land, spans) in enumerate(lands.items()):
        qid = f"Q{number + 1}0"
        told.named(qid, f"Chancellor of {land}")
        for holder, start, end in spans:
            told.held("office_holder", qid, holder, start, end)
        told.changed("office_holder", qid, None, "Q4", "2022-05-16")
    return told


HELD: dict[str, tuple[Span, ...]] = {
    "Yearland": (("Q2", "2016-12-31", "2018-01-02"),),
    "Monthland": (("Q2", "2017-01-31", "2017-03-02"),),
    "Dayland": (("Q2", "2017-03-10", "2017-03-20"),),
    "Doubtland": (("Q2", "2010-01-01", "2020-01-01"), (None, "2009-06-01", "2020-01-01")),
}


@cache
def asked_of_all() -> list[dict]:
    return asked(offices(HELD), history_per_edit=9)


def asked_of(land: str) -> list[str]:
    """The questions about the past of the office of one of the lands of `HELD`, asked in one world."""
    assert land in HELD
    return [row["question"] for row in asked_of_all() if row["subject_label"] == f"Chancellor of {land}"]


def test_a_year_is_named_only_when_the_holder_held_all_of_it() -> None:
    assert asked_of("Yearland") == ["Who was the Chancellor of Yearland in 2017?"]


def test_a_month_is_named_when_no_year_is_whole() -> None:
    assert asked_of("Monthland") == ["Who was the Chancellor of Monthland in February 2017?"]


def test_a_single_day_lies_strictly_inside() -> None:
    assert asked_of("Dayland") == ["Who was the Chancellor of Dayland on 15 March 2017?"]


def test_a_day_on_which_somebody_unknown_may_have_held_is_not_asked() -> None:
    assert asked_of("Doubtland") == []


@cache
def asked_of_france() -> list[dict]:
    return asked(small_country(), history_per_edit=9)


def test_nothing_after_since_is_asked_and_the_old_holder_is() -> None:
    rows = asked_of_france()
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
    hole: tuple[Span, ...] = (("Q3", "2015-01-01", "2021-04-14"),)
    told = offices({"Redland": hole, "Blueland": hole, "Greenland": hole})
    told.said("Q4", "P39", "Q10", None, "absent", replaces="Q3")
    told.said("Q3", "P39", "Q20", None, "absent", replaced_by="Q4")
    told.said("Q4", "P39", "Q30", None, "absent", replaces="Q2")
    assert {row["subject"]: row["answer"] for row in asked(told, "timeline")} == {"Q10": "Bea Mid", "Q20": "Bea Mid"}


def test_who_came_before_is_not_asked_of_one_who_returned() -> None:
    told = office(("Q4", "2010-01-01", "2015-01-01"), ("Q3", "2015-01-01", "2020-01-01"))
    assert not asked(told, "timeline")


def test_an_asked_day_lies_in_the_phrase_that_asks_it() -> None:
    for row in asked_of_france():
        assert isinstance(row["asked_on"], datetime.date)
        assert str(row["asked_on"].year) in row["question"]
