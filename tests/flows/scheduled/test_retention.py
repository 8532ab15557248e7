"""The first run of a fresh installation and the hundredth of an old one: what is kept, and what goes."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.states import Running, Scheduled
from prefect.types import DateTime

from chronofacts.flows.scheduled.flows import publish
from chronofacts.flows.scheduled.monthly import monthly
from chronofacts.flows.scheduled.retention import forget_old_runs
from chronofacts.pipeline.snapshots.store import open_store
from tests.pipeline.snapshots.stored import snapshot_of

FEW = ("capital",)
TODAY = datetime.date(2025, 3, 31)


def month_ends(count: int) -> list[datetime.date]:
    """The last days of so many months before that of `TODAY`, oldest first."""
    found = [TODAY]
    while len(found) <= count:
        found.append(found[-1].replace(day=1) - datetime.timedelta(days=1))
    return found[:0:-1]


def run(folder: Path) -> dict:
    since = datetime.date(2021, 1, 1)
    return monthly("sample", since, TODAY, store=str(folder / "store"), runs=str(folder / "runs"), relations=FEW)


def test_the_first_run_of_a_fresh_installation_needs_nothing_to_be_there(prefect_server: str, tmp_path: Path) -> None:
    home = tmp_path / "new" / "deep"
    told = run(home)
    assert told["removed"] == [] and open_store(str(home / "store")).days() == [TODAY]
    assert sorted(path.name for path in home.iterdir()) == ["store", "store-work"]
    assert not any(path.is_file() for path in (home / "store-work").rglob("*"))


def test_the_hundredth_run_keeps_what_the_policy_says_and_no_more(prefect_server: str, tmp_path: Path) -> None:
    store, days = open_store(str(tmp_path / "store")), month_ends(99)
    for day in days:
        store.add(snapshot_of(tmp_path / "made", day))
        (tmp_path / "runs" / f"{day}-small-world" / "run").mkdir(parents=True)
    shutil.rmtree(tmp_path / "made")
    told = run(tmp_path)
    changes = Artifact.get("changes")  # the month before was made of other relations
    assert changes is not None and "Not compared" in changes.data
    first_of_years = {min(day for day in days if day.year == year) for year in {day.year for day in days}}
    kept = sorted({*first_of_years, *days[-11:], TODAY})
    assert store.days() == kept and len(told["removed"]) == 100 - len(kept)
    assert sorted(path.name[:10] for path in (tmp_path / "runs").iterdir()) == [
        str(day) for day in kept if day != TODAY
    ]


def old_runs(count: int, months_ago: int) -> None:
    """Records of runs that were due long ago; every third still `running`, as a killed one stays."""
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=30 * months_ago)
    with get_client(sync_client=True) as client:
        for number in range(count):
            due = DateTime.fromisoformat(then.isoformat())
            made = client.create_flow_run(publish, parameters={}, state=Scheduled(scheduled_time=due))
            if number % 3 == 0:
                client.set_flow_run_state(made.id, Running(), force=True)


def records() -> int:
    with get_client(sync_client=True) as client:
        ours = FlowFilter(name=FlowFilterName(any_=["publish"]))
        return sum(1 for run in client.read_flow_runs(flow_filter=ours, limit=200) if run.name)


def test_records_of_old_runs_are_forgotten_and_new_ones_stay(prefect_server: str) -> None:
    before = records()
    old_runs(7, months_ago=20)
    old_runs(2, months_ago=1)
    assert records() == before + 9
    now = datetime.datetime.now(datetime.UTC)
    assert forget_old_runs.fn(400, now) == 7
    assert records() == before + 2
    assert forget_old_runs.fn(400, now) == 0
