"""What joined and what left between two dates, of relations that hold several values at once.

A value joined when it certainly did not hold at since, certainly holds at as_of and its unbroken run of spans began
in between; it left when it certainly held, certainly does no longer and a statement says when it ended. What
certainly holds on both days stays. Of one value every statement counts that may be about it, also one that cannot be
an answer (`blocked`: restricted, damaged, young); a statement about another value does not. The other values of a
set need not be certain: what is not known of them makes the set less than whole, and is a rejection.
Nothing leaves by ceasing to exist: neither the end of a country is a change, nor that of a union in which it was. Of a
subject that had certainly ended at since nothing is told; of one that ended later, or may have, why it makes no edit.
Leaves out: single-valued relations (`pipeline.changes`) and words (`pipeline.questions.sets`).
"""

from __future__ import annotations

import datetime

import pyarrow as pa

from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas import tables
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.dates import check_dates
from chronofacts.schemas.tables import field

__all__ = ["MEMBERS", "find_memberships"]

MEMBERS = pa.schema(
    [
        tables.EDITS.field("relation"),
        tables.EDITS.field("subject"),
        field("object", pa.string(), "QID or literal of one value"),
        tables.EDITS.field("object_kind"),
        field("role", pa.string(), "joined (after since), left (by as_of) or stays (holds on both days)"),
        field("whole", pa.bool_(), "true when of no other value of the set it is open whether it holds on either day"),
        tables.EDITS.field("changed_on_earliest"),
        tables.EDITS.field("changed_on_latest"),
        tables.EDITS.field("changed_on_precision"),
        tables.EDITS.field("confidence"),
        tables.EDITS.field("statement_ids"),
    ]
)
"""One row per certain value of a set that changed, and of whole sets of several values that did not."""


def find_memberships(
    timelines: Tabular,
    statements: Tabular,
    entities: Tabular,
    catalogue: Catalogue,
    since: datetime.date,
    as_of: datetime.date,
) -> tuple[pa.Table, pa.Table]:
    """(`MEMBERS`, `REJECTIONS`) between two days, for the many-valued relations of the catalogue that may change.

    timelines: `TIMELINES`; statements: `STATEMENTS`, for the values of spans that lost theirs; entities: `ENTITIES`.
    One rejection per set and reason. Raises BadInput when since is not before as_of.
    """
    check_dates(since, as_of)
    rows = [{"relation": r.id, "inverse": r.inverse} for r in catalogue.relations if r.may_change_in_part()]
    many = pa.Table.from_pylist(rows, pa.schema({"relation": pa.string(), "inverse": pa.bool_()}))
    with connect() as connection:
        register(connection, timelines=timelines, statements=statements, entities=entities, many_valued=many)
        connection.execute("SET VARIABLE since = $1::DATE", [since])
        connection.execute("SET VARIABLE as_of = $1::DATE", [as_of])
        for step in (*MACROS, MEMBER_SPANS, STANDING, RUNS, ROLES):
            connection.execute(step)
        members = connection.sql(MEMBER_ROWS).to_arrow_table()
        rejections = connection.sql(REJECTION_ROWS).to_arrow_table()
    return members.cast(MEMBERS), rejections.cast(tables.REJECTIONS)


MACROS = (
    """CREATE TEMP MACRO holds(from_latest, to_earliest, to_kind, day) AS coalesce(from_latest <= day, false)
        AND CASE WHEN to_earliest IS NOT NULL THEN to_earliest > day ELSE to_kind IN ('none', 'open') END""",
    "CREATE TEMP MACRO holds_not(from_earliest, to_latest, day) AS"
    " coalesce(from_earliest > day, false) OR coalesce(to_latest <= day, false)",
    "CREATE TEMP MACRO perhaps_gone(kind, earliest, day) AS coalesce(kind, 'absent') <> 'absent'"
    " AND coalesce(earliest <= day, true)",
    # A known end without a day lies before year 1.
    "CREATE TEMP MACRO gone(kind, latest, day) AS coalesce(kind = 'known', false) AND coalesce(latest <= day, true)",
)

