"""Months of the past: which days they are, made once, and gone on with after a failure."""

from __future__ import annotations

import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from typer.testing import CliRunner

from chronofacts.flows.cli import app
from chronofacts.flows.commands.checks import last_days
from chronofacts.flows.months import backfill, choose_since, endpoint_settings, make_month
from chronofacts.pipeline.snapshots.store import open_store
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.pipeline.snapshots.stored import snapshot_of

MONTHS = some.dates(datetime.date(1990, 1, 1), datetime.date(2090, 12, 31))


@given(MONTHS, MONTHS)
def test_a_range_of_months_is_the_last_day_of_each(one: datetime.date, other: datetime.date) -> None:
    first, last = sorted((one, other))
    days = last_days(f"{first:%Y-%m}..{last:%Y-%m}")
    assert [f"{days[0]:%Y-%m}", f"{days[-1]:%Y-%m}"] == [f"{first:%Y-%m}", f"{last:%Y-%m}"]
    assert all((day + datetime.timedelta(days=1)).day == 1 for day in days)
    assert all(later.replace(day=1) - datetime.timedelta(days=1) == day for day, later in pairwise(days))


@pytest.mark.parametrize("months", ["2024", "2024-13", "2024-02..2024-01", "2024-01-01..2024-02-01", "2024-01..", ""])
def test_what_is_no_range_of_months_is_refused(months: str) -> None:
    with pytest.raises(BadInput, match=r"2024-01\.\.2024-12"):
        last_days(months)


@given(MONTHS)
def test_since_is_the_same_day_a_year_before(as_of: datetime.date) -> None:
    since = choose_since(as_of)
    assert (since.year, since.month) == (as_of.year - 1, as_of.month)
    assert since.day == as_of.day or (since.day, as_of.day) == (28, 29)


def test_the_environment_says_who_asks_where_the_parameters_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHRONOFACTS_USER_AGENT", "lab/1.0 (https://lab.test)")
    assert endpoint_settings("", None).user_agent == "lab/1.0 (https://lab.test)"
    assert endpoint_settings("me/1.0", None).user_agent == "me/1.0"


def test_a_backfill_that_failed_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    store, days = open_store(str(tmp_path / "store")), last_days("2024-01..2024-03")
    made: list[datetime.date] = []

    def make(day: datetime.date) -> Path:
        if day not in store.days():
            if len(made) == 1 and not (tmp_path / "mended").exists():
                raise BadInput("the endpoint is away")
            made.append(day)
            store.add(snapshot_of(tmp_path / "made", day))
        return store.folder(day, tmp_path)

    with pytest.raises(BadInput):
        backfill(store, days, make)
    assert store.days() == days[:1]
    (tmp_path / "mended").touch()
    sent: list[Path] = []
    assert list(backfill(store, days, make, sent.append)) == days
    assert store.days() == days == made and len(sent) == 3


def test_the_command_makes_each_month_once(tmp_path: Path) -> None:
    words = ["backfill", "--months", "2024-11..2024-12", "--source", "sample", "--relations", "capital",
             "--store", str(tmp_path / "store"), "--quiet"]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    manifests = sorted(tmp_path.glob("store/*/manifest.json"))
    assert [path.parent.name for path in manifests] == ["2024-11-30", "2024-12-31"]
    written = [path.stat().st_mtime_ns for path in manifests]
    assert CliRunner().invoke(app, words).stdout == done.stdout
    assert [path.stat().st_mtime_ns for path in manifests] == written
    assert sorted(path.name for path in (tmp_path / "store-work").iterdir()) in ([], ["raw"])


def test_a_month_in_the_store_is_taken_only_where_it_is_whole_and_told_where_it_is_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, day = open_store(str(tmp_path / "store")), datetime.date(2024, 1, 31)
    store.add(snapshot_of(tmp_path / "made", day))

    def take(source: str, *relations: str) -> str:
        caplog.clear()
        with caplog.at_level("WARNING"):
            assert make_month(store, source, None, day, relations, "") == tmp_path / "store" / str(day)
        return caplog.text

    assert take("sample") == ""
    assert "has other relations than are asked for" in take("sample", "P6")
    assert "was made from sample, and not from dump.json.gz" in take("dump.json.gz")
    file = next((tmp_path / "store" / str(day)).rglob("*.parquet"))
    for damage in (lambda: file.write_bytes(b"x"), file.unlink):
        damage()
        with pytest.raises(CheckFailed, match=r"missing or changed .* remove .* again, which makes it anew"):
            take("sample")


def test_a_month_under_the_name_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    store, day, other = open_store(str(tmp_path / "store")), datetime.date(2024, 1, 31), datetime.date(2024, 2, 29)
    store.add(snapshot_of(tmp_path / "made", day))
    (tmp_path / "store" / str(day)).rename(tmp_path / "store" / str(other))
    with pytest.raises(CheckFailed, match=f"holds a snapshot of {day}, and not of {other}; move it"):
        make_month(store, "sample", None, other, (), "")


def test_a_backfill_without_relations_is_one_of_all_relations(tmp_path: Path) -> None:
    words = ["backfill", "--months", "2024-11", "--source", "sample", "--store", str(tmp_path / "store"), "--quiet"]
    done = CliRunner().invoke(app, [*words, "--repo", "no repository"])  # told after the relations, before the work
    assert done.exit_code == 2 and "'no repository' is not of the form ORG/NAME" in done.stderr
