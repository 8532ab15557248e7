"""Checks a finished snapshot against every promise of the design, from its Parquet files alone.

Shares no code with the stages that built it: what holds on a day is worked out again here, in SQL, once
from the timelines and once from the raw statements.
Each check is a query that returns the rows that break it (`pipeline.snapshots.invariants`); a snapshot is right when
all return nothing. Leaves out: what becomes of rows that break a promise (`pipeline.snapshots.gate`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from chronofacts.pipeline.snapshots.invariants import BLAMED, INVARIANTS, MACROS, NEED_STATEMENTS, PREPARED
from chronofacts.pipeline.snapshots.set_invariants import SET_INVARIANTS, SETS_PREPARED
from chronofacts.pipeline.snapshots.text_invariants import TEXT_INVARIANTS, TEXT_MACROS, TEXTS_PREPARED
from chronofacts.pipeline.storage.early_days import read_back_columns
from chronofacts.pipeline.storage.parquet_stream import read_batches
from chronofacts.pipeline.storage.session import connect, files_in
from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.files import is_link, sha256_of
from chronofacts.schemas.manifest import WIKIDATA, SnapshotManifest, read_manifest
from chronofacts.schemas.parquet import check_unpacked, check_values, parquet_errors
from chronofacts.schemas.promises import PROMISES
from chronofacts.schemas.reasons import REASONS
from chronofacts.schemas.tables import SNAPSHOT_TABLES

__all__ = ["Problem", "find_broken", "invariants_for", "open_tables", "require_valid", "verify"]

_SHOWN = 3  # examples of a broken promise
_READ_ONCE = 8 * 2**20
"""Bytes of a table on disk up to which it is read once, into memory: most of the time of fifty queries over a small
snapshot goes into opening its thirty files fifty times."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One promise that a snapshot breaks: what was promised, how often it is broken, and examples."""

    id: str
    count: int
    examples: tuple[str, ...]

    @property
    def check(self) -> str:
        """The promise as a sentence."""
        return PROMISES[self.id]

    def __str__(self) -> str:
        return f"{self.check}: {self.count} broken, for example {'; '.join(self.examples)}"


def verify(snapshot: Path) -> list[Problem]:
    """All broken promises of a snapshot folder; an empty list when it is right.

    Raises BadInput when the folder is no snapshot, CheckFailed when its manifest cannot be read.
    """
    manifest = read_manifest(snapshot)
    problems = [*_files(snapshot, manifest)]
    if problems:  # what cannot be trusted to be the written bytes is not worth a further look
        return problems
    with open_tables(snapshot, manifest) as connection:
        return find_broken(connection, manifest)


def require_valid(snapshot: Path) -> None:
    """Raises CheckFailed with the first broken promise, if any."""
    if problems := verify(snapshot):
        raise CheckFailed(f"the snapshot breaks {len(problems)} of its promises; first: {problems[0]}")


def invariants_for(manifest: SnapshotManifest) -> dict[str, str]:
    """id -> query of the promises of a snapshot: all, or of an imported benchmark those that need no statements.

    A benchmark has no statement and no timeline; where there is one, all that a snapshot promises is promised.
    """
    rows = sum(entry.rows for name, entry in manifest.files.items() if name.startswith(("statements/", "timelines/")))
    left_out = NEED_STATEMENTS if manifest.origin != WIKIDATA and not rows else frozenset[str]()
    promised = INVARIANTS | SET_INVARIANTS | TEXT_INVARIANTS
    return {id_: sql for id_, sql in promised.items() if id_ not in left_out}


@contextmanager
def open_tables(snapshot: Path, manifest: SnapshotManifest) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the snapshot's tables as views, and what the invariants need besides."""
    with connect(alone=True) as connection:
        connection.execute("SET parquet_metadata_cache = true")  # dozens of queries over the same files
        for name in SNAPSHOT_TABLES:
            files = [snapshot / file for file in sorted(manifest.files) if file.startswith(f"{name}/")]
            rows = f"SELECT {read_back_columns(name)} FROM read_parquet({files_in(files)}, hive_partitioning = false)"
            if sum(file.stat().st_size for file in files) <= _READ_ONCE:
                connection.execute(f"CREATE TABLE read_{name} AS {rows}")
                rows = f"FROM read_{name}"
            connection.execute(f"CREATE VIEW {name} AS {rows}")
        connection.execute(MACROS)
        connection.execute(TEXT_MACROS)
        days = [manifest.since, manifest.as_of]
        connection.execute("CREATE TABLE days AS SELECT $1::DATE AS since, $2::DATE AS as_of", days)
        connection.execute("SET VARIABLE language = $1::VARCHAR", [manifest.language])
        connection.execute("CREATE TABLE reason_codes AS SELECT unnest($1) AS reason", [list(REASONS)])
        yield connection


