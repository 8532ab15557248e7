"""A snapshot folder: Parquet tables, a manifest with their sums, a dataset card and Croissant metadata.

Questions lie in one file per kind and split, so that `load_dataset(DIR, "multi_hop", split="test")` reads only these.
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

from chronofacts.pipeline.snapshots.card import CARD, write_card
from chronofacts.pipeline.snapshots.croissant import FILE as CROISSANT
from chronofacts.pipeline.snapshots.croissant import write_croissant
from chronofacts.pipeline.storage.early_days import without_early_days
from chronofacts.pipeline.storage.parquet_stream import read_batches, write_batches
from chronofacts.pipeline.storage.session import Tabular
from chronofacts.schemas.manifest import WIKIDATA, FileEntry, SnapshotManifest
from chronofacts.schemas.parquet import read_snapshot_table as read_table
from chronofacts.schemas.parquet import table_files
from chronofacts.schemas.tables import SNAPSHOT_TABLES, conform

__all__ = ["fill_folder", "read_table", "sha256_of", "table_files"]


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
    write_card(folder, manifest)
    documents = [CARD]
    if manifest.origin == WIKIDATA:  # an imported benchmark has other authors and another licence
        write_croissant(folder, manifest)
        documents.append(CROISSANT)
    manifest = replace(manifest, documents={name: sha256_of(folder / name) for name in documents})
    (folder / "manifest.json").write_text(manifest.as_json(), encoding="utf-8")
    return manifest


def _label_languages(entities: Path) -> dict[str, int]:
    """Entities by the language of their label; those without a label are left out."""
    languages = ds.dataset(entities).to_table(["label_language"])["label_language"].drop_null()
    counted = {pair["values"]: pair["counts"] for pair in languages.value_counts().to_pylist()}
    return dict(sorted(counted.items()))


def _parts(name: str, table: Tabular) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """(file, rows in pieces) of one table; questions by kind and split."""
    schema = SNAPSHOT_TABLES[name]
    if name != "questions":
        yield f"{name}/{name}.parquet", read_batches(table, schema)
        return
    groups = {
        group
        for piece in read_batches(table, schema)
        for group in zip(*(piece[column].to_pylist() for column in ("kind", "split")), strict=True)
    }
    if not groups:
        yield "questions/edit-test.parquet", iter([schema.empty_table()])
    for kind, split in sorted(groups):
        yield f"questions/{kind}-{split}.parquet", _of_group(read_batches(table, schema), kind, split)


def _of_group(questions: Iterator[pa.Table], kind: str, split: str) -> Iterator[pa.Table]:
    for piece in questions:
        yield piece.filter(pc.and_(pc.equal(piece["kind"], kind), pc.equal(piece["split"], split)))


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
