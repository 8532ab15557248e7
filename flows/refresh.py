"""The `refresh` flow: a source and two dates to a snapshot folder."""

from __future__ import annotations

import datetime
import glob
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from chronofacts.flows.artifacts import show_set_aside
from chronofacts.flows.dump import part_runner
from chronofacts.flows.settings import RefreshSettings
from chronofacts.pipeline.build import SnapshotSettings, build_files, check_days
from chronofacts.pipeline.incremental import update_source
from chronofacts.pipeline.snapshots.gate import write_valid
from chronofacts.pipeline.sources import Freshness, Source, Window
from chronofacts.pipeline.sources.dump.files import is_dump
from chronofacts.pipeline.sources.dump.source import open_dump
from chronofacts.pipeline.sources.sample import open_sample
from chronofacts.pipeline.sources.sparql.endpoint_source import is_endpoint, open_endpoint
from chronofacts.pipeline.sources.sparql.neighbourhood import days_of_change
from chronofacts.pipeline.sources.staging import StagedSource, stage_source
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import lock_file, report_full_disk
from chronofacts.schemas.manifest import SnapshotManifest

__all__ = ["open_source", "refresh"]

log = logging.getLogger("chronofacts.refresh")


def open_source(settings: RefreshSettings) -> Source:
    """The source that `--source` names; BadInput for a name that is none."""
    name = settings.source
    if name == "sample":
        return open_sample()
    if is_endpoint(name):
        return open_endpoint(name, settings.endpoint)
    if is_dump(name):
        properties = sorted({relation.property for relation in settings.catalogue.relations})
        return open_dump(name, properties, settings.dump, part_runner(settings.task_runner))
    raise BadInput(
        f"--source {name!r} is not a source; use sample, wdqs, qlever, an address http://…, raw:DIR, "
        "or the file or folder of a dump"
    )


@task(name="read-source", cache_policy=NO_CACHE)
def read(source: Source, catalogue: Catalogue, language: str, folder: Path, window: Window | None) -> StagedSource:
    return stage_source(source, catalogue, language, folder, window)


@task(name="build-tables", cache_policy=NO_CACHE)
def build(
    staged: StagedSource, catalogue: Catalogue, settings: SnapshotSettings, source_day: datetime.date, folder: Path
) -> dict[str, Path]:
    return build_files(staged, catalogue, settings, source_day, folder)


@task(name="write-snapshot", cache_policy=NO_CACHE)
def write(tables: dict[str, Path], manifest: SnapshotManifest, out: Path) -> SnapshotManifest:
    return write_valid(tables, manifest, out)


@flow(name="refresh", validate_parameters=False)
def refresh(settings: RefreshSettings) -> Path:
    """Make a snapshot of what changed between two days; returns its folder.

    The gate sets aside, with a warning, what breaks a promise of `verify` (`pipeline.snapshots.gate`).
    Raises BadInput when the source does not fit the settings, CheckFailed when the source or the result is not valid;
    then no folder is left behind, but `OUT.broken` where the result was not.
    """
    snapshot, catalogue = settings.snapshot, settings.catalogue
    source = open_source(settings)
    freshness = _check_freshness(source, snapshot)
    log.info("reading %s", freshness.detail)
    window = days_of_change(snapshot.since, snapshot.as_of) if source.scope == "changes" else None
    with scratch_folder(settings.out) as folder:
        updated = update_source(source, settings.update, catalogue, snapshot.language) if settings.update else source
        staged = read(updated, catalogue, snapshot.language, folder / "staged", window)
        tables = build(staged, catalogue, snapshot, freshness.day, folder)
        manifest = write(tables, describe(source.name, freshness, catalogue, snapshot), settings.out)
    if manifest.set_aside:
        show_set_aside(manifest)
    source.finish()
    return settings.out


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """A folder beside out for what memory does not hold; removed at the end, and by the next refresh after a kill.

    Raises CheckFailed when the disk is full.
    """
    with report_full_disk(out.parent, duckdb.IOException):
        out.parent.mkdir(parents=True, exist_ok=True)
        for left in out.parent.glob(f".{glob.escape(out.name)}.*.work"):
            with suppress(OSError), lock_file(left / "lock", wait=False):  # refused while its process lives
                shutil.rmtree(left, ignore_errors=True)
        with (
            TemporaryDirectory(prefix=f".{out.name}.", suffix=".work", dir=out.parent) as name,
            lock_file(Path(name, "lock")),
        ):
            yield Path(name)


def _check_freshness(source: Source, settings: SnapshotSettings) -> Freshness:
    """How fresh the source is. Raises BadInput when as_of lies beyond that, and abandons the reading."""
    try:
        freshness = source.freshness()
        check_days(settings, freshness.day)
    except BadInput:
        source.abandon()
        raise
    return freshness


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
