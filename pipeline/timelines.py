"""Statements to timelines: who held what, from when to when, and how sure that is.

Works in the order of DESIGN "The meaning of time": read each statement in the direction of its relation
and set aside what cannot count; merge what is said twice; close ends that nobody stated (a successor, a
death, an abolition); let the last statement stay open while that is credible.
A statement that cannot be an answer but may still be true (acting, a district, a damaged date) stays in
the timeline as a *blocked* span without object, so that no value is called certain where it may hold.
Leaves out: agreement between several sources (`pipeline.crosscheck`), and the choice of days (`pipeline.changes`).
"""

from __future__ import annotations

import datetime

import duckdb
import pyarrow as pa

from pipeline.duck import Tabular, connect, register
from schemas.catalogue import Catalogue
from schemas.tables import REJECTIONS, TIMELINES

__all__ = ["ALWAYS", "BLOCKED", "build_timelines", "create_timelines", "create_values_at", "values_at"]

ALWAYS = datetime.date(1, 1, 1)
"""Start of a fact without dates that holds for ever (a birthplace), as far as any snapshot reaches."""
BLOCKED = "blocked"
"""`object_kind` of a span that may hold but cannot be an answer; its object is null."""

# P642 of, P768 district, P518 applies to part, P5102 nature of statement (acting, disputed), P1310 disputed by,
# P794 as, P1480 sourcing circumstances, P1001 applies to jurisdiction: true only for a part, or only perhaps.
RESTRICTIVE = ("P642", "P768", "P518", "P5102", "P1310", "P794", "P1480", "P1001")
ACTING_ROLE = "P3831=Q4676846"  # object has role: acting
HUMAN = "Q5"
# A relation counts as plural in fact when so large a part of its timelines has two holders at once.
PLURAL_SHARE, PLURAL_TIMELINES = 0.3, 20

_SETTLED_FAULTS = "'malformed_id', 'wrong_object_type'"  # nothing is known that could hold; other faults block


def build_timelines(
    statements: Tabular, entities: Tabular, catalogue: Catalogue, as_of: datetime.date
) -> tuple[pa.Table, pa.Table]:
    """(`TIMELINES`, `REJECTIONS`) of all relations of the catalogue, as known on `as_of`.

    Every statement of a relation's property is, for that relation, in exactly one of two places: the
    `statement_ids` of a span that is not blocked, or the `ids` of a rejection.
    """
    with connect() as connection:
        register(connection, "statements", statements)
        register(connection, "entities", entities)
        create_timelines(connection, catalogue, as_of)
        order = "relation, subject, ordinal"
        timelines = connection.sql(f"SELECT * FROM timelines ORDER BY {order}").to_arrow_table()
        rejections = connection.sql("SELECT * FROM timeline_rejections").to_arrow_table()
    return timelines.cast(TIMELINES), rejections.cast(REJECTIONS)


def create_timelines(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, as_of: datetime.date) -> None:
    """Create the tables `timelines` and `timeline_rejections` from the views `statements` and `entities`."""
    connection.register("relations", relation_table(catalogue))
    connection.execute("CREATE TEMP TABLE settings AS SELECT $1::DATE AS as_of, $2::DATE AS always", [as_of, ALWAYS])
    for step in (READINGS, SPANS, CLOSED, TIMELINES_SQL, DOUBLE_HOLDERS, REJECTIONS_SQL):
        connection.execute(step)


def relation_table(catalogue: Catalogue) -> pa.Table:
    """What the SQL needs of the catalogue, one row per relation."""
    return pa.Table.from_pylist(
        [
            {
                "relation": r.id,
                "property": r.property,
                "inverse": r.inverse,
                "single_valued": r.single_valued,
                "wanted_kind": r.object_kind,
                "max_days": round(r.max_years * 365.2425) if r.max_years is not None else None,
                "undated": r.undated,
                "ends_with_subject": r.ends_with_subject,
                "ends_with_object": r.ends_with_object,
                # Types are compared for humanity only: other classes need Wikidata's subclass tree.
                "wants_human": (HUMAN in r.object_types) if r.object_types else None,
                "restrictive": sorted({*RESTRICTIVE, *r.restrictive_qualifiers}),
            }
            for r in catalogue.relations
        ],
        schema=pa.schema(
            [
                ("relation", pa.string()),
                ("property", pa.string()),
                ("inverse", pa.bool_()),
                ("single_valued", pa.bool_()),
                ("wanted_kind", pa.string()),
                ("max_days", pa.int32()),
                ("undated", pa.string()),
                ("ends_with_subject", pa.bool_()),
                ("ends_with_object", pa.bool_()),
                ("wants_human", pa.bool_()),
                ("restrictive", pa.list_(pa.string())),
            ]
        ),
    )


