"""What joins and what leaves a set of values between two days, and why everything else does neither."""

from __future__ import annotations

import datetime
from functools import lru_cache

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.memberships import find_memberships
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.errors import BadInput
from tests.pipeline.timelines.statement_world import World, world
from tests.pipeline.whole_tables import draw_timelines

SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)
CATALOGUE = load_catalogue().select(["member_of", "employer", "award", "citizenship"])


def found(made: World) -> tuple[pa.Table, pa.Table]:
    return found_in(made)[1:]


def found_in(made: World) -> tuple[pa.Table, pa.Table, pa.Table]:
    """(timelines, members, rejections), worked out once for a world as it stands."""
    return _found_in(made, len(made.rows), len(made.lifecycle))


@lru_cache(maxsize=4)
def _found_in(made: World, statements_told: int, lifecycle_told: int) -> tuple[pa.Table, pa.Table, pa.Table]:
    statements, entities = made.tables()
    timelines, _ = draw_timelines(statements, entities, CATALOGUE, AS_OF)
    return timelines, *find_memberships(timelines, statements, entities, CATALOGUE, SINCE, AS_OF)


def roles(made: World) -> dict[str, str]:
    return {row["object"]: row["role"] for row in found(made)[0].to_pylist()}


def rejected(made: World) -> list[tuple[str, list[str]]]:
    return [(row["reason"], row["ids"]) for row in found(made)[1].to_pylist()]


def member(qid: str = "Q1") -> World:
    return world().country(qid, "P463")


def test_a_country_that_acceded_joined_and_its_older_memberships_stay() -> None:
    made = member().held_by("Q2", "1995-01-01").held_by("Q3", "2023-04-04")
    assert roles(made) == {"Q2": "stays", "Q3": "joined"}
    joined = found(made)[0].to_pylist()[1]
    assert joined["changed_on_earliest"] == joined["changed_on_latest"] == datetime.date(2023, 4, 4)
    assert (joined["changed_on_precision"], joined["statement_ids"], joined["whole"]) == (11, ["S2"], True)
    assert rejected(made) == []


def test_a_member_with_a_stated_end_left() -> None:
    made = member().held_by("Q2", "1973-01-01", "2022-03-16").held_by("Q3", "1990-01-01")
    assert roles(made) == {"Q2": "left", "Q3": "stays"}
    left = found(made)[0].to_pylist()[0]
    assert left["changed_on_earliest"] == left["changed_on_latest"] == datetime.date(2022, 3, 16)


def test_an_end_known_to_the_year_is_told_as_an_interval() -> None:
    left = found(member().held_by("Q2", "1973", "2022").held_by("Q3", "1990"))[0].to_pylist()[0]
    assert (left["changed_on_earliest"], left["changed_on_latest"], left["changed_on_precision"]) == (
        datetime.date(2022, 1, 1), datetime.date(2022, 12, 31), 9,
    )  # fmt: skip


def test_a_set_of_several_values_that_did_not_change_is_told_too_and_a_single_value_is_not() -> None:
    assert roles(member().held_by("Q2", "1995").held_by("Q3", "1996")) == {"Q2": "stays", "Q3": "stays"}
    assert roles(member().held_by("Q2", "1995")) == {}


def test_an_undated_value_never_joins_and_is_a_reason_to_say_less() -> None:
    made = member().held_by("Q2").held_by("Q3", "2023-04-04")
    assert roles(made) == {"Q3": "joined"}
    assert rejected(made) == [("uncertain_at_since", ["S1"])]
    assert not found(made)[0].to_pylist()[0]["whole"]


@pytest.mark.parametrize("qualifier", [{"P1480": "Q9"}, {"P518": "Q9"}])
def test_a_restricted_statement_about_the_same_value_makes_it_uncertain(qualifier: dict[str, str]) -> None:
    made = member().held_by("Q2", "1995").held_by("Q3", "2015", **qualifier).held_by("Q3", "2023")
    assert roles(made) == {}
    assert rejected(made) == [("uncertain_at_since", ["S2", "S3"])]


def test_a_restricted_statement_about_another_value_does_not() -> None:
    made = member().held_by("Q2", "1995").held_by("Q4", "2015", P1480="Q9").held_by("Q3", "2023")
    assert roles(made) == {"Q2": "stays", "Q3": "joined"}
    assert rejected(made) == [("uncertain_at_since", ["S2"])]


