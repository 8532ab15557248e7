"""Statements to timelines: who held what, from when to when, and how sure that is.

Works in the order of DESIGN "The meaning of time": read each statement in the direction of its relation
and set aside what cannot count (`pipeline.timelines.oriented`); merge what is said twice and close ends that nobody
stated (`pipeline.timelines.spans`); report what is not single-valued (`pipeline.timelines.multi_valued`).
A statement that cannot be an answer but may still be true (acting, a district, a damaged date) stays in
the timeline as an unusable span without object, so that no value is called certain where it may hold.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from chronofacts.pipeline.storage.session import Tabular, connect, copy_to_parquet, parquet_in, register
from chronofacts.pipeline.timelines.multi_valued import create_overlaps
from chronofacts.pipeline.timelines.oriented import (
    HUMAN,
    UNUSABLE,
    mark_cycles,
    orient_statements,
    orient_to_parquet,
    register_relations,
)
from chronofacts.pipeline.timelines.spans import ALWAYS, create_spans
from chronofacts.pipeline.timelines.versions import mark_versions
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.reasons import REASONS

__all__ = ["values_at", "write_timelines"]

ROWS_PER_PART = 1_000_000


def write_timelines(
    statements: Path,
    entities: Path,
    catalogue: Catalogue,
    as_of: datetime.date,
    out: Path,
    memory_gib: float = 2.0,
    rows_per_part: int = ROWS_PER_PART,
) -> None:
    """Write `TIMELINES` and `REJECTIONS` of all relations, as known on `as_of`, to `out/timelines/*.parquet` and
    `out/rejections/*.parquet`.

    statements, entities: Parquet; out: a folder of the caller's. Every statement of a relation's property is, for that
    relation, in exactly one of two lists: the `statement_ids` of a span that is usable, or the `ids` of a rejection.
    The subjects are split into parts of about `rows_per_part` statements, and the timelines of one part are drawn at a
    time; rows are sorted within a file.
    """
    for name in ("timelines", "rejections"):
        (out / name).mkdir(parents=True)
    with TemporaryDirectory(dir=out) as aside, connect(memory_gib=memory_gib, spill=Path(aside, "spill")) as connection:
        _prepare(connection, statements, entities, catalogue, as_of)
        for number in _orient_by_part(connection, Path(aside), rows_per_part):
            mark_versions(connection)
            create_spans(connection)
            connection.execute(ORDERED)
            file = f"part-{number:04d}.parquet"
            copy_to_parquet(connection, f"SELECT * FROM timelines {TIMELINE_ORDER}", out / "timelines" / file)
            copy_to_parquet(connection, f"{STATEMENT_REJECTIONS} ORDER BY ALL", out / "rejections" / file)
        for table in ("oriented", "merged", "succeeded", "entity_kinds", "lifetimes"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        register(connection, timelines=out / "timelines")
        create_overlaps(connection, as_of)
        copy_to_parquet(connection, f"{OVERLAP_REJECTIONS} ORDER BY ALL", out / "rejections" / "plural.parquet")


def _orient_by_part(connection: duckdb.DuckDBPyConnection, aside: Path, rows_per_part: int) -> Iterator[int]:
    """Create `oriented` of one part of the subjects after the other; what is one part alone is not written first."""
    row = connection.execute("SELECT count(*) FROM statements").fetchone()
    parts = -(-(row[0] if row else 0) // rows_per_part)
    if parts <= 1:
        orient_statements(connection)
        yield 0
        return
    for number, folder in enumerate(orient_to_parquet(connection, aside, parts)):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE oriented AS SELECT * FROM read_parquet({parquet_in(folder)}, "
            "hive_partitioning = false)"
        )
        mark_cycles(connection)
        yield number


def _prepare(
    connection: duckdb.DuckDBPyConnection, statements: Path, entities: Path, catalogue: Catalogue, as_of: datetime.date
) -> None:
    """Make the inputs of all steps visible: `statements`, `relations`, `single_valued`, `entity_kinds`,
    `class_members`, `lifetimes`, `settings` and `stages`."""
    register_relations(connection, catalogue)
    connection.execute("CREATE TEMP TABLE settings AS SELECT $1::DATE AS as_of, $2::DATE AS always", [as_of, ALWAYS])
    stages = pa.table({"reason": list(REASONS), "stage": [stage for stage, _ in REASONS.values()]})
    register(connection, statements=statements, entities=entities, stages=stages)
    for step in PREPARED:
        connection.execute(step)


PREPARED = (
    "CREATE TEMP TABLE single_valued AS SELECT relation FROM relations WHERE single_valued",
    f"""CREATE TEMP TABLE entity_kinds AS
    SELECT qid, list_contains(types, '{HUMAN}') AS human FROM entities WHERE len(types) > 0""",
    # From the few classes to their members: most entities are of none.
    """CREATE TEMP TABLE class_members AS
    WITH classes AS (
        SELECT relation, unnest(object_classes) AS class, true AS counts FROM relations
        UNION ALL SELECT relation, unnest(not_object_classes), false FROM relations WHERE len(object_classes) > 0
    )
    SELECT c.relation, e.qid, bool_or(c.counts) AS of_class, bool_or(NOT c.counts) AS ruled_out
    FROM (SELECT qid, unnest(types) AS class FROM entities) e JOIN classes c USING (class)
    GROUP BY c.relation, e.qid""",
    """CREATE TEMP TABLE lifetimes AS
    SELECT qid, ended_earliest, ended_latest, ended_kind FROM entities WHERE ended_kind <> 'absent'""",
)

ORDERED = """
CREATE OR REPLACE TEMP VIEW timelines AS
SELECT subject, relation,
    CAST(row_number() OVER (PARTITION BY relation, subject ORDER BY valid_from_earliest NULLS FIRST, valid_from_latest,
        valid_to_earliest NULLS LAST, object NULLS LAST, statement_ids[1]) - 1 AS INTEGER) AS ordinal,
    * EXCLUDE (subject, relation)
