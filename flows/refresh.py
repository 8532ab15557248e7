"""Refresh: a source and two dates to a snapshot folder.

A plain function, whose steps somebody else may run: `flows.scheduled.flows` runs them as tasks of a Prefect flow.
"""

from __future__ import annotations

import glob
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from chronofacts.flows.dump import part_runner
from chronofacts.flows.progress import Step, plain_step, show_steps
from chronofacts.flows.settings import RefreshSettings
from chronofacts.pipeline.build import SnapshotSettings, build_files, check_days
from chronofacts.pipeline.incremental import update_source
from chronofacts.pipeline.snapshots.write import write_valid
from chronofacts.pipeline.sources import Freshness, Source
from chronofacts.pipeline.sources.dump.source import Runner, open_dump
from chronofacts.pipeline.sources.sample import open_sample
from chronofacts.pipeline.sources.sparql.endpoint_source import is_endpoint, open_endpoint
from chronofacts.pipeline.sources.sparql.neighbourhood import days_of_change
from chronofacts.pipeline.sources.staging import stage_source
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import lock_file, report_full_disk
from chronofacts.schemas.manifest import SnapshotManifest

__all__ = ["open_source", "refresh"]

log = logging.getLogger("chronofacts.refresh")


def open_source(settings: RefreshSettings, run_parts: Callable[[str], Runner] = part_runner) -> Source:
    """The source that `--source` names (`RefreshSettings` has checked it)."""
    name = settings.source
    if name == "sample":
        return open_sample()
    if is_endpoint(name):
        return open_endpoint(name, settings.endpoint)
    properties = sorted({relation.property for relation in settings.catalogue.relations})
    return open_dump(name, properties, settings.dump, run_parts(settings.task_runner))


def refresh(
    settings: RefreshSettings, step: Step = plain_step, run_parts: Callable[[str], Runner] = part_runner
) -> Path:
    """Make a snapshot of what changed between two days; returns its folder.

    The gate sets aside, with a warning, what breaks a promise of `verify` (`pipeline.snapshots.gate`).
    step: runs each step. run_parts: what reads a dump's parts, by the name that `--task-runner` gives it.
    Raises BadInput when the source does not fit the settings, CheckFailed when the source or the result is not valid;
    then no folder is left behind, but `OUT.broken` where the result was not.
    """
    snapshot, catalogue = settings.snapshot, settings.catalogue
    begin = show_steps("read the source", "build the tables", "check and write the snapshot")
    begin()
    source = open_source(settings, run_parts)
    freshness = _check_freshness(source, snapshot)
    log.info("reading %s", freshness.detail)
    window = days_of_change(snapshot.since, snapshot.as_of) if source.scope == "changes" else None
    with scratch_folder(settings.out) as folder:
        source_now = update_source(source, settings.update, catalogue, snapshot.language) if settings.update else source
        staged = step(
            "read-source",
            lambda: stage_source(source_now, catalogue, snapshot.language, folder / "staged", window),
        )
        begin()
        tables = step("build-tables", lambda: build_files(staged, catalogue, snapshot, freshness.day, folder))
        begin()
        manifest = describe(source.name, freshness, catalogue, snapshot)
        step("write-snapshot", lambda: write_valid(tables, manifest, settings.out))
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
