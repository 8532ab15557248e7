"""The last gate before a snapshot gets its name: what breaks a promise is set aside.

One damaged entity costs the rows that are about it, never the run. An edit or a question that breaks a promise of
`verify`, and all that depends on it, goes to `rejections` with the stage `verify` and the promise's id as the reason;
then `pipeline.snapshots.write` writes and verifies the snapshot once more. A promise that no row can answer for, or
that more than a few rows break, is no damage of the data but a fault of the program.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from chronofacts.pipeline.snapshots.invariants import BLAMED
from chronofacts.pipeline.snapshots.verify import Problem, find_broken, invariants_for, open_tables
from chronofacts.pipeline.storage.parquet_stream import write_query
from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES

__all__ = ["WITHOUT", "describe_broken", "set_aside"]

SHARE = 0.01
"""Edits, and questions, of which more may not be set aside: beyond it the program is at fault, not the data."""
AT_LEAST = {"edit": 5, "question": 100}
"""Rows that may be set aside however small the set is: those of a few damaged entities. A question is asked of an edit
in about twenty wordings and chains."""
_ROUNDS = 5  # a question, then the edit that it asked about, then what depends on that; and two to spare


def set_aside(folder: Path, manifest: SnapshotManifest, aside: Path) -> dict[str, dict[str, int]]:
    """Write the tables of a snapshot without what breaks a promise to `aside/TABLE.parquet`, for each of `WITHOUT`.

    Returns the rows that are gone: promise -> table -> number. Raises CheckFailed for what cannot be set aside.
    """
    with open_tables(folder, manifest) as connection:
        for step in SET_ASIDE:
            connection.execute(step)
        _set_aside_all(connection, manifest)
        for name, order in WITHOUT.items():
            write_query(connection, f"FROM {name} ORDER BY {order}", SNAPSHOT_TABLES[name], aside / f"{name}.parquet")
        counts: dict[str, dict[str, int]] = {}
        for reason, kind, number in connection.sql(COUNTS).fetchall():
            counts.setdefault(reason, {})[f"{kind}s"] = number
    return counts


def _set_aside_all(connection: duckdb.DuckDBPyConnection, manifest: SnapshotManifest) -> None:
    """Set aside until nothing is broken; CheckFailed when no row answers for it, when it is too much or has no end."""
    queries = invariants_for(manifest)
    for _ in range(_ROUNDS):
        problems = find_broken(connection, manifest)
        if not problems:
            return
        connection.execute(EMPTY_BLAMED)
        for position, problem in enumerate(problems):
            if not _blame(connection, problem.id, queries[problem.id], position):
                raise CheckFailed(
                    f"{describe_broken([problem, *problems])}; no row answers for it: the program is at fault"
                )
        connection.execute(ROWS_BLAMED)
        connection.execute(DEPENDENTS)
        _check_share(connection, problems)
    raise CheckFailed(
        f"{describe_broken(problems)}, also after {_ROUNDS} rounds of setting aside; the program is at fault"
    )


def describe_broken(problems: list[Problem]) -> str:
    return f"the snapshot breaks {len(set(problems))} of its promises; first: {problems[0]}"


def _blame(connection: duckdb.DuckDBPyConnection, promise: str, sql: str, position: int) -> bool:
    """Note the rows that break a promise; false when there is one for which no row answers."""
    columns = connection.sql(sql).columns
    kinds = [kind for kind in BLAMED if f"{kind}_id" in columns]
    details = [f'"{column}"::VARCHAR' for column in columns if column.removesuffix("_id") not in kinds] or ["NULL"]
    for kind in kinds:
        connection.execute(BLAME.format(kind=kind, sql=sql, details=", ".join(details)), [position, promise])
    if not kinds:
        return False
    unanswered = f"SELECT 1 FROM ({sql}) WHERE coalesce({', '.join(f'{kind}_id' for kind in kinds)}) IS NULL"
    return not connection.execute(f"{unanswered} LIMIT 1").fetchall()


def _check_share(connection: duckdb.DuckDBPyConnection, problems: list[Problem]) -> None:
    for kind, minimum in AT_LEAST.items():
        ((gone, all_rows),) = connection.execute(
            f"SELECT (SELECT count(*) FROM set_aside WHERE kind = $1 AND blamed), (SELECT count(*) FROM all_{kind}s)",
            [kind],
        ).fetchall()
        if gone > max(SHARE * all_rows, minimum):
            raise CheckFailed(
                f"{describe_broken(problems)}; {gone} of {all_rows} {kind}s break one, more than {SHARE:.0%}: that is "
                "no damage of the data, the program is at fault"
            )


WITHOUT = {
    **{f"{kind}s": f"{kind}_id" for kind in ("edit", "question", "sentence")},
    "rejections": "stage, reason, relation, subject, detail, ids",
}
"""Tables that are written anew, and the order of their rows."""

# The tables without what was set aside, under the names that the invariants ask for.
SET_ASIDE = (
    """CREATE TABLE set_aside (kind VARCHAR, id VARCHAR, reason VARCHAR, subject VARCHAR, relation VARCHAR,
    ids VARCHAR[], detail VARCHAR, blamed BOOLEAN)""",
    *(
        f"""ALTER VIEW {kind}s RENAME TO all_{kind}s;
    CREATE VIEW {kind}s AS FROM all_{kind}s ANTI JOIN (
        SELECT id AS {kind}_id FROM set_aside WHERE kind = '{kind}') gone USING ({kind}_id)"""
        for kind in ("edit", "question", "sentence")
    ),
    """ALTER VIEW rejections RENAME TO all_rejections;
    CREATE VIEW rejections AS FROM all_rejections UNION ALL
    SELECT 'verify' AS stage, reason, subject, relation, ids, detail FROM set_aside""",
)

# All promises blame the same tables; only then are rows set aside. position: that of the promise among the broken ones.
EMPTY_BLAMED = """
CREATE OR REPLACE TABLE blamed (kind VARCHAR, id VARCHAR, position INTEGER, reason VARCHAR, detail VARCHAR)"""

BLAME = """
INSERT INTO blamed SELECT '{kind}', {kind}_id, $1, $2, min(concat_ws(' ', {details}))
FROM ({sql}) WHERE {kind}_id IS NOT NULL GROUP BY {kind}_id
"""

# Of the promises that a row breaks, the first is its reason.
ROWS_BLAMED = """
CREATE OR REPLACE TABLE first_blamed AS
SELECT kind, id, arg_min(reason, position) AS reason, nullif(arg_min(detail, position), '') AS detail
FROM blamed GROUP BY kind, id;
INSERT INTO set_aside
SELECT b.kind, e.edit_id, b.reason, e.subject, e.relation, list_sort(list_concat([e.edit_id], e.statement_ids)),
    concat_ws(' - ', e.prompt, b.detail), true
