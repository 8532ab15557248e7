"""A Prefect worker in a process of its own, and Prefect's command line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


class worker:
    """A worker of the pool until the end of the block; its log is shown where something is not as it should be."""

    def __init__(self, environment: dict[str, str]) -> None:
        words = [sys.executable, "-W", "ignore", "-m", "prefect", "worker", "start", "--pool", "chronofacts"]
        self._process = subprocess.Popen(
            words, cwd=ROOT, env={**environment, "PREFECT_WORKER_QUERY_SECONDS": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.log: list[str] = []
        threading.Thread(target=lambda: self.log.extend(self._process.stdout or ()), daemon=True).start()

    def __enter__(self) -> worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):  # how long Prefect takes to stop is no matter of ours
            self._process.wait(30)
        self._process.kill()
        self._process.wait()


def prefect(environment: dict[str, str], *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "prefect", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
