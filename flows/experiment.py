"""The `experiment` flow: a snapshot, a model and some editors to a run folder with measured results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

if TYPE_CHECKING:
    from chronofacts.editing.runs.parallel_scoring import Share

__all__ = ["experiment"]

log = logging.getLogger("chronofacts.experiment")


def as_task(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """A stage of an experiment as a task; models are not cached, since they are not values to be stored."""
    return task(name=name, cache_policy=NO_CACHE)(work)


@task(cache_policy=NO_CACHE, retries=1)
def score_share(share: Share) -> Path:
    """A share of the probes (`editing.runs.parallel_scoring`), in whatever process or machine the task runner has."""
    from chronofacts.editing.runs.parallel_scoring import score_share as score

    return score(share)


@flow(name="score-in-shares", validate_parameters=False)
def score_in_shares(shares: Sequence[Share]) -> list[Path]:
    """All shares at once, one task each; the files of their results, in order."""
    return score_share.map(shares).result()


def spread_over_processes(work: Callable[[Share], Path], shares: Sequence[Share]) -> list[Path]:
    """As `editing.runs.parallel_scoring.in_processes`, as tasks of a flow, so that a share that fails is tried
    again."""
    runner: TaskRunner[Any] = ProcessPoolTaskRunner(max_workers=len(shares))
    return score_in_shares.with_options(task_runner=runner)(shares)


@flow(name="experiment", validate_parameters=False)
def experiment(
    snapshot: Path,
    model: str,
    editors: Sequence[str],
    out: Path,
    settings: Mapping[str, str] | None = None,
    load: Sequence[Path] = (),
) -> dict[str, dict[str, float]]:
    """Edit a model with a snapshot's changes and measure it before and after; returns editor -> metric -> value.

    model: a folder, a name on the Hub, or `small-world`. settings: the `--set` words. load: saved
    edits (RUN/adapters/EDITOR) that are asked as well.
    Raises BadInput for wrong options before any work is done; a run folder appears only when it is complete.
    """
    # torch is loaded only by those who edit
    from chronofacts.editing.runs.experiment import run_experiment

    summary = run_experiment(
        snapshot, model, editors, settings or {}, out, log.info, as_task, spread_over_processes, load
    )
    return {name: dict(figures) for name, figures in summary.metrics.items()}
