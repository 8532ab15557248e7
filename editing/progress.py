"""How far long work has come and how long it may still take, reported now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Progress", "duration", "time_left"]

EVERY_S = 10.0


class Progress:
    """Reports `what 120 of 300, at most 40 s left`, but not more often than every ten seconds.

    The time left is for work that goes on as before, to its last part: what may end earlier takes at most so long.
    """

    def __init__(
        self, report: Callable[[str], None], what: str, total: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report, self._what, self._total, self._clock = report, what, total, clock
        self._begun = self._reported = clock()

    def update(self, done: int, more: str = "") -> None:
        """So many of all are done; more: words to add."""
        now = self._clock()
        if now - self._reported < EVERY_S or not 0 < done < self._total:
            return
        self._reported = now
        left = duration(time_left(now - self._begun, done, self._total))
        self._report(f"{self._what} {done} of {self._total}{more}, at most {left} left")


def time_left(spent: float, done: int, total: int) -> float:
    """Seconds until all is done, when `done` of it took `spent` seconds."""
    return spent / done * (total - done)


def duration(seconds: float) -> str:
    """As a person would say it: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
