"""Sets of values that changed: the edits that they become, what is asked of them, and the sets that did not change.

A set is told whole where it has at most `LONGEST_SET` values, and else what joined; a value that has no usable name,
or whose name stands in another value's, is left out of it and says why. All edits of one set share their wordings
and their answer, so that they never contradict each other.
Works on the connection of `pipeline.questions.build`: `create_sets` makes `set_edits`, `set_groups` and `stable_sets`.
Leaves out: what joined and left (`pipeline.memberships`) and the questions (`pipeline.questions.set_questions`).
"""

from __future__ import annotations

import duckdb

__all__ = ["LONGEST_SET", "create_guarded", "create_sets"]

LONGEST_SET = 8
"""Values that a question may expect to be told; nobody names seventy organisations in a breath."""


def create_sets(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `set_edits`, `set_groups`, `stable_sets` and `set_names`, and add to `question_rejections`.

    Reads `members`, `names`, `wordings`, `shared_names`, `relation_facts`, `stages` and the macros.
    set_groups: one row per set that changed, with `edit_ids` and both answers; stable_sets: whole sets that did not.
    """
    connection.execute("SET VARIABLE longest_set = $1::INTEGER", [LONGEST_SET])
    for step in (*MACROS, JUDGED, CLASHES, COUNTED, SET_EDITS, SET_GROUPS, STABLE_SETS, REJECTIONS):
        connection.execute(step)


def create_guarded(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `guarded`: what must not spill over, one row per edit of one value and per set that changed.

    pick: the key of its draws; objects: values that no probe's answer may be; neighbour: the value about which a fact
    may be asked.
    """
    connection.execute(GUARDED)


MACROS = (
    # Names that cannot be told apart in an answer: one is the other, or stands in it.
    """CREATE TEMP MACRO names_overlap(one, other) AS contains(other.words, one.words)
        OR contains(one.words, other.words) OR same_name(one, other)
        OR len(list_filter(one.alias_words, lambda a: contains(other.words, a))) > 0
        OR len(list_filter(other.alias_words, lambda a: contains(one.words, a))) > 0""",
)

JUDGED = """
CREATE TEMP TABLE judged_values AS
WITH asked AS (
    SELECT m.relation, m.subject, worded(w.form, s.label, s.label, '', '') AS text
    FROM (SELECT DISTINCT relation, subject FROM members) m
    JOIN names s ON s.id = m.subject AND s.kind = 'item'
    JOIN wordings w ON w.relation = m.relation AND w.use = 'all_now' AND w.number = 0
)
SELECT m.*, s.label AS subject_label, o.label, o.aliases, o.shown, o.words, o.alias_words, o.fell_back,
    CASE
        WHEN s.reason = 'no_label' OR o.reason = 'no_label' THEN 'no_label'
        WHEN s.reason IS NOT NULL OR o.reason IS NOT NULL THEN 'unusable_label'
        WHEN shared.words IS NOT NULL THEN 'ambiguous_name'
        -- A shared word gives nothing away: that the United States are in the United Nations is to be known.
        WHEN contains(plain_words(w.text), o.words)
            OR len(list_filter(o.alias_words, lambda a: length(a) > 5 AND contains(s.words, a))) > 0
            THEN 'answer_in_question'
    END AS reason
FROM members m
JOIN names s ON s.id = m.subject AND s.kind = 'item'
JOIN names o ON o.id = m.object AND o.kind = m.object_kind
JOIN asked w ON w.relation = m.relation AND w.subject = m.subject
LEFT JOIN shared_names shared ON shared.relation = m.relation AND shared.words = s.words
"""

# What left must not be told by telling what is there, nor what joined by telling what was.
CLASHES = """
CREATE TEMP TABLE clashes AS
SELECT DISTINCT mine.relation, mine.subject, mine.object
FROM judged_values mine JOIN judged_values theirs ON theirs.relation = mine.relation AND theirs.subject = mine.subject
WHERE mine.role <> 'stays' AND theirs.role <> mine.role AND mine.reason IS NULL AND theirs.reason IS NULL
    AND names_overlap(mine, theirs)
"""

COUNTED = """
CREATE TEMP TABLE set_values AS
WITH named AS (
    SELECT j.* REPLACE (CASE WHEN c.object IS NOT NULL THEN 'same_name' ELSE j.reason END AS reason)
    FROM judged_values j LEFT JOIN clashes c USING (relation, subject, object)
)
SELECT *, reason IS NULL AS usable,
    count(*) FILTER (reason IS NULL AND role <> 'left') OVER set_of AS after,
    count(*) FILTER (reason IS NULL AND role <> 'joined') OVER set_of AS before,
    count(*) FILTER (reason IS NULL AND role = 'joined') OVER set_of AS joined,
    bool_or(role <> 'stays') OVER set_of AS changed,
    CASE WHEN reason IS NOT NULL THEN reason
        WHEN role = 'joined' AND joined > getvariable('longest_set') THEN 'too_many_values'
        WHEN role = 'left' AND after > getvariable('longest_set') THEN 'too_many_values'
        WHEN role = 'left' AND after = 0 THEN 'nothing_stays'
    END AS refused
FROM named
WINDOW set_of AS (PARTITION BY relation, subject)
"""

SET_EDITS = """
CREATE TEMP TABLE set_edits AS
SELECT content_id(CAST(to_json([relation, subject, CASE WHEN role = 'left' THEN object END,
        CASE WHEN role = 'joined' THEN object END, CAST(changed_on_earliest AS VARCHAR)]) AS VARCHAR)) AS edit_id,
    content_id(concat_ws('/', 'set', relation, subject)) AS group_id, * EXCLUDE (reason, refused, usable)
FROM set_values WHERE role <> 'stays' AND refused IS NULL
"""

# after_told and before_told: the values that the answers name. Of a set too large to be told, what joined, and nothing
# but what left.
SET_GROUPS = """
CREATE TEMP TABLE set_groups AS
WITH edited AS (
    SELECT group_id, relation, subject, list_sort(list(edit_id)) AS edit_ids FROM set_edits GROUP BY ALL
),
gathered AS (
    SELECT e.group_id, any_value(v.after) AS after, any_value(v.before) AS before,
        list({'id': v.object, 'label': v.label, 'aliases': v.aliases, 'role': v.role} ORDER BY v.object)
            FILTER (v.role = 'joined' OR v.role = 'stays' AND v.after <= getvariable('longest_set')) AS after_told,
        list({'id': v.object, 'label': v.label, 'aliases': v.aliases, 'role': v.role} ORDER BY v.object)
            FILTER (v.role = 'left' OR v.role = 'stays' AND v.before <= getvariable('longest_set')) AS before_told,
        list({'id': v.object, 'label': v.label, 'aliases': v.aliases} ORDER BY v.object)
            FILTER (v.role = 'stays') AS stays,
        list(v.shown ORDER BY lower(v.label), v.object)
            FILTER (v.role = 'joined' OR v.role = 'stays' AND v.after <= getvariable('longest_set')) AS after_shown,
        list(v.shown ORDER BY lower(v.label), v.object) FILTER (v.role <> 'joined') AS before_shown,
        list(v.object ORDER BY v.object) FILTER (v.role = 'joined') AS joined_ids,
        list(v.object ORDER BY v.object) FILTER (v.role = 'left') AS left_ids,
        list(v.object ORDER BY v.object) FILTER (v.fell_back) AS fallback_names
    FROM edited e JOIN set_values v ON v.relation = e.relation AND v.subject = e.subject
    WHERE v.usable
    GROUP BY e.group_id
)
SELECT e.*, r.property, r.inverse, r.article, s.label AS subject_label, s.aliases AS subject_aliases, s.sitelinks,
    s.human AS subject_human, s.fell_back AS subject_fell_back, named_subject(r.article, s) AS shown,
    after_told, coalesce(before_told, []) AS before_told, coalesce(stays, []) AS stays,
    list_text(after_shown) AS target_new,
    CASE WHEN g.before BETWEEN 1 AND getvariable('longest_set') THEN list_text(before_shown) END AS target_old,
    array_to_string(coalesce(joined_ids, left_ids), '|') AS answer_id,
    CASE WHEN target_old IS NOT NULL THEN array_to_string(list_transform(before_told, lambda v: v.id), '|') END
        AS before_id,
    coalesce(fallback_names, []) AS fallback_names, drawn(e.group_id) AS draw, 0 AS part,
    drawn(concat('split/', e.subject)) % 1000 < getvariable('train_per_mille') AS train
FROM edited e JOIN gathered g USING (group_id)
JOIN relation_facts r USING (relation)
JOIN names s ON s.id = e.subject AND s.kind = 'item'
"""

STABLE_SETS = """
CREATE TEMP TABLE stable_sets AS
WITH gathered AS (
    SELECT v.relation, v.subject,
        list({'id': v.object, 'label': v.label, 'aliases': v.aliases, 'role': 'stays'} ORDER BY v.object) AS told,
        list_text(list(v.shown ORDER BY lower(v.label), v.object)) AS answer,
        list(v.object ORDER BY v.object) AS objects,
        list(v.object ORDER BY v.object) FILTER (v.fell_back) AS fallback_names
    FROM set_values v WHERE NOT v.changed GROUP BY v.relation, v.subject
    HAVING bool_and(v.usable AND v.whole) AND count(*) BETWEEN 2 AND getvariable('longest_set')
)
SELECT CAST(row_number() OVER (ORDER BY g.relation, g.subject) AS INTEGER) AS set_id, g.* EXCLUDE (fallback_names),
    coalesce(fallback_names, []) AS fallback_names, s.label AS subject_label, s.sitelinks,
    s.fell_back AS subject_fell_back, named_subject(r.article, s) AS shown,
    drawn(concat_ws('/', 'set', g.relation, g.subject)) AS draw,
    row_number() OVER (PARTITION BY g.relation ORDER BY draw, g.subject) - 1 AS place,
    count(*) OVER (PARTITION BY g.relation) AS places
FROM gathered g JOIN relation_facts r USING (relation) JOIN names s ON s.id = g.subject AND s.kind = 'item'
WHERE alive_on(s, getvariable('since'))
"""

# A value that only stays and has no usable name makes the answer poorer: that is told where the set changed.
REJECTIONS = """
INSERT INTO question_rejections
SELECT stages.stage, refused, subject, relation, [object] AS ids,
    concat('subject: ', coalesce(subject_label, subject), '; ', role, ': ', coalesce(label, object))
FROM set_values JOIN stages ON stages.reason = refused WHERE changed
"""

GUARDED = """
CREATE TEMP TABLE guarded AS
SELECT edit_id AS pick, [edit_id] AS edit_ids, relation, subject, [old_object, new_object] AS objects,
    CASE WHEN object_kind = 'item' THEN new_object END AS neighbour, draw, part, train
FROM accepted
UNION ALL
SELECT group_id, edit_ids, relation, subject, list_concat(list_transform(list_filter(after_told,
        lambda v: v.role = 'joined'), lambda v: v.id), list_transform(list_filter(before_told,
        lambda v: v.role = 'left'), lambda v: v.id)),
    list_filter(after_told, lambda v: v.role = 'joined')[1].id, draw, part, train
FROM set_groups
"""
