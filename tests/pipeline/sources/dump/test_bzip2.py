"""A bzip2 file gives the same bytes, and the same errors, with any number of threads."""

from __future__ import annotations

import bz2
import io
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.sources.dump.bzip2 import Bzip2Stream, has_parallel_reader

pytestmark = pytest.mark.skipif(not has_parallel_reader(), reason="the extra bz2 is not installed")


def mixed(size: int) -> bytes:
    """Bytes that pack to about a third: many blocks of bzip2 from one megabyte on."""
    generator = random.Random(size)
    return b"".join(generator.randbytes(300) + b'{"id": "Q1"}' * 50 for _ in range(size // 900))


DATA = mixed(3_000_000)
WHOLE = bz2.compress(DATA, 1)


def read(file: bytes, threads: int, size: int = 1 << 16) -> tuple[bytes, str]:
    """(what was given before the end or an error, the error's kind)."""
    stream, found = Bzip2Stream(io.BytesIO(file), threads), []
    try:
        while piece := stream.read(size):
            found.append(piece)
    except (EOFError, OSError) as error:
        return b"".join(found), type(error).__name__
    finally:
        stream.close()
    return b"".join(found), ""


@pytest.mark.parametrize("file", [WHOLE, bz2.compress(b""), bz2.compress(DATA[:9]) + WHOLE])
def test_a_sound_file_gives_its_bytes_on_any_number_of_threads(file: bytes) -> None:
    alone = read(file, 1)

    assert alone == (bz2.decompress(file), "")
    assert read(file, 2) == read(file, 4) == alone


@settings(max_examples=25, deadline=None)
@given(place=st.integers(20, len(WHOLE) - 5), cut=st.booleans(), size=st.sampled_from([100_000, 1 << 19]))
def test_a_damaged_file_gives_as_much_and_ends_alike_on_two_threads(place: int, cut: bool, size: int) -> None:
    flipped = bytes([WHOLE[place] ^ 0x10])
    file = WHOLE[:place] if cut else WHOLE[:place] + flipped + WHOLE[place + 1 :]

    assert read(file, 2, size) == read(file, 1, size)


def test_a_file_that_is_read_by_threads_can_be_left_before_its_end() -> None:
    raw = io.BytesIO(WHOLE)
    stream = Bzip2Stream(raw, os.cpu_count() or 2)

    assert stream.read(100) == DATA[:100]
    stream.close()
    assert not raw.closed
