"""One rule for what every command prints: its result on standard output, everything else on standard error.

`--quiet` leaves out the progress. `--json` makes the result one JSON document, and nothing else is on standard output.
What comes from outside (labels, file names, answers) is made harmless for a terminal: no control characters.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import unicodedata
from dataclasses import dataclass
from typing import Any

from pipeline.hub_errors import without_tokens

__all__ = ["Mode", "fail", "mode", "plain", "show_progress", "tell"]

_KEPT = "\n\t"
# Cc: escapes and other controls. Cf has the marks that turn the direction of text; joiners of scripts stay.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")


@dataclass
class Mode:
    """How this call of the program prints; set once, from its options."""

    quiet: bool = False
    as_json: bool = False


mode = Mode()


def plain(text: str) -> str:
    """Text without anything that a terminal obeys: control characters and marks of direction become `�`."""
    return "".join(
        "\ufffd" if (unicodedata.category(c) == "Cc" and c not in _KEPT) or c in _TURNING else c for c in text
    )


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
    sys.stderr.write(f"{plain(without_tokens(line))}\n")
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
