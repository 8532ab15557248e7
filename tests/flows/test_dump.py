"""Parts of a dump on threads, processes and a Dask cluster: the same rows, also when a worker is killed."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from chronofacts.flows.dump import part_runner
from chronofacts.flows.scheduled.dump_tasks import task_part_runner
from chronofacts.pipeline.sources.dump.source import DumpSettings, open_dump
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.pipeline.sources.dump.dump_world import as_dump, as_lines, compressed, holders, write_dump

DAY = datetime.date(2025, 3, 5)


def parts_of(folder: Path, parts: int, each: int) -> Path:
    folder.mkdir()
    for part in range(parts):
        write_dump(folder / f"part-{part}.json.gz", holders(1 + part * each, each))
    return folder


def statements(folder: Path, raw: Path, choice: str, runner=part_runner) -> pa.Table:
    source = open_dump(str(folder), ("P39",), DumpSettings(day=DAY, raw=raw), runner(choice))
    return pa.concat_tables(source.statements(["P39"]))


@pytest.mark.parametrize("choice", ["threads", "processes", ""])
def test_every_runner_gives_the_same_rows_in_the_same_order(choice: str, tmp_path: Path) -> None:
    folder = parts_of(tmp_path / "dump", 3, 20)

    table = statements(folder, tmp_path / "raw", choice)

    assert table["subject"].to_pylist() == [f"Q{number}" for number in range(1, 61)]


@pytest.mark.parametrize("choice", ["threads", "processes"])
def test_prefects_task_runners_give_the_same_rows(choice: str, prefect_server: str, tmp_path: Path) -> None:
    folder = parts_of(tmp_path / "dump", 3, 20)

    table = statements(folder, tmp_path / "raw", choice, task_part_runner)

    assert table["subject"].to_pylist() == [f"Q{number}" for number in range(1, 61)]


def test_a_part_whose_process_dies_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronofacts.flows.dump._WAIT_S", 0.0)
    jobs = [DyingJob(tmp_path / f"part-{part}", tmp_path / "died") for part in range(3)]
    for job in jobs:
        job.path.touch()

    done = dict(part_runner("processes")(jobs, lambda index, bytes_read, json_bytes: None))  # type: ignore[arg-type]

    assert done == {0: "part-0", 1: "part-1", 2: "part-2"}
    assert (tmp_path / "died").exists()


@dataclass(frozen=True)
class DyingJob:
    """A part whose first reading kills its process, as the system does when memory ends."""

    path: Path
    mark: Path

    def run(self, tell: object) -> str:
        if self.path.name == "part-1" and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.path.name


def test_a_damaged_part_is_told_once_and_the_others_need_not_be_read_again(tmp_path: Path) -> None:
    folder = parts_of(tmp_path / "dump", 3, 300)
    whole = compressed(as_dump(as_lines(holders(301, 300))), "gz")
    (folder / "part-1.json.gz").write_bytes(whole[:-200])

    with pytest.raises(CheckFailed, match=r"part-1\.json\.gz is cut off"):
        statements(folder, tmp_path / "raw", "threads")
    (folder / "part-1.json.gz").write_bytes(whole)
    source = open_dump(str(folder), ("P39",), DumpSettings(day=DAY, raw=tmp_path / "raw"), part_runner("threads"))
    assert pa.concat_tables(source.statements(["P39"])).num_rows == 900
    assert [report.reused for report in source.reports] == [True, False, True]


@pytest.mark.parametrize(
    ("choice", "message"), [("spark", "dask:ADDRESS"), ("dask:tcp://127.0.0.1:9", "no Dask scheduler")]
)
def test_a_runner_that_is_not_there_is_told(choice: str, message: str, tmp_path: Path) -> None:
    if choice.startswith("dask"):
        pytest.importorskip("distributed", reason="the extra `scale` is not installed")
    with pytest.raises(BadInput, match=message):
        statements(parts_of(tmp_path / "dump", 1, 2), tmp_path / "raw", choice)


def test_a_worker_killed_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra `scale` is not installed")
    from distributed import LocalCluster

    folder, raw = parts_of(tmp_path / "dump", 4, 20_000), tmp_path / "raw"
    killed: list[int] = []

    def kill_one(workers: list[int]) -> None:
        """Kill one worker as soon as a part is being written."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if list(raw.rglob("*.statements.parquet.*.partial")):
                os.kill(workers[0], signal.SIGKILL)
                killed.append(len(list(raw.rglob("*.done.json"))))
                return
            time.sleep(0.005)

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        workers = [worker.pid for worker in cluster.workers.values()]
        killer = threading.Thread(target=kill_one, args=(workers,))
        killer.start()
        table = statements(folder, raw, f"dask:{cluster.scheduler_address}")
        killer.join()

    assert killed
    assert killed[0] < 4
    assert table["subject"].to_pylist() == [f"Q{number}" for number in range(1, 80_001)]
    assert not list(raw.rglob("*.partial"))