def test_a_start_that_straddles_since_is_uncertain() -> None:
    assert rejected(member().held_by("Q2", "1995").held_by("Q3", "2021")) == [("uncertain_at_since", ["S2"])]


def test_an_end_on_the_day_before_a_new_start_is_no_leaving_and_no_joining() -> None:
    made = member().held_by("Q2", "1995").held_by("Q3", "2010-01-01", "2020-12-31").held_by("Q3", "2021-01-01")
    assert roles(made) == {"Q2": "stays", "Q3": "stays"}
    made = member().held_by("Q2", "1995").held_by("Q3", "2010-01-01", "2021-01-01").held_by("Q3", "2021-01-02")
    assert roles(made) == {}
    assert rejected(made) == [("uncertain_change_date", ["S2", "S3"])]


def test_who_left_and_came_back_in_between_stays() -> None:
    made = member().held_by("Q2", "1995").held_by("Q3", "2010", "2022-01-01").held_by("Q3", "2023-01-01")
    assert roles(made) == {"Q2": "stays", "Q3": "stays"}


def test_who_came_back_after_since_joined_then() -> None:
    made = member().held_by("Q2", "1995").held_by("Q3", "2010", "2015-01-01").held_by("Q3", "2023-01-01")
    assert found(made)[0].to_pylist()[1]["changed_on_earliest"] == datetime.date(2023, 1, 1)


def test_nothing_leaves_by_ceasing_to_exist() -> None:
    made = member().held_by("Q2", "1995").held_by("Q3", "2010", "2022-05-01").abolished("Q3", "2022-05-01")
    assert roles(made) == {} and rejected(made) == [("ended_without_successor", ["S2"])]
    made = member().held_by("Q2", "1995").held_by("Q3", "2010").abolished("Q1", "2022-05-01")
    assert roles(made) == {} and {reason for reason, _ in rejected(made)} == {"ended_without_successor"}


def test_who_left_long_before_the_union_ended_left() -> None:
    made = member().held_by("Q2", "1995").held_by("Q3", "2010", "2022-05-01").abolished("Q3", "2024-05-01")
    assert roles(made) == {"Q2": "stays", "Q3": "left"}


def test_a_subject_that_was_gone_at_since_asks_nothing() -> None:
    made = member().held_by("Q2", "1995").held_by("Q3", "1996").abolished("Q1", "2011-05-01")
    assert roles(made) == {} and rejected(made) == []


@pytest.mark.parametrize("died", ["unknown", "2021", "2022"])
def test_what_changed_in_the_set_of_a_subject_that_may_be_gone_says_why_it_is_no_edit(died: str) -> None:
    made = world().country("Q1", "P108").held_by("Q2", "2001-01-01", "2023-01-01").held_by("Q3", "2023-01-01")
    assert roles(made.died("Q1", died)) == {} and {name for _, ids in rejected(made) for name in ids} >= {"S1"}
    assert not contradicting_rejections(made)


def test_the_dead_who_joined_before_they_died_make_no_edit_and_that_is_the_reason() -> None:
    made = world().country("Q1", "P27").held_by("Q2", "1990-01-01", "2022-01-01").held_by("Q3", "2022-01-01")
    assert roles(made.died("Q1", "2023-05-01")) == {} and rejected(made) == [("subject_gone", ["S1", "S2"])]
    made = world().country("Q1", "P27").held_by("Q2", "1990-01-01", "2022-01-01").held_by("Q3", "2022-01-01")
    assert roles(made.died("Q1", "unknown")) == {} and rejected(made) == [("subject_gone", ["S1", "S2"])]


def contradicting_rejections(made: World) -> list[dict]:
    """Rejections whose reason the values in their detail contradict."""
    untrue = {
        "uncertain_at_since": ("at since yes", "at since no"),
        "uncertain_at_as_of": ("at as_of yes", "at as_of no"),
        "ended_without_successor": ("at since no", "at since maybe", "at as_of yes", "at as_of maybe"),
    }
    told = found(made)[1].to_pylist()
    return [row for row in told if any(said in row["detail"] for said in untrue.get(row["reason"], ()))]


