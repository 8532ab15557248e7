"""The monthly flow served from this process: on the server that the user's settings name, or on one of our own."""

from __future__ import annotations

import datetime
import logging
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from chronofacts.flows.commands.checks import check_source, is_there
from chronofacts.flows.prefect_server import use_named_server
from chronofacts.flows.scheduled.server import OwnServer, start_server
from chronofacts.flows.setting_keys import check_words
from chronofacts.flows.stopping import Stopped, heard
from chronofacts.pipeline.snapshots.store import Retention
from chronofacts.schemas.addresses import is_address
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.ids import is_hub_model, is_hub_repo
from chronofacts.schemas.models import named_models

__all__ = ["check_parameters", "serve_monthly", "use_server"]

log = logging.getLogger("chronofacts.serve")

_LOGIN = "PREFECT_SERVER_API_AUTH_STRING"
"""`user:password` of the server, where the user has chosen one."""
_GRACE_S = 15.0
_LOOK_S = 2.0
_RUN_S = 35.0
"""Prefect gives a run that is stopped with it 30 seconds."""
_STARTING_S = 30.0
"""From the beginning on; a run that has begun meanwhile is not worth more of them."""


def serve_monthly(
    cron: str, words: Mapping[str, str], port: int, show: Callable[[str, dict[str, Any], str], None]
) -> None:
    """Serve until stopped; show is called once with the address, the parameters, and the login of a server of our own.

    Raises Stopped, BadInput for words that are no parameters, values with which every month would fail and a schedule
    that is none, CheckFailed when a server of our own does not start or dies.
    """
    from prefect.client.schemas.schedules import construct_schedule

    from chronofacts.flows.scheduled.monthly import monthly
    from chronofacts.flows.scheduled.parameters import read_parameters

    parameters = read_parameters(monthly, words)
    check_parameters(parameters)
    try:
        construct_schedule(cron=cron, timezone="UTC")
    except ValueError:
        raise BadInput(
            f"--cron {cron!r} is no schedule; write minute, hour, day, month, weekday: '0 4 3 * *'"
        ) from None
    if (named := use_named_server()) is not None:
        with _places(parameters):
            show(named.api.removesuffix("/api"), parameters, "")
            _serve_until_stopped(cron, parameters)
        return
    login = os.environ.get(_LOGIN) or f"chronofacts:{secrets.token_urlsafe(24)}"
    with start_server(port, login) as server, use_server(server.api, login), _places(parameters):
        show(server.address, parameters, login)
        with _ending_with(server):
            _serve_until_stopped(cron, parameters)


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raises BadInput for values with which every month would fail. What may come until then is left alone: a dump's
    file, a model's folder, a name on the Hub; a warning tells of a model's name that means nothing here."""
    if parameters.get("relations"):
        load_catalogue().select(parameters["relations"])
    if "keep_last" in parameters:
        Retention(keep_last=parameters["keep_last"])
    if parameters.get("repo") and not is_hub_repo(parameters["repo"]):
        raise BadInput(f"--set repo={parameters['repo']} is not of the form ORG/NAME")
    for name in ("source", "store", "runs"):
        if not parameters.get(name, name).strip():
            raise BadInput(f"--set {name}= says nothing; give its value, or leave it out")
    source = parameters.get("source", "wdqs")
    if not (is_address(source) or "/" in source or "." in source):  # a path that may come has one of them
        check_source(source, "asked for in each run", parameters.get("as_of") or datetime.date.min)
    check_words(list(parameters.get("editors", ())), {})
    for model in parameters.get("models", ()):
        _check_model(model)


def _check_model(name: str) -> None:
    if name in ("small-world", *named_models()) or "/" in name or (name and is_there(Path(name))):
        return
    if name.lower().endswith(".gguf"):
        return
    if not is_hub_model(name):
        raise BadInput(f"--set models: {name!r} is neither a model here nor a name that one on the Hub can have")
    known = ", ".join(("small-world", *named_models()))
    log.warning("the model %r is no folder here and no short name (%s); it is looked for on the Hub", name, known)


def _serve_until_stopped(cron: str, parameters: dict[str, Any]) -> None:
    """Raises Stopped: serving has no end of its own, and Prefect, once the signals are its own, ends without a word."""
    from chronofacts.flows.scheduled.monthly import monthly

    try:
        with suppress(SystemExit), _signalled_again():  # SystemExit: of a SIGTERM that comes while Prefect starts
            monthly.serve(name="monthly", cron=cron, parameters=parameters, limit=1)
    except Exception:  # whatever Prefect meets on its way out, as a server that was stopped together with us
        if heard() is None:
            raise
    raise Stopped(heard() or signal.SIGTERM)


@contextmanager
def _signalled_again() -> Iterator[None]:
    """A signal that comes just before Prefect asks for runs ends its asking and not its waiting, which has then no end:
    it is sent once more."""
    done, began = threading.Event(), time.monotonic()

    def watch() -> None:
        while not done.wait(_LOOK_S):
            if (by := heard()) is not None:
                if not done.wait(_LOOK_S if time.monotonic() - began < _STARTING_S else _RUN_S):
                    os.kill(os.getpid(), by)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


@contextmanager
def use_server(api: str, login: str = "") -> Iterator[None]:
    """Prefect, here and in the processes of runs, uses this server."""
    from prefect.context import refresh_global_settings_context

    try:
        with _environment({"PREFECT_API_URL": api} | ({"PREFECT_API_AUTH_STRING": login} if login else {})):
            refresh_global_settings_context()
            yield
    finally:
        refresh_global_settings_context()


@contextmanager
def _places(parameters: Mapping[str, Any]) -> Iterator[None]:
    """No run of ours works at other places than these (`flows.scheduled.places`)."""
    from chronofacts.flows.scheduled.places import SERVED, describe_places

    with _environment({SERVED: describe_places(parameters)}):
        yield


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables, inside; runs are processes that inherit them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _ending_with(server: OwnServer) -> Iterator[None]:
    """Raises CheckFailed once the server has died: without one nothing would ever run again.

    One that dies of what stops us, as where a service manager ends a whole group of processes, is no fault.
    """
    died, done = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_S):
            if server.process.poll() is None:
                continue
            line, code = _told(server), 1
            if (by := heard()) is not None:
                stop = Stopped(by)
                line, code = f"chronofacts serve: stopped by {stop.name}", stop.exit_code
            else:
                died.set()
                os.kill(os.getpid(), signal.SIGTERM)
            if not done.wait(_GRACE_S):  # what serves waits for a server that is not there
                os.write(2, line.encode() + b"\n")
                os._exit(code)
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
