"""One Prefect server for all flow tests, with a database of its own; and the local Hub of tests/pipeline/publishing."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.publishing.conftest import hub, snapshot

__all__ = ["free_port", "hub", "prefect_address", "prefect_server", "snapshot"]


@pytest.fixture(scope="session")
def prefect_address(prefect_home: Path) -> Iterator[str]:
    """The address of its API."""
    from chronofacts.flows.scheduled.server import start_server

    home = Path(os.environ["PREFECT_HOME"])
    if not (home / "prefect.db").exists():
        shutil.copy(prefect_home / "prefect.db", home)
    with start_server(free_port()) as server:
        yield server.api


@pytest.fixture
def prefect_server(prefect_address: str) -> Iterator[str]:
    """The flows of a test run against the session's server, as those of a command do that finds it in PREFECT_API_URL;
    every other test runs without one."""
    from chronofacts.flows.scheduled.process_env import quiet_flows
    from chronofacts.flows.scheduled.serve import use_server

    with use_server(prefect_address), quiet_flows():
        yield prefect_address


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
