"""Wikidata's JSON dump as a source: one file, a folder of parts, or a pattern.

Two passes over the files: the statements of the wanted properties, then names and lifecycle of the entities
that these name. One pass cannot do it: which of 120 million entities are named is known only at its end, and
to keep the names of all of them would take more time and room than to decompress the files once more.
Both passes write Parquet by parts (`pipeline.sources.dump.parts`); what is asked is answered from these files.
"""

from __future__ import annotations

import datetime
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from chronofacts.pipeline.sources import EntityBatch, Freshness, Source, Window, choose_scope
from chronofacts.pipeline.sources.dump.files import DumpDay, dump_day, find_parts
from chronofacts.pipeline.sources.dump.filter import write_qids
from chronofacts.pipeline.sources.dump.parts import OnRead, PartReport, PartSettings, extract_part
from chronofacts.pipeline.sources.dump.progress import Meter, Progress
from chronofacts.pipeline.sources.entities import LABELS
from chronofacts.pipeline.sources.statements import LIFECYCLE
from chronofacts.pipeline.storage.rejections import rejection_rows
from chronofacts.pipeline.storage.session import connect
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import temporary_folder
from chronofacts.schemas.ids import is_qid
from chronofacts.schemas.tables import REJECTIONS, STATEMENTS

__all__ = ["DumpSettings", "DumpSource", "PartJob", "Runner", "open_dump", "run_one_by_one"]

log = logging.getLogger("chronofacts.refresh")

_BATCH = 65_536
MOST_BROKEN, AT_LEAST_BROKEN = 0.5, 20
"""Share and number of lines beyond which a dump that cannot be read is refused."""
_LARGE = 4 << 30  # bytes of files; all statements of a larger dump are more than a snapshot can be built from


class PartJob(NamedTuple):
    """One call of `extract_part`."""

    path: Path
    properties: tuple[str, ...]
    out_dir: Path
    settings: PartSettings

    def run(self, on_read: OnRead | None = None) -> PartReport:
        return extract_part(self.path, self.properties, self.out_dir, self.settings, on_read)


Runner = Callable[[Sequence[PartJob], Callable[[int, int, int], None]], Iterator[tuple[int, PartReport]]]
"""Does jobs in any order and yields (index of the job, its report) as they end; may call the second argument
with (index, bytes read, bytes of JSON) while they run."""


def run_one_by_one(
    jobs: Sequence[PartJob], on_read: Callable[[int, int, int], None]
) -> Iterator[tuple[int, PartReport]]:
    """Do the jobs here, one after another."""
    for index, job in enumerate(jobs):
        yield index, job.run(partial(on_read, index))


@dataclass(frozen=True, slots=True)
class DumpSettings:
    """What a user may say about a dump."""

    day: datetime.date | None = None
    """The day up to which it knows the world; None: from its name, else from its newest edits."""
    raw: Path | None = None
    """Where part files are kept, so that they are not read again; None: nowhere, once a snapshot is made."""
    keep_damaged: bool = False
    scope: str = ""
    """`whole` or `changes`, as for an endpoint; empty: `changes` for a large dump, else `whole`."""


def open_dump(
    name: str,
    properties: Sequence[str],
    options: DumpSettings = DumpSettings(),
    run: Runner = run_one_by_one,
    show: Callable[[Progress], None] = log.info,
) -> DumpSource:
    """The dump that `--source` names.

    properties: all that will be asked for, so that the dump is read for all of them at once.
    Raises BadInput when there is no such file or it is no dump.
    """
    parts = find_parts(name)
    return DumpSource(parts, dump_day(parts, options.day), properties, options, run, show)


