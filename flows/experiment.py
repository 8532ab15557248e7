"""Experiment: a snapshot, a model and some editors to a run folder with measured results."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # torch is loaded only by those who edit
    from chronofacts.editing.runs.parallel_scoring import ShardRunner
    from chronofacts.editing.runs.settings import ExperimentSettings

__all__ = ["experiment"]

log = logging.getLogger("chronofacts.experiment")


def experiment(
    snapshot: Path, model: str, settings: ExperimentSettings, out: Path, run_shards: ShardRunner | None = None
) -> dict[str, dict[str, float]]:
    """Edit a model with a snapshot's changes and measure it before and after; returns editor -> metric -> value.

    model: a folder, a name on the Hub, or `small-world`. settings: of `editing.runs.settings.read_settings`.
    run_shards: scores parts of the probes, where the settings want several processes; by default processes here.
    Raises BadInput as `editing.runs.experiment.run_experiment`; a run folder appears only when it is complete.
    """
    from chronofacts.editing.runs.experiment import run_experiment
    from chronofacts.editing.runs.parallel_scoring import run_in_processes

    summary = run_experiment(snapshot, model, settings, out, log.info, run_shards or run_in_processes)
    return {name: dict(figures) for name, figures in summary.metrics.items()}
