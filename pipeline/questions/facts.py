"""Facts on both dates: the edits that may be asked, and everything that is certainly the same before and after.

All later steps walk over `facts` alone, so that every question is true under *all* edits of the set.
Leaves out: words (`pipeline.questions.templates`) and choice (`pipeline.questions.multi_hop`,
`pipeline.questions.locality`).
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import creates

__all__ = [
    "DATED_DEPARTURES",
    "DEPARTURES",
    "EDITS",
    "FACTS",
    "IN_DOUBT",
    "JUDGED_CHANGES",
    "REJECTIONS",
    "SHARED_NAMES",
]

BACK_WITHIN_DAYS = 31
"""Who holds it again so soon did not leave."""
NEAR_DAYS = 7
"""Who left two things within so few days is not known by the day."""

# Who left what on which day, where the day tells which: nothing else of theirs may have ended on it, they did not go
# on or come back within a month, and they did not die.
DATED_DEPARTURES = creates("dated_departures", reads="timelines relation_facts names")(f"""
WITH spans AS (
    SELECT r.relation, t.object AS subject, t.subject AS object, t.valid_from_earliest AS from_earliest,
        t.valid_to_earliest AS to_earliest, t.valid_to_latest AS to_latest,
        t.valid_to_kind IN ('none', 'open') AS lasting,
        t.end_reason = 'stated' AND t.valid_to_precision = 11 AND t.valid_to_earliest = t.valid_to_latest
            AND t.valid_to_latest < getvariable('since') AS dated
    FROM timelines t
    JOIN relation_facts r ON r.ends_of = t.relation
    JOIN names n ON n.id = t.object AND n.kind = 'item' AND n.reason IS NULL
    WHERE t.object_kind = 'item'
)
SELECT d.relation, d.subject, d.object, d.to_earliest AS day
FROM spans d
JOIN names n ON n.id = d.subject AND n.kind = 'item'
JOIN spans o ON o.relation = d.relation AND o.subject = d.subject
WHERE d.dated AND alive_on(n, d.to_earliest)
GROUP BY ALL
-- The span itself is one of those that ended on the day.
HAVING count(*) FILTER (NOT o.lasting AND coalesce(o.to_earliest <= d.to_earliest, true)
        AND coalesce(o.to_latest >= d.to_earliest, true)) = 1
    AND count(*) FILTER (o.object = d.object AND coalesce(o.to_latest > d.to_earliest, true)
        AND coalesce(o.from_earliest <= d.to_earliest + {BACK_WITHIN_DAYS}, true)) = 0
