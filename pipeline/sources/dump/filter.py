"""Which lines of a dump are worth decoding: about a wanted item, or with a wanted claim perhaps."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from ahocorasick_rs import BytesAhoCorasick

from chronofacts.schemas.files import replace_file
from chronofacts.schemas.ids import is_qid

__all__ = ["ClaimFilter", "LineFilter", "read_qids", "write_qids"]

_OPENS_A_LIST = re.compile(rb"\s*:\s*\[")
_TRIAL_LINES, _USELESS = 4096, 0.7  # a filter that lets more than this share of lines through costs more than it saves
_HEAD = re.compile(rb'\{"type":"\w{1,40}","id":"Q(\d{1,12})"')
_BITS = 1 << 28  # ids below it live in a bitmap (32 MiB at most; Wikidata has 140 million), others in a set


class ClaimFilter:
    """`Wanted` for lines that may have a statement of one of some properties.

    It says yes too often (a qualifier of that property looks the same) and never no wrongly.
    A block is searched once, for all properties at the same time and at several times the speed of
    decompression (by Teddy, the aho-corasick crate's vectorised search).
    """

    def __init__(self, properties: Sequence[str]) -> None:
        self._find = BytesAhoCorasick([f'{pid}"'.encode("ascii") for pid in properties]).find_matches_as_indexes
        self._block = b""
        self._claims: list[int] = []

    def __call__(self, block: bytes, start: int, end: int) -> bool:
        if block is not self._block:
            self._block = block
            self._claims = [start for _, start, after in self._find(block) if _OPENS_A_LIST.match(block, after)]
        nearest = bisect_left(self._claims, start)
        return nearest < len(self._claims) and self._claims[nearest] < end


class LineFilter:
    """`Wanted` for lines that are worth decoding: about a wanted item, or with a wanted claim perhaps.

    A filter of claims that lets most lines through is switched off after a while: decoding by type passes
    over an unwanted line nearly as fast.
    """

    def __init__(self, properties: Sequence[str], qids: Path | None) -> None:
        self._may_claim = ClaimFilter(properties)
        self._items = read_qids(qids) if qids is not None else None
        self._seen = self._passed = 0

    def __call__(self, block: bytes, start: int, end: int) -> bool:
        if self._items is not None:
            head = _HEAD.match(block, start, end)
            number = int(head[1]) if head else _number_of(block[start:end])
            return number is not None and number in self._items
        if self._seen < _TRIAL_LINES:
            found = self._may_claim(block, start, end)
            self._seen += 1
            self._passed += found
            return found
        return self._passed > _USELESS * _TRIAL_LINES or self._may_claim(block, start, end)


class _Head(msgspec.Struct):
    id: str = ""


_decode_head = msgspec.json.Decoder(_Head).decode


def _number_of(line: bytes) -> int | None:
    """The number of an item whose line does not begin as those of Wikidata do."""
    try:
        qid = _decode_head(line.rstrip(b",\r\n")).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = re.search(rb'"id"\s*:\s*"Q(\d{1,12})"', line)
        return int(found[1]) if found else None
    return int(qid[1:]) if is_qid(qid) else None


class _Items:
    """A set of item numbers that takes one bit each."""

    def __init__(self, bits: bytes, others: Iterable[int]) -> None:
        self._bits = bits
        self._others = frozenset(others)

    def __contains__(self, number: int) -> bool:
        byte = number >> 3
        if byte < len(self._bits):
            return bool(self._bits[byte] >> (number & 7) & 1)
        return number in self._others


def write_qids(qids: Iterable[str], path: Path) -> None:
    """Write the numbers of some QIDs, sorted, as the file that `PartSettings.qids` names."""
    numbers = np.unique(np.fromiter((int(qid[1:]) for qid in qids), dtype=np.int64))
    with replace_file(path) as aside:
        aside.write_bytes(numbers.tobytes())


def read_qids(path: Path) -> _Items:
    """The set that `write_qids` wrote."""
    numbers = np.frombuffer(path.read_bytes(), dtype=np.int64)
    near = numbers[numbers < _BITS]
    bits = np.zeros((int(near[-1]) >> 3) + 1 if len(near) else 0, dtype=np.uint8)
    np.bitwise_or.at(bits, near >> 3, (1 << (near & 7)).astype(np.uint8))
    return _Items(bits.tobytes(), numbers[numbers >= _BITS].tolist())
