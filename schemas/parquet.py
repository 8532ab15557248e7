"""The Parquet files of a snapshot, looked at before they are read: a file of strangers costs no more than it weighs.

A dictionary and good compression make one text stand for gigabytes. What a file comes to when it is unpacked is
counted first, from its metadata (rows, declared sizes) and, where these leave it open, from its dictionaries and the
numbers that point into them, column by column, which need little room. Then types, days and what may not be null are
checked, so that nobody further on meets a value that no snapshot has. That the files are those of the manifest, with
its numbers of rows, is checked here too, since every reader comes this way.
Leaves out: checksums and promises (`pipeline.snapshots.verify`); writing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chronofacts.schemas.dates import FIRST_DAY, LAST_DAY
from chronofacts.schemas.errors import CheckFailed, ChronoFactsError
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES, conform

__all__ = [
    "check_unpacked",
    "check_values",
    "parquet_errors",
    "read_checked",
    "read_parquet",
    "read_snapshot_table",
    "table_files",
]

MEND = "make the snapshot again"
"""Of a damaged file of a snapshot; of others their reader says its own."""
COPY = "copy the snapshot whole, or make it again"
"""Of files that are not those of the manifest."""

LONGEST_TEXT = 1 << 20
"""Bytes of one text; a name has a hundred."""
FREE = 256 << 20
"""Bytes that any file may come to."""
RATIO = 200
"""How many times its own size a larger file may come to; ours come to 10 to 40 times."""
LARGEST = 4 << 30
"""Bytes that one file may come to whatever its size."""
_ROWS = 65_536

REQUIRED: dict[str, tuple[str, ...]] = {
    "statements": (
        "statement_id", "subject", "property", "object_kind", "rank", "start_kind", "end_kind", "point_in_time_kind",
        "qualifiers", "faults",
    ),
    "entities": ("qid", "aliases", "types"),
    "timelines": ("subject", "relation", "ordinal", "object_kind", "valid_to_kind", "statement_ids"),
    "edits": (
        "edit_id", "kind", "before", "relation", "subject", "subject_label", "subject_aliases", "new_aliases", "stays",
        "prompt", "target_new", "paraphrases", "statement_ids",
    ),
    "questions": (
        "question_id", "edit_ids", "kind", "relation", "subject", "subject_label", "question", "phrasings", "answer",
        "answer_aliases", "answer_set", "answer_before_set", "as_of", "chain", "split",
    ),
    "sentences": (
        "sentence_id", "role", "subject", "relation", "form", "held_out", "prompt", "answer", "edit_ids",
    ),
    "rejections": ("stage", "reason", "ids"),
}  # fmt: skip
"""Columns that are never null."""


def table_files(snapshot: Path, name: str) -> list[Path]:
    """The Parquet files of a snapshot's table, sorted, each with its columns, none unpacking to more than it may.

    Raises BadInput when the folder is no snapshot; CheckFailed when there is none, where they are not those that the
    manifest names, and for one that is damaged or swells; SchemaMismatch for a wrong column.
    """
    with parquet_errors(snapshot / name):
        files = sorted(path for path in (snapshot / name).iterdir() if path.suffix == ".parquet")
    _check_named(snapshot, name, files)
    if not files:
        raise CheckFailed(f"{snapshot / name} holds no Parquet file; {MEND}")
    for path in files:
        check_unpacked(path)
        _check_columns(path, SNAPSHOT_TABLES[name])
    return files


def _check_named(snapshot: Path, name: str, files: Sequence[Path]) -> None:
    """Raises CheckFailed for a table whose files are not those of the manifest, and for any file of it with other rows:
    a snapshot that was copied in part, or mixed with another. Tables of which nothing is there are left open, and by a
    manifest that names no file at all, as one written by hand, so is everything."""
    manifest = read_manifest(snapshot)
    if not manifest.files:
        return
    rows = {snapshot / file: entry.rows for file, entry in manifest.files.items()}
    if missing := sorted(path for path in rows.keys() - set(files) if path.parent.name == name):
        raise CheckFailed(f"{missing[0]} is not there, and {snapshot / 'manifest.json'} names it; {COPY}")
    if more := [path for path in files if path not in rows]:
        raise CheckFailed(f"{more[0]} is no file of this snapshot (its manifest.json does not name it); remove it")
    for path in [*files, *sorted(rows.keys() - set(files))]:
        if not path.is_file():
            continue
        with parquet_errors(path):
            found = _count_rows(path, path.stat().st_mtime_ns, path.stat().st_size)
        if found != rows[path]:
            raise CheckFailed(f"{path} has {found} rows, and {snapshot / 'manifest.json'} says {rows[path]}; {COPY}")


@lru_cache(maxsize=256)  # each table of a snapshot asks for all files
def _count_rows(path: Path, _changed: int, _size: int) -> int:
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def _check_columns(path: Path, schema: pa.Schema) -> None:
    """Raises SchemaMismatch, as `conform` does, by the file's metadata alone."""
    with parquet_errors(path), pq.ParquetFile(path) as file:
        conform(file.schema_arrow.empty_table(), schema, str(path))


