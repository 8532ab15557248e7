"""A Prefect server of our own: on this machine alone, refusing other origins, gone with the process that started it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chronofacts.flows.scheduled.server import start_server
from chronofacts.schemas.errors import CheckFailed
from tests.flows.conftest import free_port

ROOT = Path(__file__).resolve().parents[3]
COMMAND = """
import sys, time
from chronofacts.flows.scheduled.server import start_server

with start_server(int(sys.argv[1])) as server:
    print(server.address, flush=True)
    time.sleep(60)
"""


def is_open(address: str) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", urlsplit(address).port or 0)) == 0


def test_it_goes_when_the_command_is_killed_and_serves_no_page_of_another_origin(
    own_prefect_home: Path, tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(own_prefect_home)}
    command = [sys.executable, "-W", "ignore", "-c", COMMAND, str(free_port())]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        allowed = {origin: allowed_for(address, origin) for origin in ("https://evil.example", address)}
        assert allowed == {"https://evil.example": None, address: address}
        process.kill()
    until = time.monotonic() + 20
    while is_open(address) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_open(address)


def allowed_for(address: str, origin: str) -> str | None:
    """The origin that the server lets read its answer."""
    request = urllib.request.Request(f"{address}/api/health", headers={"Origin": origin})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers.get("Access-Control-Allow-Origin")


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = pytest.raises(CheckFailed, match=r"no Prefect server could be started.*--port")
        with wanted, start_server(taken.getsockname()[1]):
            pass
