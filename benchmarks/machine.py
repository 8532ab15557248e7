"""The machine that a benchmark runs on, and what a process uses of it."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

__all__ = ["MACHINE", "ROOT", "describe", "peak_gib", "processor_seconds", "run_alone"]

ROOT = Path(__file__).resolve().parents[1]


def describe() -> str:
    """Of this moment: processor, cores, load, Python."""
    names = Path("/proc/cpuinfo")
    found = [line for line in names.read_text().splitlines() if line.startswith("model name")] if names.exists() else []
    name = found[0].partition(":")[2].strip() if found else platform.machine()
    return f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}, Python {platform.python_version()}"


MACHINE = describe()


def run_alone(benchmark: str, *arguments: str) -> str:
    """What `benchmarks/BENCHMARK.py` prints in a process of its own, whose memory is its own."""
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def peak_gib() -> float:
    """Peak memory of this program alone: `getrusage` begins with that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def processor_seconds() -> float:
    """Of user and system, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
