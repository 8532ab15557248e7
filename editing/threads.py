"""How torch uses the cores that this process may have; must be settled before torch is imported.

Waiting: torch's threads wait for one another after every product, many thousand times a second in a small model. By
default they spin meanwhile, and where another program wants the cores, it is the spinning that gets them: with six
others at work on two cores, a training of 4 s took 118. Threads that sleep at once are woken up too late on cores that
nobody else wants: a model of 135 million parameters takes up to a half longer. So they spin, and sleep while somebody
else wants the cores (`busy_cores`); where that cannot be told, they spin a little, then sleep.

Number: as many as the cores that the scheduler's affinity and the control group's quota leave; OpenMP knows the first
alone, and of a container with two cores of 64 would make 64 threads. A model whose products take microseconds has one
(`fit_threads`): as fast on two idle cores, and on busy ones a third faster. How busy the machine is does not count: the
order in which floats are added may depend on the number of threads, and results must not depend on what else runs.
Figures: `benchmarks/busy_cores.md`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chronofacts.editing.busy_cores import can_tell, sleep_beside_others

__all__ = [
    "SMALL",
    "WAITING",
    "WATCHED_SPINS",
    "count_cores",
    "fit_threads",
    "prepare_threads",
    "threads_restored",
]

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""OpenMP's word for sleeping, how long threads of GCC's library (the one in torch's wheels) spin before it, some 50
microseconds, and the word of Intel's and LLVM's, which counts in milliseconds."""
WATCHED_SPINS = 30_000
"""How long they spin where it is looked after: some milliseconds, longer than anything that one thread does alone."""
SMALL = 5_000_000
"""Parameters below which a second thread is not worth the waiting (measured at 1.3 million alone), and bfloat16 is
slower than float32 on a CPU that has it: a step of pretraining takes 46 ms in place of 25 at 1.3 million, and 125 in
place of 142 at 5.8."""
OURS = "OMP_NUM_THREADS_BY_CHRONOFACTS"
"""Beside a number that is ours, so that a process which inherits it does not take it for its user's."""
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def prepare_threads() -> None:
    """Set what torch's threads read when it is imported; what the environment says already stays."""
    number = os.environ.get("OMP_NUM_THREADS")
    _Given.number = number is not None and number != os.environ.get(OURS)
    cores = count_cores()
    if "OMP_WAIT_POLICY" not in os.environ:
        watched = number is None and cores == _count_scheduled_cores() and can_tell()
        for name, value in (WAITING | {"GOMP_SPINCOUNT": str(WATCHED_SPINS)} if watched else WAITING).items():
            os.environ.setdefault(name, value)
    if number is None and cores < _count_scheduled_cores():  # else OpenMP finds the same number
        os.environ["OMP_NUM_THREADS"] = os.environ[OURS] = str(cores)


class _Given:
    number = False
    """Whether the environment says how many threads there shall be."""


def fit_threads(parameters: int, wanted: int | None = None) -> None:
    """Let torch work with as many threads as a model of that size is worth.

    wanted: so many; None: one for a small model, unless the environment says a number, and else what it has already.
    """
    import torch

    if wanted:
        torch.set_num_threads(wanted)
    elif parameters < SMALL and not _Given.number:
        torch.set_num_threads(1)


@contextmanager
def threads_restored() -> Iterator[None]:
    """Inside, threads sleep beside busy programs; afterwards torch has as many as before: a notebook goes on.

    Only one command at a time is looked after, the first.
    """
    import torch

    before = torch.get_num_threads()
    try:
        with sleep_beside_others():
            yield
    finally:
        torch.set_num_threads(before)


def count_cores(groups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> int:
    """Whole cores that the process may use all the time, at least one.

    groups: where control groups are mounted. own: the file that says which are this process's.
    """
    quotas = [_read_quota(folder) for folder in _folders(groups, own)]
    return max(1, min([_count_scheduled_cores(), *(int(quota) for quota in quotas if quota is not None)]))


def _count_scheduled_cores() -> int:
    """Those on which the scheduler may put the process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _folders(groups: Path, own: Path) -> list[Path]:
    """Of every control group that bounds the process: its own and all above it, of both versions.

    Inside a container the file names the group as the host sees it, and the mount shows it as the root.
    """
    lines = own.read_text(encoding="utf-8").splitlines() if own.is_file() else []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        parts = Path(path.lstrip("/")).parts
        for root in (groups / controllers, groups / "cpu") if controllers else (groups,):
            found += [root.joinpath(*parts[:end]) for end in range(len(parts) + 1)]
    return found


def _read_quota(folder: Path) -> float | None:
    """Cores per period; None where the group has no bound, or there is no such group."""
    try:
        if (both := folder / "cpu.max").is_file():  # version 2: "max 100000", "150000 100000"
            quota, period = both.read_text(encoding="utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8").strip()
        return None if quota in ("max", "-1") else float(quota) / float(period)
    except (OSError, ValueError):
        return None
