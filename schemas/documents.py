"""JSON and TOML of strangers: a value, or one error, whatever the text holds.

The parsers fail in many ways (nesting, numbers of thousands of digits, half characters, no memory); here they fail in
one, `Unreadable`, which is a ValueError.
Leaves out: what the values mean; lines of a dump (`pipeline.sources.dump`), which are read by type.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["LARGEST", "Unreadable", "parse_json", "parse_toml", "read_json", "read_toml"]

LARGEST = 64 << 20
"""Bytes of a document that is read whole: manifests, cards, runs, configurations."""
MOST_DOTS = 1000
"""In one line of TOML; no key of ours has more than four parts."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # may be half a character, which no file can hold as UTF-8


class Unreadable(ValueError):
    """The text is no JSON or TOML that can be used."""


def read_json(path: Path) -> Any:
    """The value in a file. Raises Unreadable, and OSError as reading does."""
    return parse_json(_read(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables in a file. Raises Unreadable, and OSError as reading does."""
    return parse_toml(_read(path))


def parse_json(text: bytes | str) -> Any:
    """The value. Raises Unreadable for anything that is none, or that holds half a character."""
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        value = json.loads(decoded)
        if _HALF.search(decoded):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(_why(error)) from None
    return value


def parse_toml(text: bytes | str) -> dict[str, Any]:
    """The tables. Raises Unreadable for anything that is no TOML in UTF-8."""
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        # The parser's time grows with the square of the parts of a key.
        if any(line.count(".") > MOST_DOTS for line in decoded.split("\n")):
            raise Unreadable(f"a line with more than {MOST_DOTS} dots")
        return tomllib.loads(decoded)
    except (ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(_why(error)) from None


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        text = stream.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise Unreadable(f"more than {LARGEST >> 20} MB")
    return text


def _why(error: BaseException) -> str:
    """The reason in a few words: an error may quote the whole text."""
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, MemoryError):
        return "too large"
    if isinstance(error, UnicodeEncodeError):
        return "half a character"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    return str(error)[:200] or type(error).__name__
