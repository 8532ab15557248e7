"""One monthly run in a process of its own, so that it can be killed: python -m tests.flows.month_process '{…}'

Without an argument: any number of runs in forks of this process (`tests.flows.forks`).
The clock stands still, so that what two runs make can be compared byte by byte. The seconds of the work itself are told
apart from those of the flow around it.
"""

from __future__ import annotations

import datetime
import functools
import json
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tests.flows.forks import asked_in_a_fork

worked = 0.0


def timed(module: ModuleType, name: str) -> None:
    """Let a function of a module count its seconds."""
    work: Callable[..., Any] = getattr(module, name)

    @functools.wraps(work)
    def counted(*args: Any, **kwargs: Any) -> Any:
        global worked
        started = time.perf_counter()
        try:
            return work(*args, **kwargs)
        finally:
            worked += time.perf_counter() - started

    setattr(module, name, counted)


def main() -> None:
    import chronofacts.editing.report
    import chronofacts.editing.runs.experiment
    from chronofacts.flows.scheduled.monthly import monthly
    from chronofacts.flows.scheduled.process_env import quiet_flows

    asked = json.loads(sys.argv[1]) if len(sys.argv) > 1 else asked_in_a_fork()
    noon = datetime.datetime.fromisoformat(asked.pop("clock"))
    with quiet_flows():
        import chronofacts.flows.publish
        import chronofacts.flows.refresh
        from chronofacts.pipeline.sources.sparql.endpoint_source import open_endpoint
        from chronofacts.pipeline.sources.sparql.rate_limit import Clock

        clock = Clock(lambda: noon, time.monotonic, time.sleep)
        chronofacts.flows.refresh.open_endpoint = functools.partial(open_endpoint, clock=clock)
        days = {name: datetime.date.fromisoformat(asked.pop(name)) for name in ("since", "as_of")}
        for module, names in (
            (chronofacts.flows.refresh, ("open_source", "stage_source", "build_files", "write_valid")),
            (chronofacts.flows.publish, ("send_snapshot",)),
            (chronofacts.editing.runs.experiment, ("run_experiment",)),
            (chronofacts.editing.report, ("write_report",)),
        ):
            for name in names:
                timed(module, name)
        started = time.perf_counter()
        told = monthly(**days, **asked)
        print(json.dumps({**told, "seconds": time.perf_counter() - started, "worked": worked}))


if __name__ == "__main__":
    main()
