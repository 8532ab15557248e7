"""A bzip2 file decompressed on several cores, where `indexed_bzip2` is installed (the extra `bz2`).

Blocks of bzip2 stand alone, so that any number of cores can work on one file; the standard library reads some 30 MB of
JSON a second on one. What the parallel reader refuses is read again by the standard library, from the first byte that
was not given out yet: a damaged file gives the same bytes and ends in the same error with any number of threads. The
one exception is a stream's last checksum, of its blocks' own: in parallel these are compared, that one is not.
"""

from __future__ import annotations

import bz2
import importlib
import importlib.util
from typing import Any, BinaryIO

__all__ = ["Bzip2Stream", "has_parallel_reader"]

MOST_THREADS = 8
"""Each holds some blocks, of 46 MB at most: below 1 GiB in all for the worst file that there is."""
SKIPPED = 1 << 20
"""Bytes at a time of what was given out before."""


def has_parallel_reader() -> bool:
    return importlib.util.find_spec("indexed_bzip2") is not None


class Bzip2Stream:
    """A bzip2 file to be read in pieces.

    threads: 1, or no parallel reader, is the standard library. Closing it leaves `raw` open.
    """

    def __init__(self, raw: BinaryIO, threads: int) -> None:
        self._raw, self._given = raw, 0
        threads = min(threads, MOST_THREADS)
        self._is_parallel = threads > 1 and has_parallel_reader()
        self._stream: Any = bz2.BZ2File(raw)
        if self._is_parallel:
            self._stream = importlib.import_module("indexed_bzip2").open(raw, parallelization=threads)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end only. Raises as `bz2.BZ2File`."""
        try:
            read = bytes(self._stream.read(size))
        except (RuntimeError, ValueError):  # as the parallel reader says it of a damaged file
            if not self._is_parallel:
                raise
            self._read_alone()
            return self.read(size)
        self._given += len(read)
        return read

    def close(self) -> None:
        self._stream.close()

    def _read_alone(self) -> None:
        self._is_parallel = False
        self._stream.close()
        self._raw.seek(0)
        self._stream = bz2.BZ2File(self._raw)
        left = self._given
        while left and (skipped := len(self._stream.read(min(SKIPPED, left)))):
            left -= skipped
