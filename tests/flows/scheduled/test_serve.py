"""`serve` on one machine: a server of its own on which the next month is really scheduled, and which ends with it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chronofacts.flows.scheduled.serve import check_parameters, serve_monthly
from chronofacts.flows.scheduled.server import start_server
from chronofacts.schemas.errors import BadInput
from tests.flows.conftest import free_port

SCHEDULED = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
ROOT = Path(__file__).resolve().parents[3]


def ask(address: str, path: str, body: dict, login: str = "") -> Any:
    headers = {"Content-Type": "application/json"}
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    request = urllib.request.Request(f"{address}/api/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def result_of(serving: subprocess.Popen[str]) -> dict:
    """The JSON document that `serve` prints once it serves."""
    assert serving.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1].rstrip() != "}":
        lines.append(serving.stdout.readline())
        assert lines[-1], "it ended"
    return json.loads("".join(lines))


def ended(address: str, run: str, login: str) -> dict:
    """The state in which a run ended."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        (found,) = ask(address, "flow_runs/filter", {"flow_runs": {"id": {"any_": [run]}}}, login)
        if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return found["state"]
        time.sleep(1)
    raise AssertionError("the run did not end")


def server_of(pid: int) -> int:
    """The process of the Prefect server that this one started."""
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{pid}\n" in status.read_text() and b"exit_with_parent" in (
                status.with_name("cmdline").read_bytes()
            ):
                return int(status.parent.name)
    raise AssertionError("there is no server")


@dataclass(frozen=True)
class Serving:
    """`serve` with a server of its own, and the login that it told."""

    process: subprocess.Popen[str]
    address: str
    login: str
    folder: Path


@pytest.fixture(scope="module")
def serving(prefect_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder, port = tmp_path_factory.mktemp("serving"), free_port()
    home = shutil.copytree(prefect_home, folder / "prefect")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "chronofacts.flows.cli", "serve", "--port", str(port), "--json"]
    with subprocess.Popen(
        [*command, "--set", "repo=org/name", "--set", "keep_last=3", "--set", "as_of=2024-12-31"],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Serving(process, f"http://127.0.0.1:{port}", result_of(process)["login"], folder)
        finally:
            process.kill()


def scheduled(serving: Serving) -> list[dict]:
    """The runs that are to come, once there are any."""
    until = time.monotonic() + 120
    while time.monotonic() < until and serving.process.poll() is None:
        if found := ask(serving.address, "flow_runs/filter", SCHEDULED, serving.login):
            return list(found)
        time.sleep(1)
    raise AssertionError("nothing is scheduled")


def test_the_next_month_is_scheduled_behind_a_login(serving: Serving) -> None:
    assert len(serving.login) > 24
    first = scheduled(serving)[0]
    assert first["parameters"] == {"repo": "org/name", "keep_last": 3, "as_of": "2024-12-31"}
    assert first["next_scheduled_start_time"][8:16] == "03T04:00"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(serving.address, "flow_runs/filter", SCHEDULED)


def test_a_run_may_not_name_another_place_than_what_is_served(serving: Serving) -> None:
    deployment = scheduled(serving)[0]["deployment_id"]
    asked = {"as_of": "2024-12-31", "source": "sample", "store": str(serving.folder / "elsewhere")}
    path = f"deployments/{deployment}/create_flow_run"
    run = ask(serving.address, path, {"parameters": asked}, serving.login)
    state = ended(serving.address, run["id"], serving.login)
    assert state["type"] == "FAILED" and "is not where this deployment works" in state["message"]
    assert not (serving.folder / "elsewhere").exists()


def test_it_ends_with_one_line_when_its_server_dies(serving: Serving) -> None:
    os.kill(server_of(serving.process.pid), signal.SIGKILL)
    assert serving.process.wait(timeout=60) == 1
    assert serving.process.stderr is not None
    told = [line for line in serving.process.stderr.read().splitlines() if "Prefect server at" in line]
    assert len(told) == 1 and "start `chronofacts serve` again" in told[0]


def wait_until_polled(api: str, login: str) -> None:
    """The runner asks the server for runs: it has started, and the signals are its own."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        found = ask(api.removesuffix("/api"), "deployments/filter", {}, login)
        if [one["status"] for one in found] == ["READY"]:
            return
        time.sleep(0.2)
    raise AssertionError("nobody asks for runs")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_stopped_while_it_waits_for_a_run_says_so_and_exits_with_the_signals_code(
    number: signal.Signals, own_prefect_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(own_prefect_home))
    login = "name:password"
    with start_server(free_port(), login) as server:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API")}
        named = {"PREFECT_API_URL": server.api, "PREFECT_API_AUTH_STRING": login, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "chronofacts.flows.cli", "serve"],
            cwd=tmp_path, env=kept | named, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as serving:  # fmt: skip
            try:
                wait_until_polled(server.api, login)
                serving.send_signal(number)
                assert serving.wait(timeout=60) == 128 + number
            finally:
                serving.kill()
            assert serving.stderr is not None
            by = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
            assert serving.stderr.read().splitlines()[-1].startswith(f"chronofacts serve: stopped by {by}")


def test_one_that_is_stopped_together_with_its_own_server_says_by_what(own_prefect_home: Path, tmp_path: Path) -> None:
    """As a service manager does, which signals every process of a service."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(own_prefect_home), "PYTHONUNBUFFERED": "1"}
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "chronofacts.flows.cli", "serve", "--port", str(port), "--json"],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as serving:  # fmt: skip
        try:
            wait_until_polled(f"http://127.0.0.1:{port}", result_of(serving)["login"])
            for process in (server_of(serving.pid), serving.pid):
                os.kill(process, signal.SIGTERM)
            assert serving.stderr is not None
            told = serving.stderr.read().splitlines()
            assert serving.wait(timeout=60) == 128 + signal.SIGTERM
        finally:
            serving.kill()
        assert told[-1].startswith("chronofacts serve: stopped by SIGTERM")
        assert not any("Prefect server at" in line for line in told)


