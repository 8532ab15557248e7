"""A snapshot folder: Parquet tables, a manifest with their sums, a dataset card and Croissant metadata.

Questions lie in one file per kind and split, so that `load_dataset(DIR, "multi_hop", split="test")` reads only these.
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
import pyarrow.parquet as pq

from chronofacts.pipeline.snapshots.card import write_card
from chronofacts.pipeline.snapshots.croissant import write_croissant
from chronofacts.pipeline.snapshots.gate import WITHOUT, describe_broken, set_aside
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.pipeline.storage.early_days import without_early_days
from chronofacts.pipeline.storage.parquet_stream import read_batches, write_batches
from chronofacts.pipeline.storage.session import Tabular
from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.files import create_folder, sha256_of
from chronofacts.schemas.manifest import FileEntry, SnapshotManifest
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
