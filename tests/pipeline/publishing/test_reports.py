"""Reports of experiments beside a publication: in its commit, or later; linked from the card; the tag stays."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from chronofacts.pipeline.publishing.contents import ExperimentReport
from chronofacts.pipeline.publishing.hub import Published, PublishSettings, publish
from tests.pipeline.publishing.local_hub import LocalHub
from tests.pipeline.publishing.sending import REPO, TAG
from tests.pipeline.publishing.small_snapshot import make_snapshot

PATH = f"reports/{TAG}-small-world.html"


@pytest.fixture
def report(tmp_path: Path) -> ExperimentReport:
    page = tmp_path / "index.html"
    page.write_text("<!doctype html><title>a report</title>")
    figures = {"none": {"edit_success": 0.0, "history": 0.99}, "lora|x": {"edit_success": 1.0, "seconds": 3.0}}
    return ExperimentReport("small-world", "small-world", page, figures)


def send(hub: LocalHub, snapshot: Path, *reports: ExperimentReport) -> Published:
    return publish(snapshot, REPO, PublishSettings(hub.url), lambda folder: None, lambda s: None, reports)


def card(hub: LocalHub, revision: str) -> str:
    return hub.content(REPO, revision, "README.md").decode()


def test_a_report_comes_in_the_snapshots_own_commit(hub: LocalHub, snapshot: Path, report: ExperimentReport) -> None:
    send(hub, snapshot, report)
    assert len(hub.repos[REPO].commits) == 2
    assert hub.content(REPO, TAG, PATH) == report.page.read_bytes()
    told = card(hub, TAG)
    assert f"[the whole report]({hub.url}/datasets/{REPO}/resolve/main/{PATH})" in told
    assert "| editor | edit success | history |" in told
    assert "| none | 0.00 | 0.99 |" in told and "| lora\\|x | 1.00 |  |" in told
    hub.log.clear()
    assert send(hub, snapshot, report).plan.is_no_op and len(hub.log) == 3


def test_a_report_that_comes_later_is_added_to_main_and_the_tag_stays(
    hub: LocalHub, snapshot: Path, report: ExperimentReport
) -> None:
    first = send(hub, snapshot)
    later = send(hub, snapshot, report)
    assert set(later.plan.add) == {PATH} and set(later.plan.replace) == {"README.md"}
    assert hub.repos[REPO].tags == {TAG: first.commit}
    assert PATH in card(hub, "main") and PATH not in card(hub, TAG)
    assert hub.content(REPO, "main", PATH) == report.page.read_bytes()
    assert send(hub, snapshot, report).plan.is_no_op


def test_a_report_on_a_month_that_is_no_longer_the_newest_is_added_without_its_card(
    hub: LocalHub, snapshot: Path, report: ExperimentReport, tmp_path: Path
) -> None:
    send(hub, snapshot)
    newer = send(hub, make_snapshot(tmp_path / "next", datetime.date(2025, 2, 1)))
    of_the_newest, sent = card(hub, "main"), send(hub, snapshot, report).plan
    assert (set(sent.add), set(sent.replace), sent.tag_step) == ({PATH}, set(), "keep")
    assert hub.content(REPO, "main", PATH) == report.page.read_bytes()
    assert card(hub, "main") == of_the_newest and hub.repos[REPO].tags["2025-02-01"] == newer.commit
    assert send(hub, snapshot, report).plan.is_no_op


def test_the_reports_of_earlier_months_stay(
    hub: LocalHub, snapshot: Path, report: ExperimentReport, tmp_path: Path
) -> None:
    send(hub, snapshot, report)
    send(hub, make_snapshot(tmp_path / "next", datetime.date(2025, 2, 1)), report)
    assert {PATH, "reports/2025-02-01-small-world.html"} <= set(hub.repos[REPO].files("main"))