""")

# The timelines draw one end of several statements; by the statements, too, nothing else may have ended near the day.
DEPARTURES = creates("departures", reads="dated_departures statements relation_facts", drops="dated_departures")(f"""
WITH ended AS (
    SELECT r.relation, CASE WHEN r.inverse THEN s.object ELSE s.subject END AS subject,
        CASE WHEN r.inverse THEN s.subject ELSE s.object END AS object, s.end_earliest, s.end_latest
    FROM statements s JOIN relation_facts r ON r.property = s.property AND r.ends_of IS NOT NULL
    WHERE s.rank <> 'deprecated' AND s.end_kind IN ('known', 'unknown')
),
unsure AS (
    SELECT d.* FROM dated_departures d JOIN ended e ON e.relation = d.relation AND e.subject = d.subject
    WHERE CASE WHEN e.object = d.object
        THEN coalesce(e.end_earliest <= d.day AND e.end_latest >= d.day, true)
            AND NOT coalesce(e.end_earliest = e.end_latest, false)
        ELSE coalesce(e.end_earliest <= d.day + {NEAR_DAYS} AND e.end_latest >= d.day - {NEAR_DAYS}, true) END
)
FROM dated_departures ANTI JOIN unsure USING (relation, subject, object, day)
""")

# Two subjects of one name in one relation cannot be told apart by a question.
SHARED_NAMES = creates("shared_names", reads="values_since values_as_of changes departures names")("""
WITH subjects AS (
    SELECT DISTINCT relation, subject FROM (
        SELECT relation, subject FROM values_since UNION ALL SELECT relation, subject FROM values_as_of
        UNION ALL SELECT relation, subject FROM changes UNION ALL SELECT relation, subject FROM departures)
)
SELECT relation, n.words, count(*) AS subjects
FROM subjects s JOIN names n ON n.id = s.subject AND n.kind = 'item' AND n.words IS NOT NULL
GROUP BY relation, n.words HAVING count(*) > 1
""")

# The changes with the reason for which one becomes no edit, or null. A city and its office may ask one question:
# "Who is the mayor of Prague?" twin: the earlier relation that says the same; the change shares its fate, since it is
# no less ambiguous or contradicted for being asked in other words.
JUDGED_CHANGES = creates("judged_changes", reads="changes names templates relation_facts shared_names")("""
WITH prompts AS (
    SELECT c.relation, c.subject, plain_words(sentence(t.form, named_subject(r.article, s), s.label, '', '')) AS words
    FROM changes c JOIN relation_facts r USING (relation) JOIN names s ON s.id = c.subject AND s.kind = 'item'
    JOIN templates t ON t.relation = c.relation AND t.use = 'now' AND t.number = 0
),
judged AS (
    SELECT c.*, p.words AS asked,
        content_id(CAST(to_json([c.relation, c.subject, c.old_object, c.new_object,
            CAST(c.changed_on_earliest AS VARCHAR)]) AS VARCHAR)) AS edit_id,
        CASE
            WHEN s.reason = 'no_label' OR n.reason = 'no_label' OR o.reason = 'no_label' THEN 'no_label'
            WHEN 'unusable_label' IN (s.reason, n.reason, o.reason) THEN 'unusable_label'
            WHEN 'foreign_title' IN (s.reason, n.reason, o.reason) THEN 'foreign_title'
            WHEN same_name(o, n) THEN 'same_name'
            WHEN shared.words IS NOT NULL THEN 'ambiguous_name'
            WHEN c.object_kind NOT IN ('string', 'year') AND (gives_away(s, n) OR coalesce(gives_away(s, o), false))
                OR contains(p.words, n.words) OR coalesce(contains(p.words, o.words), false)
                THEN 'answer_in_question'
        END AS reason,
        s.label AS subject_label, o.label AS old_label, n.label AS new_label, duplicate.relation AS twin
    FROM changes c
    JOIN relation_facts r USING (relation)
    JOIN names s ON s.id = c.subject AND s.kind = 'item'
    JOIN names n ON n.id = c.new_object AND n.kind = c.object_kind
    LEFT JOIN names o ON o.id = c.old_object AND o.kind = c.object_kind
    JOIN prompts p ON p.relation = c.relation AND p.subject = c.subject
    LEFT JOIN shared_names shared ON shared.relation = c.relation AND shared.words = s.words
    LEFT JOIN changes duplicate ON duplicate.relation = r.duplicate_of AND duplicate.subject = c.subject
        AND duplicate.new_object = c.new_object AND duplicate.old_object IS NOT DISTINCT FROM c.old_object
),
compared AS MATERIALIZED (
    SELECT * EXCLUDE (asked) REPLACE (CASE
        WHEN reason IS NOT NULL OR twin IS NOT NULL THEN reason
        WHEN min(new_object) OVER same_question <> max(new_object) OVER same_question THEN 'contradicting_answers'
        WHEN row_number() OVER (same_question ORDER BY relation, subject) > 1 THEN 'said_twice' END AS reason)
    FROM judged WINDOW same_question AS (PARTITION BY reason IS NULL AND twin IS NULL, asked)
)
SELECT c.* EXCLUDE (twin) REPLACE (CASE
    WHEN c.twin IS NULL THEN c.reason
    WHEN t.reason IS NULL OR t.reason = 'said_twice' THEN 'said_twice'
    ELSE coalesce(c.reason, t.reason) END AS reason)
