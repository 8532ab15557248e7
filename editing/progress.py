"""How far long work has come and how long it may still take, reported at least every ten seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "SteadyReport", "duration", "steady", "time_left"]

EVERY_S = 10.0
"""Of silence, after which a line says what is still being done."""
AFTER_S = 8.0
"""Of silence, after which the next step that ends says how far the work is: most silences end so, with a whole line."""
TELLING = 0.01
"""Share of the work from which on the time left is told: the first tokens wait for whole prompts to be read."""


class Progress:
    """Reports `what 120 of 300, at most 40 s left`, eight seconds after the last line at the soonest.

    The time left is for work that goes on as before, to its last part: what may end earlier takes at most so long.
    """

    def __init__(
        self, report: Callable[[str], None], what: str, total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report, self._what, self._total, self._clock = report, what, total, clock
        self._begun = self._reported = clock()
        if isinstance(report, SteadyReport) and total:
            report.remember(f"{what} 0 of {total}")

    def update(self, done: int, more: str = "") -> None:
        """So many of all are done; more: words to add."""
        if not 0 < done < self._total:
            return
        now = self._clock()
        seconds = time_left(now - self._begun, done, self._total)
        told = seconds >= 1 and done >= TELLING * self._total  # the last part often takes longest
        left = f", at most {duration(seconds)} left" if told else ""
        line = f"{self._what} {done} of {self._total}{more}{left}"
        if isinstance(self._report, SteadyReport):
            self._reported = max(self._reported, self._report.reported)
        if now - self._reported >= AFTER_S:
            self._reported = now
            self._report(line)
        elif isinstance(self._report, SteadyReport):
            self._report.remember(line)


class SteadyReport:
    """Reports lines, and says every ten seconds without one how far the work is, or what is still being done."""

    def __init__(self, report: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._report, self._clock, self._lock = report, clock, threading.Lock()
        self._line, self._since, self._is_new = "", clock(), False
        self.reported = self._since
        """When the last line was, by the clock."""

    def __call__(self, line: str) -> None:
        with self._lock:
            self._line, self._since, self._is_new = line, self._clock(), False
            self.reported = self._since
            self._report(line)

    def remember(self, line: str) -> None:
        """What is being done, to be said only if nothing else is for ten seconds."""
        with self._lock:
            self._line, self._since, self._is_new = line, self._clock(), True

    def remind(self) -> None:
        """Say how far the work is, or what is still being done, if nothing was said for ten seconds."""
        with self._lock:
            now = self._clock()
            if self._line and now - self.reported >= EVERY_S:
                self.reported = now
                if self._is_new:
                    self._report(self._line)
                else:
                    self._report(f"still {self._line} ({duration(now - self._since)} so far)")
                self._is_new = False


@contextmanager
def steady(report: Callable[[str], None]) -> Iterator[SteadyReport]:
    """`report`, reminded by a thread while inside: a single long call of a library is no silence either."""
    steadied, over = SteadyReport(report), threading.Event()

    def remind() -> None:
        while not over.wait(1.0):
            steadied.remind()

    thread = threading.Thread(target=remind, name="progress", daemon=True)
    thread.start()
    try:
        yield steadied
    finally:
        over.set()
        thread.join()


def time_left(spent: float, done: int, total: int) -> float:
    """Seconds until all is done, when `done` of it took `spent` seconds."""
    return spent / done * (total - done)


def duration(seconds: float) -> str:
    """As a person would say it: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