# Each statement in the direction of its relation, with the reason why it cannot be an answer, if any.
READINGS = f"""
CREATE TEMP TABLE readings AS
WITH directed AS (
    SELECT r.* EXCLUDE (property), s.statement_id, s.rank, s.faults, s.qualifiers, s.replaced_by,
        CASE WHEN r.inverse THEN (CASE WHEN s.object_kind = 'item' THEN s.object END) ELSE s.subject END AS subject,
        CASE WHEN r.inverse THEN s.subject ELSE s.object END AS object,
        CASE WHEN r.inverse THEN 'item' ELSE s.object_kind END AS object_kind,
        s.object_kind AS main_kind,
        -- A number is true from the day it was counted.
        r.wanted_kind = 'quantity' AND s.start_kind = 'absent' AND s.point_in_time_kind = 'known' AS counted,
        CASE WHEN counted THEN s.point_in_time_earliest ELSE s.start_earliest END AS start_earliest,
        CASE WHEN counted THEN s.point_in_time_latest ELSE s.start_latest END AS start_latest,
        CASE WHEN counted THEN s.point_in_time_precision ELSE s.start_precision END AS start_precision,
        CASE WHEN counted THEN 'known' ELSE s.start_kind END AS start_kind,
        s.end_earliest, s.end_latest, s.end_precision, s.end_kind
    FROM statements s JOIN relations r ON s.property = r.property
)
SELECT * EXCLUDE (faults, qualifiers, restrictive, inverse, main_kind, counted, wanted_kind, wants_human),
    CASE
        WHEN len(faults) > 0 THEN faults[1]
        WHEN rank = 'deprecated' THEN 'deprecated'
        WHEN inverse AND main_kind IN ('somevalue', 'novalue') THEN 'unknown_holder'
        WHEN (inverse AND main_kind <> 'item')
            OR (NOT inverse AND main_kind NOT IN ('somevalue', 'novalue') AND main_kind <> wanted_kind)
            THEN 'wrong_object_type'
        WHEN wants_human IS NOT NULL AND object_kind = 'item' AND len(o.types) > 0
            AND wants_human <> list_contains(o.types, '{HUMAN}') THEN 'wrong_object_type'
        WHEN len(list_filter(qualifiers, lambda q: list_contains(restrictive, split_part(q, '=', 1))
            OR q = '{ACTING_ROLE}')) > 0 THEN 'restricted'
    END AS reason,
    coalesce(reason IN ('restricted', 'conflicting_dates', 'malformed_time', 'absurd_year', 'unknown_calendar',
        'start_after_end', 'young_statement'), false) AS blocked,
    coalesce(blocked AND reason NOT IN ('restricted', 'young_statement'), false) AS damaged
FROM directed LEFT JOIN (SELECT qid, types FROM entities) o ON o.qid = directed.object
"""

