"""A Prefect server of our own, with schedules and the UI, which ends with this process, also when that is killed.

It listens on this machine alone, and refuses pages of other origins.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from chronofacts.flows.prefect_server import answers
from chronofacts.schemas.errors import CheckFailed

__all__ = ["OwnServer", "start_server"]

_PATIENCE_S = 180.0  # a first start migrates a new database
_GRACE_S = 1.0
"""Within which a server ends by itself; one that still starts does not, and its database bears being killed."""


class OwnServer(NamedTuple):
    address: str
    process: subprocess.Popen[bytes]
    login: str
    """`user:password` that every request must bring; empty: none is asked for."""

    @property
    def api(self) -> str:
        return f"{self.address}/api"


@contextmanager
def start_server(port: int, login: str = "") -> Iterator[OwnServer]:
    """A server on a port of this machine, ended with the block. Its database is in PREFECT_HOME.

    login: `user:password` that it asks for; every program and every web page on this machine reaches the port.
    Raises CheckFailed, with what it said last, when it does not start, for example because the port is taken.
    """
    address = f"http://127.0.0.1:{port}"
    if answers(f"{address}/api"):
        raise CheckFailed(f"something answers at {address} already; give --port, or set PREFECT_API_URL={address}/api")
    with TemporaryFile() as said:
        process = _start(port, address, login, said)
        try:
            _await(process, address, said)
            yield OwnServer(address, process, login)
        finally:
            _stop(process)


def _start(port: int, address: str, login: str, said: IO[bytes]) -> subprocess.Popen[bytes]:
    wrapper = Path(__file__).with_name("exit_with_parent.py")
    words = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    own = {"PREFECT_API_URL": f"{address}/api", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address}
    if login:
        own |= {"PREFECT_SERVER_API_AUTH_STRING": login, "PREFECT_API_AUTH_STRING": login}
    return subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-P", str(wrapper), *words],
        env={**os.environ, **own},
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C in a terminal goes to us, and we end it when our runs are
    )


def _await(process: subprocess.Popen[bytes], address: str, said: IO[bytes]) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not answers(f"{address}/api"):
        if process.poll() is not None or time.monotonic() > until:
            said.seek(0)
            lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
            last = f" ({lines[-1][:300]})" if lines else ""
            raise CheckFailed(
                f"no Prefect server could be started at {address}{last}; give another --port, or set PREFECT_HOME to "
                "a folder that can be written"
            )
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