def read_snapshot_table(snapshot: Path, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One table of a snapshot, all its files, with the columns of `SNAPSHOT_TABLES` or those that are named.

    Edits come in the order of their ids, whichever file they lie in.

    Raises CheckFailed naming a file that is missing, damaged, too large or holds what no snapshot does,
    SchemaMismatch for a wrong column.
    """
    schema = SNAPSHOT_TABLES[name]
    wanted = schema if columns is None else pa.schema([schema.field(column) for column in columns])
    parts = []
    for path in table_files(snapshot, name):
        table = conform(read_parquet(path, columns), wanted, str(path))
        check_values(table, name, path)
        parts.append(table)
    table = pa.concat_tables(parts)
    return table.sort_by("edit_id") if name == "edits" and "edit_id" in wanted.names else table


def read_parquet(path: Path, columns: Sequence[str] | None = None, mend: str = MEND) -> pa.Table:
    """A file as it is: nothing in its path is a partition or a pattern. Raises CheckFailed for a damaged one, with what
    mends it."""
    with parquet_errors(path, mend), pq.ParquetFile(path) as file:
        return file.read(None if columns is None else list(columns))


def read_checked(path: Path, mend: str) -> pa.Table:
    """A file that is of no snapshot (`check_unpacked`, `read_parquet`)."""
    check_unpacked(path, mend=mend)
    return read_parquet(path, mend=mend)


@contextmanager
def parquet_errors(path: Path, mend: str = MEND) -> Iterator[None]:
    """Whatever Arrow raises inside for a file is CheckFailed: its errors are of many kinds, and grow with it."""
    try:
        yield
    except ChronoFactsError:
        raise
    except FileNotFoundError as error:
        raise CheckFailed(f"{path} is not there; {mend}") from error
    except Exception as error:
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise CheckFailed(f"{path} is damaged ({said}); {mend}") from error


def check_values(table: pa.Table, name: str, path: Path) -> None:
    """Raises CheckFailed for bytes that are no text, a day that Python cannot hold, and a null where there is none."""
    with parquet_errors(path):
        table.validate(full=True)
        for column in table.schema:
            values = table[column.name]
            if column.name in REQUIRED[name] and values.null_count:
                raise CheckFailed(f"{path}: the column {column.name} has no value in {values.null_count} rows")
            if pa.types.is_list(column.type) and values.null_count < len(values) and _has_null_items(values):
                raise CheckFailed(f"{path}: the column {column.name} has a list with an empty place")
            if pa.types.is_date32(column.type) and len(values) > values.null_count:
                bounds = pc.min_max(values.cast(pa.int32()))
                low, high = bounds["min"].as_py(), bounds["max"].as_py()
                if low < _number(FIRST_DAY) or high > _number(LAST_DAY):
                    raise CheckFailed(f"{path}: {column.name} has a day outside of {FIRST_DAY} to {LAST_DAY}")


def check_unpacked(path: Path, largest: int = LARGEST, mend: str = MEND) -> None:
    """Raises CheckFailed for a file that comes to more than its size allows when it is unpacked, or with a text that
    is longer than any; needs room for one column of one row group as it lies in the file."""
    with parquet_errors(path, mend):
        most = min(largest, max(FREE, RATIO * path.stat().st_size))
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            if metadata.num_rows > most:
                raise _swells(path, metadata.num_rows, most)
            found = 0
            for group in range(metadata.num_row_groups):
                for index in range(metadata.num_columns):
                    found += _count_bytes(path, metadata.row_group(group), group, index, most - found)
                    if found > most:
                        raise _swells(path, found, most)


def _count_bytes(path: Path, group: pq.RowGroupMetaData, number: int, index: int, most: int) -> int:
    """What a column of a row group comes to; where the metadata allows for little, at most that."""
    column = group.column(index)
    declared: int = column.total_uncompressed_size
    values = max(int(column.num_values), int(group.num_rows))
    if column.physical_type not in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"):
        return max(declared, values * 8)
    if not any("DICTIONARY" in encoding for encoding in column.encodings) and declared <= LONGEST_TEXT:
        return declared
    if declared > most:
        return declared
    if declared * values <= FREE >> 3 and declared <= LONGEST_TEXT:
        return declared + values * 4
    return _count_texts(path, number, column.path_in_schema)


def _count_texts(path: Path, group: int, column: str) -> int:
    """The bytes of all texts of a column, counted without unpacking its dictionary."""
    found = 0
    with pq.ParquetFile(path, read_dictionary=[column]) as file:
        for batch in file.iter_batches(_ROWS, row_groups=[group], columns=[column]):
            for texts in _texts(batch.column(0)):
                indices = texts.indices if pa.types.is_dictionary(texts.type) else None
                lengths = pc.binary_length(texts if indices is None else texts.dictionary)
                if len(lengths) and (pc.max(lengths).as_py() or 0) > LONGEST_TEXT:
                    raise CheckFailed(f"{path} holds a text of more than {LONGEST_TEXT >> 20} MB in {column}; not read")
                lengths = lengths if indices is None else lengths.take(indices)
                found += (pc.sum(lengths.cast(pa.int64())).as_py() or 0) + 4 * len(texts)
    return found


def _texts(array: pa.Array) -> Iterator[pa.Array]:
    """The texts of an array, however deep in lists and structs they lie."""
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        yield from _texts(array.flatten())
    elif pa.types.is_struct(array.type):
        for index in range(array.type.num_fields):
            yield from _texts(array.field(index))
    elif pa.types.is_dictionary(array.type) or pa.types.is_string(array.type) or pa.types.is_binary(array.type):
        yield array


def _has_null_items(values: pa.ChunkedArray) -> bool:
    return any(chunk.flatten().null_count > 0 for chunk in values.chunks)


def _number(day: object) -> int:
    return pa.scalar(day, pa.date32()).cast(pa.int32()).as_py()  # type: ignore[no-any-return]


def _swells(path: Path, found: int, most: int) -> CheckFailed:
    return CheckFailed(
        f"{path} unpacks to more than {most >> 20} MB (at least {found >> 20}), from {path.stat().st_size} bytes; no "
        "snapshot does, so it is not read"
    )
