"""What several folders of tests share: how tests are spread over workers, and what is made once for all of them."""

from __future__ import annotations

import datetime
import fcntl
import gc
import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# As the program itself (flows.cli).
gc.set_threshold(10_000)
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
SLOW = TESTS / "slow.txt"
"""What is slow, one a line: test functions, fixtures whose tests are all slow, files, folders. `pytest --measure-slow`
writes the functions and fixtures that run anew."""
SLOW_S = 0.1
"""Seconds of a core, its own processes included, from which on a test or a fixture is slow."""


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
def the_log_is_that_of_a_library() -> None:
    """A command that ran in this process before has set its own level and handlers, and passes nothing on to a test."""
    log = logging.getLogger("chronofacts")
    log.handlers, log.propagate = [], True
    log.setLevel(logging.NOTSET)


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
def prefect_home() -> Path:
    """A folder for PREFECT_HOME to be copied: migrating a new database takes longer than most tests."""
    return kept_between_runs("prefect-home", (version(name) for name in ("prefect", "sqlalchemy")), _migrate_prefect)


@pytest.fixture
def own_prefect_home(prefect_home: Path, tmp_path: Path) -> Path:
    """For a process of the test's own: PREFECT_HOME with a new, migrated database."""
    return Path(shutil.copytree(prefect_home, tmp_path / "prefect"))


def _migrate_prefect(home: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-W", "ignore", "-m", "prefect", "server", "database", "upgrade", "--yes"]
    subprocess.run(command, env={**kept, "PREFECT_HOME": str(home)}, capture_output=True, check=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--measure-slow", action="store_true", help=f"write {SLOW.name} anew for the tests that run")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("measure_slow") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Measured())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    begun = os.times()
    try:
        return (yield)
    finally:
        tell_cost(item, item.nodeid.partition("[")[0], begun)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Iterator[None]:
    begun = os.times()
    try:
        return (yield)
    finally:
        if fixturedef.baseid.startswith("tests"):
            tell_cost(request._pyfuncitem, f"{fixturedef.baseid}::{fixturedef.argname}", begun)


def tell_cost(item: pytest.Item, name: str, begun: os.times_result) -> None:
    """What a test or a fixture took of a core goes with the test's report, also from a worker."""
    item.user_properties.append((name, sum(os.times()[:4]) - sum(begun[:4])))


class Measured:
    """Whether each function and fixture that ran was slow in one of its cases."""

    def __init__(self) -> None:
        self.is_slow: dict[str, bool] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, seconds in report.user_properties if report.when == "call" else ():
            self.is_slow[name] = self.is_slow.get(name, False) or seconds >= SLOW_S

    def pytest_sessionfinish(self) -> None:
        found = {name for name, is_slow in self.is_slow.items() if is_slow}
        lines = found | (listed_as_slow() - set(self.is_slow))
        SLOW.write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")


@cache
def listed_as_slow() -> frozenset[str]:
    return frozenset(SLOW.read_text(encoding="utf-8").split())


def is_slow(item: pytest.Function) -> bool:
    function = item.nodeid.partition("[")[0]
    file = function.partition("::")[0]
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    names = {f"{several[-1].baseid}::{several[-1].argname}" for several in fixtures}
    return bool((names | {function, file, *(f"{folder}/" for folder in Path(file).parents)}) & listed_as_slow())


SHARED = {
    "a Prefect server": ("prefect_server", "prefect_address"),
    "the small world": ("experiment", "model_and_tokenizer"),
}
"""What each worker would make for itself in many seconds -> the fixtures that bring it."""


@cache
def group_of(file: str) -> str:
    """What a file's tests share of `SHARED`, or the file itself."""
    text = (TESTS.parent / file).read_text(encoding="utf-8")
    found = (
        name for name, fixtures in SHARED.items() if any(re.search(rf"\b{one}\b[\":,)]", text) for one in fixtures)
    )
    return next(found, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files go to the workers whole, and all that share something costly as one; in the order of collection.

    As `--dist loadgroup` would, whose mark has no effect with pytest 9.2 and pytest-xdist 3.8.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what `SLOW` lists; and the longest first, so that the other worker has the rest meanwhile."""
    for item in items:
        if isinstance(item, pytest.Function) and is_slow(item):
            item.add_marker("slow")
    items.sort(key=lambda item: group_of(item.nodeid.partition("::")[0]) not in SHARED)
