"""The demonstration: the main job end to end on the sample, refresh, experiment and report."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronofacts.editing.report import run_warnings, terminal_table, write_report
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import SMALL_WORLD, read_settings
from chronofacts.flows.refresh import refresh
from chronofacts.flows.settings import RefreshSettings
from chronofacts.pipeline.build import SnapshotSettings

__all__ = ["Demonstration", "run_demo"]

SINCE, AS_OF = datetime.date(2023, 1, 1), datetime.date(2025, 1, 1)
EDITORS = ("none", "lora", "lora+replay")

log = logging.getLogger("chronofacts.demo")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """Where the results lie, the table that sums them up, and what the run warns of."""

    snapshot: Path
    run: Path
    report: Path
    table: str
    warnings: list[str]


def run_demo(out: Path, quick: bool, run_work: Callable[..., Any] = lambda work, *given: work(*given)) -> Demonstration:
    """Snapshot, small model, LoRA with and without replay, report: all in the folder out.

    quick: a part of the facts only. run_work: what runs `refresh` and `run_experiment`: plainly, or as flows.
    Raises BadInput when out is not empty.
    """
    log.info("what changed in the world between %s and %s?", SINCE, AS_OF)
    asked = RefreshSettings("sample", out / "snapshot", SnapshotSettings(SINCE, AS_OF, hops_per_edit=1))
    snapshot = run_work(refresh, asked)
    log.info("a model that knows the world of %s, and is taught the changes", SINCE)
    settings = read_settings(EDITORS, {"limit": "60"} if quick else {})
    run_work(run_experiment, snapshot, SMALL_WORLD, settings, out / "run")
    page = write_report([out / "run"], out / "report")
    run = out / "run"
    return Demonstration(snapshot, run, page, terminal_table([run]), run_warnings([run]))
