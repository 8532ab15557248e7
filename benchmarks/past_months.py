"""Claim: past months are made by `prefect deployment run monthly/refresh -p as_of=…` on a server, a worker and a Hub.

Everything is real and on this machine: a Prefect server, `prefect.yaml` deployed to it, a worker of its pool, and the
local Hub of the tests. The sample, with all its relations; each month is verified, published and tagged.
Run: python -m benchmarks.past_months
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.claims import claim
from benchmarks.machine import MACHINE
from chronofacts.flows.scheduled.server import start_server
from chronofacts.pipeline.snapshots.store import open_store
from tests.flows.conftest import free_port
from tests.flows.scheduled.workers import ROOT, prefect, worker
from tests.pipeline.publishing.local_hub import TOKEN, local_hub

MONTHS = ("2024-10-31", "2024-11-30", "2024-12-31")
REPO = "org/what-changed"


def main() -> None:
    print(MACHINE, flush=True)
    with tempfile.TemporaryDirectory() as name, local_hub() as hub, start_server(free_port()) as server:
        folder = Path(name)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "HF_"))}
        environment = kept | {
            "PREFECT_API_URL": server.api, "PREFECT_HOME": str(folder / "prefect"), "PYTHONPATH": str(ROOT),
            "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(folder / "hf"),
        }  # fmt: skip
        places = {"source": "sample", "store": str(folder / "store"), "runs": str(folder / "runs"), "repo": REPO,
                  "endpoint": hub.url}  # fmt: skip
        given = [word for key, value in places.items() for word in ("--param", f"{key}={value}")]
        measure(
            "prefect work-pool create chronofacts",
            environment,
            "work-pool",
            "create",
            "chronofacts",
            "--type",
            "process",
        )
        measure("prefect deploy --name refresh", environment, "--no-prompt", "deploy", "--name", "refresh", *given)
        with worker(environment):
            for day in MONTHS:
                words = ("deployment", "run", "monthly/refresh", "-p", f"as_of={day}")
                measure(f"prefect {' '.join(words)} --watch", environment, *words, "--watch")
        days = [str(day) for day in open_store(str(folder / "store")).days()]
        tags = sorted(hub.repos[REPO].tags)
        print(f"in the store: {', '.join(days)}; tags on the Hub: {', '.join(tags)}")
        if days != [*MONTHS] or tags != [*MONTHS]:
            sys.exit("not all months were made")
        claim("past months run by a deployment", f"{len(MONTHS)}", f"{len(days)}", met=True)


def measure(what: str, environment: dict[str, str], *words: str) -> None:
    began = time.perf_counter()
    prefect(environment, *words)
    print(f"{time.perf_counter() - began:6.1f} s  {what}", flush=True)


if __name__ == "__main__":
    main()
