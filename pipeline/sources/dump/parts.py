"""One part of a dump to Parquet, as one pure function that any engine may call, here or on another machine.

`extract_part` gives its files their names when they are whole, its marker last: a part with a marker of the same
settings is whole and is not read again, whoever asks and whatever was killed in between.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.pipeline.sources.dump.checksums import check_sum
from chronofacts.pipeline.sources.dump.entities import NAMES, EntityReader, NameRows
from chronofacts.pipeline.sources.dump.filter import LineFilter
from chronofacts.pipeline.sources.dump.lines import BrokenLine, DamagedDump, DumpLines, OnRead
from chronofacts.pipeline.sources.statements import Origin, StatementRows
from chronofacts.pipeline.storage.rejections import rejection_rows
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import remove_leftovers, replace_file
from chronofacts.schemas.tables import REJECTIONS, STATEMENTS

__all__ = ["OnRead", "PartReport", "PartSettings", "extract_part"]

FORMAT = 1
"""Version of the part files; a part of another version is read again."""
BATCH = 16_384  # rows held as Python objects, about 40 MB
BATCH_BYTES = 32 << 20  # of the lines that they were read from: a few rows may be large


@dataclass(frozen=True, slots=True)
class PartSettings:
    """What decides the rows of a part besides the file and the properties.

    day: the dump's day, which becomes `retrieved_at`. qids: a file of `write_qids` with the only subjects
    that count, or None for all. language: read names too, in this language and its fallbacks.
    keep_damaged: use what can be read of a file that ends inside its compression. threads: that decompress one
    file, which change nothing in it.
    """

    day: datetime.date
    qids: Path | None = None
    language: str | None = None
    keep_damaged: bool = False
    source: str = "dump"
    threads: int = 1

    def origin(self) -> Origin:
        return Origin(self.source, datetime.datetime.combine(self.day, datetime.time(), datetime.UTC))


@dataclass(frozen=True, slots=True)
class PartReport:
    """What one part gave; `statements`, `names` and `rejections` are its Parquet files."""

    path: str
    statements: str
    names: str | None
    rejections: str
    compressed_bytes: int
    json_bytes: int
    lines: int
    entities: int
    """Lines that have an entity's form."""
    decoded: int
    """Entities that passed the filter."""
    rows: int
    broken: int
    opened: int
    closed: int
    newest: str | None
    """The latest `modified` of the decoded entities, ISO 8601."""
    damage: str | None
    seconds: float
    reused: bool = False


def extract_part(
    path: Path, properties: Sequence[str], out_dir: Path, settings: PartSettings, on_read: OnRead | None = None
) -> PartReport:
    """Read one part of a dump into Parquet files in out_dir.

    properties: PIDs. Writes `STATEMENTS` of them, `NAMES` when settings.language is given, and `REJECTIONS`
    (`broken_line`). Needs memory for one batch of rows, one line, and settings.qids, whatever the size.
    Returns the report of an earlier run, with `reused` true, when that had the same file and settings.
    Raises BadInput for a file that is no dump or a folder that cannot be written, DamagedDump for a file
    that ends inside its compression or whose checksum beside it differs (unless settings.keep_damaged); then
    the part stays unfinished.
    """
    stem = f"{path.name}-{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]}"
    marker = out_dir / f"{stem}.done.json"
    key = _key(path, properties, settings)
    finished = _read_finished(marker, key)
    if finished is not None and (finished.damage is None or settings.keep_damaged):
        return replace(finished, reused=True)
    if settings.qids is None and not settings.keep_damaged:  # names are read from a file that has passed already
        check_sum(path)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        report = _extract(path, properties, out_dir / stem, settings, on_read)
        with replace_file(marker) as aside:
            aside.write_bytes(msgspec.json.encode(_Marker(key, report)))
        remove_leftovers(out_dir / stem)  # of a killed reading, or of one that a cluster had given up
    except OSError as error:
        if (finished := _read_finished(marker, key)) is not None:
            return replace(finished, reused=True)
        raise BadInput(
            f"{out_dir} cannot be written ({error.strerror or error}); free space or name another"
        ) from error
    return report


def _key(path: Path, properties: Sequence[str], settings: PartSettings) -> str:
    """A hash of everything that decides a part's files."""
    try:
        stat = path.stat()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from error
    # Another moment of writing is another file: nobody reads a terabyte twice to compare it.
    decisive = [FORMAT, stat.st_size, stat.st_mtime_ns, sorted(properties), str(STATEMENTS.names), str(NAMES.names)]
    decisive += [str(settings.day), settings.language, settings.source]
    decisive += [None if settings.qids is None else hashlib.sha256(settings.qids.read_bytes()).hexdigest()]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()