FROM spans
"""

TIMELINE_ORDER = "ORDER BY relation, subject, ordinal"

STATEMENT_REJECTIONS = f"""
SELECT stage, reason, subject, relation, [statement_id] AS ids,
    concat_ws(' ', coalesce(object, object_kind), 'for', coalesce(subject, 'an unknown subject'),
        CASE WHEN holding = '{UNUSABLE}' THEN '(blocks the values that it may touch)' END) AS detail
FROM oriented JOIN stages USING (reason)
UNION ALL
SELECT 'timelines', 'dateless', subject, relation, statement_ids,
    concat(object, ' is given with dates by another statement')
FROM redundant WHERE NOT coarse
UNION ALL
SELECT 'timelines', 'outranked', subject, relation, statement_ids,
    concat(object, ' began on the same day as ', preferred_object, ', which has preferred rank')
FROM outranked
"""

OVERLAP_REJECTIONS = """
SELECT 'timelines' AS stage, 'not_single_valued' AS reason, subject, relation,
    list_sort([first_id, second_id]) AS ids,
    concat('two holders at once ', times, ' times, first on ', first_day,
        CASE WHEN multi_valued THEN ' (plural in fact: makes no edit)' END) AS detail
FROM overlapping_holders
UNION ALL
SELECT 'timelines', 'plural_relation', NULL, relation, []::VARCHAR[],
    concat(timelines_overlapping, ' of ', timelines_seen, ' timelines have two holders at once')
FROM multi_valued_relations
"""


def values_at(timelines: Tabular, day: datetime.date) -> pa.Table:
    """The value of every (subject, relation) on one day.

    timelines: `TIMELINES`, any order. Returns one row per (subject, relation) in which any span holds
    `yes` or `maybe`: `subject`, `relation`, `object` and `object_kind` (null unless certain), `certainty`
    (`certain`, `vacant`, `ambiguous`, `unknown`), `confidence` and the `statement_ids` that decided it.
    Certain: some span holds `yes`, and every span that holds `yes` or `maybe` has the same object.
    Vacant: Wikidata says for that day that nobody holds it (no value), and no other span holds `yes` or `maybe`.
    Ambiguous: several objects may hold. Unknown: one may hold, or somebody unknown does.
    """
    with connect() as connection:
        register(connection, timelines=timelines)
        return connection.sql(f"{VALUES_AT} ORDER BY relation, subject", params=[day]).to_arrow_table()


VALUES_AT = """
WITH standing AS (
    SELECT subject, relation, object, object_kind, ordinal, confidence, statement_ids,
        valid_from_latest <= $1::DATE AND (valid_to_earliest > $1::DATE
            OR valid_to_earliest IS NULL AND valid_to_kind IN ('none', 'open')) AS yes
    FROM timelines
    WHERE NOT coalesce(valid_from_earliest > $1::DATE, false)
        AND NOT coalesce(valid_to_latest <= $1::DATE, false)
),
weighed AS (
    SELECT subject, relation,
        bool_or(coalesce(yes, false)) AND count(DISTINCT object) = 1 AND count(*) = count(object) AS certain,
        bool_and(coalesce(yes, false) AND object_kind = 'novalue') AS vacant,
        count(DISTINCT coalesce(object, concat('?', ordinal))) AS objects,
        min(object) AS object, min(object_kind) AS object_kind,
        max(confidence) AS confidence, list_sort(list_distinct(flatten(list(statement_ids)))) AS statement_ids,
        min(ordinal) FILTER (coalesce(yes, false)) AS ordinal
    FROM standing GROUP BY subject, relation
)
SELECT subject, relation,
    CASE WHEN certain THEN object END AS object,
    CASE WHEN certain THEN object_kind END AS object_kind,
    CASE WHEN certain THEN 'certain' WHEN vacant THEN 'vacant' WHEN objects > 1 THEN 'ambiguous'
        ELSE 'unknown' END AS certainty,
    confidence, CASE WHEN certain THEN ordinal END AS ordinal, statement_ids
FROM weighed
"""