FROM edits e JOIN first_blamed b ON b.kind = 'edit' AND b.id = e.edit_id
UNION ALL
SELECT b.kind, q.question_id, b.reason, q.subject, q.relation, list_sort(list_concat([q.question_id], q.edit_ids)),
    concat_ws(' - ', q.question, b.detail), true
FROM questions q JOIN first_blamed b ON b.kind = 'question' AND b.id = q.question_id
"""

# What stands or falls with an edit: its questions, chains that walk over it, sentences that it makes untrue.
DEPENDENTS = """
CREATE OR REPLACE TABLE edits_gone AS
SELECT id AS edit_id, min(reason) AS reason FROM set_aside WHERE kind = 'edit' GROUP BY id;
INSERT INTO set_aside
WITH dependents AS (
    SELECT 'question' AS kind, question_id AS id, subject, relation, edit_ids, question AS text,
        list_concat(edit_ids, list_transform(chain, lambda hop: hop.edit_id)) AS named
    FROM questions
    UNION ALL SELECT 'sentence', sentence_id, subject, relation, edit_ids, prompt, edit_ids FROM sentences
),
fallen AS (
    SELECT kind, id, min(edit_id) AS of_edit, arg_min(reason, edit_id) AS reason
    FROM (SELECT kind, id, unnest(named) AS edit_id FROM dependents) JOIN edits_gone USING (edit_id) GROUP BY kind, id
)
SELECT kind, id, reason, subject, relation, list_sort(list_concat([id], edit_ids)),
    concat(text, ' - depends on edit ', of_edit), false
FROM dependents JOIN fallen USING (kind, id)
"""

COUNTS = "SELECT reason, kind, count(*) FROM set_aside GROUP BY ALL ORDER BY ALL"
