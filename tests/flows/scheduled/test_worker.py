"""prefect.yaml as it is meant: deployed to a real server, run by a real worker with parameters as the UI sends them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun

from chronofacts.flows.scheduled.process_env import quiet_flows
from chronofacts.flows.scheduled.serve import use_server
from chronofacts.pipeline.snapshots.store import open_store
from chronofacts.schemas.manifest import read_manifest
from tests.flows.scheduled.workers import ROOT, prefect, worker
from tests.flows.two_months import FIRST
from tests.flows.webhook import webhook
from tests.pipeline.sources.sample_world import sample_as_of
from tests.pipeline.sources.sparql.endpoint_server import EndpointServer, serving

AGENT = "month-test/1.0 (https://months.test)"


@dataclass
class Deployed:
    """prefect.yaml's deployment at a worker, an endpoint that its months read, and what the webhook was told."""

    client: SyncPrefectClient
    deployment: UUID
    folder: Path
    endpoint: EndpointServer
    messages: list[Any]
    worker: worker

    def start(self, as_of: str, **more: str) -> UUID:
        """As the UI and `prefect deployment run -p as_of=…` do: the parameters are JSON."""
        asked = {"source": self.endpoint.url, "since": "2021-01-01", "as_of": as_of, "relations": ["capital"],
                 "retry_minutes": [], **more}  # fmt: skip
        return self.client.create_flow_run_from_deployment(self.deployment, parameters=asked, job_variables=None).id

    def ended(self, run: UUID) -> Any:
        """The state in which a run ended."""

        def state() -> Any:
            found = self.client.read_flow_run(run).state
            return found if found is not None and found.is_final() else None

        return self.wait_for(state)

    def told(self, as_of: str) -> str:
        """The one message of the month's end."""

        def found() -> list[str]:
            return [message["text"] for message in self.messages if f"as_of {as_of} " in message["text"]]

        (text,) = self.wait_for(found)
        return str(text)

    def wait_for(self, find: Callable[[], Any]) -> Any:
        until = time.monotonic() + 240
        while time.monotonic() < until:
            if found := find():
                return found
            time.sleep(0.3)
        raise AssertionError("".join(self.worker.log[-60:]))


@pytest.fixture(scope="module")
def deployed(prefect_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    with (
        use_server(prefect_address),
        quiet_flows(),
        webhook() as (address, messages),
        serving(sample_as_of(FIRST)) as endpoint,
        get_client(sync_client=True) as client,
    ):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
            "PREFECT_API_URL": prefect_address, "PREFECT_HOME": str(folder / "prefect"), "PYTHONPATH": str(ROOT),
            "CHRONOFACTS_USER_AGENT": AGENT, "CHRONOFACTS_WEBHOOK": address, "PREFECT_LOGGING_LEVEL": "INFO",
        }  # fmt: skip
        client.create_work_pool(WorkPoolCreate(name="chronofacts", type="process"))
        given = [word for name in ("store", "runs") for word in ("--param", f"{name}={folder / name}")]
        prefect(environment, "--no-prompt", "deploy", "--name", "refresh", *given)
        deployment = client.read_deployment_by_name("monthly/refresh").id
        with worker(environment) as one:
            yield Deployed(client, deployment, folder, endpoint, messages, one)


def test_a_month_run_by_a_worker_is_named_and_kept_and_read_in_the_servers_log(deployed: Deployed) -> None:
    made = deployed.start("2024-12-31")
    assert deployed.ended(made).is_completed()
    assert deployed.client.read_flow_run(made).name == "2024-12"
    (day,) = open_store(str(deployed.folder / "store")).days()
    assert str(day) == "2024-12-31"
    manifest = read_manifest(deployed.folder / "store" / str(day))
    assert str(manifest.since) == "2021-01-01"
    assert {AGENT in agent for agent in deployed.endpoint.agents} == {True}

    def found() -> list[str]:  # lines arrive a moment later, those of a month as its subflow's
        lines = [line for line in deployed.client.read_logs() if line.name == "chronofacts.refresh"]
        return [line.message for line in lines if "statements of" in line.message]

    assert deployed.wait_for(found)


def test_a_day_that_is_none_fails_and_is_told(deployed: Deployed) -> None:
    assert deployed.ended(deployed.start("2024-13-31")).is_failed()
    told = deployed.told("2024-13-31")
    assert "ended as Failed" in told and "valid date" in told


@pytest.mark.parametrize(("name", "day"), [("store", "2024-10-31"), ("endpoint", "2024-09-30")])
def test_a_run_may_not_name_another_place_than_its_deployment(deployed: Deployed, name: str, day: str) -> None:
    place = {"store": str(deployed.folder / "other"), "endpoint": "http://127.0.0.1:9"}[name]
    refused = deployed.ended(deployed.start(day, **{name: place}))
    assert refused.is_failed() and f"{name}='{place}' is not where" in refused.message
    assert "ended as Failed" in deployed.told(day) and not (deployed.folder / "other").exists()


def test_a_month_whose_process_is_killed_has_crashed_and_is_told(deployed: Deployed) -> None:
    queries, killed = len(deployed.endpoint.queries), deployed.start("2024-11-30")

    def kill(number: int, query: str) -> None:
        if number == queries + 2:
            os.kill(pid_of(deployed.client.read_flow_run(killed)), signal.SIGKILL)

    deployed.endpoint.fault = kill
    assert deployed.ended(killed).is_crashed()
    deployed.endpoint.fault = lambda number, query: None
    assert deployed.client.read_flow_run(killed).name == "2024-11"
    assert "ended as Crashed" in deployed.told("2024-11-30")


def pid_of(run: FlowRun) -> int:
    return int(str(run.infrastructure_pid).rpartition(":")[2])
