"""Claim: two months run unattended on one machine, a kill -9 anywhere in the second changes nothing in the end, and
the monthly flow costs under 5 % of its work.

The sample as an endpoint gives it on two days, refreshed, experimented on (a tiny model), published to a Hub on this
machine; then the second month again from the same beginning, killed at random points and run again each time.
Run: python -m benchmarks.two_months [KILLS]
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.claims import claim
from benchmarks.machine import MACHINE
from tests.flows.two_months import FIRST, REPO, SECOND, Installation, Month, make_model
from tests.pipeline.publishing.local_hub import local_hub
from tests.pipeline.sources.sample_world import sample_as_of
from tests.pipeline.sources.sparql.endpoint_server import serving

SEED = 8


def report(what: str, month: Month) -> None:
    if month.code:
        print(f"{what}: ended by signal {-month.code} after {month.seconds:.1f} s", flush=True)
        return
    total, worked = month.told["seconds"], month.told["worked"]
    share = 100 * (total - worked) / worked if worked else 0.0
    print(
        f"{what}: {month.seconds:.1f} s as a process, {total:.1f} s in the flow, of which work {worked:.1f} s; "
        f"the flow itself {total - worked:.1f} s, {share:.1f} % of the work",
        flush=True,
    )


def differing(wanted: Any, found: Any, at: str = "") -> list[str]:
    """Where two states are not the same."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            line
            for key in sorted({*wanted, *found})
            for line in differing(wanted.get(key), found.get(key), f"{at}/{key}")
        ]
    return [] if wanted == found else [f"{at}: {wanted} and {found}"]


def main() -> None:
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(MACHINE, flush=True)
    with (
        tempfile.TemporaryDirectory() as name,
        prefect_test_harness(server_startup_timeout=300),
        local_hub() as hub,
        serving(sample_as_of(FIRST)) as endpoint,
    ):
        folder = Path(name)
        whole = Installation(
            folder / "whole", hub, endpoint, str(PREFECT_API_URL.value()), model=make_model(folder / "m")
        )
        report(f"month of {FIRST}", whole.month(FIRST))
        beginning, hub_then = whole.copy(folder / "beginning").folder, whole.hub_state()
        endpoint.queries.clear()
        second = whole.month(SECOND)
        report(f"month of {SECOND}", second)
        assert second.code == 0, second.errors
        print(f"it asked the endpoint {len(endpoint.queries)} times", flush=True)
        hub.log.clear()
        report("the same again, nothing to do", whole.month(SECOND))
        print(f"that cost {len(hub.log)} requests to the Hub", flush=True)
        wanted = whole.state()
        points, length = random.Random(SEED), second.seconds
        number = same = 0
        while number < kills:
            again = whole.copy(folder / f"killed-{number}", of=beginning)
            again.restore_hub(hub_then)
            killed = again.month(SECOND, kill_after=points.uniform(0.15, 0.98) * length)
            if killed.code == 0:  # it was faster than the one before: not killed, not counted
                length = killed.seconds
                shutil.rmtree(again.folder)
                continue
            number += 1
            report(f"kill {number}", killed)
            rerun = again.month(SECOND)
            differences = [] if rerun.code else differing(wanted, again.state())
            equal = rerun.code == 0 and not differences
            same += equal
            done = f"run again in {rerun.seconds:.1f} s" if rerun.code == 0 else rerun.errors[-500:]
            commits = len(hub.repos[REPO].commits)
            print(
                f"  {done}: {'the same state' if equal else 'ANOTHER STATE'}, {commits} commits",
                *differences,
                sep="\n    ",
            )
            sys.stdout.flush()
        print(f"{same} of {kills} killed months ended in the same state", flush=True)
        claim("killed months that end as if never killed", "all", f"{same} of {kills}", same == kills)


if __name__ == "__main__":
    main()
