"""Ctrl-C and SIGTERM end a command in the same way: what is open is closed, what is finished stays, and one line tells.

A scheduler, `docker stop` and a shutting machine send SIGTERM, which by itself ends Python without a word.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stopped", "stoppable"]


class Stopped(BaseException):
    """The command was stopped from outside."""

    def __init__(self, number: int) -> None:
        self.name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self.exit_code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Raises Stopped where SIGTERM or Ctrl-C comes inside; leaves the handlers as they were."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(received[0] if received else signal.SIGINT) from None
    finally:
        signal.signal(signal.SIGTERM, before)
