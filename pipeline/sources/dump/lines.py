"""A file of Wikidata's JSON dump as a stream of lines, one entity each.

The first bytes say how a file is compressed, never its name. A line that cannot be an entity is counted
and described, never fatal; a file that ends inside its compression is `DamagedDump`.
A file is read in blocks that stay in the processor's cache; a line is searched where it stands in its
block, and only one that is wanted is cut out.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, cast

import pyarrow as pa
from isal import igzip, isal_zlib

from chronofacts.pipeline.sources.dump.bzip2 import Bzip2Stream
from chronofacts.schemas.errors import BadInput, CheckFailed

__all__ = ["BLOCK", "BrokenLine", "DamagedDump", "DumpLines", "OnRead", "Wanted", "decompress"]

MAX_LINE = 64 << 20  # bytes; Wikibase refuses entities far smaller than this
KEPT_BREAKS = 1000  # broken lines described one by one; the rest is counted
PATIENCE = 1000  # lines without a single entity, after which a file is no dump
BLOCK = 1 << 19  # bytes of JSON at a time: smaller blocks split more lines, larger ones leave the processor's cache
_UPDATE_EVERY = 16 << 20  # bytes of JSON between two calls of `on_read`

_IsalError = cast(type[Exception], isal_zlib.error)  # its type stub takes the class for an instance
_UNREADABLE = (EOFError, OSError, zlib.error, _IsalError, pa.ArrowException)

OnRead = Callable[[int, int], None]
"""Called now and then with (bytes of the file read, bytes of JSON read) of one file."""

Wanted = Callable[[bytes, int, int], bool]
"""Whether the line that stands in `block[start:end]` is to be cut out; asked about lines in their order."""


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

    Iterating gives (line number, text) for every line that has an entity's outer form `{…}`, without its
    comma and newline; `where` gives only those that are wanted. Raises BadInput for a file that is no dump,
    DamagedDump as described above.
    """

    path: Path
    on_read: OnRead | None = None
    threads: int = 1
    """That decompress, where the file's form allows it (bzip2)."""
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
            self._stream = decompress(self._raw, self.path, self.threads)
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
        return self.where(lambda block, start, end: True)

    def where(self, wanted: Wanted) -> Iterator[tuple[int, bytes]]:
        """(line number, text) of the entities that are wanted; all lines are counted."""
        next_update = _UPDATE_EVERY
        for block, start, stop in self._blocks():
            while start < stop:
                end = block.find(b"\n", start, stop) + 1 or stop
                self.lines += 1
                self.json_bytes += end - start
                if block.startswith(b"{", start) and block.endswith(b"},\n", start, end):
                    self.entities += 1
                    if wanted(block, start, end):
                        yield self.lines, block[start : end - 2]
                elif self._is_entity(line := block[start:end]):
                    self.entities += 1
                    if wanted(block, start, end):
                        yield self.lines, line.rstrip(b",\r\n")
                elif not self.entities and self.broken >= PATIENCE:
                    raise self._no_dump()
                start = end
            if self.on_read is not None and self.json_bytes >= next_update:
                self.on_read(self.position(), self.json_bytes)
                next_update = self.json_bytes + _UPDATE_EVERY
        if self.broken and not self.entities:
            raise self._no_dump()

    def add_broken(self, broken: BrokenLine) -> None:
        self.broken += 1
        if len(self.breaks) < KEPT_BREAKS:
            self.breaks.append(broken)

    def _no_dump(self) -> BadInput:
        return BadInput(
            f"{self.path} is not a Wikidata JSON dump (none of its first {self.lines} lines is an entity); "
            "a dump has one entity a line, as in wikidata-YYYYMMDD-all.json.gz"
        )

    def _blocks(self) -> Iterator[tuple[bytes, int, int]]:
        """(bytes, start, stop), where `bytes[start:stop]` is one whole line or many.

        A line that spans two reads is joined into a block of its own, so that the many others stay where they
        are. Of a line of more than `MAX_LINE` bytes only its first ones are held and given.
        """
        held: list[bytes] = []  # the beginning of a line whose end is still to come
        size = 0
        for read in self._reads():
            first = read.find(b"\n") + 1
            if first:
                held.append(read[:first])
                line = b"".join(held)[:MAX_LINE]
                held.clear()
                yield line, 0, len(line)
                last = read.rfind(b"\n") + 1
                yield read, first, last
                held.append(read[last:])
                size = len(read) - last
            elif size < MAX_LINE:
                held.append(read)
                size += len(read)
        line = b"".join(held)[:MAX_LINE]
        yield line, 0, len(line)

    def _reads(self) -> Iterator[bytes]:
        """What the file has, in pieces of at most `BLOCK` bytes and never longer than a line may be."""
        try:
            yield from iter(partial(self._stream.read, min(BLOCK, MAX_LINE)), b"")
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


class ByteStream(Protocol):
    """What can be read in pieces; `read` gives `b""` at the end only."""

    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


def decompress(raw: BinaryIO, path: Path, threads: int = 1) -> ByteStream:
    """The bytes of a file, whose first ones say how it is compressed.

    Unbuffered: it is read in large pieces, and another buffer between would only copy them.
    """
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast(ByteStream, igzip.IGzipFile(fileobj=raw, mode="rb"))
    if magic.startswith(b"BZh"):
        return Bzip2Stream(raw, threads)
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return cast(ByteStream, pa.CompressedInputStream(raw, "zstd"))
    if magic.startswith((b"PK\x03\x04", b"\xfd7zXZ", b"7z\xbc\xaf")):
        raw.close()
        raise BadInput(f"{path} is a zip, xz or 7z file; a dump is read from .json, .json.gz, .json.bz2 or .json.zst")
    return raw
