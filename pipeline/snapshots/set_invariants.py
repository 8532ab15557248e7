"""The promises about sets of values: additions, removals, and questions with several answers.

Like the others these share no code with the stages: what holds on a day is worked out again, once from the timelines
and once from the raw statements. A query blames by its columns `edit_id` and `question_id`
(`pipeline.snapshots.invariants`).
"""

from __future__ import annotations

__all__ = ["SETS_PREPARED", "SET_INVARIANTS"]

# Every value that an edit or a question says joined, left or stays, with the days on which it must hold, or must not.
SETS_PREPARED = """
CREATE OR REPLACE TABLE set_facts_to_check AS
WITH read_as AS (SELECT DISTINCT relation, property, inverse FROM edits WHERE kind IN ('addition', 'removal')),
claimed AS (
    SELECT edit_id, NULL AS question_id, subject, relation, new_object AS object, since AS day, false AS holds
    FROM edits, days WHERE kind = 'addition'
    UNION ALL SELECT edit_id, NULL, subject, relation, new_object, as_of, true FROM edits, days WHERE kind = 'addition'
    UNION ALL SELECT edit_id, NULL, subject, relation, old_object, since, true FROM edits, days WHERE kind = 'removal'
    UNION ALL SELECT edit_id, NULL, subject, relation, old_object, as_of, false FROM edits, days WHERE kind = 'removal'
    UNION ALL SELECT edit_id, NULL, subject, relation, v.value.id, d.day, true
    FROM edits, unnest(stays) AS v(value), (SELECT unnest([since, as_of]) AS day FROM days) d
    UNION ALL SELECT NULL, question_id, subject, relation, v.value.id, coalesce(asked_on, days.as_of), true
    FROM questions, days, unnest(answer_set) AS v(value)
    UNION ALL SELECT NULL, question_id, subject, relation, v.value.id, coalesce(asked_on, since), true
    FROM questions, days, unnest(answer_before_set) AS v(value)
)
SELECT DISTINCT edit_id, question_id, subject, relation, property, inverse, object, day, holds
FROM claimed JOIN read_as USING (relation);
"""

