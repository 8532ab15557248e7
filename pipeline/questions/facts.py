"""Facts on both dates: the edits that may be asked, and everything that is certainly the same before and after.

`create_facts` makes `accepted` (the changes that become edits), `facts` (edits and stable facts, one row per
(subject, relation) with its object before and after; of who left what, one row per day) and `question_rejections`.
All later stages walk over `facts` alone, so that every question is true under *all* edits of the set.
Leaves out: words (`pipeline.questions.templates`) and choice (`pipeline.questions.multi_hop`,
`pipeline.questions.locality`).
"""

from __future__ import annotations

import datetime

import duckdb

from chronofacts.schemas.reasons import REASONS

__all__ = ["create_facts"]


def create_facts(
    connection: duckdb.DuckDBPyConnection, since: datetime.date, as_of: datetime.date, seed: int, train_share: float
) -> None:
    """Create `accepted`, `departures`, `facts`, `shared_names` and `question_rejections`.

    Reads `changes`, `timelines`, `statements`, `values_since`, `values_as_of`, `names`, `relation_facts`, the macros.
    """
    connection.execute("SET VARIABLE since = $1::DATE", [since])
    connection.execute("SET VARIABLE as_of = $1::DATE", [as_of])
    connection.execute("SET VARIABLE seed = $1::VARCHAR", [str(seed)])
    connection.execute("SET VARIABLE train_per_mille = $1::INTEGER", [round(train_share * 1000)])
    stages = ", ".join(f"('{code}', '{stage}')" for code, (stage, _) in REASONS.items())
    connection.execute(f"CREATE TEMP TABLE stages AS SELECT * FROM (VALUES {stages}) AS s(reason, stage)")
    for macro in MACROS:
        connection.execute(macro)
    for step in (DEPARTURES, UNSURE_DEPARTURES, SHARED_NAMES, JUDGED, ACCEPTED, FACTS, REJECTIONS):
        connection.execute(step)
    connection.execute("DROP TABLE judged")


BACK_WITHIN_DAYS = 31
"""Who holds it again so soon did not leave."""
NEAR_DAYS = 7
"""Who left two things within so few days is not known by the day."""

MACROS = (
    # The same draw for the same seed and key, on every machine and with any number of threads.
    "CREATE TEMP MACRO drawn(key) AS md5_number_lower(concat(getvariable('seed'), '/', key))",
    "CREATE TEMP MACRO content_id(parts) AS left(sha256(parts), 16)",
    # A name that is part of the other, or shares so many telling words that it can be guessed from it.
    """CREATE TEMP MACRO gives_away(said, answer) AS contains(said.words, answer.words)
        OR len(list_filter(answer.alias_words, lambda a: length(a) > 5 AND contains(said.words, a))) > 0
        OR (len(answer.telling) > 0 AND len(list_intersect(said.telling, answer.telling)) * 2
            >= len(answer.telling) + CASE WHEN answer.human THEN 1 ELSE 0 END)""",
    """CREATE TEMP MACRO same_name(one, other) AS one.words = other.words
        OR list_contains(other.alias_words, one.words) OR list_contains(one.alias_words, other.words)
        OR list_has_any(one.alias_words, other.alias_words)""",
    "CREATE TEMP MACRO alive_on(name, day) AS name.ended_kind = 'absent' OR coalesce(name.ended_earliest > day, false)",
    """CREATE TEMP MACRO named_subject(article, name) AS CASE article
        WHEN 'the' THEN with_the(name.label) WHEN 'none' THEN name.label ELSE name.shown END""",
)

# Who left what on which day, where the day tells which: nothing else of theirs may have ended on it, they did not go
# on or come back within a month, and they did not die.
DEPARTURES = f"""
CREATE TEMP TABLE departures AS
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
"""

# The timelines draw one end of several statements; by the statements, too, nothing else may have ended near the day.
UNSURE_DEPARTURES = f"""
DELETE FROM departures USING (
    SELECT r.relation, CASE WHEN r.inverse THEN s.object ELSE s.subject END AS subject,
        CASE WHEN r.inverse THEN s.subject ELSE s.object END AS object, s.end_earliest, s.end_latest
    FROM statements s JOIN relation_facts r ON r.property = s.property AND r.ends_of IS NOT NULL
    WHERE s.rank <> 'deprecated' AND s.end_kind IN ('known', 'unknown')
) ended
WHERE ended.relation = departures.relation AND ended.subject = departures.subject
    AND CASE WHEN ended.object = departures.object
        THEN coalesce(ended.end_earliest <= departures.day AND ended.end_latest >= departures.day, true)
            AND NOT coalesce(ended.end_earliest = ended.end_latest, false)
        ELSE coalesce(ended.end_earliest <= departures.day + {NEAR_DAYS}
            AND ended.end_latest >= departures.day - {NEAR_DAYS}, true) END
"""

# Two subjects of one name in one relation cannot be told apart by a question.
SHARED_NAMES = """
CREATE TEMP TABLE shared_names AS
WITH asked AS (
    SELECT DISTINCT relation, subject FROM (
        SELECT relation, subject FROM values_since UNION ALL SELECT relation, subject FROM values_as_of
        UNION ALL SELECT relation, subject FROM changes UNION ALL SELECT relation, subject FROM departures)
)
SELECT relation, n.words, count(*) AS subjects
FROM asked JOIN names n ON n.id = asked.subject AND n.kind = 'item' AND n.words IS NOT NULL
GROUP BY relation, n.words HAVING count(*) > 1
"""

