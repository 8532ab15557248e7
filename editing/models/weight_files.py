"""Safetensors files looked at before any library opens them: whole, and of the sizes that they declare.

A file is eight bytes with the length of its header, the header (JSON: name -> type, shape, place), and the numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from chronofacts.schemas.errors import BadInput

__all__ = ["TensorShape", "read_json", "read_shapes"]

LONGEST_HEADER = 100_000_000
"""Of the safetensors library."""
LONGEST_JSON = 64 << 20
BITS = {"F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
        "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8}  # fmt: skip
POINTER = b"version https://git-lfs"


class TensorShape(NamedTuple):
    kind: str
    """As safetensors spells it (`F32`)."""
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


def read_shapes(file: Path) -> dict[str, TensorShape]:
    """Name -> type and shape of every tensor in the file.

    Raises BadInput for what is no whole safetensors file: a Git LFS pointer, a download cut short, a foreign header.
    """
    try:
        if file.exists() and not file.is_file():
            raise BadInput(f"{file} is no file; download the whole folder again")
        size = file.stat().st_size
        with file.open("rb") as opened:
            begin = opened.read(len(POINTER))
            if begin == POINTER:
                raise BadInput(f"{file} is a Git LFS pointer and holds no weights; run git lfs pull, or download it")
            length = int.from_bytes(begin[:8], "little")
            if size < 8 or length > size - 8:
                raise _cut_short(file, f"{size:,} bytes")
            if length > LONGEST_HEADER:
                raise BadInput(f"{file} has a header of {length:,} bytes; it is no safetensors file that can be read")
            opened.seek(8)
            header = _parse(file, opened.read(length))
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror}); check the folder and its permissions") from error
    header.pop("__metadata__", None)
    try:
        found = {name: _shape(entry) for name, entry in header.items()}
        end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BadInput(f"{file} has a damaged header; download it again") from error
    if end != size - 8 - length:
        raise _cut_short(file, f"{size:,} of {8 + length + end:,} bytes")
    return found


def read_json(file: Path) -> dict[str, Any]:
    """An object out of a file of a stranger. Raises BadInput for anything else."""
    try:
        size = file.stat().st_size
        if size > LONGEST_JSON:
            raise BadInput(f"{file} has {size:,} bytes, more than any such file has; download it again")
        return _parse(file, file.read_bytes())
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror}); check the folder and its permissions") from error


def _parse(file: Path, text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]
        raise BadInput(f"{file} is damaged ({reason}); download it again") from error
    if not isinstance(found, dict):
        raise BadInput(f"{file} is damaged (it holds no object); download it again")
    return found


def _shape(entry: Mapping[str, Any]) -> TensorShape:
    """Raises ValueError where the declared sizes contradict each other."""
    begin, end = entry["data_offsets"]
    found = TensorShape(str(entry["dtype"]), tuple(int(size) for size in entry["shape"]))
    bits = BITS.get(found.kind)
    if begin < 0 or end < begin or min(found.shape, default=0) < 0:
        raise ValueError
    if bits is not None and found.numbers * bits != (end - begin) * 8:
        raise ValueError
    return found


def _cut_short(file: Path, has: str) -> BadInput:
    return BadInput(f"{file} is cut short or no safetensors file ({has}); download it again")