class DumpSource(Source):
    """The parts of one dump as a source, which has no merged items."""

    name = "dump"

    def __init__(
        self,
        parts: Sequence[Path],
        day: DumpDay,
        properties: Sequence[str],
        options: DumpSettings,
        run: Runner,
        show: Callable[[Progress], None],
    ) -> None:
        sizes = [path.stat().st_size for path in parts]
        self.scope = choose_scope(options.scope, "changes" if sum(sizes) > _LARGE else "whole")
        self.reports: list[PartReport] = []
        """What the parts of the passes so far gave."""
        self._parts = tuple(parts)
        self._day = day
        self._properties = frozenset(properties)
        self._aside = ExitStack()
        self._work = options.raw or self._aside.enter_context(temporary_folder("dump"))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max(1, cores // len(parts))  # the parts themselves are read side by side
        self._settings = PartSettings(day.day, keep_damaged=options.keep_damaged, threads=threads)
        self._run = run
        self._meter = Meter(sizes, 2, time.monotonic, show)
        self._statements: list[str] | None = None

    def freshness(self) -> Freshness:
        moment = datetime.datetime.combine(self._day.day, datetime.time(), datetime.UTC)
        many = f" in {len(self._parts)} parts" if len(self._parts) > 1 else ""
        # the folder of the parts is no part of the facts: the same dump elsewhere gives the same snapshot
        return Freshness(self._day.day, moment, f"dump {self._parts[0].name}{many} as of {self._day}")

    def statements(self, properties: Sequence[str]) -> Iterator[pa.Table]:
        return _scan(self._statement_files(properties), STATEMENTS, _is_in("property", properties))

    def statements_of(self, qids: Sequence[str], properties: Sequence[str]) -> Iterator[pa.Table]:
        wanted = _is_in("property", properties) & _is_in("subject", qids)
        return _scan(self._statement_files(properties), STATEMENTS, wanted)

    def subjects(self, properties: Sequence[str], window: Window | None = None) -> list[str]:
        if window is None:
            return self._find("true", properties)
        dated = " OR ".join(
            f"({date}_earliest IS NOT NULL AND ({date}_earliest < $first) IS NOT TRUE"
            f" AND ({date}_earliest >= $last) IS NOT TRUE)"
            for date in ("start", "end", "point_in_time")
        )
        return self._find(f"({dated})", properties, first=window.first, last=window.last)

    def subjects_with_value(self, property_: str, qids: Sequence[str]) -> list[str]:
        condition = "object_kind = 'item' AND object IN (SELECT unnest($qids))"
        return self._find(condition, [property_], qids=list(qids))

    def entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        if not qids:
            return
        wanted = self._work / "named.qids"
        write_qids(qids, wanted)
        self._meter.begin(2)
        reports = self._extract("entities", LIFECYCLE, replace(self._settings, qids=wanted, language=language))
        for lifecycle in _scan([report.statements for report in reports], STATEMENTS):
            yield EntityBatch(lifecycle, LABELS.empty_table())
        for labels in _newest_names([report.names for report in reports if report.names is not None]):
            yield EntityBatch(STATEMENTS.empty_table(), labels)

    def rejections(self) -> pa.Table:
        """`REJECTIONS` of the lines that the passes so far could not read, each once."""
        tables = [pq.read_table(report.rejections, schema=REJECTIONS) for report in self.reports]
        rows = {
            (row["detail"], tuple(row["ids"])): (
                row["stage"], row["reason"], row["subject"], row["relation"], row["ids"], row["detail"]
            )
            for table in tables
            for row in table.to_pylist()
        }  # fmt: skip
        if _cut_off(self.reports):
            detail = f"{self._parts[-1].name}: the array has no end, so that entities may be missing"
            rows[detail, ()] = ("statements", "broken_line", None, None, [], detail)
        return rejection_rows(rows.values())

    def finish(self) -> None:
        self._aside.close()

    def _find(self, condition: str, properties: Sequence[str], **parameters: object) -> list[str]:
        """Sorted QIDs of the subjects whose statements of the properties meet a condition in SQL."""
        with connect() as connection:
            files = self._statement_files(properties)
            connection.register("statements", ds.dataset(files, schema=STATEMENTS, format="parquet"))
            query = f"""SELECT DISTINCT subject FROM statements
                WHERE list_contains($properties, property) AND {condition} ORDER BY subject"""
            rows = connection.execute(query, {"properties": list(properties), **parameters}).fetchall()
        return [qid for (qid,) in rows if is_qid(qid)]

    def _statement_files(self, properties: Sequence[str]) -> list[str]:
        """Files with the statements of these properties; reads the dump when it has not been read for them."""
        if self._statements is None or not self._properties.issuperset(properties):
            self._properties = self._properties.union(properties)
            self._meter.begin(1)
            reports = self._extract("statements", sorted(self._properties), self._settings)
            self._statements = [report.statements for report in reports]
        return self._statements

    def _extract(self, folder: str, properties: Sequence[str], settings: PartSettings) -> list[PartReport]:
        """One pass over all parts; their reports in the order of the parts."""
        jobs = [PartJob(path, tuple(properties), self._work / folder, settings) for path in self._parts]
        done: dict[int, PartReport] = {}
        for index, report in self._run(jobs, self._meter.update):
            done[index] = report
            if report.reused:
                self._meter.skip(index)
            else:
                self._meter.update(index, report.compressed_bytes, report.json_bytes)
        reports = [done[index] for index in range(len(jobs))]
        if not settings.keep_damaged:
            _check_readable(reports)
        self.reports += reports
        _log_pass(folder, reports)
        return reports


def _check_readable(reports: Sequence[PartReport]) -> None:
    """Raises BadInput for a dump of which hardly a line can be read: it is one of another form."""
    broken, entities = sum(report.broken for report in reports), sum(report.entities for report in reports)
    if broken > max(MOST_BROKEN * (broken + entities), AT_LEAST_BROKEN):
        raise BadInput(
            f"{broken} of {broken + entities} lines of the dump cannot be read; it may have another form than one "
            "entity a line, or be damaged: take --keep-damaged to use what can be read"
        )


def _log_pass(folder: str, reports: Sequence[PartReport]) -> None:
    """Log what one pass gave, and warn of what it could not read."""
    entities, seconds = sum(r.entities for r in reports), sum(r.seconds for r in reports if not r.reused)
    size = sum(r.json_bytes for r in reports)
    reused = sum(r.reused for r in reports)
    log.info(
        "%s: %d entities, %d wanted, %d statements in %.1f GB of JSON (%.0f s%s)",
        folder,
        entities,
        sum(r.decoded for r in reports),
        sum(r.rows for r in reports),
        size / 1e9,
        seconds,
        f", {reused} of {len(reports)} parts from an earlier run" if reused else "",
    )
    if broken := sum(r.broken for r in reports):
        log.warning("%d lines could not be read; `inspect` shows them as broken_line", broken)
    if _cut_off(reports):
        log.warning("the dump's array has no end: the file was cut off, and entities may be missing")


def _cut_off(reports: Sequence[PartReport]) -> bool:
    return sum(report.opened for report in reports) > sum(report.closed for report in reports)


def _is_in(column: str, values: Sequence[str]) -> pc.Expression:
    return pc.field(column).isin(pa.array(values, pa.string()))


def _scan(files: Sequence[str], schema: pa.Schema, wanted: pc.Expression | None = None) -> Iterator[pa.Table]:
    """Rows of Parquet files in their order, some thousands at a time."""
    if not files:
        return
    scanner = ds.dataset(list(files), schema=schema, format="parquet").scanner(
        filter=wanted, batch_size=_BATCH, batch_readahead=2, fragment_readahead=1
    )
    for batch in scanner.to_batches():
        if batch.num_rows:
            yield pa.Table.from_batches([batch]).cast(schema)


def _newest_names(files: Sequence[str]) -> Iterator[pa.Table]:
    """`LABELS` of every entity once: of copies in several parts the one of the newest revision."""
    with connect() as connection:
        connection.register("names", ds.dataset(list(files), format="parquet"))
        copies = dict(
            connection.execute(
                "SELECT qid, max(coalesce(revision, 0)) FROM names GROUP BY qid HAVING count(*) > 1"
            ).fetchall()
        )
    for names in _scan(files, pq.read_schema(files[0])):
        if copies:
            keep = []
            for qid, revision in zip(names["qid"].to_pylist(), names["revision"].to_pylist(), strict=True):
                newest = copies.get(qid)
                keep.append(qid not in copies or newest == (revision or 0))
                if newest is not None and newest == (revision or 0):
                    copies[qid] = -1  # further copies of this revision say the same
            names = names.filter(pa.array(keep))
        yield names.select(LABELS.names).cast(LABELS)
