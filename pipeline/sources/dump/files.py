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
    try:
        return Path(name).exists() or glob.has_magic(name)
    except (OSError, ValueError):  # a name that no system takes
        return False


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
    days = {day for file in found for day in _days_in(file.name)}
    if len(days) > 1:
        raise BadInput(f"--source {name!r} has dumps of several days ({min(days)} to {max(days)}); name one of them")
    return sorted(found)


def dump_day(parts: Sequence[Path], given: datetime.date | None) -> DumpDay:
    """The day that the user gave, that the file's or its folder's name has, or that of the newest edit.

    Edits are looked for at the beginning of the parts: Wikidata's oldest items come first and are edited
    daily, so that the day found is not far before the day on which the dump was begun, and never after it.
    Without any of these it is the day of the file, which is not known to be right: it is said so.
    Raises BadInput for a file that is no dump.
    """
    if given is not None:
        return DumpDay(given, "as told")
    for names in ([part.name for part in parts], [part.absolute().parent.name for part in parts]):
        days = [day for name in names for day in _days_in(name)]
        if days:
            return DumpDay(max(days), "from its name")
    edits = [day for part in parts if (day := _newest_edit(part, _SAMPLED // len(parts))) is not None]
    if edits:
        return DumpDay(max(edits), "its newest edit")
    written = max(part.stat().st_mtime for part in parts)
    day = datetime.datetime.fromtimestamp(written, datetime.UTC).date()
    return DumpDay(day, "the day of the file, since nothing in it tells; --dump-day tells better")


def _days_in(name: str) -> list[datetime.date]:
    """The first day that a name has, if any."""
    days = (_read_day("-".join(parts)) for parts in _DAY.findall(name))
    return [day for day in days if day is not None][:1]


def _newest_edit(part: Path, limit: int) -> datetime.date | None:
    """The day of the newest `modified` in the first bytes of a part."""
    newest = None
    seen = ""
    try:
        with DumpLines(part) as lines:
            for _, line in lines:
                # the last one of a line: in Wikidata's dump it stands at the end, and labels may hold anything
                found = _MODIFIED.search(line, max(len(line) - 200, 0)) or _MODIFIED.search(line)
                text = found[1].decode() if found else ""
                if text > seen and (day := _read_day(text)) is not None:
                    newest, seen = day, text
                if lines.json_bytes >= limit:
                    break
    except DamagedDump:
        pass  # the reading itself will say so
    return newest


def _read_day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return None
