"""Waiting threads spin while nobody else wants the cores, and sleep as soon as somebody does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing import busy_cores
from chronofacts.editing.busy_cores import Look, can_tell, count_taken, look, sleep_beside_others

ROOT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
MINE = sorted(os.sched_getaffinity(0))


def write_kernel(path: Path, worked_s: float) -> Path:
    """What the kernel says when each core of ours worked so long, and those of others all the time."""
    ticks = int(worked_s * TICKS)
    others = [core for core in range(max(MINE) + 3) if core not in MINE]
    lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
    lines += [f"cpu{core} {ticks} 0 0 77777 999 0 0 0 {ticks} 0" for core in MINE]
    lines += [f"cpu{core} 123456789 0 0 0 0 0 0 0 0 0" for core in others]
    aside = path.with_suffix(".new")
    aside.write_text("\n".join([*lines, "intr 12 0 0", "ctxt 5"]) + "\n")
    aside.rename(path)
    return path


def test_only_the_cores_of_this_process_count_without_their_idle_time(tmp_path: Path) -> None:
    found = look(write_kernel(tmp_path / "stat", 2.5))
    assert found is not None and found.everybody == pytest.approx(2.5 * len(MINE), abs=len(MINE) / TICKS)


@pytest.mark.parametrize("text", [None, "", "intr 5\n", "cpu0\n", "cpu0 1 x 3 4 5 6 7\n", "cpu9999 1 2 3 4 5 6 7\n"])
def test_a_system_that_does_not_say_how_busy_its_cores_are_is_not_watched(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "stat").write_text(text)
    assert look(tmp_path / "stat") is None and not can_tell(tmp_path / "stat")
    before = threading.active_count()
    with sleep_beside_others(tmp_path / "stat"):
        assert threading.active_count() == before


@given(seconds=st.floats(0.1, 5), others=st.floats(0, 64), ours=st.floats(0, 64))
def test_what_others_take_is_what_was_worked_without_our_own_part(seconds: float, others: float, ours: float) -> None:
    now = Look(7 + seconds, 100 + (others + ours) * seconds, 3 + ours * seconds)
    assert count_taken(Look(7, 100, 3), now) == pytest.approx(others, abs=1e-6)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never came so"
        time.sleep(0.005)


def held() -> bool:
    return any(thread.name == "sleeping-team" for thread in threading.enumerate())


def test_a_team_is_held_while_others_work_and_given_back_when_they_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(busy_cores, "EVERY_S", 0.05)
    kernel, worked = write_kernel(tmp_path / "stat", 1), 1.0
    before = set(threading.enumerate())
    with sleep_beside_others(kernel):
        with sleep_beside_others(kernel):  # nested, one looks
            assert len(set(threading.enumerate()) - before) == 1

        def another_second_has_gone() -> bool:
            nonlocal worked
            write_kernel(kernel, worked := worked + 1)
            return held()

        for _ in range(2):
            until(another_second_has_gone)
            until(lambda: not held())
        until(another_second_has_gone)
        kernel.unlink()  # who can no longer look leaves all as it is
        time.sleep(0.15)
        assert held()
    until(lambda: set(threading.enumerate()) == before)


@pytest.mark.skipif(sys.platform != "linux" or len(MINE) < 2, reason="needs GCC's OpenMP and two cores")
def test_threads_that_would_spin_for_minutes_sleep_while_a_team_is_held() -> None:
    code = """
import os, threading, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # as many cores as threads, else they may spin
import torch
from chronofacts.editing import busy_cores

def worked() -> float:
    torch.zeros(1 << 20).fill_(1)
    time.sleep(0.1)  # who does not sleep by now spins
    before = time.process_time()
    time.sleep(1)
    return time.process_time() - before

torch.set_num_threads(2)
spinning, release = worked(), threading.Event()
busy_cores.EVERY_S = 0.01
threading.Thread(target=busy_cores._hold_team, args=(release,)).start()
time.sleep(0.2)
torch.zeros(1 << 20).fill_(1)
print(spinning, min(worked() for _ in range(3)))
release.set()
"""
    waiting = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "100000000000"}
    clean = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean | waiting, capture_output=True, text=True, check=True
    )
    spinning, asleep = map(float, done.stdout.split())
    assert asleep < 0.1 < spinning
