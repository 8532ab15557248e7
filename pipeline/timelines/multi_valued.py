"""Timelines of single-valued relations that are multi-valued in fact: several holders certainly at once.

One overlap is usually a slip, and its days are ambiguous anyway. An office in which it happens again and again
(a minister without portfolio) has several seats; then also the days on which only one holder is known prove
nothing. `create_overlaps` finds both, and relations in which this is so common that none of it is single-valued.
"""

from __future__ import annotations

import datetime

import duckdb

__all__ = ["HANDOVER_DAYS", "create_overlaps"]

HANDOVER_DAYS = 31
"""Two holders at once for so long may still be a hand-over, or two ways to count the days of one."""
# A relation counts as multi-valued in fact when so large a part of its timelines has two holders at once.
MULTI_VALUED_SHARE, MULTI_VALUED_TIMELINES = 0.3, 20


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


# A span certainly overlaps with an earlier one when it begins before the furthest end so far. Whether any do is
# asked first, of the dates alone; who reached so far is looked up for those timelines only, since that is dear.
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
