"""Settings that Prefect must find in the environment before it is imported.

Everything runs on one machine without a server and without a word to the network: no telemetry, no
heartbeat of flows, its database in `PREFECT_HOME` (by default `.prefect` in the working folder).
A user's own settings win.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chronofacts.flows.server import temporary_server

__all__ = ["prepare", "quiet_flows"]

_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # A first start migrates a new database, which takes longer than the default patience on a slow disk.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "chronofacts",
}


def prepare() -> None:
    """Set what the user has not set; must run before the first import of Prefect."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(Path.cwd() / ".prefect"))


@contextmanager
def quiet_flows() -> Iterator[None]:
    """Flows inside are silent (the command line tells of errors itself), and do not wait for a heartbeat thread.

    They use the Prefect server that the user's settings name, or else one that ends with this process.
    """
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # No value of the environment turns the heartbeat off, and with it every flow waits a second to end.
    with _some_server(), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@contextmanager
def _some_server() -> Iterator[None]:
    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value() is not None:
        yield
        return
    os.environ["PREFECT_API_URL"] = temporary_server()
    refresh_global_settings_context()  # for Prefect's own threads
    try:
        yield
    finally:
        del os.environ["PREFECT_API_URL"]
        refresh_global_settings_context()
