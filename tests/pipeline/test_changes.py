"""Modifications and injections between two days, and why everything else is none."""

import datetime

import pyarrow as pa
import pytest

from chronofacts.pipeline.changes import find_changes
from chronofacts.pipeline.timelines.agreement import check_agreement
from chronofacts.pipeline.timelines.build import values_at
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.errors import BadInput
from tests.pipeline.timelines.statement_world import World, world
from tests.pipeline.whole_tables import draw_timelines

SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)
CATALOGUE = load_catalogue().select(["office_holder", "head_of_government", "birthplace"])


def changes(made: World) -> list[dict]:
    statements, entities = made.tables()
    return found(statements, entities)[0].to_pylist()


def kinds(made: World) -> list[tuple[str, str]]:
    return [(row["kind"], row["before"]) for row in changes(made)]


def rejected(made: World) -> list[tuple[str, list[str]]]:
    statements, entities = made.tables()
    return [(row["reason"], row["ids"]) for row in found(statements, entities)[1].to_pylist()]


def found(statements: pa.Table, entities: pa.Table) -> tuple[pa.Table, pa.Table]:
    timelines, _ = draw_timelines(statements, entities, CATALOGUE, AS_OF)
    before, after = (check_agreement(values_at(timelines, day), CATALOGUE) for day in (SINCE, AS_OF))
    return find_changes(timelines, before, after, statements, CATALOGUE, SINCE, AS_OF, entities=entities)


def test_a_holder_who_gave_way_to_another_is_a_modification() -> None:
    (change,) = changes(world().office("Q1").held_by("Q2", "2019-01-01", "2022-05-03").held_by("Q3", "2022-05-03"))
    assert (change["kind"], change["old_object"], change["new_object"]) == ("modification", "Q2", "Q3")
    assert change["changed_on_earliest"] == change["changed_on_latest"] == datetime.date(2022, 5, 3)
    assert change["statement_ids"] == ["S1", "S2"]


def test_a_holder_before_whom_wikidata_names_nobody_is_an_update() -> None:
    (change,) = changes(world().office("Q1").held_by("Q3", "2022-05"))
    assert (change["kind"], change["before"], change["old_object"]) == ("update", "unknown", None)
    assert (change["changed_on_earliest"], change["changed_on_latest"], change["changed_on_precision"]) == (
        datetime.date(2022, 5, 1), datetime.date(2022, 5, 31), 10,
    )  # fmt: skip


def test_the_first_holder_of_what_began_after_since_is_an_injection() -> None:
    made = world().office("Q1").held_by("Q3", "2022-05-03")
    assert kinds(made.began("Q1", "2022")) == [("injection", "nobody")]
    assert kinds(world().office("Q1").held_by("Q3", "2022-05-03").began("Q1", "2020")) == [("update", "unknown")]
    assert kinds(world().office("Q1").held_by("Q3", "2022-05-03").began("Q1", "2021")) == [("update", "unknown")]


def test_a_stated_vacancy_at_since_makes_an_injection_and_at_as_of_nothing() -> None:
    made = world().country("Q1").vacant("2020-05-01", "2022-05-03").held_by("Q3", "2022-05-03")
    assert kinds(made) == [("injection", "nobody")]
    made = world().country("Q1").held_by("Q3", "2019-01-01", "2022-05-03").vacant("2022-05-03")
    assert kinds(made) == [] and [reason for reason, _ in rejected(made)] == ["ended_without_successor"]


def test_a_vacancy_beside_a_hole_is_no_end_of_a_value_and_one_that_lasts_is_no_change() -> None:
    hole_since = world().country("Q1").vacant("2022-05-03")
    hole_as_of = world().country("Q1").vacant("2020-05-01", "2022-05-03")
    assert [reason for reason, _ in rejected(hole_since)] == ["uncertain_at_since"]
    assert [reason for reason, _ in rejected(hole_as_of)] == ["uncertain_at_as_of"]
    assert rejected(world().country("Q1").vacant("2020-05-01")) == []


def test_who_is_named_again_within_a_month_was_perhaps_never_away() -> None:
    made = world().office("Q1").held_by("Q3", "2015-01-01", "2020-12-20").held_by("Q3", "2021-01-15")
    assert changes(made) == [] and [reason for reason, _ in rejected(made)] == ["uncertain_at_since"]
    made = world().office("Q1").held_by("Q3", "2015-01-01", "2019-12-20").held_by("Q3", "2021-01-15")
    assert kinds(made) == [("update", "unknown")]


def test_an_end_on_the_day_before_the_next_start_is_a_hand_over() -> None:
    for end, start in (("2021-01-01", "2021-01-02"), ("2021-01", "2021-02-01"), ("2020-12-31", "2021-01-01")):
        made = world().office("Q1").held_by("Q2", "2015-01-01", end).held_by("Q3", start)
        assert kinds(made) in ([("modification", "known")], []), (end, start)
        assert all(reason == "uncertain_at_since" for reason, _ in rejected(made))
    made = world().office("Q1").held_by("Q2", "2015-01-01", "2021-01-01").held_by("Q3", "2021-01-02")
    assert kinds(made) == [("modification", "known")]
    made = world().office("Q1").held_by("Q2", "2015-01-01", "2021-01-01").held_by("Q3", "2021-01-03")
    assert kinds(made) == [("update", "unknown")]


def test_the_same_holder_on_both_days_is_no_change() -> None:
    assert changes(world().office("Q1").held_by("Q2", "2019-01-01")) == []
    made = world().office("Q1").held_by("Q2", "2019-01-01", "2022-01-01").held_by("Q2", "2022-01-01")
    assert changes(made) == [] and rejected(made) == []


