"""A dump file gives every line that is an entity, and says what was wrong with the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sources import dump_lines
from pipeline.sources.dump_lines import DamagedDump, DumpLines, claim_filter
from schemas.errors import BadInput
from tests.pipeline.sources.dump_world import as_dump, as_lines, compressed, holders

FORMS = ("json", "gz", "bz2", "zst")
PEOPLE = as_lines(holders(1, 300))


def read(path: Path) -> tuple[list[str], DumpLines]:
    """(ids of the entities, the counts)."""
    with DumpLines(path) as lines:
        found = [json.loads(line.rstrip(b",\r\n"))["id"] for _, line in lines]
    return found, lines


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_the_compression_is_told_by_the_bytes_and_not_by_the_name(form: str, tmp_path: Path) -> None:
    found, lines = read(written(tmp_path / "dump", compressed(as_dump(PEOPLE), form)))

    assert found == [f"Q{number}" for number in range(1, 301)]
    assert (lines.lines, lines.entities, lines.broken, lines.opened, lines.closed) == (302, 300, 0, 1, 1)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_several_streams_one_after_another_is_read_to_its_end(form: str, tmp_path: Path) -> None:
    halves = as_dump(PEOPLE)[:5000], as_dump(PEOPLE)[5000:]
    path = written(tmp_path / "dump", b"".join(compressed(half, form) for half in halves))

    assert len(read(path)[0]) == 300


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_file_cut_inside_its_compression_is_damaged(form: str, tmp_path: Path) -> None:
    whole = compressed(as_dump(PEOPLE), form)

    with pytest.raises(DamagedDump, match=r"part-1\.gz is cut off or damaged.*--keep-damaged"):
        read(written(tmp_path / "part-1.gz", whole[: len(whole) // 2]))


def test_a_wrong_checksum_at_the_end_is_damage(tmp_path: Path) -> None:
    whole = bytearray(compressed(as_dump(PEOPLE), "gz"))
    whole[-6] ^= 0xFF  # in the sum that gzip writes behind the data

    with pytest.raises(DamagedDump, match="fetch it again"):
        read(written(tmp_path / "dump.json.gz", bytes(whole)))


@pytest.mark.parametrize(
    "data",
    [
        b"<http://a> <http://b> <http://c> .\n" * 5,
        json.dumps(holders(1, 3), indent=2).encode(),
        b'[{"id":"Q1"},{"id":"Q2"}]',
        bytes(range(256)) * 50,
        b"PK\x03\x04 and so on",
    ],
    ids=["triples", "printed over many lines", "an array on one line", "noise", "zip"],
)
def test_a_dump_that_is_not_a_dump_is_told_in_one_line(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="dump") as caught:
        read(written(tmp_path / "thing", data))

    assert "\n" not in str(caught.value)


def test_a_large_file_that_is_no_dump_is_given_up_early(tmp_path: Path) -> None:
    path = written(tmp_path / "thing", b"no\n" * 100_000)

    with DumpLines(path) as lines, pytest.raises(BadInput):
        list(lines)
    assert lines.lines < 2000


def test_broken_lines_are_described_and_never_fatal(tmp_path: Path) -> None:
    lines = [PEOPLE[0], PEOPLE[1][:80] + b"\n", b"\x00\xff garbage\n", b"\n", PEOPLE[2]]

    found, counts = read(written(tmp_path / "dump", b"[\n" + b"".join(lines) + b"]\n"))

    assert found == ["Q1", "Q3"]
    assert [(broken.line, broken.reason) for broken in counts.breaks] == [(3, "cut off"), (4, "not an entity")]


def test_an_array_cut_off_at_a_line_is_opened_and_not_closed(tmp_path: Path) -> None:
    found, lines = read(written(tmp_path / "dump", b"[\n" + b"".join(PEOPLE[:10])))

    assert len(found) == 10
    assert (lines.opened, lines.closed, lines.broken) == (1, 0, 0)


def test_a_line_beyond_all_bounds_is_one_broken_line_and_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dump_lines, "MAX_LINE", 5000)
    path = written(tmp_path / "dump", b"".join([PEOPLE[0], b'{"x":"' + b"y" * 20_000 + b'"},\n', PEOPLE[1]]))

    found, lines = read(path)

    assert found == ["Q1", "Q2"]
    assert (lines.broken, lines.lines) == (1, 3)


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + as_dump(PEOPLE).replace(b"\n", b"\r\n")

    found, lines = read(written(tmp_path / "dump", data))

    assert (len(found), lines.broken) == (300, 0)


PIDS = st.integers(1, 13_000).map(lambda number: f"P{number}")


@given(st.lists(PIDS, min_size=1, max_size=60, unique=True), PIDS, st.sampled_from(['"%s":[', '"%s" : [']))
def test_the_filter_knows_exactly_the_wanted_properties(wanted: list[str], other: str, form: str) -> None:
    matches = claim_filter(wanted)

    assert all(matches(b'{"claims":{' + (form % pid).encode() + b"{") for pid in wanted)
    assert bool(matches((form % other).encode())) == (other in wanted)
