"""Settings that Prefect must find in the environment before it is imported, and the flows of one command.

Nothing asks the network but the server that the user named: no telemetry, no promotion. A user's own settings win.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["prepare", "quiet_flows"]

_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "chronofacts",
}


def prepare() -> None:
    """Set what the user has not set; must run before the first import of Prefect."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextmanager
def quiet_flows() -> Iterator[None]:
    """Flows inside are silent (the command line tells of errors itself), and do not wait for a heartbeat thread."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    # No value of the environment turns the heartbeat off, and with it every flow waits a second to end.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