def test_a_return_to_office_after_somebody_else_is_no_change_between_two_days_of_the_same_holder() -> None:
    made = (
        world().office("Q1").held_by("Q2", "2019-01-01", "2022-01-01")
        .held_by("Q3", "2022-01-01", "2023-01-01").held_by("Q2", "2023-01-01")
    )  # fmt: skip
    assert changes(made) == []


def test_a_reelected_newcomer_changed_when_the_first_term_began() -> None:
    made = (
        world().office("Q1").held_by("Q2", "2019-01-01", "2022-01-01")
        .held_by("Q3", "2022-01-01", "2024-01-01").held_by("Q3", "2024-01-01")
    )  # fmt: skip
    (change,) = changes(made)
    assert change["changed_on_earliest"] == datetime.date(2022, 1, 1)


@pytest.mark.parametrize("between", [("Q4", "2021-06-01", "2023-05-01"), ("Q2", "2019-01-01", "2021-12-01")])
def test_a_newcomer_who_was_away_in_between_changed_when_he_returned(between: tuple[str, str, str]) -> None:
    made = world().office("Q1").held_by("Q2", "2019-01-01", "2021-06-01").held_by(*between)
    (change,) = changes(made.held_by("Q3", "2022-01-01", "2022-01-08").held_by("Q3", "2023-05-01"))
    assert change["new_object"] == "Q3"
    assert change["changed_on_earliest"] == change["changed_on_latest"] == datetime.date(2023, 5, 1)


def test_only_the_last_of_several_changes_counts() -> None:
    made = (
        world().office("Q1").held_by("Q2", "2019-01-01", "2022-01-01")
        .held_by("Q3", "2022-01-01", "2024-01-01").held_by("Q4", "2024-01-01")
    )  # fmt: skip
    (change,) = changes(made)
    assert (change["old_object"], change["new_object"]) == ("Q2", "Q4")


def test_what_is_uncertain_on_one_of_the_days_is_no_change_and_says_so() -> None:
    before = world().office("Q1").held_by("Q2", "2021", "2022-01-01").held_by("Q3", "2022-01-01")
    after = world().office("Q1").held_by("Q2", "2019-01-01", "2022-01-01").held_by("Q3", "2022-01-01", "2025")
    assert changes(before) == changes(after) == []
    assert rejected(before)[0][0] == "uncertain_at_since"
    assert rejected(after)[0][0] == "uncertain_at_as_of"


def test_an_end_without_a_successor_is_no_edit_and_says_so() -> None:
    assert rejected(world().office("Q1").held_by("Q2", "2019-01-01", "2022-01-01")) == [
        ("ended_without_successor", ["S1"])
    ]


def test_a_holder_who_may_have_begun_before_since_is_no_injection() -> None:
    made = world().office("Q1").held_by("Q2", "2021")
    assert changes(made) == []
    assert rejected(made)[0][0] == "uncertain_at_since"


def seats(made: World, office: str) -> World:
    """An office with two holders at once in 2015 and in 2018, then with one, and with another since 2022."""
    made.office(office).held_by("Q11", "2014-01-01", "2016-01-01").held_by("Q12", "2015-01-01", "2017-01-01")
    made.held_by("Q13", "2017-01-01", "2019-01-01").held_by("Q14", "2018-01-01", "2020-01-01")
    return made.held_by("Q15", "2020-01-01", "2022-01-01").held_by("Q16", "2022-01-01", "none")


def test_an_office_held_by_two_again_and_again_makes_no_edit_even_where_one_is_certain() -> None:
    made = seats(world(), "Q1")
    assert changes(made) == []
    assert rejected(made) == [("not_single_valued", ["S5", "S6"])]


def test_two_holders_at_once_in_one_period_or_for_a_few_weeks_make_no_plural_office() -> None:
    once = (
        world().office("Q1").held_by("Q11", "2014-01-01", "2016-01-01").held_by("Q12", "2015-01-01", "2020-01-01")
        .held_by("Q13", "2020-01-01", "2022-01-01").held_by("Q14", "2022-01-01", "none")
    )  # fmt: skip
    weeks = (
        world().office("Q1").held_by("Q11", "2014-01-01", "2016-01-20").held_by("Q12", "2016-01-01", "2020-01-20")
        .held_by("Q13", "2020-01-01", "2022-01-01").held_by("Q14", "2022-01-01", "none")
    )  # fmt: skip
    assert [len(changes(made)) for made in (once, weeks)] == [1, 1]


def test_a_relation_that_is_plural_in_fact_makes_no_edits_at_all() -> None:
    made = world()
    for number in range(25):
        seats(made, f"Q{100 + number}")
    made.office("Q1").held_by("Q2", "2019-01-01", "2022-01-01").held_by("Q3", "2022-01-01", "none")
    assert changes(made) == []
    assert {reason for reason, _ in rejected(made)} == {"plural_relation"}
    assert len(rejected(made)) == 26


def test_a_fact_that_is_true_for_ever_does_not_change() -> None:
    assert changes(world().fact("Q1", "P19", "Q7")) == []


def test_since_must_lie_before_as_of() -> None:
    statements, entities = world().office("Q1").held_by("Q2", "2019").tables()
    timelines, _ = draw_timelines(statements, entities, CATALOGUE, AS_OF)
    with pytest.raises(BadInput, match="--since 2025-01-01 is not before --as-of 2021-01-01"):
        find_changes(timelines, timelines, timelines, statements, CATALOGUE, AS_OF, SINCE, entities=timelines)
