"""Prefect servers that this program starts for itself, and that end with it, also when it is killed.

`own_server`: with schedules and the UI, for `serve` on one machine. `temporary_server`: for the flows of one command,
in place of the one that Prefect would start and that a killed command would leave behind.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from chronofacts.schemas.errors import CheckFailed

__all__ = ["own_server", "temporary_server"]

_PATIENCE_S = 180.0  # a first start migrates a new database
_GRACE_S = 5.0
_TEMPORARY = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect tells the servers that it starts for itself: no UI, no schedules."""


@contextmanager
def own_server(port: int) -> Iterator[str]:
    """The address of a server: the one that PREFECT_API_URL names, or one that is started here and ended with it.

    Must be entered before Prefect is imported. Its database is in PREFECT_HOME.
    Raises CheckFailed when it does not start, for example because the port is taken.
    """
    if known := os.environ.get("PREFECT_API_URL"):
        yield known.removesuffix("/api")
        return
    address = f"http://127.0.0.1:{port}"
    if _answers(address):
        raise CheckFailed(f"something answers at {address} already; give --port, or set PREFECT_API_URL={address}/api")
    words = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = _start(words, {"PREFECT_API_URL": f"{address}/api"})
    try:
        _await(server, address, "; give another --port")
        os.environ["PREFECT_API_URL"] = f"{address}/api"
        yield address
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        _stop(server)


@cache
def temporary_server() -> str:
    """The API's address of a server without UI and schedules, which lives as long as this process; started once.

    Its database is in PREFECT_HOME. Raises CheckFailed when it does not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    words = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(port)]
    server = _start([*words, "--log-level", "error"], _TEMPORARY)
    atexit.register(_stop, server)  # after Prefect's own threads have sent what they had: those end before
    _await(server, address, "")
    return f"{address}/api"


def _start(words: list[str], more: dict[str, str]) -> subprocess.Popen[bytes]:
    wrapper = Path(__file__).with_name("exit_with_parent.py")
    return subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-P", str(wrapper), *words],
        env={**os.environ, **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _await(server: subprocess.Popen[bytes], address: str, fix: str) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not _answers(address):
        if server.poll() is not None or time.monotonic() > until:
            raise CheckFailed(f"no Prefect server could be started at {address}{fix}")
        time.sleep(0.1)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    if server.stdin is not None:
        server.stdin.close()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/health", timeout=2):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