# What may hold: statements that say the same are one span; damaged dates are unknown dates.
SPANS = f"""
CREATE TEMP TABLE spans AS
WITH usable AS (
    SELECT * REPLACE (
            CASE WHEN blocked OR object_kind IN ('somevalue', 'novalue') THEN NULL ELSE object END AS object,
            CASE WHEN blocked THEN '{BLOCKED}' ELSE object_kind END AS object_kind,
            CASE WHEN damaged THEN NULL ELSE start_earliest END AS start_earliest,
            CASE WHEN damaged THEN NULL ELSE start_latest END AS start_latest,
            CASE WHEN damaged THEN NULL ELSE end_earliest END AS end_earliest,
            CASE WHEN damaged THEN NULL ELSE end_latest END AS end_latest,
            CASE WHEN damaged THEN 'absent' ELSE start_kind END AS start_kind,
            CASE WHEN damaged THEN 'unknown' ELSE end_kind END AS end_kind)
    FROM readings WHERE subject IS NOT NULL AND (reason IS NULL OR blocked)
),
merged AS (
    SELECT subject, relation, object, object_kind, start_earliest, start_latest, start_kind,
        end_earliest, end_latest, end_kind,
        any_value(single_valued) AS single_valued, any_value(max_days) AS max_days, any_value(undated) AS undated,
        any_value(ends_with_subject) AS ends_with_subject, any_value(ends_with_object) AS ends_with_object,
        min(start_precision) AS start_precision, min(end_precision) AS end_precision,
        min_by(rank, CASE rank WHEN 'preferred' THEN 0 ELSE 1 END) AS rank,
        list_sort(list(statement_id)) AS statement_ids
    FROM usable GROUP BY ALL
)
SELECT *,
    start_earliest IS NULL AND end_earliest IS NULL AND end_kind IN ('absent', 'none') AS dateless,
    count(*) OVER (PARTITION BY relation, subject) AS spans_of_timeline,
    -- The same holder is given with dates elsewhere: the dateless statement adds nothing.
    dateless AND object IS NOT NULL
        AND bool_or(start_earliest IS NOT NULL) OVER (PARTITION BY relation, subject, object) AS redundant
FROM merged
"""

# Ends that nobody stated. A successor is a span that certainly begins later; of all of them the next one counts.
CLOSED = """
CREATE TEMP TABLE closed AS
WITH beginnings AS (
    SELECT relation, subject, start_earliest AS next_earliest,
        min(start_latest) OVER (PARTITION BY relation, subject ORDER BY start_earliest DESC
            RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_latest
    FROM spans WHERE single_valued AND start_earliest IS NOT NULL
),
-- The same holder twice from about the same start, once with an end: the end is told for both.
twins AS (
    SELECT a.relation, a.subject, a.object, a.start_earliest, a.start_latest,
        min(b.end_earliest) AS twin_earliest, min(b.end_latest) AS twin_latest
    FROM spans a JOIN spans b ON a.relation = b.relation AND a.subject = b.subject AND a.object = b.object
        AND a.start_earliest <= b.start_latest AND b.start_earliest <= a.start_latest
    WHERE a.end_kind = 'absent' AND b.end_kind = 'known' AND b.end_earliest IS NOT NULL
    GROUP BY ALL
),
with_successor AS (
    SELECT s.*, n.next_earliest, n.next_latest
    FROM spans s ASOF LEFT JOIN beginnings n
        ON s.relation = n.relation AND s.subject = n.subject AND s.start_latest < n.next_earliest
    WHERE NOT s.redundant
),
with_ends AS (
    SELECT s.*, t.twin_earliest, t.twin_latest,
        CASE WHEN s.ends_with_object THEN o.ended_earliest END AS death_earliest,
        CASE WHEN s.ends_with_object THEN o.ended_latest END AS death_latest,
        CASE WHEN s.ends_with_subject THEN b.ended_earliest END AS abolition_earliest,
        CASE WHEN s.ends_with_subject THEN b.ended_latest END AS abolition_latest,
        coalesce((s.ends_with_object AND o.ended_kind = 'unknown')
            OR (s.ends_with_subject AND b.ended_kind = 'unknown'), false) AS gone_some_day
    FROM with_successor s
    LEFT JOIN entities o ON o.qid = s.object
    LEFT JOIN entities b ON b.qid = s.subject
    LEFT JOIN twins t ON t.relation = s.relation AND t.subject = s.subject AND t.object = s.object
        AND t.start_earliest = s.start_earliest AND t.start_latest = s.start_latest
)
SELECT *,
    -- Nothing outlives its holder or its subject, whatever was stated.
    least(death_earliest, abolition_earliest) AS cap_earliest,
    least(death_latest, abolition_latest) AS cap_latest,
    least(next_earliest, twin_earliest) AS follow_earliest,
    least(next_latest, twin_latest) AS follow_latest
FROM with_ends
"""