JUDGED = """
CREATE TEMP TABLE judged AS
WITH asked AS (
    SELECT c.relation, c.subject, worded(w.form, s.label, s.label, '', '') AS text
    FROM changes c JOIN names s ON s.id = c.subject AND s.kind = 'item'
    JOIN wordings w ON w.relation = c.relation AND w.use = 'now' AND w.number = 0
)
SELECT c.*,
    content_id(CAST(to_json([c.relation, c.subject, c.old_object, c.new_object,
        CAST(c.changed_on_earliest AS VARCHAR)]) AS VARCHAR)) AS edit_id,
    CASE
        WHEN s.reason = 'no_label' OR n.reason = 'no_label' OR o.reason = 'no_label' THEN 'no_label'
        WHEN 'unusable_label' IN (s.reason, n.reason, o.reason) THEN 'unusable_label'
        WHEN 'foreign_title' IN (s.reason, n.reason, o.reason) THEN 'foreign_title'
        WHEN same_name(o, n) THEN 'same_name'
        WHEN twin.subject IS NOT NULL THEN 'said_twice'
        WHEN shared.words IS NOT NULL THEN 'ambiguous_name'
        WHEN c.object_kind NOT IN ('string', 'year') AND (gives_away(s, n) OR coalesce(gives_away(s, o), false))
            OR contains(plain_words(w.text), n.words) OR coalesce(contains(plain_words(w.text), o.words), false)
            THEN 'answer_in_question'
    END AS reason,
    s.label AS subject_label, o.label AS old_label, n.label AS new_label
FROM changes c
JOIN relation_facts r USING (relation)
JOIN names s ON s.id = c.subject AND s.kind = 'item'
JOIN names n ON n.id = c.new_object AND n.kind = c.object_kind
LEFT JOIN names o ON o.id = c.old_object AND o.kind = c.object_kind
JOIN asked w ON w.relation = c.relation AND w.subject = c.subject
LEFT JOIN shared_names shared ON shared.relation = c.relation AND shared.words = s.words
LEFT JOIN changes twin ON twin.relation = r.twin AND twin.subject = c.subject AND twin.new_object = c.new_object
    AND twin.old_object IS NOT DISTINCT FROM c.old_object
"""

ACCEPTED = """
CREATE TEMP TABLE accepted AS
SELECT * EXCLUDE (reason), drawn(edit_id) AS draw,
    -- By subject, so that no edited entity is in both splits.
    drawn(concat('split/', subject)) % 1000 < getvariable('train_per_mille') AS train
FROM judged WHERE reason IS NULL
"""

FACTS = """
CREATE TEMP TABLE facts AS
WITH stable AS (
    SELECT a.subject, a.relation, a.object AS before, a.object AS after, a.object_kind, NULL AS edit_id,
        NULL::DATE AS day
    FROM values_as_of a JOIN values_since b USING (subject, relation)
    WHERE a.certainty = 'certain' AND b.certainty = 'certain' AND a.object = b.object
),
all_facts AS (
    SELECT s.* FROM stable s JOIN relation_facts r USING (relation)
    ANTI JOIN stable twin ON twin.relation = r.twin AND twin.subject = s.subject AND twin.after = s.after
    UNION ALL
    SELECT subject, relation, old_object, new_object, object_kind, edit_id, NULL FROM accepted
    UNION ALL
    SELECT subject, relation, object, object, 'item', NULL, day FROM departures
),
-- What the names tell is worked out before the facts are numbered, so that no names are sorted with them.
told AS MATERIALIZED (
    SELECT f.*, r.for_ever, shared.words IS NULL AS nameable,
        f.edit_id IS NULL AND (gives_away(s, o) OR shared.words IS NOT NULL) AS unaskable,
        r.for_ever OR alive_on(s, getvariable('since')) AS alive_before,
        r.for_ever OR alive_on(s, getvariable('as_of')) AS alive_after,
        drawn(concat_ws('/', f.relation, f.subject, CAST(f.day AS VARCHAR))) AS draw
    FROM all_facts f
    JOIN relation_facts r USING (relation)
    JOIN (SELECT id, words, telling, ended_kind, ended_earliest FROM names WHERE kind = 'item' AND reason IS NULL) s
        ON s.id = f.subject
    JOIN names o ON o.id = f.after AND o.kind = f.object_kind AND o.reason IS NULL
    LEFT JOIN shared_names shared ON shared.relation = f.relation AND shared.words = s.words
    WHERE f.edit_id IS NOT NULL OR alive_before
)
SELECT CAST(row_number() OVER (ORDER BY relation, subject, day) AS INTEGER) AS fact_id, * FROM told
"""

REJECTIONS = """
CREATE TEMP TABLE question_rejections AS
SELECT stages.stage, reason, subject, relation, [edit_id] AS ids,
    concat('subject: ', coalesce(subject_label, subject), '; from ', coalesce(old_label, old_object, 'nothing'),
        ' to ', coalesce(new_label, new_object)) AS detail
FROM judged JOIN stages USING (reason)
"""
