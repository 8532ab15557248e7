"""The parts of a dump as tasks of a flow, on Prefect's task runners: threads or processes here, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import Task

from chronofacts.flows.dump import check_task_runner, choose_task_runner, require_scheduler, worker_count
from chronofacts.pipeline.sources.dump.parts import PartReport
from chronofacts.pipeline.sources.dump.source import PartJob, Runner
from chronofacts.schemas.errors import BadInput, ChronoFactsError

__all__ = ["task_part_runner"]


def _is_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether reading the part again may help; it does not against what a user must fix."""
    try:
        state.result()
    except ChronoFactsError:
        return False
    except Exception:
        return True
    return False


@task(
    name="extract-part",
    task_run_name="{job.path.name}",
    cache_policy=NO_CACHE,  # a finished part has its own marker, which is checked against the file
    retries=2,
    retry_delay_seconds=5,
    retry_condition_fn=_is_transient,
)
def extract(job: PartJob) -> PartReport:
    return job.run()


@task(name="extract-part", task_run_name="{job.path.name}", cache_policy=NO_CACHE)
def extract_here(job: PartJob, index: int, show: Callable[[int, int, int], None]) -> PartReport:
    return job.run(lambda bytes_read, json_bytes: show(index, bytes_read, json_bytes))


@flow(name="read-dump", validate_parameters=False)
def read_parts(jobs: Sequence[PartJob], show: Callable[[int, int, int], None], same_process: bool) -> list[PartReport]:
    """The reports of all jobs, in their order; the first failure ends it once the others are through.

    same_process: the task runner's workers can call show themselves; else it is called at each part's end.
    """
    if same_process:
        futures = [extract_here.submit(job, index, show) for index, job in enumerate(jobs)]
    else:
        futures = [extract.submit(job) for job in jobs]
    reports = []
    for index, future in enumerate(futures):
        report = future.result()
        if not report.reused:
            show(index, report.compressed_bytes, report.json_bytes)
        reports.append(report)
    return reports


def task_part_runner(choice: str) -> Runner:
    """As `flows.dump.part_runner`, on the task runner of that name."""
    check_task_runner(choice)

    def run(jobs: Sequence[PartJob], show: Callable[[int, int, int], None]) -> Iterator[tuple[int, PartReport]]:
        chosen = choose_task_runner(choice, [job.path for job in jobs])
        runner = _task_runner(chosen, len(jobs))
        reports = read_parts.with_options(task_runner=runner)(jobs, show, same_process=chosen == "threads")
        yield from enumerate(reports)

    return run


def _task_runner(choice: str, jobs: int) -> TaskRunner[Any]:
    workers = worker_count(jobs)
    if choice == "threads":
        return ThreadPoolTaskRunner(max_workers=workers)
    if choice == "processes":
        return ProcessPoolTaskRunner(max_workers=workers)
    require_scheduler(choice)
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError:
        raise BadInput(
            f"--task-runner {choice} needs prefect-dask beside a Prefect server; install it with: "
            "pip install 'chronofacts[scale]'"
        ) from None
    if choice == "dask":
        cluster = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
        return cast(TaskRunner[Any], DaskTaskRunner(cluster_kwargs=cluster))
    return cast(TaskRunner[Any], DaskTaskRunner(address=choice.removeprefix("dask:")))
