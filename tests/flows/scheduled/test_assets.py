"""Lineage on a real server: the events say which snapshot a run and a publication were made from."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client

from chronofacts.flows.scheduled.assets import publication_key, run_key, show_run, snapshot_key
from chronofacts.flows.scheduled.monthly import monthly
from tests.flows.scheduled.months import FEW, FIRST, SINCE
from tests.pipeline.publishing.local_hub import LocalHub

REPO = "org/what-changed"


def materialised(key: str) -> dict[str, Any]:
    """The newest event of an asset; the server takes it up within seconds."""
    asked = {"filter": {"event": {"name": ["prefect.asset.materialization.succeeded"]}, "resource": {"id": [key]}}}
    until = time.monotonic() + 30
    with get_client(sync_client=True) as client:
        while time.monotonic() < until:
            if found := client._client.post("/events/filter", json=asked).json()["events"]:
                return dict(found[0])
            time.sleep(0.5)
    raise AssertionError(f"{key} was not made")


def made_from(event: dict[str, Any]) -> set[str]:
    return {one["prefect.resource.id"] for one in event["related"] if one["prefect.resource.role"] == "asset"}


def test_a_publication_is_made_from_its_snapshot_and_a_run_too(
    prefect_server: str, tmp_path: Path, hub: LocalHub
) -> None:
    made = monthly(
        "sample", SINCE, FIRST, store=str(tmp_path / "a store"), runs=str(tmp_path / "runs"), relations=FEW, repo=REPO,
        endpoint=hub.url,
    )  # fmt: skip
    snapshot = Path(made["snapshot"])
    about = materialised(snapshot_key(snapshot))
    assert about["payload"]["as_of"] == str(FIRST) and about["payload"]["edits"] > 0
    publication = materialised(publication_key(REPO))
    assert made_from(publication) == {snapshot_key(snapshot)}
    assert publication["payload"]["tag"] == str(datetime.date(2024, 11, 30))

    @flow
    def experiment() -> None:
        show_run(tmp_path / "runs" / "one" / "run", snapshot, "small-world", {"lora": {"edit_success": 0.9}})

    experiment()
    run = materialised(run_key(tmp_path / "runs" / "one" / "run"))
    assert made_from(run) == {snapshot_key(snapshot)} and run["payload"] == {"lora.edit_success": 0.9}
