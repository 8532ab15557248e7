"""A snapshot folder: Parquet tables, a manifest with their sums, a dataset card and Croissant metadata.

Edits lie in one file per split and questions in one per kind and split, so that
`load_dataset(DIR, "multi_hop", split="test")` reads only these.
The folder gets its name when it breaks no promise of `verify`; what breaks one is set aside first
(`pipeline.snapshots.gate`); where that cannot be, the folder stays as `OUT.broken`, to be looked at.
"""

from __future__ import annotations

import logging
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
from chronofacts.pipeline.snapshots.gate import WITHOUT, describe_broken, set_aside
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.pipeline.storage.early_days import without_early_days
from chronofacts.pipeline.storage.parquet_stream import read_batches, write_batches
from chronofacts.pipeline.storage.session import Tabular
from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.files import create_folder, sha256_of
from chronofacts.schemas.manifest import WIKIDATA, FileEntry, SnapshotManifest
from chronofacts.schemas.parquet import read_snapshot_table as read_table
from chronofacts.schemas.parquet import table_files
from chronofacts.schemas.tables import SNAPSHOT_TABLES, conform

__all__ = ["fill_folder", "read_table", "table_files", "write_valid"]

log = logging.getLogger("chronofacts.gate")


def write_valid(tables: Mapping[str, Tabular], manifest: SnapshotManifest, out: Path) -> SnapshotManifest:
    """Write all tables of a snapshot, its manifest and its card, without the rows that break a promise.

    Returns its manifest, whose `set_aside` counts them; a warning names them.
    Raises BadInput when out exists and is not empty, or cannot be written; SchemaMismatch for a wrong table;
    CheckFailed when what is broken cannot be set aside, after which the snapshot as it was lies at `OUT.broken`.
    """
    with create_folder(out) as folder:
        manifest = fill_folder(folder, {name: tables[name] for name in SNAPSHOT_TABLES}, manifest)
        if verify(folder):
            try:
                manifest = _set_broken_aside(folder, manifest)
            except CheckFailed as error:
                raise CheckFailed(f"{error}; {_move_beside(folder, out)}") from None
    if manifest.set_aside:
        log.warning("%s; why: the rejections of stage verify in %s", manifest.describe_set_aside(), out)
    return manifest


def _set_broken_aside(folder: Path, manifest: SnapshotManifest) -> SnapshotManifest:
    """Write the tables anew without what breaks a promise; raises CheckFailed when that is not enough."""
    aside = folder / ".valid"
    counts = set_aside(folder, manifest, aside)
    tables = {name: aside / f"{name}.parquet" for name in WITHOUT}
    made = fill_folder(folder, tables, replace(manifest, set_aside=counts))
    shutil.rmtree(aside)
    if problems := verify(folder):
        raise CheckFailed(
            f"{describe_broken(problems)}, after all that broke one was set aside; the program is at fault"
        )
    return made


def _move_beside(folder: Path, out: Path) -> str:
    """Give the folder the name `OUT.broken`, in place of an older one; says where it lies."""
    beside = out.with_name(f"{out.name}.broken")
    if not beside.is_symlink() and (beside / "manifest.json").is_file():
        shutil.rmtree(beside)
    if beside.exists() or beside.is_symlink():
        return f"it does not stay, because {beside} is no snapshot of an earlier run: move it away"
    folder.chmod(0o755)
    folder.rename(beside)
    return f"look at it with `chronofacts inspect {beside}`"


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
