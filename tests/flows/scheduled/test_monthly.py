"""Two months on one machine: made, told, pruned; and a second run that finds everything done."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from prefect.artifacts import Artifact

from chronofacts.flows.months import choose_day
from chronofacts.flows.scheduled.monthly import monthly
from chronofacts.flows.scheduled.parameters import read_parameters
from chronofacts.pipeline.snapshots.store import open_store
from chronofacts.schemas.errors import BadInput
from tests.flows.scheduled.months import FEW, FIRST, SECOND, SINCE
from tests.flows.webhook import webhook
from tests.pipeline.snapshots.stored import snapshot_of


def run(folder: Path, day: datetime.date, **more: object) -> dict:
    return monthly("sample", SINCE, day, store=str(folder / "store"), runs=str(folder / "runs"), relations=FEW, **more)


def test_the_snapshot_of_a_month_is_of_the_last_day_of_the_month_before() -> None:
    assert choose_day(datetime.date(2025, 3, 3)) == datetime.date(2025, 2, 28)
    assert choose_day(datetime.date(2025, 1, 31)) == datetime.date(2024, 12, 31)


def test_two_months_are_kept_told_and_safe_to_repeat(prefect_server: str, tmp_path: Path) -> None:
    first = run(tmp_path, FIRST)
    second = run(tmp_path, SECOND)
    store = open_store(str(tmp_path / "store"))
    assert store.days() == [FIRST, SECOND] and store.latest() == SECOND
    manifest = Path(second["snapshot"]) / "manifest.json"
    written = manifest.stat().st_mtime_ns
    assert run(tmp_path, SECOND) == second
    assert manifest.stat().st_mtime_ns == written
    assert first["snapshot"] != second["snapshot"]
    changes = Artifact.get("changes")
    assert changes is not None and changes.type == "table"
    assert "Since the snapshot of 2024-11-30" in changes.description
    rejections = Artifact.get("rejections")
    assert rejections is not None and {"reason", "rows", "meaning", "example"} == set(json.loads(rejections.data)[0])


def test_old_snapshots_go_by_the_policy_and_the_first_of_a_year_stays(prefect_server: str, tmp_path: Path) -> None:
    days = [datetime.date(2024, month, 28) for month in (9, 10, 11)]
    for day in days[:2]:
        open_store(str(tmp_path / "store")).add(snapshot_of(tmp_path / "made", day))
    assert run(tmp_path, days[2], keep_last=1)["removed"] == ["2024-10-28"]
    assert open_store(str(tmp_path / "store")).days() == [days[0], days[2]]


def test_a_day_that_was_made_from_another_since_is_an_error(prefect_server: str, tmp_path: Path) -> None:
    open_store(str(tmp_path / "store")).add(snapshot_of(tmp_path / "made", FIRST))
    with pytest.raises(BadInput, match="since 2021-01-01, not 2022-01-01"):
        monthly(
            "sample", datetime.date(2022, 1, 1), FIRST, store=str(tmp_path / "store"), runs=str(tmp_path / "runs"),
            relations=FEW,
        )  # fmt: skip


def test_a_failed_run_is_posted_to_the_webhook(
    prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as (address, messages):
        monkeypatch.setenv("CHRONOFACTS_WEBHOOK", address)
        with pytest.raises(BadInput):
            monthly("no-such-source", SINCE, FIRST, store=str(tmp_path / "store"), runs=str(tmp_path / "runs"))
    assert len(messages) == 1 and "no-such-source" in messages[0]["text"]


def test_words_become_typed_parameters() -> None:
    words = {"keep_last": "3", "relations": "P6, P35", "since": "2021-01-01", "repo": "a/b"}
    assert read_parameters(monthly, words) == {
        "keep_last": 3, "relations": ["P6", "P35"], "since": SINCE, "repo": "a/b",
    }  # fmt: skip
    with pytest.raises(BadInput, match="no parameter 'sinc'"):
        read_parameters(monthly, {"sinc": "2021-01-01"})
    with pytest.raises(BadInput, match="--set keep_last='many'"):
        read_parameters(monthly, {"keep_last": "many"})
