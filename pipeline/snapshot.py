"""A snapshot folder: Parquet tables, a manifest with their sums, a dataset card and Croissant metadata.

Written aside and renamed, so that a folder with a manifest is always whole. Questions lie in one file per
kind and split, so that `load_dataset(DIR, "multi_hop", split="test")` reads only these.
Leaves out: what is in the tables (`pipeline.refresh`), and whether it is right (`pipeline.verify`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.card import write_card
from pipeline.croissant import write_croissant
from schemas.errors import CheckFailed
from schemas.folders import written_aside
from schemas.manifest import FileEntry, SnapshotManifest
from schemas.tables import SNAPSHOT_TABLES, conform

__all__ = ["read_table", "sha256_of", "table_files", "write_parquet", "write_snapshot"]

ROW_GROUP = 65_536  # small enough for the Hub's viewer to page through


def write_snapshot(
    tables: Mapping[str, pa.Table],
    manifest: SnapshotManifest,
    out: Path,
    check: Callable[[Path], None] = lambda folder: None,
) -> SnapshotManifest:
    """Write all tables of `SNAPSHOT_TABLES`, the manifest and the card; returns the manifest with its files.

    check: called with the finished folder before it gets its name; what it raises leaves no folder behind.
    Raises BadInput when out exists and is not empty, or cannot be written; SchemaMismatch for a wrong table.
    """
    with written_aside(out) as folder:
        entries: dict[str, FileEntry] = {}
        for name, schema in SNAPSHOT_TABLES.items():
            table = conform(tables[name], schema, name)
            for file, part in _parts(name, table):
                path = folder / file
                path.parent.mkdir(exist_ok=True)
                write_parquet(part, path)
                entries[file] = FileEntry(part.num_rows, sha256_of(path))
        manifest = replace(manifest, files=entries)
        (folder / "manifest.json").write_text(manifest.as_json(), encoding="utf-8")
        write_card(folder, manifest, tables)
        if manifest.origin == "wikidata":  # an imported benchmark has other authors and another licence
            write_croissant(folder, manifest)
        check(folder)
    return manifest


def _parts(name: str, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """(file, rows) of one table; questions by kind and split."""
    if name != "questions":
        yield f"{name}/{name}.parquet", table
        return
    if not table.num_rows:
        yield "questions/edit-test.parquet", table
    for kind in sorted(table["kind"].unique().to_pylist()):
        of_kind = table.filter(pc.equal(table["kind"], kind))
        for split in sorted(of_kind["split"].unique().to_pylist()):
            yield f"questions/{kind}-{split}.parquet", of_kind.filter(pc.equal(of_kind["split"], split))


def write_parquet(table: pa.Table, path: Path) -> None:
    """One deterministic Parquet file: no clock, no pandas metadata, fixed row groups."""
    pq.write_table(table, path, compression="zstd", row_group_size=ROW_GROUP, store_schema=True)


def read_table(snapshot: Path, name: str) -> pa.Table:
    """One table of a snapshot, all its files, with the columns of `SNAPSHOT_TABLES`.

    Raises CheckFailed naming a file that is missing or damaged, SchemaMismatch for a wrong column.
    """
    parts = []
    for path in table_files(snapshot, name):
        try:
            parts.append(conform(pq.read_table(path), SNAPSHOT_TABLES[name], str(path)))
        except (pa.ArrowInvalid, OSError) as error:
            raise CheckFailed(f"{path} is damaged ({error}); make the snapshot again") from error
    return pa.concat_tables(parts)


def table_files(snapshot: Path, name: str) -> list[Path]:
    """The Parquet files of a table, sorted; CheckFailed when there is none."""
    files = sorted((snapshot / name).glob("*.parquet"))
    if not files:
        raise CheckFailed(f"{snapshot / name} holds no Parquet file; make the snapshot again")
    return files


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
