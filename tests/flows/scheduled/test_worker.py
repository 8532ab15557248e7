"""prefect.yaml as it is meant: deployed to a real server, run by a real worker with parameters as the UI sends them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun

from chronofacts.pipeline.snapshots.store import open_store
from chronofacts.schemas.manifest import read_manifest
from tests.flows.scheduled.workers import ROOT, prefect, worker
from tests.flows.two_months import FIRST
from tests.flows.webhook import webhook
from tests.pipeline.sources.sample_world import sample_as_of
from tests.pipeline.sources.sparql.endpoint_server import serving

AGENT = "month-test/1.0 (https://months.test)"


def test_months_run_by_a_worker_are_validated_named_read_and_told(prefect_server: str, tmp_path: Path) -> None:
    with (
        webhook() as (address, messages),
        serving(sample_as_of(FIRST)) as endpoint,
        get_client(sync_client=True) as client,
    ):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
            "PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(ROOT),
            "CHRONOFACTS_USER_AGENT": AGENT, "CHRONOFACTS_WEBHOOK": address, "PREFECT_LOGGING_LEVEL": "INFO",
        }  # fmt: skip
        client.create_work_pool(WorkPoolCreate(name="chronofacts", type="process"))
        places = {"store": str(tmp_path / "store"), "runs": str(tmp_path / "runs")}
        given = [word for name, place in places.items() for word in ("--param", f"{name}={place}")]
        prefect(environment, "--no-prompt", "deploy", "--name", "refresh", *given)
        deployment = client.read_deployment_by_name("monthly/refresh").id

        def start(as_of: str, **more: str) -> UUID:
            """As the UI and `prefect deployment run -p as_of=…` do: the parameters are JSON."""
            asked = {"source": endpoint.url, "since": "2021-01-01", "as_of": as_of, "relations": ["capital"],
                     "retry_minutes": [], **more}  # fmt: skip
            return client.create_flow_run_from_deployment(deployment, parameters=asked, job_variables=None).id

        made = start("2024-12-31")
        with worker(environment) as one:
            assert ended(client, made, one).is_completed()
            assert ended(client, start("2024-13-31"), one).is_failed()
            for name, place in (("store", str(tmp_path / "other")), ("endpoint", "http://127.0.0.1:9")):
                refused = ended(client, start("2024-10-31", **{name: place}), one)
                assert refused.is_failed() and f"{name}='{place}' is not where" in refused.message
            queries = len(endpoint.queries)
            killed = start("2024-11-30")

            def kill(number: int, query: str) -> None:
                if number == queries + 2:
                    os.kill(pid_of(client.read_flow_run(killed)), signal.SIGKILL)

            endpoint.fault = kill
            assert ended(client, killed, one).is_crashed()
            wait_for(lambda: len(messages) == 4, one)

        (day,) = open_store(str(tmp_path / "store")).days()
        assert str(day) == "2024-12-31"
        manifest = read_manifest(tmp_path / "store" / str(day))
        assert str(manifest.since) == "2021-01-01"
        assert {AGENT in agent for agent in endpoint.agents} == {True}
        assert [client.read_flow_run(run).name for run in (made, killed)] == ["2024-12", "2024-11"]
        invalid, *_, crashed = (message["text"] for message in messages)
        assert "as_of 2024-13-31 ended as Failed" in invalid and "valid date" in invalid
        assert "as_of 2024-11-30 ended as Crashed" in crashed
        said = [line.message for line in client.read_logs() if line.name == "chronofacts.refresh"]
        assert any("statements of" in line for line in said)
        assert not (tmp_path / "other").exists()


def pid_of(run: FlowRun) -> int:
    return int(str(run.infrastructure_pid).rpartition(":")[2])


def ended(client: SyncPrefectClient, run: UUID, one: worker) -> Any:
    """The state in which a run ended."""

    def state() -> Any:
        found = client.read_flow_run(run).state
        return found if found is not None and found.is_final() else None

    return wait_for(state, one)


def wait_for(find: Callable[[], Any], one: worker) -> Any:
    until = time.monotonic() + 240
    while time.monotonic() < until:
        if found := find():
            return found
        time.sleep(0.3)
    raise AssertionError("".join(one.log[-60:]))