class _Marker(msgspec.Struct):
    """The content of a file that says that a part is whole."""

    key: str
    report: PartReport


def _read_finished(marker: Path, key: str) -> PartReport | None:
    try:
        found = msgspec.json.decode(marker.read_bytes(), type=_Marker)
    except (OSError, msgspec.MsgspecError):
        return None
    files = (found.report.statements, found.report.names, found.report.rejections)
    is_whole = found.key == key and all(name is None or Path(name).is_file() for name in files)
    return found.report if is_whole else None


def _extract(
    path: Path, properties: Sequence[str], stem: Path, settings: PartSettings, on_read: OnRead | None
) -> PartReport:
    started = time.monotonic()
    schemas = {"statements": STATEMENTS, "rejections": REJECTIONS}
    if settings.language is not None:
        schemas["names"] = NAMES
    files = {name: stem.with_name(f"{stem.name}.{name}.parquet") for name in schemas}
    with ExitStack() as stack:
        asides = {name: stack.enter_context(replace_file(file)) for name, file in files.items()}
        writers = {
            name: stack.enter_context(pq.ParquetWriter(asides[name], schema, compression="zstd", store_schema=True))
            for name, schema in schemas.items()
        }
        lines = stack.enter_context(DumpLines(path, on_read, settings.threads))
        found = _write_entities(lines, properties, settings, writers)
        size = lines.position()
        writers["rejections"].write_table(_reject_broken(lines))
    return PartReport(
        path=str(path),
        statements=str(files["statements"]),
        names=str(files["names"]) if "names" in files else None,
        rejections=str(files["rejections"]),
        compressed_bytes=size,
        json_bytes=lines.json_bytes,
        lines=lines.lines,
        entities=lines.entities,
        decoded=found.decoded,
        rows=found.rows,
        broken=lines.broken,
        opened=lines.opened,
        closed=lines.closed,
        newest=found.newest.isoformat() if found.newest else None,
        damage=found.damage,
        seconds=round(time.monotonic() - started, 3),
    )


class _Found(NamedTuple):
    """What was written of a file: entities decoded, statements, their newest edit, and what cut the file off."""

    decoded: int
    rows: int
    newest: datetime.datetime | None
    damage: str | None


def _write_entities(
    lines: DumpLines, properties: Sequence[str], settings: PartSettings, writers: Mapping[str, pq.ParquetWriter]
) -> _Found:
    """Write the statements and names of all wanted entities of a file."""
    reader = EntityReader(properties, settings.language)
    rows, names = StatementRows(settings.origin()), NameRows() if "names" in writers else None
    wanted = LineFilter(properties, settings.qids)
    newest: datetime.datetime | None = None
    decoded = written = waiting = 0
    damage: str | None = None

    def flush() -> int:
        count = len(rows)
        writers["statements"].write_table(rows.table())
        rows.clear()
        if names is not None:
            writers["names"].write_table(names.table())
            names.clear()
        return count

    try:
        for number, text in lines.where(wanted):
            decoded += 1
            waiting += len(text)
            modified, broken = reader.add(text, rows, names)
            if modified is not None and (newest is None or modified > newest):
                newest = modified
            for fault in broken:
                lines.add_broken(replace(fault, line=number))
            if len(rows) >= BATCH or waiting >= BATCH_BYTES or (names is not None and len(names) >= BATCH):
                written += flush()
                waiting = 0
    except DamagedDump as error:
        if not settings.keep_damaged:
            raise
        damage = str(error)
        lines.add_broken(BrokenLine(lines.lines + 1, "the file ends inside its compression"))
    written += flush()
    if lines.on_read is not None:
        lines.on_read(lines.position(), lines.json_bytes)
    return _Found(decoded, written, newest, damage)


def _reject_broken(lines: DumpLines) -> pa.Table:
    """`REJECTIONS` of what could not be read; one row counts those beyond the ones described."""
    name = lines.path.name
    found = [
        ("statements", "broken_line", broken.subject, None, [broken.statement_id] if broken.statement_id else [],
         f"{name} line {broken.line}: {broken.reason}")
        for broken in lines.breaks
    ]  # fmt: skip
    if lines.broken > len(lines.breaks):
        more = lines.broken - len(lines.breaks)
        found.append(("statements", "broken_line", None, None, [], f"{name}: {more} more broken lines"))
    return rejection_rows(found)
