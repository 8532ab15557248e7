"""Claim: the first hour is not spent waiting. Each command in a process of its own, in a fresh folder, as a user does;
medians of five by turns.

Run: python -m benchmarks.first_hour [--demo]     the demo last and once, which takes minutes
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.claims import claim
from benchmarks.machine import MACHINE

ROOT = Path(__file__).resolve().parents[1]
REFRESH = "refresh --source sample --since 2021-01-01 --as-of 2025-01-01 --out S"
TURNS = 5
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


@dataclass(frozen=True)
class Figures:
    first_line: float
    wall: float
    processors: float


def run(words: str, expected: int, folder: Path) -> Figures:
    """Seconds of one command; ends the benchmark where it does not end as expected."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PREFECT_"))}
    away = {"HF_TOKEN": "hf_ofNobody", "HF_ENDPOINT": AWAY, "HF_HOME": str(folder)}
    environment = kept | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "cache")} | away
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
    if process.returncode != expected:
        sys.exit(f"{words}: exit code {process.returncode}\n{first}{rest}")
    return Figures(spoke, seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def tell(words: str, wanted: str, found: list[Figures]) -> None:
    middle = [median(getattr(one, name) for one in found) for name in ("first_line", "wall", "processors")]
    seconds = [one.wall for one in found]
    print(f"| `{words}` | {' | '.join(f'{one:.1f}' for one in middle)} | {wanted} |", flush=True)
    limit = float(wanted.partition(" s")[0]) if wanted else None
    name = words if len(words) < 20 else words.partition(" ")[0]
    spread = f" ({min(seconds):.1f} to {max(seconds):.1f})" if len(seconds) > 1 else ""
    met = None if limit is None else middle[1] <= limit
    claim(f"`{name}`: seconds by the clock", wanted, f"{middle[1]:.1f}{spread}", met)


def main() -> None:
    print(f"{MACHINE}\n\n| command | first line, s | wall, s | processors, s | wanted, idle |\n|---|---|---|---|---|")
    found: dict[str, list[Figures]] = {words: [] for words, _, _ in COMMANDS}
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory() as name:
            for words, expected, _ in COMMANDS:
                found[words].append(run(words, expected, Path(name)))
    for words, _, wanted in COMMANDS:
        tell(words, wanted, found[words])
    if "--demo" in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as name:
            tell("demo", "180 s", [run("demo", 0, Path(name))])


if __name__ == "__main__":
    main()
