"""Checksums beside a dump are compared before it is read."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import pytest

from chronofacts.pipeline.sources.dump.files import find_parts
from chronofacts.pipeline.sources.dump.lines import DamagedDump
from chronofacts.pipeline.sources.dump.parts import PartReport, PartSettings, extract_part
from chronofacts.schemas.errors import BadInput
from tests.pipeline.sources.dump.dump_world import holders, write_dump

NAME = "wikidata-20250305-all.json.gz"


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    (tmp_path / "dump").mkdir()
    return write_dump(tmp_path / "dump" / NAME, holders(1, 3))


def sum_of(path: Path, algorithm: str) -> str:
    return hashlib.new(algorithm, path.read_bytes()).hexdigest()


def extracted(path: Path, keep_damaged: bool = False) -> PartReport:
    day = datetime.date(2025, 3, 5)
    return extract_part(path, ["P39"], path.parent.parent / "out", PartSettings(day, keep_damaged=keep_damaged))


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize(
    ("file", "text"),
    [
        (f"{NAME}.{{algorithm}}", "{digest}\n"),
        (f"{NAME}.{{algorithm}}", f"{{digest}}  {NAME}\n"),
        ("wikidata-20250305-{algorithm}sums.txt", f"0123  another.json.gz\n{{digest}} *{NAME}\n"),
        ("{algorithm}SUMS", f"{{digest}}  ./{NAME}\n"),
    ],
)
def test_a_sum_in_any_usual_place_is_compared(dump: Path, file: str, text: str, algorithm: str) -> None:
    sums = dump.parent / file.format(algorithm=algorithm)
    sums.write_text(text.format(digest=sum_of(dump, algorithm).upper()))
    assert extracted(dump).entities == 3

    dump.write_bytes(dump.read_bytes() + b"\0")
    with pytest.raises(DamagedDump, match=rf"{algorithm} differs.*fetch it again"):
        extracted(dump)
    assert not list((dump.parent.parent / "out").glob("*.partial"))


def test_a_file_of_sums_is_no_part_of_the_dump(dump: Path) -> None:
    for name in (f"{NAME}.sha1", f"{NAME}.md5.txt", "wikidata-20250305-md5sums.txt"):
        (dump.parent / name).write_text("")
    assert find_parts(str(dump.parent)) == [dump]
    assert find_parts(f"{dump.parent}/wikidata*") == [dump]


def test_sums_of_other_files_say_nothing(dump: Path) -> None:
    (dump.parent / "sha1sums.txt").write_text(f"{'0' * 40}  another.json.gz\n")
    (dump.parent / "another.json.gz.sha1").write_text("0" * 40)
    assert extracted(dump).entities == 3


def test_of_several_sums_the_strongest_counts(dump: Path) -> None:
    (dump.parent / f"{NAME}.md5").write_text("0" * 32)
    (dump.parent / f"{NAME}.sha256").write_text(sum_of(dump, "sha256"))
    assert extracted(dump).entities == 3


def test_a_sum_that_does_not_read_is_told(dump: Path) -> None:
    (dump.parent / f"{NAME}.sha1").write_text("<html>404</html>")
    with pytest.raises(BadInput, match="holds no sha1"):
        extracted(dump)


def test_a_dump_with_a_wrong_sum_is_read_when_that_is_asked_for(dump: Path) -> None:
    (dump.parent / f"{NAME}.sha1").write_text("0" * 40)
    assert extracted(dump, keep_damaged=True).entities == 3
