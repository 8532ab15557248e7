"""Statements to timelines: who held what, from when to when, and how sure that is.

Works in the order of DESIGN "The meaning of time": read each statement in the direction of its relation
and set aside what cannot count (`pipeline.timelines.oriented`); merge what is said twice and close ends that nobody
stated (`pipeline.timelines.spans`); report what is multi-valued in fact: several holders certainly at once. One overlap
is usually a slip, and its days are ambiguous anyway. An office in which it happens again and again (a minister without
portfolio) has several seats; then also the days on which only one holder is known prove nothing.
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

__all__ = ["HANDOVER_DAYS", "create_overlaps", "values_at", "write_timelines"]

ROWS_PER_PART = 1_000_000
HANDOVER_DAYS = 31
"""Two holders at once for so long may still be a hand-over, or two ways to count the days of one."""
# A relation counts as multi-valued in fact when so large a part of its timelines has two holders at once.
MULTI_VALUED_SHARE, MULTI_VALUED_TIMELINES = 0.3, 20


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
    relation, in exactly one of two places: the `statement_ids` of a span that is usable, or the `ids` of a rejection.
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


def create_overlaps(connection: duckdb.DuckDBPyConnection, as_of: datetime.date) -> None:
    """Create `overlapping_holders` and `multi_valued_relations` from `timelines` and `single_valued` (relation).

    overlapping_holders: one row per (relation, subject) with two certain holders at once: `times`, the first pair
    (`first_id`, `second_id`, `first_day`), `lasting` (for more than a hand-over) and `multi_valued`: in two separate
    periods, or on the terms of two holders. multi_valued_relations: `relation`, `timelines_seen`,
    `timelines_overlapping`.
    """
    connection.execute("SET VARIABLE overlaps_as_of = $1::DATE", [as_of])
    connection.execute(OVERLAPPING_HOLDERS)
    connection.execute(MULTI_VALUED_RELATIONS)


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
    `class_members`, `subject_members`, `lifetimes`, `settings` and `stages`."""
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
    """CREATE TEMP TABLE subject_members AS
    WITH classes AS (
        SELECT relation, unnest(subject_classes) AS class, true AS counts FROM relations
        UNION ALL SELECT relation, unnest(not_subject_classes), false FROM relations
    ),
    members AS (
        SELECT c.relation, e.qid
        FROM (SELECT qid, unnest(types) AS class FROM entities) e JOIN classes c USING (class)
        GROUP BY c.relation, e.qid HAVING bool_and(c.counts)
    )
    SELECT r.relation, m.qid, bool_or(r.relation = m.relation) AS of_class
    FROM members m JOIN relations o ON o.relation = m.relation
    JOIN relations r ON r.property = o.property AND r.inverse = o.inverse
    GROUP BY r.relation, m.qid""",
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

# A span certainly overlaps with an earlier one when it begins before the furthest end so far. Whether any do is
# asked first, of the dates alone; who reached so far is looked up for those timelines only, since that is slow.
OVERLAPPING_HOLDERS = f"""
CREATE OR REPLACE TEMP TABLE overlapping_holders AS
WITH certain AS (
    SELECT relation, subject, object, valid_from_latest AS from_latest,
        coalesce(valid_to_earliest, getvariable('overlaps_as_of') + 1) AS to_earliest,
        statement_ids[1] AS statement_id
    FROM timelines SEMI JOIN single_valued USING (relation)
    WHERE object IS NOT NULL AND valid_from_latest IS NOT NULL
        AND (valid_to_earliest > valid_from_latest
            OR valid_to_earliest IS NULL AND valid_to_kind IN ('none', 'open')
                AND valid_from_latest <= getvariable('overlaps_as_of'))
),
overlapping AS (
    SELECT DISTINCT relation, subject FROM (
        SELECT relation, subject, from_latest, max(to_earliest) OVER (PARTITION BY relation, subject
            ORDER BY from_latest ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
        FROM certain)
    WHERE reach > from_latest
),
running AS (
    SELECT relation, subject, object, from_latest, to_earliest, statement_id,
        max(to_earliest) OVER earlier AS reach,
        arg_max(object, to_earliest) OVER earlier AS reaching_object,
        arg_max(statement_id, to_earliest) OVER earlier AS reaching_id
    FROM certain SEMI JOIN overlapping USING (relation, subject)
    WINDOW earlier AS (PARTITION BY relation, subject ORDER BY from_latest, to_earliest, statement_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
doubled AS (
    SELECT *, least(to_earliest, reach) AS until, until - from_latest > {HANDOVER_DAYS} AS lasting
    FROM running WHERE reach > from_latest AND reaching_object <> object
),
periods AS (
    SELECT *, lasting AND from_latest > coalesce(max(until) FILTER (lasting) OVER (PARTITION BY relation, subject
        ORDER BY from_latest, until ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), DATE '-infinity') AS new_period
    FROM doubled
)
SELECT relation, subject, count(*) AS times, min_by(statement_id, from_latest) AS first_id,
    min_by(reaching_id, from_latest) AS second_id, min(from_latest) AS first_day, bool_or(lasting) AS lasting,
    count(*) FILTER (new_period) > 1 OR count(DISTINCT reaching_id) FILTER (lasting) > 1 AS multi_valued
FROM periods GROUP BY relation, subject
"""

MULTI_VALUED_RELATIONS = f"""
CREATE OR REPLACE TEMP TABLE multi_valued_relations AS
WITH seen AS (
    SELECT relation, count(DISTINCT subject) AS timelines_seen
    FROM timelines SEMI JOIN single_valued USING (relation) GROUP BY relation
),
multi_valued AS (
    SELECT relation, count(*) AS timelines_overlapping FROM overlapping_holders WHERE lasting GROUP BY relation
)
SELECT relation, timelines_seen, timelines_overlapping FROM seen JOIN multi_valued USING (relation)
WHERE timelines_overlapping >= {MULTI_VALUED_TIMELINES}
    AND timelines_overlapping >= {MULTI_VALUED_SHARE} * timelines_seen
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