@pytest.mark.parametrize("starting", [0, 30])
def test_a_signal_that_is_lost_while_prefect_starts_is_sent_once_more(starting: int) -> None:
    code = (
        "import os, signal, sys, time\n"
        "from chronofacts.flows.scheduled import monthly, serve\n"
        "from chronofacts.flows.stopping import Stopped, listen\n"
        f"serve._LOOK_S, serve._RUN_S, serve._STARTING_S, heard = 0.1, 0.5, {starting}, []\n"
        "class Deaf:\n"
        "    def serve(self, **_):\n"
        "        signal.signal(signal.SIGTERM, lambda *_: sys.exit() if heard else heard.append(1))\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(60)\n"
        "listen()\n"
        "monthly.monthly = Deaf()\n"
        "try: serve._serve_until_stopped('0 4 3 * *', {})\n"
        "except Stopped as stop: print(stop.name, heard)\n"
    )
    words = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.stdout == "SIGTERM [1]\n", done.stderr


def test_an_unknown_relation_is_told_before_anything_is_served() -> None:
    with pytest.raises(BadInput, match="unknown relation 'P99999'"):
        serve_monthly("0 4 3 * *", {"relations": "club,P99999"}, free_port(), lambda *_: pytest.fail("it serves"))


def test_a_wrong_parameter_is_told_before_anything_is_served(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "chronofacts.flows.cli", "serve", "--set", "repo"],
        cwd=tmp_path, env={**kept, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "key=value" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("keep_last", "-1", "keep at least 1"), ("keep_last", "0", "keep at least 1"), ("repo", "nope", "ORG/NAME"),
        ("source", "", "says nothing"), ("source", "qlevr", "'qlevr' is not a source"), ("store", " ", "says nothing"),
        ("models", "small-world,two words", "'two words' is neither"), ("models", "", "'' is neither"),
        ("editors", "none,lorra", "there is no editor 'lorra'"),
    ],
)  # fmt: skip
def test_a_value_with_which_every_month_fails_is_told_before_anything_is_served(
    name: str, value: str, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        serve_monthly("0 4 3 * *", {name: value}, free_port(), lambda *_: pytest.fail("it serves"))


def test_what_may_come_until_the_month_is_served_and_a_bare_name_is_told(caplog: pytest.LogCaptureFixture) -> None:
    models = ("small-world", "smollm2", "org/name", "runs/mine/model", "later.gguf", "gpt2")
    check_parameters({"source": "dumps/latest.json.bz2", "models": models, "editors": ("none", "lora"), "keep_last": 1})
    (told,) = caplog.messages
    assert told.startswith("the model 'gpt2' is no folder here")
