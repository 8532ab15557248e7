"""Readings to spans with both their ends: what is said twice is merged, ends that nobody stated are worked out.

An absent end is closed by a successor, a death, an abolition or a twin (the same holder told again with an
end); the last span stays open while that is credible. Everything inferred says so.
Leaves out: why a statement cannot be an answer (`pipeline.readings`).
"""

from __future__ import annotations

import datetime

import duckdb

from pipeline.readings import BLOCKED

__all__ = ["ALWAYS", "create_spans"]

ALWAYS = datetime.date(1, 1, 1)
"""Start of a fact without dates that holds for ever (a birthplace), as far as any snapshot reaches."""


def create_spans(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `spans` (`TIMELINES` without ordinal) and `redundant` (what adds nothing and is left out).

    Reads `readings`, `relations`, `lifetimes` (qid, ended_earliest, ended_latest, ended_kind) and `settings`
    (as_of, always).
    """
    for step in (MERGED, REDUNDANT, WITHOUT_REDUNDANT, FOLLOWED, SPANS):
        connection.execute(step)


# Statements that say the same are one span. Few do, so that only these are gathered.
MERGED = f"""
CREATE OR REPLACE TEMP TABLE merged AS
WITH usable AS (
    SELECT relation, subject, statement_id, rank, start_precision, end_precision,
        -- Who it was is kept for a coarse start, to see whether the same is told with dates.
        CASE WHEN holding = 'value' AND object_kind NOT IN ('somevalue', 'novalue') OR reason = 'coarse_date'
            THEN object END AS object,
        CASE WHEN holding = '{BLOCKED}' THEN '{BLOCKED}' ELSE object_kind END AS object_kind,
        start_earliest, start_latest, end_earliest, end_latest, end_kind
    FROM readings WHERE holding IS NOT NULL
),
spelled AS (
    SELECT *, hash(relation, subject, object, object_kind, start_earliest, start_latest, end_earliest, end_latest,
        end_kind) AS said
    FROM usable
),
repeated AS (SELECT said FROM spelled GROUP BY said HAVING count(*) > 1)
SELECT relation, subject, object, object_kind, start_earliest, start_latest, start_precision,
    end_earliest, end_latest, end_precision, end_kind, rank, [statement_id] AS statement_ids
FROM spelled ANTI JOIN repeated USING (said)
UNION ALL
SELECT relation, subject, object, object_kind, start_earliest, start_latest, min(start_precision),
    end_earliest, end_latest, min(end_precision), end_kind,
    min_by(rank, CASE rank WHEN 'preferred' THEN 0 ELSE 1 END), list_sort(list(statement_id))
FROM spelled SEMI JOIN repeated USING (said)
GROUP BY relation, subject, object, object_kind, start_earliest, start_latest, end_earliest, end_latest, end_kind
"""

# The same holder is given with dates elsewhere: a statement without them adds nothing.
REDUNDANT = f"""
CREATE OR REPLACE TEMP TABLE redundant AS
WITH undated AS (
    SELECT * FROM merged
    WHERE start_earliest IS NULL AND end_earliest IS NULL AND end_kind IN ('absent', 'none') AND object IS NOT NULL
)
SELECT relation, subject, object, object_kind = '{BLOCKED}' AS coarse, statement_ids FROM undated
SEMI JOIN (SELECT relation, subject, object FROM merged
    WHERE start_earliest IS NOT NULL AND object_kind <> '{BLOCKED}') dated USING (relation, subject, object)
"""

WITHOUT_REDUNDANT = """
DELETE FROM merged USING redundant u
WHERE u.relation = merged.relation AND u.statement_ids[1] = merged.statement_ids[1]
"""

# A successor is a span that certainly begins later; of all of them the next one counts.
FOLLOWED = """
CREATE OR REPLACE TEMP TABLE followed AS
WITH open_ended AS (
    SELECT *, row_number() OVER () AS number FROM merged
    WHERE end_kind IN ('absent', 'unknown') OR end_kind = 'known' AND end_earliest IS NULL
),
beginnings AS (
    SELECT relation, subject, start_earliest AS next_earliest, start_latest AS next_latest, false AS some_day_before
    FROM merged SEMI JOIN open_ended USING (relation, subject)
    WHERE start_earliest IS NOT NULL
    UNION ALL
    -- Who held it up to a day held it just before: he began at latest then.
    SELECT relation, subject, end_earliest, end_latest, true
    FROM merged SEMI JOIN open_ended USING (relation, subject)
    WHERE start_earliest IS NULL AND end_earliest IS NOT NULL
),
next_beginnings AS (
    SELECT relation, subject, next_earliest, some_day_before,
        min(next_latest) OVER (PARTITION BY relation, subject ORDER BY next_earliest DESC
            RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS next_latest
    FROM beginnings SEMI JOIN (SELECT relation FROM relations WHERE single_valued) USING (relation)
),
-- Where several begin on one day, the one that may have begun before it counts.
next_days AS (
    SELECT relation, subject, next_earliest, min(next_latest) AS next_latest,
        bool_or(some_day_before) AS some_day_before
    FROM next_beginnings GROUP BY relation, subject, next_earliest
),
-- The same holder twice from about the same start, once with an end: the end is told for both.
twins AS (
    SELECT a.number, min(b.end_earliest) AS twin_earliest, min(b.end_latest) AS twin_latest
    FROM open_ended a JOIN merged b ON a.relation = b.relation AND a.subject = b.subject AND a.object = b.object
        AND a.start_earliest <= b.start_latest AND b.start_earliest <= a.start_latest
    WHERE a.end_kind = 'absent' AND b.end_kind IN ('known', 'unknown')
    GROUP BY a.number
),
-- Somebody else may have begun after it, but perhaps before: from then on it is open who held it.
starts AS (
    SELECT *, unnest(range(year(start_earliest), year(start_latest) + 1)) AS year
    FROM merged SEMI JOIN open_ended USING (relation, subject)
    SEMI JOIN (SELECT relation FROM relations WHERE single_valued) USING (relation)
    WHERE start_earliest IS NOT NULL
),
overtaken AS (
    SELECT DISTINCT number FROM (
        SELECT *, unnest(range(year(start_earliest), year(start_latest) + 1)) AS year
        FROM open_ended WHERE end_kind = 'absent' AND start_earliest IS NOT NULL) a
    SEMI JOIN starts b ON b.relation = a.relation AND b.subject = a.subject AND b.year = a.year
        AND b.object IS DISTINCT FROM a.object
        AND b.start_latest > a.start_earliest AND b.start_earliest <= a.start_latest
        AND NOT coalesce(b.end_latest <= a.start_earliest, false)
)
SELECT s.*, t.number IS NOT NULL AS twin_ended, twin_earliest, twin_latest,
    coalesce(s.number IN (SELECT number FROM overtaken), false) AS overtaken,
    CASE WHEN some_day_before THEN s.start_latest ELSE next_earliest END AS next_earliest, next_latest
FROM open_ended s
ASOF LEFT JOIN next_days n
    ON s.relation = n.relation AND s.subject = n.subject AND s.start_latest < n.next_earliest
LEFT JOIN twins t ON t.number = s.number
"""

SPANS = f"""
CREATE OR REPLACE TEMP TABLE spans AS
WITH all_spans AS (
    SELECT *, NULL::BOOLEAN AS twin_ended, NULL::DATE AS twin_earliest, NULL::DATE AS twin_latest,
        NULL::BOOLEAN AS overtaken, NULL::DATE AS next_earliest, NULL::DATE AS next_latest
    FROM merged
    WHERE NOT (end_kind IN ('absent', 'unknown') OR end_kind = 'known' AND end_earliest IS NULL)
    UNION ALL
    SELECT * EXCLUDE (number) FROM followed
),
counted AS (
    SELECT relation, subject, count(*) AS spans_of_timeline FROM merged
    SEMI JOIN (SELECT relation FROM relations WHERE undated = 'single') USING (relation)
    GROUP BY relation, subject
),
capped AS (
    SELECT s.* REPLACE (CASE WHEN s.object_kind <> '{BLOCKED}' THEN s.object END AS object),
        r.undated, r.max_days, c.spans_of_timeline,
        s.start_earliest IS NULL AND s.end_earliest IS NULL AND s.end_kind IN ('absent', 'none') AS dateless,
        d.ended_earliest AS death_earliest, d.qid IS NOT NULL AND d.ended_kind = 'unknown' AS died_some_day,
        -- Nothing outlives its holder or its subject, whatever was stated.
        least(d.ended_earliest, a.ended_earliest) AS cap_earliest,
        least(d.ended_latest, a.ended_latest) AS cap_latest,
        coalesce(d.ended_kind = 'unknown', false) OR coalesce(a.ended_kind = 'unknown', false) AS gone_some_day,
        least(next_earliest, twin_earliest) AS follow_earliest,
        least(next_latest, twin_latest) AS follow_latest
    FROM all_spans s JOIN relations r ON r.relation = s.relation
    LEFT JOIN lifetimes d ON r.ends_with_object AND s.object_kind <> '{BLOCKED}' AND d.qid = s.object
    LEFT JOIN lifetimes a ON r.ends_with_subject AND a.qid = s.subject
    LEFT JOIN counted c ON c.relation = s.relation AND c.subject = s.subject
),
judged AS (
    SELECT *,
        dateless AND object_kind <> '{BLOCKED}' AND (undated = 'always'
            OR undated = 'single' AND spans_of_timeline = 1 AND object IS NOT NULL) AS timeless
    FROM capped
),
decided AS (
    SELECT judged.*,
        CASE
            WHEN timeless AND cap_earliest IS NULL THEN 'dateless'
            -- It began after its holder's death or its subject's end: one of the dates is wrong, and blocks.
            WHEN cap_latest < start_earliest THEN 'impossible'
            WHEN end_kind = 'known' AND end_earliest IS NOT NULL
                THEN (CASE WHEN cap_latest < end_earliest AND cap_earliest >= start_latest THEN 'capped'
                    ELSE 'stated' END)
            WHEN end_kind = 'known' THEN 'coarse'
            WHEN end_kind = 'unknown' OR twin_ended AND twin_earliest IS NULL THEN 'some_value'
            WHEN end_kind = 'none' THEN (CASE WHEN cap_earliest IS NOT NULL THEN 'capped' ELSE 'no_value' END)
            WHEN overtaken AND twin_earliest IS NULL THEN 'overtaken'
            WHEN follow_earliest IS NOT NULL OR cap_earliest IS NOT NULL THEN 'followed'
            WHEN gone_some_day THEN 'gone'
            WHEN start_earliest IS NULL THEN 'dateless_unknown'
            WHEN settings.as_of - start_earliest > coalesce(max_days, 2000000) THEN 'too_old'
            ELSE 'open'
        END AS ending
    FROM judged, settings
),
ended AS (
    SELECT *,
        CASE ending
            WHEN 'stated' THEN end_earliest
            WHEN 'capped' THEN cap_earliest
            WHEN 'followed' THEN least(follow_earliest, cap_earliest)
        END AS to_earliest,
        CASE
            WHEN ending = 'stated' THEN end_latest
            WHEN ending = 'capped' THEN cap_latest
            WHEN ending IN ('followed', 'overtaken', 'some_value', 'coarse') THEN least(follow_latest, cap_latest)
        END AS to_latest
    FROM decided
)
SELECT subject, relation, object, object_kind,
    CASE WHEN timeless THEN always ELSE start_earliest END AS valid_from_earliest,
    CASE WHEN timeless THEN always ELSE start_latest END AS valid_from_latest,
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
            THEN (CASE WHEN death_earliest = cap_earliest OR ending = 'gone' AND died_some_day THEN 'death'
                ELSE 'abolition' END)
        WHEN ending = 'followed' THEN (CASE WHEN twin_earliest = follow_earliest THEN 'stated'
            ELSE 'successor' END)
        WHEN ending = 'overtaken' THEN 'successor'
        WHEN ending = 'dateless_unknown' THEN 'dateless'
        ELSE ending
    END AS end_reason,
    rank, CAST(1 AS TINYINT) AS confidence, statement_ids
FROM ended, settings
"""
