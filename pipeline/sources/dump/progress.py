"""How far the reading of a dump has come, how fast it goes, and how long it will still take."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Meter", "Progress"]

_RECENT = 60.0  # seconds over which the speed is taken: a disk's or a neighbour's mood passes


@dataclass(frozen=True, slots=True)
class Progress:
    """One moment of a reading.

    bytes_read of bytes_total are bytes of the files, over all passes; json_per_second is of the JSON in them;
    seconds_left is None until the speed is known.
    """

    pass_number: int
    passes: int
    bytes_read: int
    bytes_total: int
    json_per_second: float
    seconds_left: float | None

    def __str__(self) -> str:
        share = 100 * self.bytes_read / self.bytes_total if self.bytes_total else 100.0
        left = "" if self.seconds_left is None else f", {_format_time(self.seconds_left)} left"
        return (
            f"pass {self.pass_number} of {self.passes}: {self.bytes_read / 1e9:.1f} of {self.bytes_total / 1e9:.1f} GB "
            f"({share:.0f} %) at {self.json_per_second / 1e6:.0f} MB/s of JSON{left}"
        )


class Meter:
    """Adds up what the parts of a dump report, in whatever order they are read.

    sizes: bytes of each part's file. clock: seconds, as `time.monotonic`. show: gets a `Progress` at most
    every `every` seconds.
    """

    def __init__(
        self,
        sizes: list[int],
        passes: int,
        clock: Callable[[], float],
        show: Callable[[Progress], None],
        every: float = 5.0,
    ) -> None:
        self._sizes = sizes
        self._passes = passes
        self._clock = clock
        self._show = show
        self._every = every
        self._recent: deque[tuple[float, int, int]] = deque()
        self._shown = clock()
        self.begin(1)

    def begin(self, pass_number: int) -> None:
        """The parts are read from the start once more."""
        self._pass = pass_number
        self._read = [0] * len(self._sizes)
        self._json = [0] * len(self._sizes)
        self._skipped = 0
        self._recent.clear()
        self._recent.append((self._clock(), 0, 0))

    def update(self, part: int, bytes_read: int, json_bytes: int) -> None:
        """A part has been read so far."""
        self._read[part], self._json[part] = bytes_read, json_bytes
        now = self._clock()
        if now - self._shown >= self._every:
            self._shown = now
            self._show(self.progress())

    def skip(self, part: int) -> None:
        """A part had been read by an earlier run: it takes no time and says nothing of the speed."""
        self._skipped += self._sizes[part]

    def progress(self) -> Progress:
        now, size, read, json = self._clock(), sum(self._sizes), sum(self._read), sum(self._json)
        self._recent.append((now, read, json))
        while len(self._recent) > 2 and now - self._recent[1][0] >= _RECENT:
            self._recent.popleft()
        then, read_then, json_then = self._recent[0]
        seconds = now - then
        speed = (read - read_then) / seconds if seconds > 0 else 0.0
        left = size - read - self._skipped + (self._passes - self._pass) * size
        return Progress(
            self._pass,
            self._passes,
            (self._pass - 1) * size + read + self._skipped,
            self._passes * size,
            (json - json_then) / seconds if seconds > 0 else 0.0,
            max(left, 0) / speed if speed > 0 else None,
        )


def _format_time(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
