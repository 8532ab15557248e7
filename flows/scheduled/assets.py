"""The lineage of what a month makes: snapshot, runs and publication, as Prefect assets.

Each asset is known by its address, and names those that it was made from, so that the server's events say which
snapshot a report or a publication comes from. Leaves out the source: Wikidata is nobody's asset here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.assets import Asset, AssetProperties, materialize
from prefect.cache_policies import NO_CACHE

from chronofacts.pipeline.snapshots.summary import summarise
from chronofacts.schemas.manifest import read_manifest

__all__ = ["publication_key", "run_key", "show_publication", "show_run", "show_snapshot", "snapshot_key"]

_LONGEST = 512


def snapshot_key(snapshot: Path) -> str:
    return _key(snapshot.absolute().as_uri())


def run_key(run: Path) -> str:
    return _key(run.absolute().as_uri())


def publication_key(repo: str) -> str:
    return _key(f"hf://datasets/{repo}")


def show_snapshot(snapshot: Path) -> None:
    """An asset for a snapshot of the store, with its rows."""
    manifest, found = read_manifest(snapshot), summarise(snapshot)
    about = {
        "since": str(manifest.since),
        "as_of": str(manifest.as_of),
        "source": manifest.source,
        "edits": found.tables["edits"],
        "questions": found.tables["questions"],
        "rejections": sum(found.rejections_by_reason.values()),
        "set_aside": sum(sum(counts.values()) for counts in manifest.set_aside.values()),
    }
    _materialize(snapshot_key(snapshot), f"snapshot {manifest.as_of}", None, [], about)


def show_run(run: Path, snapshot: Path, model: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    """An asset for a run, made from its snapshot, with the figures of each editor."""
    about = {f"{editor}.{metric}": value for editor, metrics in figures.items() for metric, value in metrics.items()}
    _materialize(run_key(run), f"{model} on {snapshot.name}", None, [snapshot_key(snapshot)], about)


def show_publication(repo: str, url: str, tag: str, snapshot: Path, runs: Sequence[Path] = ()) -> None:
    """An asset for the dataset on the Hub, made from its newest snapshot and the runs on it."""
    made_from = [snapshot_key(snapshot), *map(run_key, runs)]
    _materialize(publication_key(repo), repo, url, made_from, {"tag": tag})


def _materialize(key: str, name: str, url: str | None, made_from: Sequence[str], about: dict[str, Any]) -> None:
    asset = Asset(key=key, properties=AssetProperties(name=name, url=url))

    @materialize(asset, by="chronofacts", asset_deps=[*made_from], cache_policy=NO_CACHE, name=f"materialize {name}")
    def record() -> None:
        asset.add_metadata(about)

    record()


def _key(address: str) -> str:
    """The address without the characters that Prefect refuses in a key, and no longer than it takes."""
    return re.sub(r"[^A-Za-z0-9:/._~@+=-]", "_", address)[:_LONGEST]
