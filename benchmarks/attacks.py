"""Claim: what strangers send is met: no file outside, no secret left, no traceback, each try bounded in time and room.

Every topic of `benchmarks.attack_families` in a process of its own, with a bound on memory, and each try with a
deadline. Prints what was tried, what held, the slowest try and the process's peak memory; ends with 1 where anything
did not hold. Run: python -m benchmarks.attacks [TOPIC ...] [--list]
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

if __package__ in (None, ""):  # started as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.attack_families import Broken, find_attacks, topics
from benchmarks.claims import claim
from benchmarks.machine import MACHINE, ROOT, peak_gib

DEADLINE_S = 120
"""Of one try."""
MEMORY_GIB = 1.5
"""That a topic may take, as README promises; torch, where a topic needs it, comes on top."""
_ADDRESS_GIB = 24  # a fence against the machine's end, not the bound: libraries reserve what they never use


def run_topic(topic: str) -> None:
    """All attacks of one topic, here; prints each as a line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_GIB << 30, _ADDRESS_GIB << 30))
    signal.signal(signal.SIGALRM, _stop)
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        attacks = find_attacks(topic, Path(folder))
        while True:
            signal.alarm(DEADLINE_S)  # preparing counts as well
            attack = next(attacks, None)
            if attack is None:
                break
            began, held, met = time.monotonic(), False, ""
            try:
                met, held = attack.run(), True
            except Broken as broken:
                met = str(broken)
            except BaseException as error:
                met = "".join(traceback.format_exception_only(error)).strip()
            _print({"name": attack.name, "held": held, "met": met[:300], "seconds": time.monotonic() - began})
    signal.alarm(0)
    _print({"peak_gib": peak_gib()})


def _stop(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"no end in {DEADLINE_S} s")


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def run_apart(topic: str) -> tuple[list[dict[str, Any]], float | None]:
    """(every try of a topic, the peak memory in GiB; None when the process did not come to its end)."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.attacks", "--one", topic]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    tries, peak = list[dict[str, Any]](), None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if "peak_gib" in told:
                peak = told["peak_gib"]
            else:
                tries.append(told)
    return tries, peak


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--one"]:
        run_topic(arguments[1])
        return 0
    if "--list" in arguments:
        print("\n".join(topics()))
        return 0
    print(f"{MACHINE}; each try at most {DEADLINE_S} s")
    print(f"{'topic':12} {'tried':>6} {'held':>6} {'slowest':>9} {'peak':>9}")
    tried = held = 0
    sound = True
    for topic in arguments or topics():
        tries, peak = run_apart(topic)
        good = [one for one in tries if one["held"]]
        slowest = max((one["seconds"] for one in tries), default=0.0)
        shown = "killed" if peak is None else f"{peak:.2f} GiB"
        print(f"{topic:12} {len(tries):6} {len(good):6} {slowest:7.1f} s {shown:>9}", flush=True)
        for one in tries:
            if not one["held"]:
                print(f"    NOT HELD {one['name']}: {one['met']}")
        tried, held = tried + len(tries), held + len(good)
        sound = sound and bool(tries) and len(good) == len(tries) and peak is not None and peak <= MEMORY_GIB
    print(f"{tried} tried, {held} held")
    if not arguments:
        claim(
            "attacks that held, of those tried", "all of at least 300", f"{held:,} of {tried:,}", held == tried >= 300
        )
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
