"""The flows `refresh`, `experiment`, `publish`, `publish-adapter`: the functions of `flows`, their steps as tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from chronofacts.flows import publish as plain_publish
from chronofacts.flows import refresh as plain_refresh
from chronofacts.flows.scheduled.artifacts import show_set_aside
from chronofacts.flows.scheduled.dump_tasks import task_part_runner
from chronofacts.flows.settings import RefreshSettings
from chronofacts.pipeline.publishing.adapter import PublishedAdapter
from chronofacts.pipeline.publishing.contents import BaseAnswers, ExperimentReport
from chronofacts.pipeline.publishing.errors import HubUnavailable
from chronofacts.pipeline.publishing.hub import Published, PublishSettings
from chronofacts.schemas.manifest import read_manifest

if TYPE_CHECKING:  # torch is loaded only by those who edit
    from chronofacts.editing.runs.parallel_scoring import Shard
    from chronofacts.editing.runs.results import RunSummary
    from chronofacts.editing.runs.settings import ExperimentSettings

__all__ = ["FLOWS", "experiment", "publish", "publish_adapter", "refresh"]

T = TypeVar("T")


def task_step(name: str, work: Callable[[], T]) -> T:
    """Run a step of the work as a task of the flow."""
    result: T = task(name=name, cache_policy=NO_CACHE)(work)()
    return result


@flow(name="refresh", flow_run_name="{settings.snapshot.as_of}", validate_parameters=False)
def refresh(settings: RefreshSettings) -> Path:
    """As `flows.refresh.refresh`; what the last check set aside is an artifact."""
    made = plain_refresh.refresh(settings, task_step, task_part_runner)
    show_set_aside(read_manifest(made))
    return made


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


@flow(name="experiment", flow_run_name="{model}", validate_parameters=False)
def experiment(snapshot: Path, model: str, settings: ExperimentSettings, out: Path) -> RunSummary:
    """As `editing.runs.experiment.run_experiment`."""
    from chronofacts.editing.runs.experiment import run_experiment

    return run_experiment(snapshot, model, settings, out, run_shards=run_as_tasks)


def _is_worth_a_retry(task: Any, run: Any, state: Any) -> bool:
    """Only a Hub that is busy or away may answer otherwise later."""
    return isinstance(state.result(raise_on_failure=False), HubUnavailable)


_RETRIED: dict[str, Any] = {
    "cache_policy": NO_CACHE, "retries": 2, "retry_delay_seconds": [10, 60], "retry_condition_fn": _is_worth_a_retry,
}  # fmt: skip
_ATTEMPTS = 2  # in one try of a task, which is itself tried again


@task(name="publish-snapshot", **_RETRIED)
def send(
    snapshot: Path,
    repo: str,
    settings: PublishSettings,
    reports: Sequence[ExperimentReport],
    base_answers: Sequence[BaseAnswers],
) -> Published:
    return plain_publish.publish(snapshot, repo, replace(settings, attempts=_ATTEMPTS), reports, base_answers)


@task(name="publish-adapter-files", **_RETRIED)
def send_adapter(
    adapter: Path, snapshot: Path, repo: str, base_model: str, settings: PublishSettings
) -> PublishedAdapter:
    return plain_publish.publish_adapter(adapter, snapshot, repo, base_model, replace(settings, attempts=_ATTEMPTS))


@flow(name="publish", flow_run_name="{repo}", validate_parameters=False)
def publish(
    snapshot: Path,
    repo: str,
    settings: PublishSettings,
    reports: Sequence[ExperimentReport] = (),
    base_answers: Sequence[BaseAnswers] = (),
) -> Published:
    """As `flows.publish.publish`; what was sent is an artifact."""
    if settings.dry_run:
        return plain_publish.publish(snapshot, repo, settings, reports, base_answers)
    published = send(snapshot, repo, settings, reports, base_answers)
    lines = "\n".join(published.plan.lines())
    create_markdown_artifact(
        f"[{repo} at {published.plan.tag}]({published.url})\n\n```text\n{lines}\n```",
        key="published",
        description=f"What was sent to {repo}",
    )
    return published


@flow(name="publish-adapter", flow_run_name="{repo}", validate_parameters=False)
def publish_adapter(
    adapter: Path, snapshot: Path, repo: str, base_model: str, settings: PublishSettings
) -> PublishedAdapter:
    """As `flows.publish.publish_adapter`."""
    if settings.dry_run:
        return plain_publish.publish_adapter(adapter, snapshot, repo, base_model, settings)
    return send_adapter(adapter, snapshot, repo, base_model, settings)


FLOWS: dict[str, Callable[..., Any]] = {
    "refresh": refresh, "run_experiment": experiment, "publish": publish, "publish_adapter": publish_adapter,
}  # fmt: skip
"""By the name of the function over which each is."""
