"""A dump file gives every line that is an entity, and says what was wrong with the others."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.pipeline.sources.dump import lines as dump_lines
from chronofacts.pipeline.sources.dump.filter import ClaimFilter
from chronofacts.pipeline.sources.dump.lines import BLOCK, DamagedDump, DumpLines
from chronofacts.schemas.errors import BadInput
from tests.pipeline.sources.dump.dump_world import as_dump, as_lines, compressed, entity, holders

FORMS = ("json", "gz", "bz2", "zst")
PEOPLE = as_lines(holders(1, 300))


def read(path: Path) -> tuple[list[str], DumpLines]:
    """(ids of the entities, the counts)."""
    with DumpLines(path) as lines:
        found = [json.loads(text)["id"] for _, text in lines]
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
    may_claim = ClaimFilter(wanted)

    def found(text: str) -> bool:
        return may_claim(text.encode(), 0, len(text))

    assert all(found('{"claims":{' + form % pid + "{") for pid in wanted)
    assert found(form % other) == (other in wanted)
    assert not found(f'{{"property":"{wanted[0]}"}}')


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=30))
def test_the_filter_tells_the_lines_of_a_block_apart(made: list[tuple[bool, int]]) -> None:
    lines = [b"x" * length + (b'"P39":[' if claims else b'"P39"') + b"\n" for claims, length in made]
    block, may_claim = b"".join(lines), ClaimFilter(["P39"])
    ends = list(itertools.accumulate(map(len, lines)))

    found = [may_claim(block, end - len(line), end) for line, end in zip(lines, ends, strict=True)]

    assert found == [claims for claims, _ in made]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 300)), max_size=60), st.integers(1, 400), st.sampled_from(FORMS)
)
def test_entities_are_the_same_wherever_a_block_ends(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[bool, int]], size: int, form: str
) -> None:
    people = as_lines(entity(number, label="y" * length) for number, (_, length) in enumerate(made, 1))
    data = b"".join(line if whole else line[:50] + b"\n" for line, (whole, _) in zip(people, made, strict=True))
    path = written(tmp_path_factory.getbasetemp() / "dump", compressed(data + b'{"id":"Q0"}', form))

    with mock.patch.object(dump_lines, "BLOCK", size), DumpLines(path) as lines:
        found = [(number, json.loads(text)["id"]) for number, text in lines]

    last = len(made) + 1
    assert found == [(number, f"Q{number}") for number, (whole, _) in enumerate(made, 1) if whole] + [(last, "Q0")]
    assert (lines.lines, lines.broken) == (last, sum(not whole for whole, _ in made))


def test_of_a_file_that_is_read_the_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_lines, "_UPDATE_EVERY", 2 * BLOCK)
    told: list[tuple[int, int]] = []
    path = written(tmp_path / "dump", as_dump(PEOPLE * 10))

    with DumpLines(path, on_read=lambda *at: told.append(at)) as lines:
        assert not list(lines.where(lambda block, start, end: False))  # of an entity here and there, it is told too

    json_bytes = [size for _, size in told]
    assert len(told) > path.stat().st_size // (4 * BLOCK)
    assert all(later - earlier >= 2 * BLOCK for earlier, later in itertools.pairwise(json_bytes))
    assert all(read >= size > 0 for read, size in told)