def find_broken(connection: duckdb.DuckDBPyConnection, manifest: SnapshotManifest) -> list[Problem]:
    """The promises that the tables of a connection break, in the order of `INVARIANTS`."""
    connection.execute(PREPARED)
    connection.execute(SETS_PREPARED)
    connection.execute(TEXTS_PREPARED)
    connection.execute(
        "CREATE OR REPLACE TABLE misnumbered_edits AS SELECT unnest($1) AS edit_id", [_find_misnumbered(connection)]
    )
    queries = invariants_for(manifest)
    return [problem for id_, sql in queries.items() if (problem := _find_problem(connection, id_, sql))]


def _files(snapshot: Path, manifest: SnapshotManifest) -> Iterator[Problem]:
    """Missing, foreign and changed files, and links; tables that swell, or whose columns are not the schema's."""
    present = {str(path.relative_to(snapshot)) for path in snapshot.rglob("*.parquet")}
    named = {**{name: entry.sha256 for name, entry in manifest.files.items()}, **manifest.documents}
    if missing := sorted(name for name in named if not (snapshot / name).is_file()):
        yield Problem("files_there", len(missing), tuple(missing[:_SHOWN]))
    if foreign := sorted(present - set(manifest.files)):
        yield Problem("no_foreign_file", len(foreign), tuple(foreign[:_SHOWN]))
    if links := [name for name in (*sorted(named), "manifest.json") if is_link(snapshot, name)]:
        yield Problem("no_links", len(links), tuple(links[:_SHOWN]))
    sound = sorted(set(named) - set(missing) - set(links))
    wrong = [fault for name in sorted(sound) if (fault := _find_fault(snapshot, name, named[name], manifest))]
    if wrong:
        yield Problem("files_as_written", len(wrong), tuple(wrong[:_SHOWN]))
    absent = [name for name in SNAPSHOT_TABLES if not any(file.startswith(f"{name}/") for file in manifest.files)]
    if absent:
        yield Problem("tables_there", len(absent), tuple(absent))


def _find_fault(snapshot: Path, name: str, sha256: str, manifest: SnapshotManifest) -> str | None:
    """Why a file is not the one that was written, or is no table of a snapshot; None where it is."""
    path = snapshot / name
    try:
        if sha256_of(path) != sha256:
            return f"{path} is not the file that was written (its sha256 differs)"
        if name not in manifest.files:
            return None
        check_unpacked(path)
        table, rows = name.partition("/")[0], 0
        with parquet_errors(path):
            for part in read_batches(path, SNAPSHOT_TABLES[table]):
                check_values(part, table, path)
                rows += part.num_rows
    except (CheckFailed, OSError) as error:
        return str(error) if isinstance(error, CheckFailed) else f"{path}: {error}"
    return (
        f"{path} has {rows} rows, the manifest says {manifest.files[name].rows}"
        if (rows != manifest.files[name].rows)
        else None
    )


def _find_problem(connection: duckdb.DuckDBPyConnection, id_: str, sql: str) -> Problem | None:
    found = connection.execute(f"SELECT count(*) OVER (), * FROM ({sql}) LIMIT {_SHOWN}")
    columns = [column[0] for column in found.description or ()][1:]
    rows = found.fetchall()
    if not rows:
        return None
    return Problem(id_, rows[0][0], tuple(_shown(columns, row[1:]) for row in rows))


def _shown(columns: Sequence[str], row: Sequence[object]) -> str:
    """A row in words: `edit 1f… Q1 P6`."""
    kinds = {f"{kind}_id": f"{kind} " for kind in BLAMED}
    cells = zip(columns, row, strict=True)
    return " ".join(
        f"{kinds.get(column, '')}{cell}" for column, cell in cells if not (column in kinds and cell is None)
    )


def _find_misnumbered(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Edits whose `edit_id` is not what their content hashes to (schemas.tables.EDITS)."""
    rows = connection.execute(
        "SELECT edit_id, relation, subject, old_object, new_object, changed_on_earliest::VARCHAR FROM edits"
    ).fetchall()
    return [row[0] for row in rows if row[0] != _content_hash(row[1:])]


def _content_hash(content: Sequence[object]) -> str:
    text = json.dumps(list(content), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
