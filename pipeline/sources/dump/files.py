"""Which files a dump consists of, and the day up to which it knows the world."""

from __future__ import annotations

import datetime
import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chronofacts.pipeline.sources.dump.checksums import is_sums_file
from chronofacts.pipeline.sources.dump.lines import DamagedDump, DumpLines
from chronofacts.schemas.errors import BadInput

__all__ = ["DumpDay", "dump_day", "find_parts", "is_dump"]

_PART = re.compile(r"[^.].*\.(?:json|jsonl|ndjson)(?:[.-][\w.-]+)?|[^.]+\.(?:gz|bz2|zst)")
_DAY = re.compile(r"(?<!\d)(20\d\d)(\d\d)(\d\d)(?!\d)")
_MODIFIED = re.compile(rb'"modified"\s*:\s*"(\d{4}-\d\d-\d\d)T')
_SAMPLED = 256 << 20  # bytes of JSON in which the newest edit is looked for


@dataclass(frozen=True, slots=True)
class DumpDay:
    """The last day that a dump speaks of, and how that is known."""

    day: datetime.date
    known_by: str

    def __str__(self) -> str:
        return f"{self.day} ({self.known_by})"


def is_dump(name: str) -> bool:
    """True for the name of something on disk, and for a pattern."""
    return glob.has_magic(name) or Path(name).exists()


def find_parts(name: str) -> list[Path]:
    """The files of a dump: the file itself, those of a folder, or those that a pattern matches; sorted.

    Raises BadInput when there is none, or when a folder has dumps of several days.
    """
    path = Path(name)
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [file for file in path.iterdir() if file.is_file() and _PART.fullmatch(file.name)]
    else:
        found = [Path(match) for match in glob.glob(name) if Path(match).is_file()]  # noqa: PTH207  absolute ones too
    found = [file for file in found if not is_sums_file(file.name)]
    if not found:
        what = "holds no part of a dump (.json, .json.gz, .json.bz2, .json.zst)" if path.is_dir() else "is no file"
        raise BadInput(f"--source {name!r} {what}")
    days = {day for file in found if (day := _day_in(file.name)) is not None}
    if len(days) > 1:
        raise BadInput(f"--source {name!r} has dumps of several days ({min(days)} to {max(days)}); name one of them")
    return sorted(found)


def dump_day(parts: Sequence[Path], told: datetime.date | None) -> DumpDay:
    """The day that the user told, that the file's or its folder's name tells, or that of the newest edit.

    Edits are looked for at the beginning of the parts: Wikidata's oldest items come first and are edited
    daily, so that the day found is not far before the day on which the dump was begun, and never after it.
    Without any of these it is the day of the file, which is not known to be right: it is said so.
    Raises BadInput for a file that is no dump.
    """
    if told is not None:
        return DumpDay(told, "as told")
    for names in ([part.name for part in parts], [part.absolute().parent.name for part in parts]):
        days = [day for name in names if (day := _day_in(name)) is not None]
        if days:
            return DumpDay(max(days), "from its name")
    newest = max((_newest_edit(part, _SAMPLED // len(parts)) for part in parts), default="")
    if newest:
        return DumpDay(datetime.date.fromisoformat(newest), "its newest edit")
    written = max(part.stat().st_mtime for part in parts)
    day = datetime.datetime.fromtimestamp(written, datetime.UTC).date()
    return DumpDay(day, "the day of the file, since nothing in it tells; --dump-day tells better")


def _day_in(name: str) -> datetime.date | None:
    for year, month, day in _DAY.findall(name):
        try:
            return datetime.date(int(year), int(month), int(day))
        except ValueError:
            continue
    return None


def _newest_edit(part: Path, limit: int) -> str:
    """ISO day of the newest `modified` in the first bytes of a part; empty when there is none."""
    newest = ""
    try:
        with DumpLines(part) as lines:
            for _, line in lines:
                # the last one of a line: in Wikidata's dump it stands at the end, and labels may hold anything
                found = _MODIFIED.search(line, max(len(line) - 200, 0)) or _MODIFIED.search(line)
                day = found[1].decode() if found else ""
                if day > newest and _is_day(day):
                    newest = day
                if lines.json_bytes >= limit:
                    break
    except DamagedDump:
        pass  # the reading itself will say so
    return newest


def _is_day(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True
