"""The monthly flow served from this process: on the server that the user's settings name, or on one of our own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chronofacts.flows.prefect_server import use_named_server
from chronofacts.flows.scheduled.server import OwnServer, start_server
from chronofacts.schemas.errors import CheckFailed

__all__ = ["serve_monthly", "use_server"]

_GRACE_S = 15.0
_LOOK_S = 2.0


def serve_monthly(cron: str, words: Mapping[str, str], port: int, show: Callable[[str, dict[str, Any]], None]) -> None:
    """Serve until stopped; show is called once with the address and the parameters.

    Raises BadInput for words that are no parameters, CheckFailed when a server of our own does not start or dies.
    """
    from chronofacts.flows.scheduled.monthly import monthly
    from chronofacts.flows.scheduled.parameters import read_parameters

    parameters = read_parameters(monthly, words)
    if (named := use_named_server()) is not None:
        show(named.api.removesuffix("/api"), parameters)
        monthly.serve(name="monthly", cron=cron, parameters=parameters, limit=1)
        return
    with start_server(port) as server, use_server(server.api):
        show(server.address, parameters)
        with _ending_with(server):
            monthly.serve(name="monthly", cron=cron, parameters=parameters, limit=1)


@contextmanager
def use_server(api: str) -> Iterator[None]:
    """Prefect, here and in the processes of runs, uses this server."""
    from prefect.context import refresh_global_settings_context

    os.environ["PREFECT_API_URL"] = api
    refresh_global_settings_context()
    try:
        yield
    finally:
        del os.environ["PREFECT_API_URL"]
        refresh_global_settings_context()


@contextmanager
def _ending_with(server: OwnServer) -> Iterator[None]:
    """Raises CheckFailed once the server has died: without one nothing would ever run again."""
    died, done = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_S):
            if server.process.poll() is not None:
                died.set()
                os.kill(os.getpid(), signal.SIGTERM)
                if not done.wait(_GRACE_S):  # what serves waits for a server that is not there
                    os.write(2, _told(server).encode() + b"\n")
                    os._exit(1)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except BaseException:
        if not died.is_set():
            raise
    finally:
        done.set()
    if died.is_set():
        raise CheckFailed(_told(server))


def _told(server: OwnServer) -> str:
    return (
        f"the Prefect server at {server.address} ended (exit code {server.process.poll()}), so that nothing is run any "
        "more; start `chronofacts serve` again"
    )
