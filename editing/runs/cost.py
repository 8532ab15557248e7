"""What a stage cost, and on which machine: seconds, peak memory, versions."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

__all__ = ["Cost", "describe_machine"]

LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "pyarrow", "numpy")


class Cost:
    """Seconds and peak memory of a block: `with Cost() as cost: …; cost.seconds, cost.peak_mb`.

    Memory is the process's peak resident set within the block where Linux lets it be reset (`clear_refs`), else the
    peak so far; on a GPU it is the most that torch had allocated.
    """

    seconds: float = 0.0
    peak_mb: float = 0.0

    def __enter__(self) -> Cost:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        with contextlib.suppress(OSError):  # not Linux, or not ours to reset: the peak so far is an upper bound
            Path("/proc/self/clear_refs").write_text("5")
        self._begun = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = round(time.perf_counter() - self._begun, 3)
        self.peak_mb = round(_peak_mb(), 1)


def describe_machine() -> dict[str, Any]:
    """Processor, cores, threads, GPU and the versions of the libraries that decide a result."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _peak_mb() -> float:
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = _read_proc("self/status", "VmHWM") or f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB"
    return int(peak.split()[0]) / 1024


def _processor() -> str:
    return _read_proc("cpuinfo", "model name") or platform.processor() or platform.machine()


def _read_proc(file: str, key: str) -> str:
    """The first value of a key in a file of Linux; empty elsewhere."""
    path = Path("/proc") / file
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
