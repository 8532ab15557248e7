"""What a section measured, a line of JSON each as soon as it is known: one that is stopped loses only the rest."""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

__all__ = ["Recorder"]

LEAST_S = 4.0
"""With less time than this nothing is begun."""


class Recorder:
    """The file of one section, and the time that it has left."""

    def __init__(self, file: Path, section: str, seconds: float) -> None:
        self._file, self._section, self._until = file, section, time.monotonic() + seconds
        self.found: dict[str, dict[str, Any]] = {}
        """Measure -> its figures, of those that succeeded."""

    @property
    def left(self) -> float:
        """Seconds."""
        return self._until - time.monotonic()

    def measure(self, name: str, work: Callable[[], dict[str, Any]]) -> None:
        """Do the work and note its figures; or its error, or that there was no time for it."""
        if self.left < LEAST_S:
            self._write(name, {"skipped": "no time left"})
            return
        print(f"{self._section}: {name} ({self.left:.0f} s left)", file=sys.stderr, flush=True)
        begun = time.monotonic()
        try:
            self.found[name] = work()
            self._write(name, self.found[name])
        except Exception as error:  # one figure less; the others are still worth having
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            self._write(name, {"error": reason, "seconds": round(time.monotonic() - begun, 1)})
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _write(self, name: str, figures: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"section": self._section, "measure": name, **figures}, default=str) + "\n")
