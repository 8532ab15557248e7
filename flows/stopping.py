"""Ctrl-C and SIGTERM end a command in the same way: what is open is closed, what is finished stays, and one line tells.

A scheduler, `docker stop` and a shutting machine send SIGTERM, which by itself ends Python without a word. A command
that does not end by itself in `GRACE_S` is in the middle of what cannot be interrupted (a library being loaded, a
product of large matrices, an interrupt that a library swallowed): it is ended there, as a kill would, after which
nothing is lost and the same command goes on. Python's own end is left out, since it takes a second to take torch apart.
Imports nothing of ours, so that the program listens before it loads the rest.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

__all__ = ["GRACE_S", "Stopped", "end_on_signal", "heard", "leave", "listen", "stoppable"]

GRACE_S = 1.4
"""From the signal on; with what is left the program ends within two seconds."""
LEAVING_S = 0.3
"""Beyond that, for one that has told its line."""
STOPS = (signal.SIGINT, signal.SIGTERM)
Tell = Callable[[str], str]
"""Name of what stopped a command -> the line about it."""


class Stopped(BaseException):
    """The command was stopped from outside."""

    def __init__(self, number: int) -> None:
        self.name = _name(number)
        self.exit_code = 128 + number


class _Program:
    """What the whole process does when it is stopped. Only the program listens, never what imports this."""

    listens = False
    tell: Tell | None = None
    """Of the command that runs; None: there is none, it has told already, or it takes its own time."""
    heard: int | None = None
    """The last signal that was to stop the program, whoever has taken it."""


def listen() -> None:
    """From now on Ctrl-C and SIGTERM end this process in a line, also while nothing but imports runs."""
    if _Program.listens:
        return
    _Program.listens = True
    for number in STOPS:
        signal.signal(number, _end_before_the_command)
    heard, told = os.pipe()
    os.set_blocking(told, False)
    # Python's own handlers wait for the main thread, which may be in a library; this pipe is written to at once.
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(heard,), daemon=True).start()


def heard() -> int | None:
    """The signal by which the program was told to stop, also where a library has taken it; None: none yet."""
    return _Program.heard


@contextmanager
def stoppable(tell: Tell | None = None) -> Iterator[None]:
    """Raises Stopped where SIGTERM or Ctrl-C comes inside. Afterwards the program ends undisturbed by another.

    tell: the line for a command that has to be ended where it is; None: it takes its time.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in STOPS}
    _Program.tell = tell
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(received[0] if received else signal.SIGINT) from None
    except BaseException:
        if received:  # what became of the interrupt in a library that caught it: half an import, an error of its own
            raise Stopped(received[0]) from None
        raise
    finally:
        _Program.tell = None
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if _Program.listens else handler)


def end_on_signal() -> None:
    """From now on nothing is left to be told: a signal ends the program at once."""
    for number in STOPS:
        signal.signal(number, signal.SIG_DFL)


def leave(code: int) -> None:
    """End the program without taking its libraries apart; what waits for its end, or to be written, is done."""
    with suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _end_before_the_command(number: int, frame: FrameType | None) -> None:
    _end(number, f"chronofacts: stopped by {_name(number)}")


def _watch(heard: int) -> None:
    """Wait for a signal, then for the command's own end, and end the process where that does not come."""
    while True:
        for number in os.read(heard, 64):
            if number in STOPS:
                _Program.heard = number
                if _Program.tell is not None:
                    _end_in_time(number)


def _end_in_time(number: int) -> None:
    time.sleep(GRACE_S)
    tell = _Program.tell
    if tell is None:  # it has told, and is leaving
        time.sleep(LEAVING_S)
    _end(number, tell(_name(number)) if tell else "")


def _end(number: int, line: str) -> None:
    if processes := sys.modules.get("multiprocessing"):
        for process in processes.active_children():
            process.kill()
    if line:
        os.write(2, f"{line}\n".encode())
    os._exit(128 + number)


def _name(number: int) -> str:
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
