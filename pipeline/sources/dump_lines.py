"""A file of Wikidata's JSON dump as a stream of lines, one entity each, and the byte filter before decoding.

The compression is told by the first bytes, never by the name. A line that cannot be an entity is counted
and described, never fatal; a file that ends inside its compression is `DamagedDump`.
Leaves out: what an entity says (`pipeline.sources.dump_entities`).
"""

from __future__ import annotations

import bz2
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import pyarrow as pa
from isal import igzip, isal_zlib

from schemas.errors import BadInput, CheckFailed

__all__ = ["BrokenLine", "DamagedDump", "DumpLines", "claim_filter", "decompressed"]

MAX_LINE = 64 << 20  # bytes; Wikibase refuses entities far smaller than this
KEPT_BREAKS = 1000  # broken lines described one by one; the rest is counted
PATIENCE = 1000  # lines without a single entity, after which a file is no dump
_CHUNK = 1 << 20

_IsalError = cast(type[Exception], isal_zlib.error)  # its type stub takes the class for an instance
_UNREADABLE = (EOFError, OSError, zlib.error, _IsalError, pa.ArrowException)


class DamagedDump(CheckFailed):
    """A file ends inside its compression, or its checksum does not fit."""


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """What could not be read: a line, or one statement in it. `line` counts from 1."""

    line: int
    reason: str
    subject: str | None = None
    statement_id: str | None = None


@dataclass
class DumpLines:
    """One file while it is read; the counts are those of the lines so far.

    Iterating gives (line number, line) for every line that has an entity's outer form `{…}`, still with
    its comma and newline. Raises BadInput for a file that is no dump, DamagedDump as described above.
    """

    path: Path
    lines: int = 0
    entities: int = 0
    json_bytes: int = 0
    opened: int = 0
    """Lines that open the array; more than closing ones in a whole dump mean that its end is missing."""
    closed: int = 0
    broken: int = 0
    breaks: list[BrokenLine] = field(default_factory=list)
    """The first `KEPT_BREAKS` of the broken ones."""

    def __enter__(self) -> DumpLines:
        try:
            self._raw = self.path.open("rb", buffering=0)
            self._stream = decompressed(self._raw, self.path)
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read ({error.strerror or error})") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._raw.close()

    def position(self) -> int:
        """Bytes of the file itself (compressed) that were read."""
        return self._raw.tell()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for line in self._raw_lines():
            self.lines += 1
            self.json_bytes += len(line)
            if (line.startswith(b"{") and line.endswith(b"},\n")) or self._is_entity(line):
                self.entities += 1
                yield self.lines, line
            elif not self.entities and self.broken >= PATIENCE:
                break
        if self.broken and not self.entities:
            raise BadInput(
                f"{self.path} is not a Wikidata JSON dump (none of its first {self.lines} lines is an entity); "
                "a dump has one entity a line, as in wikidata-YYYYMMDD-all.json.gz"
            )

    def add_broken(self, broken: BrokenLine) -> None:
        self.broken += 1
        if len(self.breaks) < KEPT_BREAKS:
            self.breaks.append(broken)

    def _raw_lines(self) -> Iterator[bytes]:
        """Lines of at most `MAX_LINE` bytes; of a longer one, its first piece only."""
        overlong = False
        try:
            for line in iter(partial(self._stream.readline, MAX_LINE), b""):
                if not overlong:
                    yield line
                overlong = len(line) == MAX_LINE and not line.endswith(b"\n")
        except _UNREADABLE as error:
            raise DamagedDump(
                f"{self.path} is cut off or damaged after {self.json_bytes} bytes of JSON ({error}); "
                "fetch it again, or use what can be read with --keep-damaged"
            ) from error

    def _is_entity(self, line: bytes) -> bool:
        """Whether a line that ends otherwise than most is an entity; counts brackets and what is broken."""
        text = (line.removeprefix(b"\xef\xbb\xbf") if self.lines == 1 else line).strip()
        if text.startswith(b"{") and text.endswith((b"}", b"},")):
            return True
        if text == b"[":
            self.opened += 1
        elif text in (b"]", b"],"):
            self.closed += 1
        elif text:
            cut = len(line) == MAX_LINE or not line.endswith(b"\n") or text.startswith(b"{")
            self.add_broken(BrokenLine(self.lines, "cut off" if cut else "not an entity"))
        return False


def decompressed(raw: BinaryIO, path: Path) -> io.BufferedReader:
    """The bytes of a file whose compression is told by its first bytes."""
    magic = raw.read(6)
    raw.seek(0)
    stream: object = raw
    if magic.startswith(b"\x1f\x8b"):
        stream = igzip.IGzipFile(fileobj=raw, mode="rb")
    elif magic.startswith(b"BZh"):
        stream = bz2.BZ2File(raw)
    elif magic.startswith(b"\x28\xb5\x2f\xfd"):
        stream = pa.CompressedInputStream(raw, "zstd")
    elif magic.startswith((b"PK\x03\x04", b"\xfd7zXZ", b"7z\xbc\xaf")):
        raw.close()
        raise BadInput(f"{path} is a zip, xz or 7z file; a dump is read from .json, .json.gz, .json.bz2 or .json.zst")
    return io.BufferedReader(cast(io.RawIOBase, stream), _CHUNK)


def claim_filter(properties: Sequence[str]) -> Callable[[bytes], object]:
    """A test of raw bytes: may this line have a statement of one of the properties?

    It says yes too often (a qualifier of that property looks the same) and never no wrongly.
    The alternatives are written as a tree, and `P` stands first alone: the engine then looks for one rare
    byte at the speed of memory, which makes the filter several times faster than a plain alternation.
    """
    tree = _tree(sorted(pid.removeprefix("P") for pid in properties))
    return re.compile(rb'P%s"\s*:\s*\[' % tree.encode("ascii")).search


def _tree(words: Iterable[str]) -> str:
    """A regular expression for exactly these words of digits, which never tries one digit twice."""
    tails: dict[str, list[str]] = {}
    complete = False
    for word in words:
        if word:
            tails.setdefault(word[0], []).append(word[1:])
        else:
            complete = True
    if not tails:
        return ""
    same_tail: dict[str, list[str]] = {}
    for digit, rest in tails.items():
        same_tail.setdefault(_tree(rest), []).append(digit)
    branches = [
        (digits[0] if len(digits) == 1 else f"[{''.join(digits)}]") + tail for tail, digits in same_tail.items()
    ]
    return f"(?:{'|'.join(branches)})" + ("?" if complete else "")
