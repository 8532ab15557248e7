"""Run the benchmarks, each in a process of its own, and write down what they claim.

    python -m benchmarks [NAME …] [--out FOLDER]

Without names all of them run, which takes some hours. What a benchmark prints lies in FOLDER (`benchmark-output`);
`benchmarks/claims.json` and the table of `benchmarks/README.md` have its claims afterwards. One that fails is told at
the end, and keeps its former figures.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.claims import COLLECTED, as_json, as_table, merge, read_claims, read_said, with_table
from benchmarks.machine import ROOT, describe

SNAPSHOT, WORLD = "{out}/S", "{out}/R/model"
"""Made first where a benchmark wants them."""
COMMANDS: dict[str, Sequence[str]] = {
    "first_hour": ["--demo"],
    "dump_extraction": ["--gigabytes", "2"],
    "dump_projection": [],
    "endpoint_refresh": [],
    "timelines_scale": ["--millions", "1", "10"],
    "questions_scale": ["1000000"],
    "refresh_memory": ["--millions", "1", "3"],
    "publish_memory": [],
    "flow_overhead": [],
    "two_months": [],
    "past_months": [],
    "editing_speed": [],
    "evaluation_speed": [],
    "real_model_speed": [],
    "harness_speed": [SNAPSHOT],
    "busy_cores": [],
    "editing_small_world": [SNAPSHOT],
    "editors_cost": [SNAPSHOT, WORLD],
    "long_runs": [],
    "months": ["{out}/months"],
    "model_families": [],
    "attacks": [],
    "soak": [],
}
"""Benchmark -> the words behind its name, in the order in which they run."""
FIRST = {
    SNAPSHOT: ["refresh", "--source", "sample", "--since", "2021-01-01", "--as-of", "2025-01-01", "--out", SNAPSHOT],
    WORLD: ["experiment", SNAPSHOT, "--model", "small-world", "--editor", "none", "--limit", "60", "--out", "{out}/R"],
}
HERE = Path(__file__).parent


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMMANDS)}")
    asked.add_argument("--out", type=Path, default=Path("benchmark-output"))
    given = asked.parse_args()
    if unknown := [name for name in given.names if name not in COMMANDS]:
        asked.error(f"there is no benchmark {unknown[0]!r}; take {', '.join(COMMANDS)}")
    failed = [name for name in given.names or COMMANDS if not run(name, given.out.absolute())]
    if failed:
        print(f"failed: {', '.join(failed)}; their logs lie in {given.out}", file=sys.stderr)
    return int(bool(failed))


def run(name: str, out: Path) -> bool:
    """One benchmark, its log in `out`; its claims are kept. False where it failed."""
    out.mkdir(parents=True, exist_ok=True)
    words, log, said = COMMANDS[name], out / f"{name}.log", out / f"{name}.claims"
    for made in words:
        if made in FIRST and not Path(made.format(out=out)).exists():
            command = [word.format(out=out) for word in FIRST[made]]
            subprocess.run([sys.executable, "-m", "chronofacts.flows.cli", *command], check=True, cwd=ROOT)
    said.unlink(missing_ok=True)
    machine, began = describe(), time.perf_counter()
    print(f"{name}: running, log in {log}", flush=True)
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *(word.format(out=out) for word in words)], check=False,
            cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, COLLECTED: str(said)},
        )  # fmt: skip
    print(f"{name}: {'done' if not done.returncode else f'exit code {done.returncode}'}, "
          f"{time.perf_counter() - began:.0f} s", flush=True)  # fmt: skip
    if done.returncode:
        return False
    kept = HERE / "claims.json"
    claims = merge(read_claims(kept), read_said(said, name, machine, datetime.datetime.now(tz=datetime.UTC).date()))
    kept.write_text(as_json(claims), encoding="utf-8")
    page = HERE / "README.md"
    page.write_text(with_table(page.read_text(encoding="utf-8"), as_table(claims, COMMANDS)), encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
