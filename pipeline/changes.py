"""What changed between two dates: modifications (o -> o'), injections (nobody -> o') and updates (unknown -> o').

Only values that are certain on the day count, of timelines that are single-valued in fact; every (subject,
relation) that could have changed and is not certain on one of the two days becomes a rejection with its reason.
That Wikidata names nobody for a day is no proof that there was nobody: only what began later, or a stated vacancy, is.
Terms: CHRONOEDIT (Ge et al. 2024), section 3; DESIGN "The meaning of time". `pipeline.snapshots.compare` tells changes
from corrections between two snapshots.
"""

from __future__ import annotations

import datetime

import pyarrow as pa

from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.pipeline.timelines.build import HANDOVER_DAYS, create_overlaps
from chronofacts.schemas import tables
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.dates import check_dates

__all__ = ["CHANGES", "find_changes"]

_KNOWN = """kind before relation subject old_object new_object object_kind object_unit changed_on_earliest
    changed_on_latest changed_on_precision confidence statement_ids"""
CHANGES = pa.schema([tables.EDITS.field(name) for name in _KNOWN.split()])
"""The columns of `edits` that are known before there are words."""


def find_changes(
    timelines: Tabular,
    values_since: Tabular,
    values_as_of: Tabular,
    statements: Tabular,
    catalogue: Catalogue,
    since: datetime.date,
    as_of: datetime.date,
    *,
    entities: Tabular,
) -> tuple[pa.Table, pa.Table]:
    """(`CHANGES`, `REJECTIONS`) between two days, for the single-valued relations of the catalogue.

    timelines: `TIMELINES`; values_*: `values_at` of the two days, cross-checked or not; statements:
    `STATEMENTS`, for the units of literal values; entities: `ENTITIES`, for when the subjects began.
    Raises BadInput when since is not before as_of.
    """
    check_dates(since, as_of)
    ids = [r.id for r in catalogue.relations if r.single_valued and r.undated != "always"]
    single = pa.table({"relation": pa.array(ids, pa.string())})
    with connect() as connection:
        register(connection, timelines=timelines, statements=statements, entities=entities, single_valued=single)
        register(connection, values_since=values_since, values_as_of=values_as_of)
        create_overlaps(connection, as_of)
        connection.execute(PAIRED)
        connection.execute("SET VARIABLE since = $1::DATE", [since])
        connection.execute(BEGUN)
        connection.execute(INTERRUPTED)
        changes = connection.sql(f"{CHANGED} ORDER BY relation, subject").to_arrow_table()
        rejections = connection.sql(REJECTED).to_arrow_table()
    return changes.cast(CHANGES), rejections.cast(tables.REJECTIONS)


PAIRED = """
CREATE OR REPLACE TEMP TABLE paired AS
SELECT coalesce(b.relation, a.relation) AS relation, coalesce(b.subject, a.subject) AS subject,
    b.object AS old_object, a.object AS new_object, a.object_kind AS object_kind,
    coalesce(b.certainty, 'nothing') AS before, coalesce(a.certainty, 'nothing') AS after,
    a.ordinal AS new_ordinal, a.confidence,
    coalesce(b.statement_ids, []) AS old_ids, coalesce(a.statement_ids, []) AS new_ids,
    CASE WHEN r.relation IS NOT NULL THEN 'plural_relation' WHEN d.multi_valued THEN 'not_single_valued'
        END AS multi_valued
FROM (SELECT * FROM values_since SEMI JOIN single_valued USING (relation)) b
FULL JOIN (SELECT * FROM values_as_of SEMI JOIN single_valued USING (relation)) a
    ON a.relation = b.relation AND a.subject = b.subject
LEFT JOIN overlapping_holders d
    ON d.relation = coalesce(b.relation, a.relation) AND d.subject = coalesce(b.subject, a.subject)
LEFT JOIN multi_valued_relations r ON r.relation = coalesce(b.relation, a.relation)
-- What is the same for certain on both days is no change and needs no reason; that nobody holds it, too.
WHERE NOT (before = 'certain' AND after = 'certain' AND old_object = new_object)
    AND NOT (before = 'vacant' AND after = 'vacant')
"""

