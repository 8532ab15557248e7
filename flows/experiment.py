"""The `experiment` flow: a snapshot, a model and some editors to a run folder with measured results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

__all__ = ["experiment"]

log = logging.getLogger("chronofacts.experiment")


def as_task(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """A stage of an experiment as a task; models are not cached, since they are not values to be stored."""
    return task(name=name, cache_policy=NO_CACHE)(work)


@flow(name="experiment", validate_parameters=False)
def experiment(
    snapshot: Path, model: str, editors: Sequence[str], out: Path, settings: Mapping[str, str] | None = None
) -> dict[str, dict[str, float]]:
    """Edit a model with a snapshot's changes and measure it before and after; returns editor -> metric -> value.

    model: a folder, a name on the Hub, or `small-world`. settings: the `--set` words.
    Raises BadInput for wrong options before any work is done; a run folder appears only when it is complete.
    """
    # torch is loaded only by those who edit
    from editing.experiment import run_experiment

    summary = run_experiment(snapshot, model, editors, settings or {}, out, log.info, stage=as_task)
    return {name: dict(figures) for name, figures in summary.metrics.items()}