TIMELINES_SQL = """
CREATE TEMP TABLE timelines AS
WITH decided AS (
    SELECT *,
        CASE
            WHEN dateless AND undated = 'always' THEN 'dateless'
            WHEN dateless AND undated = 'single' AND spans_of_timeline = 1 AND object IS NOT NULL THEN 'dateless'
        END AS timeless,
        CASE
            WHEN timeless IS NOT NULL AND cap_earliest IS NULL THEN 'dateless'
            -- It began after its holder's death or its subject's end: one of the dates is wrong, and blocks.
            WHEN cap_latest < start_earliest THEN 'impossible'
            WHEN end_kind = 'known' AND end_earliest IS NOT NULL
                THEN (CASE WHEN cap_latest < end_earliest AND cap_earliest >= start_latest THEN 'capped'
                    ELSE 'stated' END)
            WHEN end_kind = 'known' THEN 'coarse'
            WHEN end_kind = 'unknown' THEN 'some_value'
            WHEN end_kind = 'none' THEN (CASE WHEN cap_earliest IS NOT NULL THEN 'capped' ELSE 'no_value' END)
            WHEN follow_earliest IS NOT NULL OR cap_earliest IS NOT NULL THEN 'followed'
            WHEN gone_some_day THEN 'gone'
            WHEN start_earliest IS NULL THEN 'dateless_unknown'
            WHEN (SELECT as_of FROM settings) - start_earliest > coalesce(max_days, 2000000) THEN 'too_old'
            ELSE 'open'
        END AS ending
    FROM closed
),
ended AS (
    SELECT *,
        CASE ending
            WHEN 'stated' THEN end_earliest
            WHEN 'capped' THEN cap_earliest
            WHEN 'followed' THEN least(follow_earliest, cap_earliest)
        END AS to_earliest,
        CASE ending
            WHEN 'stated' THEN end_latest
            WHEN 'capped' THEN cap_latest
            WHEN 'followed' THEN least(follow_latest, cap_latest)
            WHEN 'some_value' THEN least(follow_latest, cap_latest)
            WHEN 'coarse' THEN least(follow_latest, cap_latest)
        END AS to_latest
    FROM decided
)
SELECT subject, relation,
    CAST(row_number() OVER (PARTITION BY relation, subject ORDER BY
        CASE WHEN timeless IS NOT NULL THEN (SELECT always FROM settings) ELSE start_earliest END NULLS FIRST,
        start_latest, to_earliest NULLS LAST, object NULLS LAST, statement_ids[1]) - 1 AS INTEGER) AS ordinal,
    object, object_kind,
    CASE WHEN timeless IS NOT NULL THEN (SELECT always FROM settings) ELSE start_earliest END AS valid_from_earliest,
    CASE WHEN timeless IS NOT NULL THEN (SELECT always FROM settings) ELSE start_latest END AS valid_from_latest,
    start_precision AS valid_from_precision,
    to_earliest AS valid_to_earliest, to_latest AS valid_to_latest,
    CASE WHEN ending = 'stated' THEN end_precision END AS valid_to_precision,
    CASE
        WHEN ending IN ('stated', 'capped', 'followed') THEN 'known'
        WHEN ending = 'no_value' THEN 'none'
        WHEN ending IN ('open', 'dateless') THEN 'open'
        ELSE 'unknown'
    END AS valid_to_kind,
    ending NOT IN ('stated', 'coarse', 'no_value', 'some_value') AS end_inferred,
    CASE
        WHEN ending = 'coarse' THEN 'stated'
        WHEN ending IN ('gone', 'capped', 'impossible')
            OR ending = 'followed' AND coalesce(cap_earliest <= follow_earliest, follow_earliest IS NULL)
            THEN (CASE WHEN death_earliest = cap_earliest OR ending = 'gone' AND ends_with_object THEN 'death'
                ELSE 'abolition' END)
        WHEN ending = 'followed' THEN (CASE WHEN twin_earliest = follow_earliest THEN 'stated'
            ELSE 'successor' END)
        WHEN ending = 'dateless_unknown' THEN 'dateless'
        ELSE ending
    END AS end_reason,
    rank, CAST(1 AS TINYINT) AS confidence, statement_ids
FROM ended
"""

