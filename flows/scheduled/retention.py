"""Removes old results and old records of runs; the store itself drops old snapshots (`pipeline.snapshots.store`)."""

from __future__ import annotations

import datetime
import logging
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
)
from prefect.types import DateTime

__all__ = ["FLOWS", "forget_old_runs", "prune_results"]

FLOWS = (
    "monthly", "publication", "experiments", "backfill",
    "refresh", "publish", "publish-adapter", "experiment", "read-dump", "score-in-shares",
)  # fmt: skip
"""Names of the flows whose runs are ours to forget; another project may use the same server."""
_PAGE = 200
_RUN = re.compile(r"(\d{4}-\d{2}-\d{2})-.+")

log = logging.getLogger("chronofacts.monthly")


def prune_results(runs: Path, days: Collection[datetime.date]) -> list[str]:
    """Remove the run folders DAY-MODEL of all but these days; their names, sorted."""
    gone = [
        path
        for path in sorted(runs.glob("????-??-??-*"))
        if path.is_dir() and not path.is_symlink() and _day_of(path.name) not in {None, *days}
    ]
    for path in gone:
        shutil.rmtree(path)
    return [path.name for path in gone]


def _day_of(name: str) -> datetime.date | None:
    found = _RUN.fullmatch(name)
    try:
        return datetime.date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


@task(name="forget-old-runs", cache_policy=NO_CACHE)
def forget_old_runs(days: int, now: datetime.datetime) -> int:
    """Delete the records of our flow runs that were due more than so many days before now; how many.

    A run that was killed stays "running" in Prefect's database for ever: it goes with the others.
    """
    before = now - datetime.timedelta(days=days)
    old = FlowRunFilter(
        expected_start_time=FlowRunFilterExpectedStartTime(before_=DateTime.fromisoformat(before.isoformat()))
    )
    ours = FlowFilter(name=FlowFilterName(any_=list(FLOWS)))
    forgotten = 0
    with get_client(sync_client=True) as client:
        while found := client.read_flow_runs(flow_filter=ours, flow_run_filter=old, limit=_PAGE):
            for run in found:
                _delete_artifacts(client, run.id)
                client.delete_flow_run(run.id)
            forgotten += len(found)
    if forgotten:
        log.info("forgot %d runs from before %s", forgotten, before.date())
    return forgotten


def _delete_artifacts(client: SyncPrefectClient, run: UUID) -> None:
    """Those of one run; Prefect itself leaves them behind."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    while found := client.read_artifacts(artifact_filter=of_run, limit=_PAGE):
        for artifact in found:
            client.delete_artifact(artifact.id)