# A blocked span has no object in the timelines; its statements still name the value that they may be about.
MEMBER_SPANS = """
CREATE TEMP TABLE member_spans AS
WITH spans AS (
    SELECT t.*, m.inverse FROM timelines t JOIN many_valued m USING (relation)
),
blocked AS (SELECT *, unnest(statement_ids) AS statement_id FROM spans WHERE object_kind = 'blocked')
SELECT relation, subject, object, object_kind, ordinal, valid_from_earliest, valid_from_latest, valid_from_precision,
    valid_to_earliest, valid_to_latest, valid_to_precision, valid_to_kind, end_reason, confidence, statement_ids,
    false AS blocked
FROM spans WHERE object IS NOT NULL
UNION ALL
SELECT b.relation, b.subject, CASE WHEN b.inverse THEN s.subject ELSE s.object END,
    CASE WHEN b.inverse THEN 'item' ELSE s.object_kind END, b.ordinal, b.valid_from_earliest, b.valid_from_latest,
    b.valid_from_precision, b.valid_to_earliest, b.valid_to_latest, b.valid_to_precision, b.valid_to_kind,
    b.end_reason, b.confidence, [b.statement_id], true
FROM blocked b JOIN statements s USING (statement_id)
WHERE (b.inverse OR s.object IS NOT NULL)
"""

STANDING = """
CREATE TEMP TABLE standing AS
WITH days AS (
    SELECT *,
        NOT blocked AND holds(valid_from_latest, valid_to_earliest, valid_to_kind, getvariable('since')) AS before,
        NOT blocked AND holds(valid_from_latest, valid_to_earliest, valid_to_kind, getvariable('as_of')) AS after,
        holds_not(valid_from_earliest, valid_to_latest, getvariable('since')) AS not_before,
        holds_not(valid_from_earliest, valid_to_latest, getvariable('as_of')) AS not_after
    FROM member_spans m LEFT JOIN entities e ON e.qid = m.subject
    WHERE NOT gone(e.ended_kind, e.ended_latest, getvariable('since'))
)
SELECT relation, subject, object, min(object_kind) FILTER (NOT blocked) AS object_kind,
    CASE WHEN bool_or(before) THEN 'yes' WHEN bool_and(not_before) THEN 'no' ELSE 'maybe' END AS at_since,
    CASE WHEN bool_or(after) THEN 'yes' WHEN bool_and(not_after) THEN 'no' ELSE 'maybe' END AS at_as_of,
    max(confidence) FILTER (before OR after) AS confidence,
    list_sort(list_distinct(flatten(list(statement_ids)))) AS statement_ids
FROM days GROUP BY relation, subject, object
-- What certainly held on neither day is of no concern.
HAVING NOT (at_since = 'no' AND at_as_of = 'no')
"""

# Spans of one value that follow each other within a day are one: the day of an end may be the last day in it.
RUNS = """
CREATE TEMP TABLE runs AS
WITH spans AS (
    SELECT m.* FROM member_spans m JOIN standing s USING (relation, subject, object)
    WHERE NOT m.blocked AND s.at_since <> s.at_as_of AND 'maybe' NOT IN (s.at_since, s.at_as_of)
),
reach AS (
    SELECT *, max(coalesce(valid_to_latest, 'infinity'::DATE)) OVER (PARTITION BY relation, subject, object
        ORDER BY ordinal ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
    FROM spans
),
numbered AS (
    SELECT *, count(*) FILTER (reached IS NOT NULL AND reached < 'infinity'::DATE
            AND coalesce(valid_from_earliest > reached + 1, false))
        OVER (PARTITION BY relation, subject, object ORDER BY ordinal) AS run
    FROM reach
)
SELECT relation, subject, object, run,
    bool_and(valid_from_earliest > getvariable('since')) AS began_after,
    min(valid_from_earliest) AS from_earliest, min(valid_from_latest) AS from_latest,
    min_by(valid_from_precision, ordinal) AS from_precision,
    max(valid_to_earliest) AS to_earliest, max(coalesce(valid_to_latest, 'infinity'::DATE)) AS to_latest,
    max_by(valid_to_precision, (coalesce(valid_to_latest, 'infinity'::DATE), end_reason = 'stated')) AS to_precision,
    max_by(end_reason, (coalesce(valid_to_latest, 'infinity'::DATE), end_reason = 'stated')) AS end_reason,
    bool_or(holds(valid_from_latest, valid_to_earliest, valid_to_kind, getvariable('since'))) AS held_at_since,
    bool_or(holds(valid_from_latest, valid_to_earliest, valid_to_kind, getvariable('as_of'))) AS holds_at_as_of
FROM numbered GROUP BY relation, subject, object, run
"""