# The new value began where its holder's unbroken run of spans begins: a re-election is no change, a return after a
# time without him is one, whoever came in between.
BEGUN = f"""
CREATE OR REPLACE TEMP TABLE begun AS
WITH candidates AS (
    SELECT * FROM paired WHERE after = 'certain' AND before IN ('certain', 'vacant', 'nothing') AND multi_valued IS NULL
),
runs AS (
    SELECT c.relation, c.subject, max(t.ordinal) AS last_other
    FROM candidates c JOIN timelines t ON t.relation = c.relation AND t.subject = c.subject
        AND t.ordinal < c.new_ordinal AND t.object IS DISTINCT FROM c.new_object
    GROUP BY c.relation, c.subject
),
terms AS (
    SELECT c.relation, c.subject, t.* EXCLUDE (relation, subject),
        t.valid_from_earliest - max(coalesce(t.valid_to_latest, DATE 'infinity')) OVER (
            PARTITION BY c.relation, c.subject ORDER BY t.ordinal ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) > {HANDOVER_DAYS} AS returned
    FROM candidates c JOIN timelines t ON t.relation = c.relation AND t.subject = c.subject
        AND t.object = c.new_object AND t.ordinal <= c.new_ordinal
),
returns AS (SELECT relation, subject, max(ordinal) AS last_return FROM terms WHERE returned GROUP BY ALL)
SELECT c.*,
    min(t.valid_from_earliest) AS changed_on_earliest,
    min(t.valid_from_latest) AS changed_on_latest,
    min_by(t.valid_from_precision, t.ordinal) AS changed_on_precision
FROM candidates c
LEFT JOIN runs r ON r.relation = c.relation AND r.subject = c.subject
LEFT JOIN returns b ON b.relation = c.relation AND b.subject = c.subject
LEFT JOIN terms t ON t.relation = c.relation AND t.subject = c.subject
    AND t.ordinal > coalesce(r.last_other, -1) AND t.ordinal >= coalesce(b.last_return, 0)
    AND t.valid_from_earliest > getvariable('since')
GROUP BY ALL
"""

# Who is named again so soon after his last term was perhaps never away: whether he held it at since is uncertain.
INTERRUPTED = f"""
CREATE OR REPLACE TEMP TABLE interrupted AS
SELECT DISTINCT b.relation, b.subject
FROM begun b JOIN timelines t ON t.relation = b.relation AND t.subject = b.subject AND t.object = b.new_object
WHERE b.before = 'nothing' AND t.valid_to_latest <= getvariable('since')
    AND b.changed_on_earliest - t.valid_to_latest <= {HANDOVER_DAYS}
"""

CHANGED = """
SELECT CASE known WHEN 'known' THEN 'modification' WHEN 'nobody' THEN 'injection' ELSE 'update' END AS kind,
    known AS before, relation, subject,
    old_object, new_object, object_kind, u.object_unit,
    changed_on_earliest, changed_on_latest, changed_on_precision, confidence,
    list_sort(list_distinct(list_concat(old_ids, new_ids))) AS statement_ids
FROM (
    SELECT begun.*, CASE WHEN old_object IS NOT NULL THEN 'known'
        WHEN before = 'vacant' OR e.began_earliest > getvariable('since') THEN 'nobody' ELSE 'unknown' END AS known
    FROM begun ANTI JOIN interrupted USING (relation, subject)
    LEFT JOIN entities e ON e.qid = begun.subject
) begun
-- The unit of a number and the language of a text come from the newest statement that says the value.
LEFT JOIN (SELECT statement_id, object_unit FROM statements WHERE object_kind IN ('quantity', 'string')) u
    ON u.statement_id = begun.new_ids[1]
WHERE changed_on_earliest IS NOT NULL
"""

REJECTED = """
SELECT CASE WHEN multi_valued IS NOT NULL THEN 'timelines' WHEN 'disputed' IN (before, after) THEN 'crosscheck'
        ELSE 'changes' END AS stage,
    CASE
        WHEN multi_valued IS NOT NULL THEN multi_valued
        WHEN 'disputed' IN (before, after) THEN 'sources_disagree'
        WHEN before IN ('ambiguous', 'unknown') THEN 'uncertain_at_since'
        WHEN after IN ('ambiguous', 'unknown') THEN 'uncertain_at_as_of'
        -- That nobody is named is a hole of Wikidata, on whichever of the days it is.
        WHEN before = 'nothing' THEN 'uncertain_at_since'
        WHEN before = 'vacant' THEN 'uncertain_at_as_of'
        ELSE 'ended_without_successor'
    END AS reason,
    subject, relation, list_sort(list_distinct(list_concat(old_ids, new_ids))) AS ids,
    concat('at since: ', coalesce(old_object, before), '; at as_of: ', coalesce(new_object, after)) AS detail
FROM paired
WHERE multi_valued IS NOT NULL OR NOT (after = 'certain' AND before IN ('certain', 'vacant', 'nothing'))
UNION ALL
SELECT 'changes', 'uncertain_change_date', subject, relation, new_ids,
    concat(new_object, ' holds at as_of, but may have begun before since')
FROM begun WHERE changed_on_earliest IS NULL
UNION ALL
SELECT 'changes', 'uncertain_at_since', b.subject, b.relation, list_sort(list_distinct(list_concat(old_ids, new_ids))),
    concat(b.new_object, ' held it until shortly before since, and again after it')
FROM begun b SEMI JOIN interrupted USING (relation, subject)
"""
