"""What several folders of tests share: how tests are spread over workers, and what is made once for all of them."""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
# Before anything imports Prefect: its own folder, no telemetry, no log server.
_PREFECT_HOME = tempfile.TemporaryDirectory(prefix="chronofacts-prefect-")
os.environ["PREFECT_HOME"] = _PREFECT_HOME.name
os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
_HF_HOME = tempfile.TemporaryDirectory(prefix="chronofacts-hf-")
os.environ["HF_HOME"] = _HF_HOME.name
# Threads of torch that wait for one another on busy cores cost more than they give to models so small.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What a model said in a test is not kept for the user's own runs.
_KEPT = tempfile.TemporaryDirectory(prefix="chronofacts-kept-")
os.environ["CHRONOFACTS_CACHE"] = _KEPT.name

TESTS = Path(__file__).parent
SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)
TOGETHER = ("tests/editing/", "tests/flows/")
"""Folders whose tests share something costly in memory (a pretrained model, a Prefect server)."""


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder for all workers of this session, made by the first who needs it while the others wait."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / name).exists():
            make(shared / f"{name}.partial")
            (shared / f"{name}.partial").rename(shared / name)
    return shared / name


def kept_between_runs(name: str, depends_on: Iterable[object], make: Callable[[Path], object]) -> Path:
    """A folder of this environment, made anew where what it depends on is another than when it was made.

    For what takes longer than all tests of it, and is the same in every run. depends_on: files, of which the content
    counts, and values, as they are written. `make clean` removes it with the environment.
    """
    told = hashlib.sha256()
    for one in depends_on:
        told.update(one.read_bytes() if isinstance(one, Path) else repr(one).encode())
    kept = Path(sys.prefix) / "made-for-tests"
    kept.mkdir(exist_ok=True)
    folder = kept / f"{name}-{told.hexdigest()[:16]}"
    with (kept / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in kept.glob(f"{name}-*"):
                if time.time() - old.stat().st_mtime > 86400:  # of another tree that is tested at this moment, perhaps
                    shutil.rmtree(old)
            make(kept / f"{name}-partial")
            (kept / f"{name}-partial").rename(folder)
        os.utime(folder)
    return folder


@pytest.fixture(autouse=True)
def nothing_is_set_aside(request: pytest.FixtureRequest) -> Iterator[None]:
    """A row that the last gate has to set aside is a fault of ours: of every snapshot that a test makes, nothing is.

    A test of the gate itself says so by the mark `sets_aside`.
    """
    told: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    listener, gate = Listening(logging.WARNING), logging.getLogger("chronofacts.gate")
    gate.addHandler(listener)
    yield
    gate.removeHandler(listener)
    assert not told or "sets_aside" in request.keywords, told


@pytest.fixture(scope="session")
def sample_snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The snapshot of the whole sample from 2021-01-01 to 2025-01-01, made without Prefect."""
    return made_once(tmp_path_factory, "sample-snapshot", _write_sample_snapshot)


def _write_sample_snapshot(out: Path) -> None:
    from chronofacts.pipeline.sources.sample import open_sample
    from tests.snapshots import build_snapshot, gather

    with tempfile.TemporaryDirectory() as work:
        made = build_snapshot(gather(open_sample(), Path(work)), SINCE, AS_OF, out)
    assert made.set_aside == {}  # a fixture of the session is made before any test listens


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PREFECT_HOME to be copied: migrating a new database takes longer than most tests."""
    return made_once(tmp_path_factory, "prefect-home", _migrate_prefect)


@pytest.fixture
def own_prefect_home(prefect_home: Path, tmp_path: Path) -> Path:
    """For a process of the test's own: PREFECT_HOME with a new, migrated database."""
    return Path(shutil.copytree(prefect_home, tmp_path / "prefect"))


def _migrate_prefect(home: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-W", "ignore", "-m", "prefect", "server", "database", "upgrade", "--yes"]
    subprocess.run(command, env={**kept, "PREFECT_HOME": str(home)}, capture_output=True, check=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go to the workers whole, and the folders of `TOGETHER` as one; in the order of collection.

    As `--dist loadgroup` would, whose mark has no effect with pytest 9.2 and pytest-xdist 3.8.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that the other worker has the rest meanwhile."""
    items.sort(key=lambda item: not item.nodeid.startswith(TOGETHER))
