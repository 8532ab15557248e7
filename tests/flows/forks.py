"""Processes that are forks of one which has imported everything: seconds less for each, and the same otherwise.

All have the environment of the first. Not for tests of how a program starts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["COMMANDS", "MONTHS", "Arm", "Ended", "Forks", "asked_in_a_fork"]

COMMANDS, MONTHS = "tests.flows.command_process", "tests.flows.month_process"
"""What can be forked: a program that is asked `{"words": [...]}`, and one that is asked a month's parameters."""
Arm = Callable[[Callable[[], None]], None]
"""Is given what kills a process at once."""


@dataclass(frozen=True)
class Ended:
    """A process that ran: its exit code (negative: the signal) and what it printed."""

    code: int
    out: str
    errors: str


class Forks:
    """What forks a program: a module that asks `asked_in_a_fork` once it is ready. Ends with the block."""

    def __init__(self, program: str) -> None:
        self._words = [sys.executable, "-W", "ignore", "-m", program]
        self._parent: subprocess.Popen[str] | None = None

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *error: object) -> None:
        if self._parent is not None:
            self._parent.communicate()

    def run(
        self,
        asked: dict[str, Any],
        environment: dict[str, str],
        folder: Path,
        kill_after: float | None = None,
        arm: Arm = lambda kill: None,
    ) -> Ended:
        if self._parent is None:
            self._parent = subprocess.Popen(
                self._words, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert kill_after is None and self._parent.stdin is not None and self._parent.stdout is not None
        with tempfile.TemporaryDirectory() as name:
            out, errors = Path(name, "out"), Path(name, "errors")
            request = {"asked": asked, "folder": str(folder), "out": str(out), "errors": str(errors)}
            print(json.dumps(request), file=self._parent.stdin, flush=True)
            child = int(self._parent.stdout.readline())
            arm(lambda: os.kill(child, signal.SIGKILL))
            code = int(self._parent.stdout.readline())
            return Ended(code, out.read_text(encoding="utf-8"), errors.read_text(encoding="utf-8"))


def asked_in_a_fork() -> dict[str, Any]:
    """The next line of standard input, in a child; the parent tells its pid and its exit code, and goes on."""
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os.chdir(request["folder"])
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for place, name in ((1, "out"), (2, "errors")):
                with Path(request[name]).open("wb") as file:
                    os.dup2(file.fileno(), place)
            return dict(request["asked"])
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()
