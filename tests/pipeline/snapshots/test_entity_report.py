"""What `inspect --why` tells of one entity: dates as exactly as they are known, ends by kind, reasons in words."""

from __future__ import annotations

from pathlib import Path

from chronofacts.pipeline.snapshots.entity_report import report_entity
from chronofacts.schemas.reasons import explain


def told(snapshot: Path, qid: str) -> list[str]:
    return [finding.what for finding in report_entity(snapshot, qid)]


def test_an_end_that_is_unknown_is_told_apart_from_one_that_is_open(sample_snapshot: Path) -> None:
    (captain,) = (what for what in told(sample_snapshot, "Q267245") if what.startswith("captain of"))
    assert "Cristiano Ronaldo" in captain and captain.endswith(", from 2008 to an unknown day")
    lisbon = [what for what in told(sample_snapshot, "Q45") if what.startswith("capital of Portugal")]
    assert lisbon == ["capital of Portugal (Q45): Lisbon (Q597), from ever to no known end"]


def test_a_change_of_a_month_is_told_by_the_month(sample_snapshot: Path) -> None:
    assert [finding.why for finding in report_entity(sample_snapshot, "Q94") if finding.stage == "edits"] == [
        "modification, changed in September 2024"
    ]
    assert any(what.endswith(": 15, from 2024-09 to no known end") for what in told(sample_snapshot, "Q94"))


def test_what_the_timelines_left_out_says_why_in_a_sentence(sample_snapshot: Path) -> None:
    left_out = [one for one in report_entity(sample_snapshot, "Q46896") if one.stage == "timelines" and not one.kept]
    assert {one.why for one in left_out} == {explain("other_class")}
