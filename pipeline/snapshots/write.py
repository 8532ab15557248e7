"""A snapshot folder: Parquet tables, a manifest with their sums, a dataset card and Croissant metadata.

Edits lie in one file per split and questions in one per kind and split, so that
`load_dataset(DIR, "multi_hop", split="test")` reads only these.
`pipeline.snapshots.gate` checks what is written and gives the folder its name.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from chronofacts.pipeline.snapshots.card import write_card
from chronofacts.pipeline.snapshots.croissant import write_croissant
from chronofacts.pipeline.storage.early_days import without_early_days
from chronofacts.pipeline.storage.parquet_stream import read_batches, write_batches
from chronofacts.pipeline.storage.session import Tabular
from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.manifest import FileEntry, SnapshotManifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES, conform

__all__ = ["fill_folder", "read_table", "sha256_of", "table_files"]

_GROUPED = {"edits": (("split",), "edits-test"), "questions": (("kind", "split"), "edit-test")}
"""Tables of several files -> the columns that tell them apart, and the file of a table without rows."""


def fill_folder(folder: Path, tables: Mapping[str, Tabular], manifest: SnapshotManifest) -> SnapshotManifest:
    """Write tables of a snapshot, the manifest and the card into a folder; returns the manifest with its files.

    A table that is there already is replaced, and one that is not given stays: its files are those of the manifest.
    """
    entries = {file: entry for file, entry in manifest.files.items() if file.partition("/")[0] not in tables}
    for name, table in tables.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        if isinstance(table, pa.Table):
            table = conform(table, SNAPSHOT_TABLES[name], name)
        for file, part in _parts(name, table):
            rows = write_batches(map(without_early_days, part), SNAPSHOT_TABLES[name], folder / file)
            entries[file] = FileEntry(rows, sha256_of(folder / file))
    manifest = replace(manifest, files=entries, label_languages=_label_languages(folder / "entities"))
    (folder / "manifest.json").write_text(manifest.as_json(), encoding="utf-8")
    write_card(folder, manifest)
    if manifest.origin == "wikidata":  # an imported benchmark has other authors and another licence
        write_croissant(folder, manifest)
    return manifest


def _label_languages(entities: Path) -> dict[str, int]:
    """Entities by the language of their label; those without a label are left out."""
    languages = ds.dataset(entities).to_table(["label_language"])["label_language"].drop_null()
    counted = {pair["values"]: pair["counts"] for pair in languages.value_counts().to_pylist()}
    return dict(sorted(counted.items()))


def _parts(name: str, table: Tabular) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """(file, rows in pieces) of one table; questions by kind and split, edits by split."""
    schema = SNAPSHOT_TABLES[name]
    if name not in _GROUPED:
        yield f"{name}/{name}.parquet", read_batches(table, schema)
        return
    by, empty = _GROUPED[name]
    groups = {
        group
        for piece in read_batches(table, schema)
        for group in zip(*(piece[column].to_pylist() for column in by), strict=True)
    }
    if not groups:
        yield f"{name}/{empty}.parquet", iter([schema.empty_table()])
    for group in sorted(groups):
        stem = "-".join(group) if len(group) > 1 else f"{name}-{group[0]}"
        yield f"{name}/{stem}.parquet", _of_group(read_batches(table, schema), dict(zip(by, group, strict=True)))


def _of_group(rows: Iterator[pa.Table], group: Mapping[str, str]) -> Iterator[pa.Table]:
    for piece in rows:
        for column, value in group.items():
            piece = piece.filter(pc.equal(piece[column], value))
        yield piece


def read_table(snapshot: Path, name: str) -> pa.Table:
    """One table of a snapshot, all its files, with the columns of `SNAPSHOT_TABLES`; edits by their ids.

    Raises CheckFailed naming a file that is missing or damaged, SchemaMismatch for a wrong column.
    """
    parts = []
    for path in table_files(snapshot, name):
        try:
            parts.append(conform(pq.read_table(path), SNAPSHOT_TABLES[name], str(path)))
        except (pa.ArrowInvalid, OSError) as error:
            raise CheckFailed(f"{path} is damaged ({error}); make the snapshot again") from error
    table = pa.concat_tables(parts)
    return table.sort_by("edit_id") if name == "edits" else table


def table_files(snapshot: Path, name: str) -> list[Path]:
    """The Parquet files of a table, sorted; CheckFailed when there is none."""
    files = sorted((snapshot / name).glob("*.parquet"))
    if not files:
        raise CheckFailed(f"{snapshot / name} holds no Parquet file; make the snapshot again")
    return files


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
