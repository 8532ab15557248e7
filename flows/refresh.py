"""The `refresh` flow: a source and two dates to a snapshot folder."""

from __future__ import annotations

import datetime
import fcntl
import glob
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from chronofacts.flows.dump import part_runner
from chronofacts.flows.findings import tell_set_aside
from chronofacts.pipeline.build import SnapshotSettings, build_files, check_days
from chronofacts.pipeline.incremental import UpdatedSource, read_known
from chronofacts.pipeline.snapshots.gate import write_valid
from chronofacts.pipeline.sources import Freshness, Source, Window
from chronofacts.pipeline.sources.dump.files import is_dump
from chronofacts.pipeline.sources.dump.source import DumpOptions, DumpSource, open_dump
from chronofacts.pipeline.sources.sample import open_sample
from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointOptions, LiveSource, is_endpoint, open_live
from chronofacts.pipeline.sources.sparql.neighbourhood import days_of_change
from chronofacts.pipeline.sources.staging import Gathered, gather_source
from chronofacts.schemas.catalogue import Catalogue, load_catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import check_out, report_full_disk
from chronofacts.schemas.manifest import SnapshotManifest

__all__ = ["open_source", "refresh"]

log = logging.getLogger("chronofacts.refresh")


def open_source(
    name: str,
    endpoint: EndpointOptions | None = None,
    dump: DumpOptions | None = None,
    properties: Sequence[str] = (),
    task_runner: str = "",
) -> Source:
    """The source that `--source` names; BadInput for a name that is none.

    properties: all that will be asked of it; dump, task_runner: how a dump is read (`flows.dump.part_runner`).
    """
    if name == "sample":
        return open_sample()
    if is_endpoint(name):
        return open_live(name, endpoint or EndpointOptions())
    if is_dump(name):
        return open_dump(name, properties, dump or DumpOptions(), part_runner(task_runner))
    raise BadInput(
        f"--source {name!r} is not a source; use sample, wdqs, qlever, an address http://…, raw:DIR, "
        "or the file or folder of a dump"
    )


@task(name="read-source", cache_policy=NO_CACHE)
def read(source: Source, catalogue: Catalogue, language: str, folder: Path, window: Window | None) -> Gathered:
    return gather_source(source, catalogue, language, folder, window)


@task(name="build-tables", cache_policy=NO_CACHE)
def build(
    told: Gathered, catalogue: Catalogue, settings: SnapshotSettings, source_day: datetime.date, folder: Path
) -> dict[str, Path]:
    return build_files(told, catalogue, settings, source_day, folder)


@task(name="write-snapshot", cache_policy=NO_CACHE)
def write(tables: dict[str, Path], manifest: SnapshotManifest, out: Path) -> SnapshotManifest:
    return write_valid(tables, manifest, out)


@flow(name="refresh", validate_parameters=False)
def refresh(
    source: str,
    since: datetime.date,
    as_of: datetime.date,
    out: Path,
    relations: Sequence[str] = (),
    language: str = "en",
    seed: int = 0,
    quarantine_days: int = 3,
    endpoint: EndpointOptions | None = None,
    update: Path | None = None,
    dump: DumpOptions | None = None,
    task_runner: str = "",
    hops_per_edit: int = 3,
) -> Path:
    """Make a snapshot of what changed between two days; returns its folder.

    source: `sample`, `wdqs`, `qlever`, an endpoint's address, `raw:DIR` (a kept reading of one), or a dump's file,
    folder or pattern. dump, task_runner: how a dump is read, and by what.
    endpoint: how an endpoint is asked. update: an older snapshot of the same endpoint, of which all is taken
    over that has not changed since. relations: ids or PIDs of the catalogue; none means all.
    hops_per_edit: at most so many multi-hop questions of 2, of 3 and of 4 hops about an edit.
    What breaks a promise of `verify` is set aside with a warning (`pipeline.snapshots.gate`).
    Raises BadInput for wrong options, CheckFailed when the source or the result is not sound; then no
    folder is left behind, but `OUT.broken` where the result was not.
    """
    settings = SnapshotSettings(since, as_of, language, seed, quarantine_days, hops_per_edit)
    catalogue = load_catalogue()
    if relations:
        catalogue = catalogue.select(relations)
    catalogue.require_language(language)
    check_out(out)
    properties = sorted({relation.property for relation in catalogue.relations})
    opened = open_source(source, endpoint, dump, properties, task_runner)
    freshness = _checked_freshness(opened, settings)
    log.info("reading %s", freshness.detail)
    in_parts = isinstance(opened, LiveSource | DumpSource) and opened.scope == "changes"
    window = days_of_change(since, as_of) if in_parts else None
    with workplace(out) as folder:
        told = read(_updated(opened, update, catalogue, language), catalogue, language, folder / "told", window)
        tables = build(told, catalogue, settings, freshness.day, folder)
        made = write(tables, describe(opened.name, freshness, catalogue, settings), out)
    if made.set_aside:
        tell_set_aside(made)
    if isinstance(opened, LiveSource | DumpSource):
        opened.finish()
    return out


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """A folder beside out for what is not held in memory; removed at the end, and by the next one after a kill.

    Raises CheckFailed when the disk is full.
    """
    with report_full_disk(out.parent, duckdb.IOException):
        out.parent.mkdir(parents=True, exist_ok=True)
        for left in out.parent.glob(f".{glob.escape(out.name)}.*.work"):
            with suppress(OSError), (left / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its process lives
                shutil.rmtree(left, ignore_errors=True)
        with (
            TemporaryDirectory(prefix=f".{out.name}.", suffix=".work", dir=out.parent) as name,
            Path(name, "lock").open("a") as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Path(name)


def _checked_freshness(source: Source, settings: SnapshotSettings) -> Freshness:
    """How fresh the source is; BadInput when as_of lies beyond that, and then no kept answer of it is used again."""
    try:
        freshness = source.freshness()
        check_days(settings, freshness.day)
    except BadInput:
        if isinstance(source, LiveSource):
            source.abandon()
        raise
    return freshness


def _updated(source: Source, update: Path | None, catalogue: Catalogue, language: str) -> Source:
    """The source, or what an older snapshot knows of it and the source for the rest."""
    if update is None:
        return source
    if not isinstance(source, LiveSource):
        raise BadInput(f"--update {update} needs a source that tells revisions: use wdqs, qlever or an address")
    return UpdatedSource(source, read_known(update, catalogue, language, source.name))


def describe(source: str, freshness: Freshness, catalogue: Catalogue, settings: SnapshotSettings) -> SnapshotManifest:
    """The manifest of a snapshot before its files are written."""
    return SnapshotManifest(
        name=f"{source} {settings.since} to {settings.as_of}",
        since=settings.since,
        as_of=settings.as_of,
        language=settings.language,
        source=source,
        source_day=freshness.day,
        source_detail=freshness.detail,
        retrieved_at=freshness.retrieved_at,
        code_version=version("chronofacts"),
        catalogue_hash=catalogue.hash,
        relations=tuple(relation.id for relation in catalogue.relations),
        seed=settings.seed,
    )