# Two holders who certainly hold at the same time: the timeline is not single-valued.
DOUBLE_HOLDERS = """
CREATE TEMP TABLE double_holders AS
WITH certain AS (
    SELECT t.relation, t.subject, t.object, t.valid_from_latest AS from_latest, t.statement_ids[1] AS statement_id,
        coalesce(t.valid_to_earliest, CASE WHEN t.valid_to_kind IN ('none', 'open')
            THEN (SELECT as_of FROM settings) + 1 END) AS to_earliest
    FROM timelines t JOIN relations r USING (relation)
    WHERE r.single_valued AND t.object IS NOT NULL AND t.valid_from_latest IS NOT NULL
),
running AS (
    SELECT *,
        max(to_earliest) OVER before AS reach,
        arg_max(object, to_earliest) OVER before AS reaching_object,
        arg_max(statement_id, to_earliest) OVER before AS reaching_id
    FROM certain
    WHERE to_earliest > from_latest
    WINDOW before AS (PARTITION BY relation, subject ORDER BY from_latest, to_earliest, statement_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT relation, subject, count(*) AS times, min_by(statement_id, from_latest) AS first_id,
    min_by(reaching_id, from_latest) AS second_id, min(from_latest) AS first_day
FROM running WHERE reach > from_latest AND reaching_object <> object
GROUP BY relation, subject
"""

REJECTIONS_SQL = f"""
CREATE TEMP TABLE timeline_rejections AS
WITH statement_rejections AS (
    SELECT CASE WHEN reason IN ('restricted', 'unknown_holder') THEN 'timelines'
            WHEN reason = 'young_statement' THEN 'crosscheck' ELSE 'statements' END AS stage,
        reason, subject, relation, [statement_id] AS ids,
        concat_ws(' ', coalesce(object, object_kind), 'for', coalesce(subject, 'an unknown subject'),
            CASE WHEN blocked THEN '(blocks the values that it may touch)' END) AS detail
    FROM readings WHERE reason IS NOT NULL
    UNION ALL
    SELECT 'timelines', 'dateless', subject, relation, statement_ids,
        concat(object, ' is given with dates by another statement')
    FROM spans WHERE redundant
),
plural AS (
    SELECT t.relation, count(DISTINCT t.subject) AS timelines_seen, count(DISTINCT o.subject) AS timelines_plural
    FROM timelines t LEFT JOIN double_holders o ON o.relation = t.relation AND o.subject = t.subject
    GROUP BY t.relation
    HAVING timelines_plural >= {PLURAL_TIMELINES} AND timelines_plural >= {PLURAL_SHARE} * timelines_seen
)
SELECT * FROM statement_rejections
UNION ALL
SELECT 'timelines', 'not_single_valued', subject, relation, list_sort([first_id, second_id]),
    concat('two holders at once ', times, ' times, first on ', first_day)
FROM double_holders
UNION ALL
SELECT 'timelines', 'plural_relation', NULL, relation, []::VARCHAR[],
    concat(timelines_plural, ' of ', timelines_seen, ' timelines have two holders at once')
FROM plural
"""


def values_at(timelines: Tabular, day: datetime.date) -> pa.Table:
    """The value of every (subject, relation) on one day.

    timelines: `TIMELINES`, any order. Returns one row per (subject, relation) in which any span holds
    `yes` or `maybe`: `subject`, `relation`, `object` and `object_kind` (null unless certain), `certainty`
    (`certain`, `ambiguous`, `unknown`), `confidence` and the `statement_ids` that decided it.
    Certain: some span holds `yes`, and every span that holds `yes` or `maybe` has the same object.
    Ambiguous: several objects may hold. Unknown: one may hold, or somebody unknown does.
    """
    with connect() as connection:
        register(connection, "timelines", timelines)
        create_values_at(connection, "values_at_day", day)
        return connection.sql("SELECT * FROM values_at_day ORDER BY relation, subject").to_arrow_table()


def create_values_at(connection: duckdb.DuckDBPyConnection, name: str, day: datetime.date) -> None:
    """Create the table `name` with the columns of `values_at`, from the view or table `timelines`."""
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {name} AS
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
                count(DISTINCT coalesce(object, concat('?', ordinal))) AS objects,
                min(object) AS object, min(object_kind) AS object_kind,
                max(confidence) AS confidence, list_sort(list_distinct(flatten(list(statement_ids)))) AS statement_ids,
                min(ordinal) FILTER (coalesce(yes, false)) AS ordinal
            FROM standing GROUP BY subject, relation
        )
        SELECT subject, relation,
            CASE WHEN certain THEN object END AS object,
            CASE WHEN certain THEN object_kind END AS object_kind,
            CASE WHEN certain THEN 'certain' WHEN objects > 1 THEN 'ambiguous' ELSE 'unknown' END AS certainty,
            confidence, CASE WHEN certain THEN ordinal END AS ordinal, statement_ids
        FROM weighed
        """,
        [day],
    )
