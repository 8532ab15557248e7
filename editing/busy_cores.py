"""Threads that wait for one another spin while nobody else wants the cores, and sleep as soon as somebody does.

How long they spin is read once, when torch is loaded; other programs come and go later. But GCC's OpenMP has a second
count, for a process with more OpenMP threads than cores: with `OMP_WAIT_POLICY=PASSIVE` it is none (libgomp,
`config/linux/wait.h` and `env.c`). So while others want the cores, one thread of ours holds a team of its own, which
sleeps, and by its number alone lets all sleep. Whoever has fewer threads than cores goes on spinning. No result depends
on it: neither how many threads share a product nor the order of its sums. Figures: `benchmarks/busy_cores.md`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["can_tell", "sleep_beside_others"]

KERNEL = Path("/proc/stat")
EVERY_S = 0.5
"""Between two looks: fifty ticks of each core, and half a second of spinning against whoever has just come."""
FIRST_S = 0.1
"""Until the first look: who was there before is soon noticed."""
TAKEN = 0.5
"""Cores that others must have before our threads sleep; they spin again below half of it."""


class Look(NamedTuple):
    """The clock, and seconds of the processor since the start: of everybody on our cores, and of this process."""

    at: float
    everybody: float
    ours: float


def can_tell(kernel: Path = KERNEL) -> bool:
    """Whether this machine says how busy each core is."""
    return hasattr(os, "sched_getaffinity") and look(kernel) is not None


@contextmanager
def sleep_beside_others(kernel: Path = KERNEL) -> Iterator[None]:
    """Inside, torch's threads sleep whenever other programs want the cores; nested, the outermost looks."""
    if _Watch.open or not can_tell(kernel):
        yield
        return
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(kernel, done), name="busy-cores", daemon=True)
    _Watch.open = True
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()
        _Watch.open = False


class _Watch:
    open = False


def look(kernel: Path = KERNEL) -> Look | None:
    """Seconds that the cores of this process worked for anybody, other machines of the same host among them.

    None where the system does not say it: not Linux, or a container that hides it.
    """
    try:
        lines = kernel.read_text(encoding="ascii").splitlines()
        times = {name: [int(tick) for tick in ticks] for name, *ticks in map(str.split, lines) if name[:3] == "cpu"}
        of_cores = [times[f"cpu{core}"] for core in os.sched_getaffinity(0)]
    except (OSError, ValueError, KeyError):
        return None
    worked = sum(sum(ticks[:8]) - ticks[3] - ticks[4] for ticks in of_cores)  # without idle, iowait, and guests twice
    return Look(time.monotonic(), worked / os.sysconf("SC_CLK_TCK"), time.process_time())


def count_taken(before: Look, now: Look) -> float:
    """How many of our cores other programs worked on between two looks."""
    return (now.everybody - before.everybody - (now.ours - before.ours)) / (now.at - before.at)


def _watch(kernel: Path, done: threading.Event) -> None:
    """Look at the cores until done, and hold a team of threads for as long as others want them."""
    release: threading.Event | None = None
    before, pause = look(kernel), FIRST_S
    while not done.wait(pause):
        now = look(kernel)
        if before is not None and now is not None and "torch" in sys.modules:
            taken = count_taken(before, now)
            if release is None and taken > TAKEN:
                release = threading.Event()
                threading.Thread(target=_hold_team, args=(release,), name="sleeping-team", daemon=True).start()
            elif release is not None and taken < TAKEN / 2:
                release.set()
                release = None
        before, pause = now, EVERY_S
    if release is not None:
        release.set()


def _hold_team(release: threading.Event) -> None:
    """Have a team of OpenMP threads, which ends with this thread.

    Made anew at each look: torch may have had one thread before, and a team that was made before the main one spins on.
    """
    import torch

    numbers = torch.zeros(1 << 17)  # of more than one thread's share, which is 32,768
    while not release.wait(EVERY_S):
        numbers.fill_(0)
