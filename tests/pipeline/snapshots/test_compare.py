"""Between two snapshots: the world moved, or Wikidata was edited."""

import datetime

import pyarrow as pa

from chronofacts.pipeline.snapshots.compare import count_kinds, find_differences
from chronofacts.schemas.catalogue import load_catalogue
from tests.pipeline.timelines.statement_world import World, world
from tests.pipeline.whole_tables import draw_timelines

OLD, NEW = datetime.date(2022, 1, 1), datetime.date(2023, 1, 1)
CATALOGUE = load_catalogue().select(["office_holder", "officeholder", "capital", "member_of"])


def tables(made: World, as_of: datetime.date) -> dict[str, pa.Table]:
    statements, entities = made.tables()
    timelines, _ = draw_timelines(statements, entities, CATALOGUE, as_of)
    return {"statements": statements, "entities": entities, "timelines": timelines}


def differences(before: World, after: World) -> list[tuple]:
    found = find_differences(tables(before, OLD), tables(after, NEW), CATALOGUE, OLD, NEW)
    return [(row["kind"], row["old"], row["new"], row["statement_ids"]) for row in found.to_pylist()]


def test_a_new_holder_is_a_world_change_with_its_statements() -> None:
    before = world().office("Q1").held_by("Q2", "2019-01-01")
    after = world().office("Q1").held_by("Q2", "2019-01-01", "2022-05-03").held_by("Q3", "2022-05-03")
    assert differences(before, after) == [("world_change", "Q2", "Q3", ["S1", "S2"])]


def test_who_joined_or_left_a_union_is_a_world_change_of_one_value() -> None:
    before = world().country("Q1", "P463").held_by("Q2", "1995-01-01").held_by("Q3", "1990-01-01")
    after = world().country("Q1", "P463").held_by("Q2", "1995-01-01").held_by("Q3", "1990-01-01", "2022-03-16")
    after.held_by("Q4", "2022-07-01")
    assert differences(before, after) == [
        ("world_change", "Q3", None, ["S2"]), ("world_change", None, "Q4", ["S3"]),
    ]  # fmt: skip


def test_another_holder_of_the_same_day_is_a_correction() -> None:
    before = world().office("Q1").held_by("Q2", "2019-01-01")
    after = world().office("Q1").held_by("Q4", "2019-01-01")
    found = differences(before, after)
    assert ("correction", "Q2", "Q4", ["S1"]) in found
    assert "world_change" not in {kind for kind, *_ in found}


def test_a_new_holder_of_whom_another_place_says_otherwise_is_no_change_of_the_world() -> None:
    before = world().office("Q1").held_by("Q2", "2019-01-01").country("Q1", "P1308").held_by("Q2", "2019-01-01")
    after = world().office("Q1").held_by("Q2", "2019-01-01", "2022-05-03").held_by("Q3", "2022-05-03")
    assert "world_change" in {kind for kind, *_ in differences(before, after)}
    after.country("Q1", "P1308").held_by("Q2", "2019-01-01")
    assert "world_change" not in {kind for kind, *_ in differences(before, after)}


def test_a_statement_about_the_past_is_an_addition() -> None:
    before = world().office("Q1").held_by("Q2", "2019-01-01")
    after = world().office("Q1").held_by("Q2", "2019-01-01").held_by("Q3", "2015-01-01", "2019-01-01")
    assert differences(before, after) == [("addition", None, "Q1", ["S2"])]


def test_a_statement_that_is_gone_is_a_removal() -> None:
    before = world().office("Q1").held_by("Q2", "2019-01-01").held_by("Q3", "2015-01-01", "2019-01-01")
    after = world().office("Q1").held_by("Q2", "2019-01-01")
    assert differences(before, after) == [("removal", "Q1", None, ["S2"])]


def test_an_item_that_became_a_redirect_is_a_merge() -> None:
    before = world().office("Q1").held_by("Q2", "2019-01-01", "2020-01-01")
    after = world().untold().office("Q1").held_by("Q22", "2019-01-01", "2020-01-01")
    assert differences(before, after) == [("merge", "Q1", "Q1", ["S1", "S2"])]


def test_a_date_made_exact_is_an_edit_and_no_change_of_the_world() -> None:
    before = world().office("Q1").held_by("Q2", "2019", "none")
    after = world().office("Q1").held_by("Q2", "2019-05-03", "none")
    assert differences(before, after) == [("edited", "Q1", "Q1", ["S1"])]


def test_a_snapshot_does_not_differ_from_itself() -> None:
    made = tables(world().office("Q1").held_by("Q2", "2019-01-01").held_by("Q3", "2021-03-04"), OLD)
    found = find_differences(made, made, CATALOGUE, OLD, OLD)
    assert found.num_rows == 0
    assert set(count_kinds(found).values()) == {0}
