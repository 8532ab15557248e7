"""One rule for what every command prints: its result on standard output, everything else on standard error.

`--quiet` leaves out the progress. `--json` makes the result one JSON document, and nothing else is on standard output.
What comes from outside (labels, file names, answers) is made harmless for a terminal (`schemas.plain_text`).
"""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import dataclass
from typing import Any

from chronofacts.schemas.plain_text import plain
from chronofacts.schemas.redact import redact

__all__ = ["Mode", "fail", "mode", "show_progress", "tell"]


@dataclass
class Mode:
    """How this call of the program prints; set once, from its options."""

    quiet: bool = False
    as_json: bool = False


mode = Mode()


def tell(text: str, value: Any) -> None:
    """Print a command's result: the value as JSON where that is asked for, else the text."""
    if mode.as_json:
        text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    sys.stdout.write(f"{plain(text)}\n")
    sys.stdout.flush()


def fail(text: str) -> None:
    """Print one line on standard error, whatever it holds."""
    _complain(" ".join(text.split()))


def _complain(line: str) -> None:
    sys.stderr.write(f"{plain(redact(line))}\n")
    sys.stderr.flush()


def show_progress() -> None:
    """Print what the loggers of the project tell, with the seconds since the start; only warnings when quiet."""
    started = time.monotonic()

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _complain(f"{time.monotonic() - started:6.1f} s  {record.getMessage()}")

    logger = logging.getLogger("chronofacts")
    logger.handlers = [Lines()]
    logger.setLevel(logging.WARNING if mode.quiet else logging.INFO)
    logger.propagate = False