def test_an_employment_without_an_end_that_is_too_old_is_uncertain() -> None:
    made = world().country("Q1", "P108").held_by("Q2", "1960").held_by("Q3", "2022-06-01")
    assert roles(made) == {"Q3": "joined"}
    assert rejected(made) == [("uncertain_at_since", ["S1"])]


def test_somebody_unknown_makes_the_set_less_than_whole() -> None:
    made = member().held_by("Q2", "1995").held_by(None, "2010").held_by("Q3", "2023")
    assert not any(row["whole"] for row in found(made)[0].to_pylist())


def test_facts_that_are_true_for_ever_do_not_change() -> None:
    assert roles(world().country("Q1", "P166").held_by("Q2", "1995").held_by("Q3", "2023")) == {}


def test_the_same_day_twice_is_refused() -> None:
    statements, entities = member().held_by("Q2", "1995").tables()
    timelines, _ = draw_timelines(statements, entities, CATALOGUE, AS_OF)
    with pytest.raises(BadInput):
        find_memberships(timelines, statements, entities, CATALOGUE, AS_OF, AS_OF)


DAYS = st.one_of(
    st.just(""),
    st.dates(datetime.date(2018, 1, 1), datetime.date(2027, 12, 31)).map(str),
    st.dates(datetime.date(2018, 1, 1), datetime.date(2027, 12, 31)).map(lambda day: str(day)[:7]),
    st.integers(2018, 2027).map(str),
)
STATEMENT = st.tuples(st.sampled_from(["Q2", "Q3", "Q4"]), DAYS, DAYS)


# Many sets in one world: to work a world out takes longer than all that is looked up in it.
@settings(max_examples=6, deadline=None)
@given(st.lists(st.lists(STATEMENT, min_size=1, max_size=6), min_size=8, max_size=10))
def test_the_set_at_as_of_is_the_set_at_since_with_what_joined_and_without_what_left(told: list) -> None:
    made = world()
    for number, listed in enumerate(told, 100):
        made.country(f"Q{number}", "P463")
        for object_, start, end in listed:
            made.held_by(object_, start, end)
    all_rows = [table.to_pylist() for table in found_in(made)]
    for number, listed in enumerate(told, 100):
        spans, members, rejections = ([row for row in rows if row["subject"] == f"Q{number}"] for rows in all_rows)
        check_roles(spans, members, "".join(row["detail"] for row in rejections), listed)


def check_roles(spans: list[dict], members: list[dict], explained: str, told: list) -> None:
    by_role: dict[str, set[str]] = {"joined": set(), "left": set(), "stays": set()}
    for row in members:
        by_role[row["role"]].add(row["object"])
        assert row["role"] == "stays" or (row["changed_on_earliest"] > SINCE and row["changed_on_latest"] <= AS_OF)
    (before, maybe_before), (after, maybe_after) = (certain(spans, day) for day in (SINCE, AS_OF))
    if by_role["joined"] or by_role["left"]:
        # Every value is in its place, or is one of which a rejection tells why it is in none.
        assert by_role["left"] | by_role["stays"] <= before and by_role["joined"] | by_role["stays"] <= after, told
        assert not by_role["joined"] & (before | maybe_before), told
        assert not by_role["left"] & (after | maybe_after), told
        assert (
            by_role["joined"] | by_role["stays"]
            == ((by_role["left"] | by_role["stays"]) | by_role["joined"]) - by_role["left"]
        ), told
        untold = (before | after) - set().union(*by_role.values())
        assert all(f"{object_} (" in explained for object_ in untold), told


def certain(spans: list[dict], day: datetime.date) -> tuple[set[str], set[str]]:
    """(values that certainly hold on a day, values that may), in Python."""
    yes, maybe = set(), set()
    for span in spans:
        starts, ends = (
            (span["valid_from_earliest"], span["valid_from_latest"]),
            (span["valid_to_earliest"], span["valid_to_latest"]),
        )
        if (starts[0] is not None and starts[0] > day) or (ends[1] is not None and ends[1] <= day):
            continue
        open_ = ends[0] is None and span["valid_to_kind"] in ("none", "open")
        holds = starts[1] is not None and starts[1] <= day and (open_ or (ends[0] is not None and ends[0] > day))
        (yes if holds else maybe).add(span["object"])
    return yes - {None}, maybe - yes - {None}