# The id of a promise -> what breaks it.
SET_INVARIANTS = {
    "set_by_timelines": """
        SELECT f.edit_id, f.question_id, f.subject, f.relation, f.object, f.day, f.holds
        FROM set_facts_to_check f LEFT JOIN timelines t ON t.relation = f.relation AND t.subject = f.subject
            AND t.object = f.object
        GROUP BY ALL
        HAVING CASE WHEN f.holds THEN NOT coalesce(bool_or(
                certainly(t.valid_from_latest, t.valid_to_earliest, t.valid_to_kind, f.day)), false)
            ELSE NOT coalesce(bool_and(certainly_not(t.valid_from_earliest, t.valid_to_latest, f.day)), true) END""",
    "set_stated": """
        SELECT f.edit_id, f.question_id, f.subject, f.relation, f.object, f.day FROM set_facts_to_check f
        ANTI JOIN statements s ON s.property = f.property AND s.rank <> 'deprecated' AND len(s.faults) = 0
            AND s.subject = CASE WHEN f.inverse THEN f.object ELSE f.subject END
            AND s.object = CASE WHEN f.inverse THEN f.subject ELSE f.object END
            AND coalesce(s.start_latest <= f.day, true)
            AND coalesce(s.end_earliest >= f.day, s.end_kind <> 'unknown')
        WHERE f.holds""",
    "set_uncontradicted": """
        SELECT f.edit_id, f.subject, f.relation, f.object, f.day, s.statement_id FROM set_facts_to_check f
        JOIN statements s ON s.property = f.property
            AND s.subject = CASE WHEN f.inverse THEN f.object ELSE f.subject END
            AND s.object = CASE WHEN f.inverse THEN f.subject ELSE f.object END
        WHERE NOT f.holds AND s.rank <> 'deprecated' AND s.start_latest <= f.day
            AND (s.end_earliest > f.day OR s.end_kind = 'none')""",
    "left_by_stated_end": """
        SELECT e.edit_id, e.old_object FROM edits e, days
        ANTI JOIN statements s ON list_contains(e.statement_ids, s.statement_id) AND s.end_latest <= days.as_of
            AND s.end_earliest > days.since
        WHERE e.kind = 'removal'""",
    "set_edits_agree": """
        SELECT e.edit_id, e.relation, e.subject FROM edits e SEMI JOIN (
            SELECT relation, subject FROM edits WHERE kind IN ('addition', 'removal') GROUP BY ALL
            HAVING count(DISTINCT (prompt, cloze, target_new, target_old, stays)) > 1) unlike USING (relation, subject)
        UNION ALL
        SELECT edit_id, relation, subject FROM edits e SEMI JOIN (
            SELECT relation, subject FROM edits GROUP BY ALL
            HAVING bool_or(kind IN ('addition', 'removal')) AND NOT bool_and(kind IN ('addition', 'removal'))) mixed
        USING (relation, subject)
        UNION ALL
        SELECT edit_id, relation, subject FROM edits WHERE kind NOT IN ('addition', 'removal') AND len(stays) > 0""",
    "set_answer_named": """
        WITH answers AS (
            SELECT question_id, plain(answer) AS text, answer_set AS said FROM questions
            UNION ALL SELECT question_id, plain(answer_before), answer_before_set FROM questions
            WHERE answer_before IS NOT NULL),
        sets AS (
            -- The longest first, so that no name is cut out of another.
            SELECT question_id, text,
                list_reverse_sort(list_transform(said, lambda v: (length(v.label), plain(v.label)))) AS names
            FROM answers WHERE len(said) > 0),
        cut AS (
            SELECT *, list_reduce(list_prepend(concat(' ', text, ' '), list_transform(names, lambda n: n[2])),
                lambda said, name: replace(said, concat(' ', name, ' '), '  ')) AS rest
            FROM sets)
        SELECT question_id, text, rest FROM cut
        WHERE len(list_filter(names, lambda n: NOT contains(concat(' ', text, ' '), concat(' ', n[2], ' ')))) > 0
            -- What is left are articles and the word between the last two.
            OR len(list_filter(string_split(rest, ' '), lambda w: length(w) > 0)) > 2 * len(names)
            OR len(list_filter(string_split(rest, ' '), lambda w: length(w) > 4)) > 0""",
    "set_change_told": """
        WITH asked AS (
            SELECT question_id, edit_ids, list_sort(list_transform(list_filter(answer_set, lambda v: v.role = 'joined'),
                    lambda v: v.id)) AS joined,
                list_transform(list_filter(answer_before_set, lambda v: v.role = 'left'), lambda v: v.id) AS gone,
                len(list_filter(answer_set, lambda v: v.role NOT IN ('joined', 'stays')))
                    + len(list_filter(answer_before_set, lambda v: v.role NOT IN ('left', 'stays'))) AS misplaced
            FROM questions
            WHERE kind IN ('edit', 'paraphrase', 'cloze', 'alias', 'preservation') AND len(answer_set) > 0),
        edited AS (
            SELECT question_id, coalesce(list_sort(list(e.new_object) FILTER (e.kind = 'addition')), []) AS joined,
                coalesce(list(e.old_object) FILTER (e.kind = 'removal'), []) AS gone
            FROM (SELECT question_id, unnest(edit_ids) AS edit_id FROM asked) JOIN edits e USING (edit_id) GROUP BY ALL)
        SELECT a.question_id, a.joined, a.gone FROM asked a JOIN edited e USING (question_id)
        WHERE a.joined <> e.joined OR NOT list_has_all(a.gone, e.gone) OR a.misplaced > 0""",
    "set_asked_once": """
        SELECT e.edit_id, e.target_new, q.answer FROM edits e
        JOIN (SELECT *, unnest(edit_ids) AS edit_id FROM questions WHERE kind = 'edit') q USING (edit_id)
        WHERE e.kind IN ('addition', 'removal') AND (e.prompt <> q.question OR e.target_new <> q.answer
            OR e.target_old IS DISTINCT FROM q.answer_before OR len(q.answer_set) = 0)""",
    "set_answer_stays": """
        SELECT question_id, kind FROM questions
        WHERE kind IN ('locality', 'history') AND (answer_set <> answer_before_set
            OR len(list_filter(answer_set, lambda v: v.role <> 'stays')) > 0)
            OR kind = 'preservation' AND len(list_filter(answer_set, lambda v: v.role = 'stays')) = 0""",
    "set_preserved": """
        SELECT q.question_id, e.edit_id AS of_edit FROM (SELECT *, unnest(edit_ids) AS edit_id FROM questions
            WHERE kind = 'preservation') q JOIN edits e USING (edit_id)
        WHERE list_sort(list_transform(list_filter(q.answer_set, lambda v: v.role = 'stays'), lambda v: v.id))
            <> list_sort(list_transform(e.stays, lambda v: v.id))""",
    "set_not_given_away": """
        SELECT question_id, question FROM questions
        WHERE len(list_filter(list_concat(answer_set, answer_before_set), lambda v:
            contains(concat(' ', plain(question), ' '), concat(' ', plain(v.label), ' ')))) > 0""",
    "set_guard_unmoved": """
        SELECT q.question_id, e.edit_id AS of_edit FROM questions q JOIN edits e USING (subject, relation)
        WHERE q.kind = 'locality' AND len(q.answer_set) > 0""",
}