FROM compared c LEFT JOIN compared t ON t.relation = c.twin AND t.subject = c.subject
""")

REJECTIONS = creates("rejections", reads="judged_changes stages")("""
SELECT stages.stage, reason, subject, relation, [edit_id] AS ids,
    concat('subject: ', coalesce(subject_label, subject), '; from ', coalesce(old_label, old_object, 'nothing'),
        ' to ', coalesce(new_label, new_object)) AS detail
FROM judged_changes JOIN stages USING (reason)
""")

# part: the part of the edits with which it is put into words.
EDITS = creates("edits", reads="judged_changes", drops="judged_changes")("""
SELECT * EXCLUDE (reason), draw_for(edit_id) AS draw, CAST(draw % getvariable('parts') AS INTEGER) AS part,
    -- By subject, so that no edited entity is in both splits.
    draw_for(concat('split/', subject)) % 1000 < getvariable('train_per_mille') AS train
FROM judged_changes WHERE reason IS NULL
""")

# Who holds an office in which people often leave their party, or let it rest, may have none. A table of its own: it is
# small, and a join that does not know that keeps all facts in memory.
IN_DOUBT = creates("in_doubt", reads="relation_facts values_since values_as_of")("""
SELECT r.relation, v.object AS subject
FROM relation_facts r JOIN (FROM values_since UNION ALL BY NAME FROM values_as_of) v ON v.relation = r.in_doubt_for
EXCEPT SELECT r.relation, v.object
FROM relation_facts r JOIN (FROM values_since UNION ALL BY NAME FROM values_as_of) v ON v.relation = r.certain_for
""")

# One row per (subject, relation) with its object before and after; of who left what, one row per day.
FACTS = creates(
    "facts",
    reads="values_as_of values_since relation_facts edits departures names shared_names in_doubt",
    drops="departures shared_names in_doubt",
)("""
WITH stable AS (
    SELECT a.subject, a.relation, a.object AS before, a.object AS after, a.object_kind, NULL AS edit_id,
        NULL::DATE AS day
    FROM values_as_of a JOIN values_since b USING (subject, relation)
    WHERE a.certainty = 'certain' AND b.certainty = 'certain' AND a.object = b.object
),
all_facts AS (
    SELECT s.* FROM stable s JOIN relation_facts r USING (relation)
    ANTI JOIN stable duplicate ON duplicate.relation = r.duplicate_of AND duplicate.subject = s.subject
        AND duplicate.after = s.after
    ANTI JOIN in_doubt d ON d.relation = s.relation AND d.subject = s.subject
    UNION ALL
    SELECT subject, relation, old_object, new_object, object_kind, edit_id, NULL FROM edits
    UNION ALL
    SELECT subject, relation, object, object, 'item', NULL, day FROM departures
),
-- What the names tell is worked out before the facts are numbered, so that no names are sorted with them.
described AS MATERIALIZED (
    SELECT f.*, r.for_ever, shared.words IS NULL AS nameable,
        f.edit_id IS NULL AND (gives_away(s, o) OR shared.words IS NOT NULL) AS unaskable,
        r.for_ever OR alive_on(s, getvariable('since')) AS alive_before,
        r.for_ever OR alive_on(s, getvariable('as_of')) AS alive_after,
        draw_for(concat_ws('/', f.relation, f.subject, CAST(f.day AS VARCHAR))) AS draw
    FROM all_facts f
    JOIN relation_facts r USING (relation)
    JOIN (SELECT id, words, telling, ended_kind, ended_earliest FROM names WHERE kind = 'item' AND reason IS NULL) s
        ON s.id = f.subject
    JOIN names o ON o.id = f.after AND o.kind = f.object_kind AND o.reason IS NULL
    LEFT JOIN shared_names shared ON shared.relation = f.relation AND shared.words = s.words
    WHERE f.edit_id IS NOT NULL OR alive_before
)
SELECT CAST(row_number() OVER (ORDER BY relation, subject, day) AS INTEGER) AS fact_id, * FROM described
""")
