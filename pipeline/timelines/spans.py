"""Oriented statements to spans with both their ends: repetitions are merged, ends that nobody stated are worked out.

An absent end is closed by a successor, a death or an abolition, if the term is then of a credible length; the last
span stays open while that is credible. A copy of the statement with an end makes the time after it uncertain, and no
more. Everything inferred says so.
"""

from __future__ import annotations

import datetime

import duckdb

from chronofacts.pipeline.timelines.oriented import UNUSABLE

__all__ = ["ALWAYS", "create_spans"]

ALWAYS = datetime.date(1, 1, 1)
"""Start of a fact without dates that holds for ever (a birthplace), as far as any snapshot reaches."""


def create_spans(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the view `spans` (`TIMELINES` without ordinal).

    Creates also what is left out: `redundant` (adds nothing) and `outranked`. Reads `oriented`, `relations`,
    `single_valued` (relation), `lifetimes` (qid, ended_earliest, ended_latest, ended_kind) and `settings` (as_of,
    always).
    """
    for step in (MERGED, REDUNDANT, WITHOUT.format("redundant"), OUTRANKED, WITHOUT.format("outranked")):
        connection.execute(step)
    for step in (SUCCEEDED, CAPPED, DECIDED, ENDINGS, SPANS):
        connection.execute(step)


# Statements that say the same are one span. Few do, so that only these are merged.
MERGED = f"""
CREATE OR REPLACE TEMP TABLE merged AS
WITH usable AS (
    SELECT relation, subject, statement_id, rank, start_precision, end_precision,
        -- Who it was is kept for a coarse start, to see whether the same is stated with dates.
        CASE WHEN holding = 'value' AND object_kind NOT IN ('somevalue', 'novalue') OR reason = 'coarse_date'
            THEN object END AS object,
        CASE WHEN holding = '{UNUSABLE}' THEN '{UNUSABLE}' ELSE object_kind END AS object_kind,
        start_earliest, start_latest, end_earliest, end_latest, end_kind, undated
    FROM oriented WHERE holding IS NOT NULL
),
spelled AS (
    SELECT *, hash(relation, subject, object, object_kind, start_earliest, start_latest, end_earliest, end_latest,
        end_kind) AS content
    FROM usable
),
repeated AS (SELECT content FROM spelled GROUP BY content HAVING count(*) > 1)
SELECT relation, subject, object, object_kind, start_earliest, start_latest, start_precision,
    end_earliest, end_latest, end_precision, end_kind, undated, rank, [statement_id] AS statement_ids
FROM spelled ANTI JOIN repeated USING (content)
UNION ALL
SELECT relation, subject, object, object_kind, start_earliest, start_latest, min(start_precision),
    end_earliest, end_latest, min(end_precision), end_kind, bool_or(undated),
    min_by(rank, CASE rank WHEN 'preferred' THEN 0 ELSE 1 END), list_sort(list(statement_id))
FROM spelled SEMI JOIN repeated USING (content)
GROUP BY relation, subject, object, object_kind, start_earliest, start_latest, end_earliest, end_latest, end_kind
"""

# The same holder is given with dates elsewhere: a statement without them adds nothing. One that says "not ended" (no
# value) does, unless another that is dated says so too: from a start that nobody knows he may hold on any day.
REDUNDANT = f"""
CREATE OR REPLACE TEMP TABLE redundant AS
WITH undated AS (
    SELECT * FROM merged
    WHERE start_earliest IS NULL AND end_earliest IS NULL AND end_kind IN ('absent', 'none') AND object IS NOT NULL
)
SELECT u.relation, u.subject, u.object, u.object_kind = '{UNUSABLE}' AS coarse, u.statement_ids FROM undated u
SEMI JOIN (SELECT relation, subject, object, end_kind FROM merged
    WHERE start_earliest IS NOT NULL AND object_kind <> '{UNUSABLE}') dated
    ON dated.relation = u.relation AND dated.subject = u.subject AND dated.object = u.object
        AND u.end_kind IN ('absent', dated.end_kind)
"""

WITHOUT = """
DELETE FROM merged USING {0} u WHERE u.relation = merged.relation AND u.statement_ids[1] = merged.statement_ids[1]
"""

# Of two holders who began on one day and whose ends nobody stated, the one of preferred rank is the present one.
OUTRANKED = f"""
CREATE OR REPLACE TEMP TABLE outranked AS
WITH unended AS (
    SELECT relation, subject, object, rank, start_earliest, start_latest, statement_ids FROM merged
    SEMI JOIN single_valued USING (relation)
    WHERE end_kind IN ('absent', 'none') AND object_kind <> '{UNUSABLE}' AND object IS NOT NULL
        AND start_earliest IS NOT NULL
),
preferred AS (
    SELECT relation, subject, min(object) AS object, min(start_earliest) AS start_earliest,
        max(start_latest) AS start_latest
    FROM unended WHERE rank = 'preferred' GROUP BY relation, subject HAVING count(DISTINCT object) = 1
)
SELECT u.relation, u.subject, u.object, p.object AS preferred_object, u.statement_ids
FROM unended u JOIN preferred p ON p.relation = u.relation AND p.subject = u.subject
WHERE u.rank <> 'preferred' AND u.object <> p.object
    AND u.start_earliest = p.start_earliest AND u.start_latest = p.start_latest
"""

# A successor is a span that certainly begins later; of all of them the next one counts.
SUCCEEDED = """
CREATE OR REPLACE TEMP TABLE succeeded AS
WITH open_ended AS (
    SELECT *, row_number() OVER () AS number FROM merged
    WHERE end_kind IN ('absent', 'unknown') OR end_kind = 'known' AND end_earliest IS NULL
),
-- Who held it up to a day and began nobody knows when held it just before: he began at latest then.
beginnings AS (
    SELECT relation, subject, coalesce(start_earliest, end_earliest) AS successor_earliest,
        CASE WHEN start_earliest IS NULL THEN end_latest ELSE start_latest END AS successor_latest,
        start_earliest IS NULL AS some_day_before
    FROM merged SEMI JOIN open_ended USING (relation, subject)
    SEMI JOIN single_valued USING (relation)
    WHERE coalesce(start_earliest, end_earliest) IS NOT NULL
),
-- Those that begin on one day are peers, so that whichever is found says the same.
successors AS (
    SELECT relation, subject, successor_earliest, min(successor_latest) OVER (PARTITION BY relation, subject
        ORDER BY successor_earliest DESC RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS successor_latest
    FROM beginnings
),
-- Where several begin on one day, the one that may have begun before it counts.
days_before AS (SELECT DISTINCT relation, subject, successor_earliest FROM beginnings WHERE some_day_before),
-- The same holder twice from about the same start, once with an end: whether that is the end of a term or of the
-- office, nobody says. A copy without any length says nothing, and a preferred statement is the present one.
-- Where the copy knows its start better, the other is an older reading of the same term.
duplicates AS (
    SELECT a.number, bool_or(b.start_latest - b.start_earliest >= a.start_latest - a.start_earliest) AS contested,
        NOT contested AS outdated, min(b.end_earliest) AS duplicate_earliest, min(b.end_latest) AS duplicate_latest
    FROM open_ended a JOIN merged b ON a.relation = b.relation AND a.subject = b.subject AND a.object = b.object
        AND a.start_earliest <= b.start_latest AND b.start_earliest <= a.start_latest
    WHERE a.end_kind = 'absent' AND b.end_kind IN ('known', 'unknown')
        AND NOT coalesce(b.end_latest <= a.start_earliest, false)
        AND NOT (a.rank = 'preferred' AND b.rank <> 'preferred')
    GROUP BY a.number
),
-- Somebody else may have begun after it, but perhaps before: from then on it is open who held it.
starts AS (
    SELECT *, unnest(range(year(start_earliest), year(start_latest) + 1)) AS year
    FROM merged SEMI JOIN open_ended USING (relation, subject)
    SEMI JOIN single_valued USING (relation)
    WHERE start_earliest IS NOT NULL
),
perhaps_succeeded AS (
    SELECT DISTINCT number FROM (
        SELECT *, unnest(range(year(start_earliest), year(start_latest) + 1)) AS year
        FROM open_ended WHERE end_kind = 'absent' AND start_earliest IS NOT NULL) a
    SEMI JOIN starts b ON b.relation = a.relation AND b.subject = a.subject AND b.year = a.year
        AND b.object IS DISTINCT FROM a.object
        AND b.start_latest > a.start_earliest AND b.start_earliest <= a.start_latest
        AND NOT coalesce(b.end_latest <= a.start_earliest, false)
)
SELECT s.*, c.contested, c.outdated, duplicate_earliest, duplicate_latest,
    coalesce(s.number IN (SELECT number FROM perhaps_succeeded), false) AS perhaps_succeeded,
    CASE WHEN d.subject IS NOT NULL THEN s.start_latest ELSE n.successor_earliest END AS successor_earliest,
    successor_latest
FROM open_ended s
ASOF LEFT JOIN successors n
    ON s.relation = n.relation AND s.subject = n.subject AND s.start_latest < n.successor_earliest
LEFT JOIN days_before d
    ON d.relation = n.relation AND d.subject = n.subject AND d.successor_earliest = n.successor_earliest
LEFT JOIN duplicates c ON c.number = s.number
"""

# Nothing outlives its holder or its subject, whatever was stated.
CAPPED = f"""
CREATE OR REPLACE TEMP VIEW capped AS
WITH ended AS (
    SELECT * FROM merged
    WHERE NOT (end_kind IN ('absent', 'unknown') OR end_kind = 'known' AND end_earliest IS NULL)
),
-- The next holder begins on the day after the stated end: that was the last day, and no day between.
days_after AS (
    SELECT m.relation, m.subject, m.start_earliest AS day_after, min(m.start_latest) = m.start_earliest AS to_the_day
    FROM merged m
    SEMI JOIN ended e ON e.relation = m.relation AND e.subject = m.subject AND e.end_latest + 1 = m.start_earliest
    SEMI JOIN single_valued USING (relation)
    GROUP BY m.relation, m.subject, m.start_earliest
),
all_spans AS (
    SELECT e.*, m.day_after, m.to_the_day
    FROM ended e LEFT JOIN days_after m
        ON m.relation = e.relation AND m.subject = e.subject AND m.day_after = e.end_latest + 1
    UNION ALL BY NAME
    SELECT * EXCLUDE (number) FROM succeeded
),
counted AS (
    SELECT relation, subject, count(*) AS spans_of_timeline FROM merged
    SEMI JOIN (SELECT relation FROM relations WHERE undated = 'single') USING (relation)
    GROUP BY relation, subject
)
SELECT s.* REPLACE (CASE WHEN s.object_kind <> '{UNUSABLE}' THEN s.object END AS object),
    r.max_days,
    s.start_earliest IS NULL AND s.end_earliest IS NULL AND s.end_kind IN ('absent', 'none')
        AND s.object_kind <> '{UNUSABLE}' AND (r.undated = 'always'
            OR r.undated = 'single' AND s.undated AND c.spans_of_timeline = 1 AND s.object IS NOT NULL) AS timeless,
    d.ended_earliest AS death_earliest, coalesce(d.ended_kind = 'unknown', false) AS died_some_day,
    coalesce(a.ended_kind = 'unknown', false) AS abolished_some_day,
    least(d.ended_earliest, a.ended_earliest) AS cap_earliest,
    least(d.ended_latest, a.ended_latest) AS cap_latest
FROM all_spans s JOIN relations r ON r.relation = s.relation
LEFT JOIN lifetimes d ON r.ends_with_object AND s.object_kind <> '{UNUSABLE}' AND d.qid = s.object
LEFT JOIN lifetimes a ON r.ends_with_subject AND a.qid = s.subject
LEFT JOIN counted c ON c.relation = s.relation AND c.subject = s.subject
"""

# Which of the endings of `ENDINGS` a span has.
DECIDED = """
CREATE OR REPLACE TEMP VIEW decided AS
SELECT capped.*,
    CASE
        WHEN timeless AND cap_earliest IS NULL AND NOT died_some_day AND NOT abolished_some_day THEN 'dateless'
        -- It began after its holder's death or its subject's end: one of the dates is wrong, and blocks.
        WHEN cap_latest < start_earliest THEN 'impossible'
        WHEN end_kind = 'known' AND end_earliest IS NOT NULL
            THEN (CASE WHEN cap_latest < end_earliest THEN 'capped'
                WHEN day_after IS NOT NULL AND NOT coalesce(cap_earliest <= end_latest, false) THEN 'last_day'
                ELSE 'stated' END)
        WHEN end_kind = 'known' THEN 'coarse'
        WHEN end_kind = 'unknown' THEN 'some_value'
        WHEN end_kind = 'none' THEN (CASE WHEN cap_earliest IS NOT NULL THEN 'capped'
            WHEN died_some_day OR abolished_some_day THEN 'gone' ELSE 'no_value' END)
        WHEN perhaps_succeeded AND NOT coalesce(outdated AND duplicate_earliest IS NOT NULL, false)
            THEN 'perhaps_succeeded'
        WHEN contested THEN 'contested'
        WHEN outdated THEN (CASE WHEN duplicate_earliest IS NULL THEN 'some_value' ELSE 'outdated' END)
        -- The successor may have come long after the death.
        WHEN died_some_day THEN 'gone'
        WHEN successor_earliest IS NOT NULL OR cap_earliest IS NOT NULL
            THEN (CASE WHEN least(successor_earliest, cap_earliest) - start_earliest > max_days THEN 'too_old'
                WHEN coalesce(cap_earliest <= successor_earliest, successor_earliest IS NULL) THEN 'capped'
                ELSE 'succeeded' END)
        WHEN abolished_some_day THEN 'gone'
        WHEN start_earliest IS NULL THEN 'undated'
        WHEN settings.as_of - start_earliest > max_days THEN 'too_old'
        ELSE 'open'
    END AS ending
FROM capped, settings
"""

# What an ending means: kind, whether it was inferred, and why; a reason of null is death or abolition, whichever came.
ENDINGS = """
CREATE OR REPLACE TEMP TABLE endings AS
SELECT * FROM (VALUES
    ('stated', 'known', false, 'stated'),
    ('last_day', 'known', true, 'last_day'),
    ('coarse', 'unknown', false, 'stated'),
    ('some_value', 'unknown', false, 'some_value'),
    ('no_value', 'none', false, 'no_value'),
    ('succeeded', 'known', true, 'successor'),
    ('perhaps_succeeded', 'unknown', true, 'successor'),
    ('contested', 'unknown', true, 'contested'),
    ('outdated', 'known', true, 'stated'),
    ('capped', 'known', true, NULL),
    ('impossible', 'unknown', true, NULL),
    ('gone', 'unknown', true, NULL),
    ('too_old', 'unknown', true, 'too_old'),
    ('undated', 'unknown', true, 'dateless'),
    ('dateless', 'open', true, 'dateless'),
    ('open', 'open', true, 'open')
) AS e(ending, kind, inferred, reason)
"""

SPANS = """
CREATE OR REPLACE TEMP VIEW spans AS
WITH dated AS (
    SELECT *,
        CASE ending
            WHEN 'stated' THEN end_earliest
            WHEN 'last_day'
                THEN (CASE WHEN end_earliest = end_latest AND to_the_day THEN day_after ELSE end_earliest END)
            WHEN 'capped' THEN greatest(cap_earliest, start_earliest)
            WHEN 'succeeded' THEN successor_earliest
            WHEN 'contested' THEN least(duplicate_earliest, cap_earliest)
            WHEN 'outdated' THEN least(duplicate_earliest, successor_earliest, cap_earliest)
        END AS to_earliest,
        CASE ending
            WHEN 'stated' THEN end_latest
            WHEN 'last_day' THEN day_after
            WHEN 'capped' THEN least(cap_latest, CASE WHEN end_kind = 'absent' THEN successor_latest END)
            WHEN 'impossible' THEN successor_latest
            WHEN 'outdated' THEN least(duplicate_latest, successor_latest, cap_latest)
            WHEN 'open' THEN NULL
            ELSE least(successor_latest, cap_latest)
        END AS to_latest
    FROM decided
)
SELECT subject, relation, object, object_kind,
    CASE WHEN timeless THEN always ELSE start_earliest END AS valid_from_earliest,
    CASE WHEN timeless THEN always ELSE start_latest END AS valid_from_latest,
    start_precision AS valid_from_precision,
    to_earliest AS valid_to_earliest, to_latest AS valid_to_latest,
    CASE WHEN ending IN ('stated', 'last_day') THEN end_precision END AS valid_to_precision,
    e.kind AS valid_to_kind, e.inferred AS end_inferred,
    coalesce(e.reason, CASE WHEN death_earliest = cap_earliest OR ending = 'gone' AND died_some_day THEN 'death'
        ELSE 'abolition' END) AS end_reason,
    rank, CAST(1 AS TINYINT) AS confidence, statement_ids
FROM dated JOIN endings e USING (ending), settings
"""
