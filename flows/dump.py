"""The parts of a dump on threads or processes of this machine, or on a Dask cluster.

A part is one call of `pipeline.sources.dump.parts.extract_part`, which is whole or has not happened: a worker that dies
loses the part it was reading, nothing else, and the part is read again. `flows.scheduled.dump_tasks` does the same on
Prefect's task runners.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from chronofacts.pipeline.sources.dump.parts import PartReport
from chronofacts.pipeline.sources.dump.source import PartJob, Runner
from chronofacts.schemas.errors import BadInput, ChronoFactsError

__all__ = ["check_task_runner", "choose_task_runner", "part_runner", "require_scheduler", "worker_count"]

log = logging.getLogger("chronofacts.refresh")

_WORTH_PROCESSES = 256 << 20  # bytes of files; below it new processes start for longer than they work
_CONNECT_S = 10
_ATTEMPTS = 3
_WAIT_S = 5.0


def check_task_runner(choice: str) -> None:
    """Raises BadInput for what `--task-runner` does not know."""
    if choice not in ("", "threads", "processes", "dask") and not choice.startswith("dask:"):
        raise BadInput(f"--task-runner {choice!r} is unknown; use threads, processes, dask or dask:ADDRESS")


def choose_task_runner(choice: str, paths: Sequence[Path]) -> str:
    """The choice, or where there is none: processes for several large parts, else threads."""
    large = sum(path.stat().st_size for path in paths) >= _WORTH_PROCESSES
    return choice or ("processes" if large and len(paths) > 1 else "threads")


def worker_count(jobs: int) -> int:
    return max(1, min(os.cpu_count() or 1, jobs))


def part_runner(choice: str) -> Runner:
    """Runs part jobs on what `--task-runner` names.

    choice: `threads`, `processes`, `dask` (a cluster on this machine) or `dask:ADDRESS`; empty: by the parts' size.
    Raises BadInput for another choice.
    """
    check_task_runner(choice)

    def run(jobs: Sequence[PartJob], show: Callable[[int, int, int], None]) -> Iterator[tuple[int, PartReport]]:
        chosen = choose_task_runner(choice, [job.path for job in jobs])
        return _run_all(chosen, jobs, show)

    return run


def _run_all(
    choice: str, jobs: Sequence[PartJob], show: Callable[[int, int, int], None]
) -> Iterator[tuple[int, PartReport]]:
    """(index, report) of every job as it ends. A part that fails is read again, but not where a user must fix it.

    Raises an error that a user must fix before any other, once the other parts are through.
    """
    waiting = dict(enumerate(jobs))
    for attempt in range(1, _ATTEMPTS + 1):
        error: Exception | None = None
        with _workers(choice, len(waiting), show) as (pool, tell):
            futures = {pool.submit(_run_job, job, index, tell): index for index, job in waiting.items()}
            for future in as_completed(futures):
                try:
                    report = future.result()
                except Exception as failure:
                    error = error if isinstance(error, ChronoFactsError) else failure
                else:
                    del waiting[futures[future]]
                    yield futures[future], report
        if error is None:
            return
        if isinstance(error, ChronoFactsError) or attempt == _ATTEMPTS:
            raise error
        names = ", ".join(sorted(job.path.name for job in waiting.values()))
        log.warning("%s could not be read (%s); reading again", names, str(error) or type(error).__name__)
        time.sleep(_WAIT_S)


Tell = Callable[[int, int, int], None]


def _run_job(job: PartJob, index: int, tell: Tell | None) -> PartReport:
    return job.run(partial(tell, index) if tell else None)


class _Stopped(Exception):
    """The command was stopped while a thread read its part."""


@contextmanager
def _workers(choice: str, jobs: int, show: Tell) -> Iterator[tuple[Executor, Tell | None]]:
    """(the pool, what its workers can call themselves); whatever stops the command ends them at once."""
    count = worker_count(jobs)
    if choice == "threads":
        stopped = threading.Event()

        def tell(index: int, bytes_read: int, json_bytes: int) -> None:
            if stopped.is_set():
                raise _Stopped
            show(index, bytes_read, json_bytes)

        with ThreadPoolExecutor(count) as threads:
            try:
                yield threads, tell
            except BaseException:
                stopped.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise
    elif choice == "processes":
        with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as processes:
            try:
                yield processes, None
            except BaseException:
                processes.shutdown(wait=False, cancel_futures=True)
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
    else:
        with _dask(choice, count) as cluster:
            yield cluster, None


@contextmanager
def _dask(choice: str, count: int) -> Iterator[Executor]:
    """The workers of a Dask cluster, which itself runs a part again where a worker died."""
    require_scheduler(choice)
    from distributed import Client, LocalCluster

    address = choice.removeprefix("dask").removeprefix(":")
    if address:
        with Client(address, timeout=_CONNECT_S) as client:
            yield client.get_executor(pure=False)
        return
    with (
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor(pure=False)


def require_scheduler(choice: str) -> None:
    """Raises BadInput where Dask is not installed, or no scheduler answers at the address of `dask:ADDRESS`."""
    try:
        from distributed import Client
    except ImportError:
        raise BadInput(
            f"--task-runner {choice} needs Dask; install it with: pip install 'chronofacts[scale]'"
        ) from None
    address = choice.removeprefix("dask").removeprefix(":")
    if not address:
        return
    try:
        Client(address, timeout=_CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise BadInput(f"--task-runner {choice}: no Dask scheduler answers at {address} ({error})") from error
