"""How tests build whole snapshots: what a source tells is gathered once, and built for any two days, gate and all."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import datasets
import pyarrow.parquet as pq

from chronofacts.flows.refresh import describe
from chronofacts.pipeline.build import SnapshotSettings, build_files
from chronofacts.pipeline.snapshots.card import configs
from chronofacts.pipeline.snapshots.write import write_valid
from chronofacts.pipeline.sources import Freshness, Source
from chronofacts.pipeline.sources.dump.source import DumpSettings, open_dump
from chronofacts.pipeline.sources.staging import StagedSource, stage_source
from chronofacts.schemas.catalogue import Catalogue, load_catalogue
from chronofacts.schemas.manifest import SnapshotManifest

__all__ = ["Reading", "build_snapshot", "gather", "iterate_everything", "read_dump"]


class Reading(NamedTuple):
    """What a source told, kept in a folder."""

    told: StagedSource
    freshness: Freshness
    source: str
    catalogue: Catalogue
    language: str


def gather(source: Source, folder: Path, language: str = "en", relations: Iterable[str] = ()) -> Reading:
    """Read a source for all relations, or for some."""
    catalogue = load_catalogue().select(tuple(relations)) if relations else load_catalogue()
    freshness = source.freshness()
    return Reading(stage_source(source, catalogue, language, folder, None), freshness, source.name, catalogue, language)


def read_dump(file: Path, folder: Path, day: datetime.date, language: str = "en") -> Reading:
    """Read a dump for all relations."""
    properties = sorted({relation.property for relation in load_catalogue().relations})
    source = open_dump(str(file), properties, DumpSettings(day=day, raw=folder / "raw"))
    return gather(source, folder / "told", language)


def build_snapshot(reading: Reading, since: datetime.date, as_of: datetime.date, out: Path) -> SnapshotManifest:
    """A snapshot as `refresh` makes it; its manifest tells what the last gate set aside.

    Anything set aside makes the test fail that is running, unless it has the mark `sets_aside` (`tests.conftest`).
    """
    settings = SnapshotSettings(since, as_of, reading.language)
    with TemporaryDirectory() as work:
        tables = build_files(reading.told, reading.catalogue, settings, reading.freshness.day, Path(work))
        manifest = describe(reading.source, reading.freshness, reading.catalogue, settings)
        return write_valid(tables, manifest, out)


def iterate_everything(snapshot: Path, manifest: SnapshotManifest, cache: Path) -> int:
    """Read every row of every config by `datasets`, pandas and Arrow as Python values; returns the rows."""
    rows = 0
    for name, splits in configs(manifest).items():
        loaded = datasets.load_dataset(str(snapshot), name, cache_dir=str(cache))
        for split, file in splits.items():
            table = pq.read_table(snapshot / file)
            counted = sum(len(next(iter(batch.values()))) for batch in loaded[split].iter(1000))
            assert counted == table.num_rows == len(table.to_pylist()) == len(table.to_pandas())
            assert len(loaded[split].to_pandas()) == counted
            rows += counted
    return rows
