"""Commands in forks of this process, which has imported what they need: tests.flows.forks.Forks(COMMANDS)."""

from __future__ import annotations

import gc
import sys
from importlib import import_module

from chronofacts.flows import cli
from tests.flows.forks import asked_in_a_fork

NEEDED = (
    "editing.report", "editing.runs.experiment", "editing.runs.follow", "editing.runs.stale_run",
    "editing.runs.trace_run", "flows.publish", "flows.refresh", "flows.scheduled.serve",
    "pipeline.exchange", "pipeline.snapshots.verify",
)  # fmt: skip

if __name__ == "__main__":
    for name in NEEDED:
        import_module(f"chronofacts.{name}")
    gc.freeze()
    sys.argv = ["chronofacts", *asked_in_a_fork()["words"]]
    cli.main()
