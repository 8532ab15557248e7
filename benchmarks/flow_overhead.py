"""Claim: what the monthly flow costs beside its work (Prefect, locks, sums, artifacts) is under 5 % of that work.

The whole sample into a store, published to a Hub on this machine, with the experiment of `demo --quick` and without
any. Work is the time in the stages' own functions: reading, building, writing, sending, editing, reporting. All else
is the flow's own; the parts of it that have a name are listed. So is the start of Prefect's server, which
happens once per process, before the flow. Run: python -m benchmarks.flow_overhead [ROUNDS]
"""

from __future__ import annotations

import datetime
import functools
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.claims import claim
from benchmarks.machine import MACHINE
from tests.pipeline.publishing.local_hub import TOKEN, local_hub

SINCE = datetime.date(2021, 1, 1)
MONTHS = (datetime.date(2024, 12, 31), datetime.date(2025, 1, 31))
spent: dict[str, float] = defaultdict(float)


def timed(owner: Any, name: str, part: str) -> None:
    """Let a function add its seconds to a part; those of another timed function inside it are not its own."""
    work: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(work)
    def counted(*args: Any, **kwargs: Any) -> Any:
        started, inner = time.perf_counter(), sum(spent.values())
        try:
            return work(*args, **kwargs)
        finally:
            spent[part] += time.perf_counter() - started - (sum(spent.values()) - inner)

    setattr(owner, name, counted)


def watch() -> None:
    """Time the stages, and the parts of the flow itself that are ours."""
    import chronofacts.editing.report
    import chronofacts.editing.runs.experiment
    import chronofacts.flows.publish
    import chronofacts.flows.refresh
    import chronofacts.flows.scheduled.artifacts
    import chronofacts.flows.scheduled.flows
    import chronofacts.flows.scheduled.monthly
    from chronofacts.pipeline.snapshots.store import SnapshotStore

    work = {
        chronofacts.flows.refresh: ("open_source", "stage_source", "build_files", "write_valid"),
        chronofacts.flows.publish: ("send_snapshot",),
        chronofacts.editing.runs.experiment: ("run_experiment",),
        chronofacts.editing.report: ("write_report",),
    }
    for module, names in work.items():
        for name in names:
            timed(module, name, "work")
    for name in ("add", "folder", "prune", "recover", "days"):
        timed(SnapshotStore, name, "store: copy, sums, retention")
    timed(chronofacts.flows.scheduled.artifacts, "compare_snapshots", "artifacts: comparing two months")
    timed(chronofacts.flows.scheduled.artifacts, "summarise", "artifacts: counting rejections")
    for name in ("create_link_artifact", "create_markdown_artifact", "create_table_artifact"):
        timed(chronofacts.flows.scheduled.artifacts, name, "artifacts: sending")
    timed(chronofacts.flows.scheduled.flows, "create_markdown_artifact", "artifacts: sending")
    timed(chronofacts.flows.scheduled.monthly, "forget_old_runs", "forgetting old records")


def month(folder: Path, hub: str, day: datetime.date, models: list[str]) -> tuple[float, dict[str, float]]:
    """(seconds of the flow, seconds of its parts)"""
    from chronofacts.flows.scheduled.monthly import monthly

    spent.clear()
    started = time.perf_counter()
    monthly(
        "sample", SINCE, day, store=str(folder / "store"), runs=str(folder / "runs"), repo="org/overhead", endpoint=hub,
        models=models, editors=["none", "lora"], settings={"limit": "60", "cache": "none"},
    )  # fmt: skip
    return time.perf_counter() - started, dict(spent)


def show(what: str, rounds: list[tuple[float, dict[str, float]]]) -> None:
    """Medians over the rounds."""
    whole = statistics.median(seconds for seconds, _ in rounds)
    work = statistics.median(parts["work"] for _, parts in rounds)
    own = statistics.median(seconds - parts["work"] for seconds, parts in rounds)
    print(
        f"{what}: {whole:.2f} s, work {work:.2f} s, the flow itself {own:.2f} s = {100 * own / work:.1f} % of the work"
    )
    if what.endswith("with an experiment"):
        share = 100 * own / work
        claim(f"{what}: the flow's own share of the work", "under 5 %", f"{share:.1f} %", share < 5)
    for part in sorted({part for _, parts in rounds for part in parts} - {"work"}):
        print(f"  {statistics.median(parts.get(part, 0.0) for _, parts in rounds):6.2f} s  {part}")
    rest = statistics.median(seconds - sum(parts.values()) for seconds, parts in rounds)
    print(f"  {rest:6.2f} s  Prefect and all else", flush=True)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(MACHINE, flush=True)
    os.environ |= {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    with tempfile.TemporaryDirectory() as name:
        os.environ |= {"HF_HOME": f"{name}/hf", "PREFECT_HOME": f"{name}/prefect"}
        from chronofacts.flows.scheduled.process_env import quiet_flows
        from chronofacts.flows.scheduled.serve import use_server
        from chronofacts.flows.scheduled.server import start_server
        from tests.flows.conftest import free_port

        started = time.perf_counter()
        with start_server(free_port()) as server, use_server(server.api), quiet_flows():
            print(f"Prefect's server with a new database: {time.perf_counter() - started:.2f} s to its first answer")
            watch()
            for models in ([], ["small-world"]):
                found: dict[datetime.date, list[tuple[float, dict[str, float]]]] = defaultdict(list)
                for number in range(rounds if not models else 1):
                    with local_hub() as hub:
                        for day in MONTHS:
                            folder = Path(name) / f"{number}-{len(models)}"
                            found[day].append(month(folder, hub.url, day, models))
                for day, measured in found.items():
                    show(f"month of {day}, {'with' if models else 'without'} an experiment", measured)


if __name__ == "__main__":
    main()