ROLES = """
CREATE TEMP TABLE roles AS
WITH moved AS (
    SELECT * FROM runs WHERE held_at_since <> holds_at_as_of
    QUALIFY row_number() OVER (PARTITION BY relation, subject, object ORDER BY run) = 1
),
judged AS (
    SELECT s.*, m.* EXCLUDE (relation, subject, object),
        perhaps_gone(e.ended_kind, e.ended_earliest, getvariable('as_of')) AS subject_gone,
        bool_and(s.at_as_of = 'no') OVER (PARTITION BY s.relation, s.subject) AS none_holds,
        CASE
            WHEN s.at_since = 'maybe' THEN 'uncertain_at_since'
            WHEN s.at_as_of = 'maybe' THEN 'uncertain_at_as_of'
            WHEN s.at_since = 'yes' AND s.at_as_of = 'yes' THEN NULL
            WHEN subject_gone THEN (CASE WHEN none_holds THEN 'ended_without_successor' ELSE 'subject_gone' END)
            WHEN s.at_since = 'no' THEN (CASE WHEN m.began_after IS NOT TRUE THEN 'uncertain_change_date' END)
            WHEN m.to_latest IS NULL OR m.to_latest > getvariable('as_of') THEN 'uncertain_at_as_of'
            WHEN m.end_reason <> 'stated'
                OR o.ended_kind <> 'absent' AND coalesce(o.ended_earliest <= m.to_latest, true)
                THEN 'ended_without_successor'
        END AS reason
    FROM standing s LEFT JOIN moved m USING (relation, subject, object)
    LEFT JOIN entities e ON e.qid = s.subject
    LEFT JOIN entities o ON o.qid = s.object AND s.object_kind = 'item'
),
-- Somebody unknown who may hold makes a set less than whole too.
unknown AS (
    SELECT DISTINCT relation, subject FROM timelines SEMI JOIN many_valued USING (relation)
    WHERE object IS NULL AND object_kind <> 'novalue' AND object_kind <> 'blocked'
        AND NOT (holds_not(valid_from_earliest, valid_to_latest, getvariable('since'))
            AND holds_not(valid_from_earliest, valid_to_latest, getvariable('as_of')))
)
SELECT j.*,
    CASE WHEN reason IS NULL AND NOT subject_gone THEN CASE WHEN at_since = 'no' THEN 'joined'
        WHEN at_as_of = 'no' THEN 'left' ELSE 'stays' END END AS role,
    bool_and(reason IS NULL) OVER (PARTITION BY j.relation, j.subject) AND u.subject IS NULL AS whole
FROM judged j LEFT JOIN unknown u ON u.relation = j.relation AND u.subject = j.subject
"""

MEMBER_ROWS = """
SELECT relation, subject, object, object_kind, role, whole,
    CASE role WHEN 'joined' THEN from_earliest WHEN 'left' THEN to_earliest END AS changed_on_earliest,
    CASE role WHEN 'joined' THEN from_latest WHEN 'left' THEN to_latest END AS changed_on_latest,
    -- An end that another statement gave has no precision of its own: the unit in which it lies.
    CASE role WHEN 'joined' THEN from_precision
        WHEN 'left' THEN coalesce(to_precision, CASE WHEN to_earliest = to_latest THEN 11
            WHEN year(to_earliest) < year(to_latest) THEN 8
            WHEN month(to_earliest) < month(to_latest) THEN 9 ELSE 10 END) END AS changed_on_precision,
    coalesce(confidence, 1) AS confidence, statement_ids
FROM roles WHERE role IS NOT NULL
-- A set that did not change is asked about as it is, if it is known whole and is more than one value.
WINDOW set_of AS (PARTITION BY relation, subject)
QUALIFY bool_or(role <> 'stays') OVER set_of OR whole AND count(*) OVER set_of > 1
ORDER BY relation, subject, object
"""

REJECTION_ROWS = """
SELECT 'changes' AS stage, reason, subject, relation,
    list_sort(list_distinct(flatten(list(statement_ids)))) AS ids,
    concat(count(*), ' of the values: ', array_to_string(list_sort(list(concat(object, ' (at since ', at_since,
        ', at as_of ', at_as_of, ')')))[1:5], ', ')) AS detail
FROM roles WHERE reason IS NOT NULL GROUP BY reason, subject, relation
"""
