"""A Prefect server of this program's own, for `serve` on one machine: Prefect schedules nothing without a real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import CheckFailed

__all__ = ["own_server"]

_PATIENCE_S = 180.0  # a first start migrates a new database


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
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "PREFECT_API_URL": f"{address}/api"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603
        try:
            until = time.monotonic() + _PATIENCE_S
            while not _answers(address):
                if server.poll() is not None or time.monotonic() > until:
                    raise CheckFailed(f"no Prefect server could be started at {address}; give another --port")
                time.sleep(0.2)
            os.environ["PREFECT_API_URL"] = f"{address}/api"
            yield address
        finally:
            os.environ.pop("PREFECT_API_URL", None)
            server.terminate()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/api/health", timeout=2):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
