"""Up to when well-known models say that they know the world (`data/cutoffs.toml`)."""

from __future__ import annotations

import datetime
import difflib
from pathlib import Path

from chronofacts.schemas.dates import parse_day
from chronofacts.schemas.documents import read_toml
from chronofacts.schemas.errors import BadInput

__all__ = ["CUTOFFS_PATH", "known_until", "models_with_cutoff", "parse_since"]

CUTOFFS_PATH = Path(__file__).resolve().parent.parent / "data" / "cutoffs.toml"
_PREFIX = "model:"


def models_with_cutoff(path: Path = CUTOFFS_PATH) -> list[str]:
    """The names that `model:NAME` takes."""
    return list(read_toml(path))


def known_until(model: str, path: Path = CUTOFFS_PATH) -> datetime.date:
    """The first day after the month that a model's makers state. Raises BadInput naming the nearest known model."""
    stated = read_toml(path)
    if model not in stated:
        near = difflib.get_close_matches(model, stated, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BadInput(
            f"no stated cutoff is known of the model {model!r}; {hint}known are {', '.join(stated)}; or give a day"
        )
    month = datetime.date.fromisoformat(f"{stated[model]['until']}-01")
    return (month + datetime.timedelta(days=32)).replace(day=1)


def parse_since(text: str) -> datetime.date:
    """The day that `--since` means: `2021-01-01`, or `model:llama-2` for the day a model's knowledge ends."""
    if text.startswith(_PREFIX):
        return known_until(text[len(_PREFIX) :])
    return parse_day(text, "--since")
