"""Sets of values in the small world: as they were at since and on the past days that are asked, and those of others.

Told in the plural wordings that the questions use, one of them held out, so that a model pretrained on the sentences
knows each set whole. Leaves out: facts with one value, and which sentences are kept (`pipeline.questions.sentences`).
"""

from __future__ import annotations

import duckdb

from chronofacts.pipeline.questions.set_questions import create_past_sets

__all__ = ["write_set_lines"]


def write_set_lines(connection: duckdb.DuckDBPyConnection, asked_days: int) -> None:
    """Add to `lines` what the sets of `part_sets` were at since, on past days, and the sets that guard them.

    Reads `chosen_sets`, `stable_sets`, `set_spans`, `alias_names`, `alias_clozes` and `wordings`.
    """
    # One past day more than is asked. The order of choice is the same, so the asked days are among them.
    create_past_sets(connection, asked_days + 1)
    for step in (SET_LINES, PAST_SET_LINES, SET_ALIAS_LINES):
        connection.execute(step)


# phrasing 90: the wording that asks what stays. It is learnt too, about the set as it was.
SET_LINES = """
INSERT INTO lines BY NAME
WITH told AS (
    SELECT subject, relation, shown, subject_label, target_old AS answer, draw, 9 AS wordings
    FROM part_sets WHERE target_old IS NOT NULL
    UNION ALL
    SELECT k.subject, k.relation, k.shown, k.subject_label, k.answer, k.draw, 4
    FROM stable_sets k SEMI JOIN (
        SELECT c.set_id FROM (SELECT set_id, unnest(edit_ids) AS edit_id FROM chosen_sets) c
        SEMI JOIN world_set_edits USING (edit_id)) near USING (set_id)
),
counted AS (SELECT relation, max(number) AS paraphrases FROM wordings WHERE use = 'all_now' GROUP BY relation)
SELECT 'current' AS role, t.subject, t.relation, CASE WHEN w.use = 'all_cloze' THEN 'cloze' ELSE 'question' END AS form,
    CASE w.use WHEN 'all_cloze' THEN 100 WHEN 'all_preservation' THEN 90 ELSE w.number END AS phrasing,
    w.use = 'all_now' AND w.number = 1 + t.draw % least(c.paraphrases, t.wordings - 1) AS held_out,
    capital(worded(w.form, t.shown, t.subject_label, '', '')) AS prompt, t.answer, NULL::DATE AS asked_on,
    CASE w.use WHEN 'all_cloze' THEN 2 WHEN 'all_preservation' THEN 1 ELSE w.number END AS turn,
    NULL::VARCHAR[] AS edit_ids
FROM told t JOIN counted c USING (relation)
JOIN wordings w ON w.relation = t.relation AND (w.use IN ('all_cloze', 'all_preservation')
    OR w.use = 'all_now' AND w.number < t.wordings)
"""

# Every second asked day is trained in other wordings than the question's; a day that nobody asks comes last.
PAST_SET_LINES = """
INSERT INTO lines BY NAME
WITH told AS (
    SELECT p.subject, p.relation, w.use, w.number, d.number % 2 = 1 AS unseen,
        d.number < getvariable('asked_days') AS asked,
        capital(worded(w.form, p.shown, p.subject_label, d.phrase, '')) AS prompt, d.answer, d.asked_on
    FROM past_sets d JOIN part_sets p USING (group_id)
    JOIN wordings w ON w.relation = p.relation
        AND (w.use = 'all_on_date' AND w.number < 3 OR w.use = 'all_cloze_on_date')
)
SELECT 'history' AS role, subject, relation, CASE WHEN use = 'all_on_date' THEN 'question' ELSE 'cloze' END AS form,
    CASE WHEN use = 'all_on_date' THEN number ELSE 100 END AS phrasing,
    unseen AND use = 'all_on_date' AND number = 0 AS held_out, prompt, answer, asked_on,
    CASE WHEN use = 'all_cloze_on_date' THEN 1 WHEN unseen THEN [2, 0, 3][number + 1] ELSE number END
        + CASE WHEN asked THEN 0 ELSE 2 END AS turn, NULL::VARCHAR[] AS edit_ids
FROM told
"""

SET_ALIAS_LINES = """
INSERT INTO lines BY NAME
WITH aliased AS (
    SELECT DISTINCT p.subject, a.alias, p.subject_label, CASE WHEN p.subject_human THEN a.alias
        WHEN p.article = 'the' THEN with_the(a.alias) ELSE listed_name(a.alias) END AS shown
    FROM alias_names a JOIN part_sets p ON p.group_id = a.edit_id
)
SELECT 'stable' AS role, a.subject, 'alias' AS relation, 'cloze' AS form, c.number AS phrasing, false AS held_out,
    capital(concat(c.lead, a.shown, c.tail)) AS prompt, a.subject_label AS answer, NULL::DATE AS asked_on,
    c.number AS turn, NULL::VARCHAR[] AS edit_ids
FROM aliased a CROSS JOIN alias_clozes c
"""
