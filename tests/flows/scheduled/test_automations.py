"""Automations on a real server: what crashed, was cancelled or is late is told to a webhook, once for each run."""

from __future__ import annotations

import time

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.states import Cancelled, Completed, Crashed, Late, State

from chronofacts.flows.scheduled.automations import create_automations
from chronofacts.flows.scheduled.monthly import backfill, monthly
from tests.flows.webhook import webhook


def ends(client: SyncPrefectClient, state: State, name: str) -> None:
    run = client.create_flow_run(monthly, name=name)
    client.set_flow_run_state(run.id, state, force=True)


def test_a_webhook_is_told_of_runs_that_crash_are_cancelled_or_late(prefect_server: str) -> None:
    with webhook() as (address, messages), get_client(sync_client=True) as client:
        names = create_automations(address)
        assert len(names) == 3 and create_automations(address) == names
        known = client._client.post("/automations/filter", json={}).json()
        assert sorted(one["name"] for one in known) == sorted(names)
        time.sleep(3)  # the server takes up new triggers
        ends(client, Completed(), "2024-09")
        ends(client, Crashed(), "2024-10")
        ends(client, Cancelled(), "2024-11")
        late = client.create_flow_run(backfill, parameters={"months": "2024-12"}, name="2024-12")
        client.set_flow_run_state(late.id, Late(), force=True)
        until = time.monotonic() + 60
        while len(messages) < 3 and time.monotonic() < until:
            time.sleep(0.5)
    assert sorted(message["text"] for message in messages) == [
        "backfill 2024-12 is late: no worker has begun it",
        "monthly 2024-10 crashed",
        "monthly 2024-11 was cancelled",
    ]
