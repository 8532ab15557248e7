"""The `experiment` flow: a snapshot, a model and some editors to a run folder with measured results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

if TYPE_CHECKING:  # torch is loaded only by those who edit
    from chronofacts.editing.runs.parallel_scoring import Shard
    from chronofacts.editing.runs.settings import ExperimentSettings

__all__ = ["experiment"]

log = logging.getLogger("chronofacts.experiment")


@task(cache_policy=NO_CACHE, retries=1)
def score_shard(shard: Shard) -> Path:
    """A shard of the probes (`editing.runs.parallel_scoring`), in a process or machine of the task runner."""
    from chronofacts.editing.runs import parallel_scoring

    return parallel_scoring.score_shard(shard)


@flow(name="score-in-shares", validate_parameters=False)
def score_shards(shards: Sequence[Shard]) -> list[Path]:
    """All shards at once, one task each; the files of their results, in order."""
    return score_shard.map(shards).result()


def run_as_tasks(work: Callable[[Shard], Path], shards: Sequence[Shard]) -> list[Path]:
    """As `editing.runs.parallel_scoring.run_in_processes`, but a shard that fails is tried again."""
    runner: TaskRunner[Any] = ProcessPoolTaskRunner(max_workers=len(shards))
    return score_shards.with_options(task_runner=runner)(shards)


@flow(name="experiment", validate_parameters=False)
def experiment(snapshot: Path, model: str, settings: ExperimentSettings, out: Path) -> dict[str, dict[str, float]]:
    """Edit a model with a snapshot's changes and measure it before and after; returns editor -> metric -> value.

    model: a folder, a name on the Hub, or `small-world`. settings: of `editing.runs.settings.read_settings`.
    Raises BadInput as `editing.runs.experiment.run_experiment`; a run folder appears only when it is complete.
    """
    from chronofacts.editing.runs.experiment import run_experiment

    summary = run_experiment(snapshot, model, settings, out, log.info, run_as_tasks)
    return {name: dict(figures) for name, figures in summary.metrics.items()}
