"""Claim: the first hour is not spent waiting. Each command in a process of its own, in a fresh folder, as a user does.

Run: python -m benchmarks.first_hour [--demo]     the demo last, which takes minutes
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.claims import claim
from benchmarks.machine import MACHINE

ROOT = Path(__file__).resolve().parents[1]
REFRESH = "refresh --source sample --since 2021-01-01 --as-of 2025-01-01 --out S"
AWAY = "http://127.0.0.1:9"
"""Where nobody answers."""
COMMANDS = (
    ("--help", 0, "0.4 s"),
    ("refresh --nope", 2, "0.6 s"),
    (REFRESH, 0, "12 s, 25 s of processors"),
    ("verify S", 0, ""),
    ("inspect S", 0, ""),
    (f"publish S --repo org/name --dry-run --endpoint {AWAY}", 1, "5 s"),
    ("experiment S --model org/model --out R", 2, "5 s"),
)
"""Command, exit code, and what is expected of it on an idle machine."""


def measure(words: str, expected: int, wanted: str, folder: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PREFECT_"))}
    away = {"HF_TOKEN": "hf_ofNobody", "HF_ENDPOINT": AWAY, "HF_HOME": str(folder)}
    environment = kept | {"PYTHONPATH": str(ROOT)} | away
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "chronofacts.flows.cli", *words.split()], cwd=folder, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        first = process.stdout.readline()
        spoke = time.perf_counter() - began
        rest = process.stdout.read()
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"| `{words}` | {spoke:.1f} | {seconds:.1f} | {used:.1f} | {wanted} |", flush=True)
    limit = float(wanted.partition(" s")[0]) if wanted else None
    name = words if len(words) < 20 else words.partition(" ")[0]
    claim(f"`{name}`: seconds by the clock", wanted, f"{seconds:.1f}", None if limit is None else seconds <= limit)
    if process.returncode != expected:
        sys.exit(f"{words}: exit code {process.returncode}\n{first}{rest}")


def main() -> None:
    print(f"{MACHINE}\n\n| command | first line, s | wall, s | processors, s | wanted, idle |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for command in COMMANDS:
            measure(*command, Path(name))
        if "--demo" in sys.argv[1:]:
            measure("demo", 0, "180 s", Path(name))


if __name__ == "__main__":
    main()
