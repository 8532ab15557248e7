"""The server of a command's own flows: one, used by all of them, and gone with the command even when that is killed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
COMMAND = """
import contextlib, json, os, sys, threading, time
from pathlib import Path
from chronofacts.flows.prefect_env import quiet_flows

def children():
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\\nPPid:\\t{os.getpid()}\\n" in status.read_text():
                found.append(status)
    return found

with quiet_flows():
    from prefect import flow, task
    from prefect.artifacts import create_markdown_artifact
    from prefect.settings import PREFECT_API_URL

    told = task(lambda: create_markdown_artifact("x", key="told"), name="told")
    flow(lambda: told(), name="tells")()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(PREFECT_API_URL.value()))
    thread.start()
    thread.join()
    print(json.dumps({"api": PREFECT_API_URL.value(), "thread": seen[0], "children": len(children())}))
    sys.stdout.flush()
    time.sleep(60)
"""


def is_open(address: str) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", urlsplit(address).port or 0)) == 0


def test_all_flows_of_a_command_use_one_server_which_goes_when_the_command_is_killed(
    own_prefect_home: Path, tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = {**kept, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(own_prefect_home)}
    command = [sys.executable, "-W", "ignore", "-c", COMMAND]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["thread"] == told["api"]  # so that Prefect's own threads start no other
        assert told["children"] == 1
        with urllib.request.urlopen(f"{told['api']}/artifacts/told/latest", timeout=30) as answer:
            assert json.load(answer)["data"] == "x"
        process.kill()
    until = time.monotonic() + 20
    while is_open(told["api"]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not is_open(told["api"])
