"""One rule for what every command prints: its result on standard output, everything else on standard error.

`--quiet` leaves out the progress, which is lines in a log and a bar on a terminal. `--json` makes the result one JSON
document, and nothing else is on standard output.
What comes from outside (labels, file names, answers) is made harmless for a terminal (`schemas.plain_text`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronofacts.schemas.plain_text import plain
from chronofacts.schemas.redact import redact

__all__ = [
    "Mode", "drop_output", "mode", "open_streams", "print_error", "print_result", "show_progress", "stop_progress",
]  # fmt: skip


@dataclass
class Mode:
    """How this call of the program prints; set once, from its options."""

    quiet: bool = False
    as_json: bool = False


mode = Mode()


def print_result(text: str, value: Any) -> None:
    """Print a command's result: the value as JSON with --json, else the text."""
    stop_progress()
    if mode.as_json:
        text = json.dumps(value, indent=1, ensure_ascii=not _takes_all_letters(), default=str)
    sys.stdout.write(f"{plain(text)}\n")
    sys.stdout.flush()


def open_streams() -> None:
    """Let whatever a command prints be written: also where a stream is closed, or takes ASCII alone."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started the program
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (until the program ends)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def drop_output() -> None:
    """Forget what standard output did not take, so that its end is no second error."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _takes_all_letters() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"


def print_error(text: str) -> None:
    """Print one line on standard error, whatever it holds."""
    stop_progress()
    _write_error(" ".join(text.split()))


def _write_error(line: str) -> None:
    sys.stderr.write(f"{plain(redact(line))}\n")
    sys.stderr.flush()


def show_progress(first: str) -> None:
    """Print the first line, and from now on those of the project's loggers; only warnings when quiet.

    In a log each line has the seconds since the start. On a terminal a bar stands below them, which shows what is at
    work and the step of how many (`flows.progress`).
    """
    if mode.quiet or not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # a library's bar is noise in a log
    logger = logging.getLogger("chronofacts")
    logger.setLevel(logging.WARNING if mode.quiet else logging.INFO)
    logger.propagate = False
    stop_progress()
    logger.handlers = [_Bar() if sys.stderr.isatty() and not mode.quiet else _Lines()]
    logger.info("%s", first)


def stop_progress() -> None:
    """Take the bar away, if there is one."""
    for handler in logging.getLogger("chronofacts").handlers:
        if isinstance(handler, _Bar):
            handler.close()


class _Lines(logging.Handler):
    """`  12.3 s  what was said`"""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        _write_error(f"{time.monotonic() - self._started:6.1f} s  {_spell_record(record)}")


class _Bar(logging.Handler):
    """The lines, and below them a moving bar: what was said last, the step of how many, the time passed and left."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True, highlight=False, markup=False, emoji=False),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, left="")
        self._progress.start()

    def emit(self, record: logging.LogRecord) -> None:
        line = plain(redact(_spell_record(record)))
        self._progress.console.print(line, soft_wrap=True)
        from chronofacts.editing.progress import duration, time_left

        at, total = getattr(record, "step", None), getattr(record, "steps", None)
        if at is None or total is None:
            self._progress.update(self._task, description=_shorten(line))
            return
        # What is done tells how long the rest takes; nothing is told before the first step is done.
        left = f"about {duration(time_left(getattr(record, 'spent', 0.0), at - 1, total))} left" if at > 1 else ""
        self._progress.update(self._task, description=_shorten(line), completed=at - 1, total=total, left=left)

    def close(self) -> None:
        self._progress.stop()
        super().close()


def _spell_record(record: logging.LogRecord) -> str:
    """A warning says that it is one: most lines are progress."""
    return f"warning: {record.getMessage()}" if record.levelno >= logging.WARNING else record.getMessage()


def _shorten(line: str) -> str:
    return line if len(line) <= 60 else f"{line[:59]}…"
