"""The promises of `schemas.promises` as queries over a snapshot's tables: each returns the rows that break it.

A query's columns `edit_id` and `question_id` name the rows that are to be set aside for it; a row in which both are
null, or a query without these columns, is a fault that no row can answer for. All other columns are for the reader.
Leaves out: the files of the folder, and how the queries are run (`pipeline.snapshots.verify`).
"""

from __future__ import annotations

__all__ = ["BLAMED", "INVARIANTS", "MACROS", "NEED_STATEMENTS", "PREPARED"]

BLAMED = ("edit", "question")
"""What can be set aside; a query blames by the column of its id."""

NEED_STATEMENTS = frozenset({
    "edit_statements_exist", "edit_has_statements", "change_in_window", "nothing_held_before", "nobody_is_stated",
    "facts_certain", "facts_stated", "facts_uncontradicted", "left_alone", "left_before_since", "chain_joined",
    "answer_not_given_away", "one_answer_per_text", "set_by_timelines", "set_stated", "set_uncontradicted",
    "left_by_stated_end", "wordings_of_the_edit", "called_by_name", "question_id_is_hash", "question_names_subject",
})  # fmt: skip
"""What only a snapshot made from statements can promise. An imported benchmark has neither statements nor dates, and
its wordings are what its authors made them."""

# What holds on a day, by the intervals of its dates, and what is one name to a reader.
MACROS = """
CREATE MACRO certainly_not(from_earliest, to_latest, day) AS
    coalesce(from_earliest > day, false) OR coalesce(to_latest <= day, false);
CREATE MACRO certainly(from_latest, to_earliest, to_kind, day) AS
    coalesce(from_latest <= day, false)
    AND CASE WHEN to_earliest IS NOT NULL THEN to_earliest > day ELSE to_kind IN ('none', 'open') END;
CREATE MACRO plain(text) AS trim(regexp_replace(lower(strip_accents(text)), '[^\\pL\\pN]+', ' ', 'g'));
"""

# What several queries ask of: made anew whenever edits or questions were set aside.
PREPARED = """
-- Every triple that an edit or a question relies on, with the day on which it must be certain.
CREATE OR REPLACE TABLE facts_to_check AS
WITH hops AS (
    SELECT question_id, asked_on, hop.subject AS subject, hop.relation AS relation, hop.property AS property,
        hop.inverse AS inverse, hop.object AS object, hop.object_before AS object_before, hop.day AS stated_day
    FROM (SELECT question_id, asked_on, unnest(chain) AS hop FROM questions WHERE kind <> 'timeline')
)
SELECT DISTINCT edit_id, question_id, subject, relation, property, inverse, object, day FROM (
    SELECT edit_id, NULL AS question_id, subject, relation, property, inverse, new_object AS object, as_of AS day
    FROM edits, days WHERE kind NOT IN ('addition', 'removal')
    UNION ALL
    SELECT edit_id, NULL, subject, relation, property, inverse, old_object, since
    FROM edits, days WHERE old_object IS NOT NULL AND kind <> 'removal'
    UNION ALL
    SELECT NULL, question_id, subject, relation, property, inverse, object, coalesce(asked_on, as_of)
    FROM hops, days WHERE stated_day IS NULL
    UNION ALL
    SELECT NULL, question_id, subject, relation, property, inverse, object_before, since
    FROM hops, days WHERE asked_on IS NULL AND object_before IS NOT NULL AND stated_day IS NULL
);
-- Who left what on which day.
CREATE OR REPLACE TABLE departures_to_check AS
SELECT DISTINCT question_id, hop.subject AS subject, hop.property AS property,
    hop.inverse AS inverse, hop.object AS object, hop.day AS day
FROM (SELECT question_id, unnest(chain) AS hop FROM questions) WHERE hop.day IS NOT NULL;
"""

# The id of a promise -> what breaks it.
INVARIANTS = {
    "unique_statement_ids": "SELECT statement_id FROM statements GROUP BY ALL HAVING count(*) > 1",
    "unique_edit_ids": "SELECT edit_id FROM edits GROUP BY ALL HAVING count(*) > 1",
    "unique_question_ids": "SELECT question_id FROM questions GROUP BY ALL HAVING count(*) > 1",
    "unique_entities": "SELECT qid FROM entities GROUP BY ALL HAVING count(*) > 1",
    # Worked out beforehand: SQL spells no JSON as Python does (`pipeline.snapshots.verify`).
    "edit_id_is_hash": "SELECT edit_id FROM misnumbered_edits",
    "edit_statements_exist": """
        SELECT e.edit_id, i.id FROM edits e, unnest(e.statement_ids) AS i(id)
        ANTI JOIN statements s ON s.statement_id = i.id""",
    "edit_has_statements": "SELECT edit_id FROM edits WHERE len(statement_ids) = 0",
    "timeline_statements_exist": """
        SELECT t.relation, t.subject, i.id FROM timelines t, unnest(t.statement_ids) AS i(id)
        ANTI JOIN statements s ON s.statement_id = i.id""",
    "question_edits_exist": """
        SELECT q.question_id, i.id FROM questions q, unnest(q.edit_ids) AS i(id)
        ANTI JOIN edits e ON e.edit_id = i.id""",
    "edit_is_asked": """
        SELECT e.edit_id FROM edits e ANTI JOIN (
            SELECT unnest(edit_ids) AS edit_id FROM questions WHERE kind = 'edit') q USING (edit_id)""",
    "edit_names_exist": """
        SELECT edit_id, qid, label FROM (
            SELECT edit_id, subject AS qid, subject_label AS label FROM edits
            UNION ALL SELECT edit_id, old_object, old_label FROM edits WHERE object_kind = 'item'
            UNION ALL SELECT edit_id, new_object, new_label FROM edits WHERE object_kind = 'item') named
        ANTI JOIN entities e ON e.qid = named.qid AND len(trim(e.label)) > 0
        WHERE named.qid IS NOT NULL""",
    "labels_are_names": r"""
        SELECT edit_id, label FROM (
            SELECT edit_id, subject_label AS label FROM edits UNION ALL SELECT edit_id, new_label FROM edits
            WHERE kind <> 'removal'
            UNION ALL SELECT edit_id, old_label FROM edits WHERE old_object IS NOT NULL)
        WHERE label IS NULL OR trim(label) = '' OR regexp_full_match(label, '[QP]\d+')""",
    "values_differ": "SELECT edit_id FROM edits WHERE old_object = new_object OR plain(old_label) = plain(new_label)",
    "kind_fits_values": """
        SELECT edit_id, kind, before FROM edits WHERE (kind, before) NOT IN (
                ('modification', 'known'), ('injection', 'nobody'), ('update', 'unknown'),
                ('addition', 'known'), ('removal', 'known'))
            OR (kind IN ('modification', 'removal')) <> (old_object IS NOT NULL)
            OR (kind = 'removal') <> (new_object IS NULL)""",
    "change_in_window": """
        SELECT edit_id, changed_on_earliest, changed_on_latest FROM edits, days
        WHERE changed_on_earliest IS NULL OR changed_on_earliest <= since OR changed_on_latest > as_of""",
    "edits_agree": """
        WITH changed AS (SELECT edit_id, relation, subject,
            CASE WHEN kind IN ('addition', 'removal') THEN coalesce(new_object, old_object) ELSE '' END AS object
            FROM edits)
        SELECT edit_id, relation, subject FROM changed SEMI JOIN (
            SELECT relation, subject, object FROM changed GROUP BY ALL HAVING count(*) > 1) twice
        USING (relation, subject, object)""",
    "nothing_held_before": """
        SELECT e.edit_id, t.object FROM days, edits e JOIN timelines t USING (relation, subject)
        WHERE e.before <> 'known' AND t.object_kind <> 'novalue'
            AND NOT certainly_not(t.valid_from_earliest, t.valid_to_latest, days.since)""",
    "nobody_is_stated": """
        SELECT e.edit_id FROM days, edits e
        WHERE e.before = 'nobody'
            AND NOT EXISTS (SELECT 1 FROM entities s WHERE s.qid = e.subject AND s.began_earliest > days.since)
            AND NOT EXISTS (SELECT 1 FROM timelines t WHERE t.relation = e.relation AND t.subject = e.subject
                AND t.object_kind = 'novalue'
                AND certainly(t.valid_from_latest, t.valid_to_earliest, t.valid_to_kind, days.since))""",
    "facts_certain": """
        SELECT f.edit_id, f.question_id, f.subject, f.relation, f.object, f.day
        FROM facts_to_check f LEFT JOIN timelines t ON t.relation = f.relation AND t.subject = f.subject
            AND NOT certainly_not(t.valid_from_earliest, t.valid_to_latest, f.day)
        GROUP BY ALL
        HAVING NOT coalesce(bool_or(t.object = f.object
                AND certainly(t.valid_from_latest, t.valid_to_earliest, t.valid_to_kind, f.day)), false)
            OR NOT coalesce(bool_and(t.object = f.object), false)""",
    "facts_stated": """
        SELECT f.edit_id, f.question_id, f.subject, f.relation, f.object, f.day FROM facts_to_check f
        ANTI JOIN statements s ON s.property = f.property AND s.rank <> 'deprecated' AND len(s.faults) = 0
            AND s.subject = CASE WHEN f.inverse THEN f.object ELSE f.subject END
            AND CASE WHEN s.object_kind = 'time' AND s.object[1:4] = s.object[12:15] THEN ltrim(s.object[1:4], '0')
                ELSE s.object END = CASE WHEN f.inverse THEN f.subject ELSE f.object END
            AND coalesce(s.start_latest <= f.day, s.point_in_time_latest <= f.day, true)
            -- On the day of its end it may still hold: in part of Wikidata that is the last day.
            AND coalesce(s.end_earliest >= f.day, s.end_kind <> 'unknown')""",
    # In two halves, each joined by an equality: in one, all facts of a property would meet all its statements.
    "facts_uncontradicted": """
        SELECT edit_id, question_id, subject, relation, object, day, statement_id FROM (
            SELECT f.*, s.* EXCLUDE (subject, property, object) FROM facts_to_check f
            JOIN statements s ON s.property = f.property AND s.object = f.subject AND s.subject <> f.object
            WHERE f.inverse
            UNION ALL
            SELECT f.*, s.* EXCLUDE (subject, property, object) FROM facts_to_check f
            JOIN statements s ON s.property = f.property AND s.subject = f.subject AND s.object <> f.object
            WHERE NOT f.inverse)
        -- What is of another class, or of an older branch, is no rival (P54: club and national team).
        ANTI JOIN (SELECT relation, unnest(ids) AS statement_id FROM rejections
            WHERE reason IN ('other_class', 'older_branch', 'no_release')) beside USING (relation, statement_id)
        WHERE rank <> 'deprecated' AND len(faults) = 0 AND object_kind NOT IN ('novalue')
            AND start_latest <= day AND end_earliest > day""",
    "left_alone": """
        SELECT d.question_id, d.subject, d.object, d.day
        FROM departures_to_check d LEFT JOIN statements s ON s.property = d.property
            AND d.subject = CASE WHEN d.inverse THEN s.object ELSE s.subject END
            AND s.rank <> 'deprecated' AND len(s.faults) = 0
            AND coalesce(s.end_earliest <= d.day, s.end_kind IN ('known', 'unknown'))
            AND coalesce(s.end_latest >= d.day, s.end_kind IN ('known', 'unknown'))
        GROUP BY ALL
        HAVING NOT coalesce(bool_and(d.object = CASE WHEN d.inverse THEN s.subject ELSE s.object END
                AND s.end_earliest = d.day AND s.end_latest = d.day), false)""",
    "left_before_since": "SELECT question_id, day FROM departures_to_check, days WHERE day >= since",
    "nothing_after_death": """
        SELECT f.edit_id, f.object, f.day FROM facts_to_check f JOIN entities e ON e.qid = f.object
        WHERE f.edit_id IS NOT NULL AND e.ended_latest <= f.day AND list_contains(e.types, 'Q5')""",
    "chain_joined": """
        SELECT question_id FROM questions
        WHERE len(chain) <> CASE WHEN len(answer_set) > 0 THEN 0 ELSE hops END
            OR (kind <> 'reverse' AND chain[1].subject <> subject)
            OR len(list_filter(range(1, len(chain)), lambda i: chain[i].object <> chain[i + 1].subject)) > 0""",
    "chain_ends_in_answer": """
        SELECT question_id, kind FROM questions
        WHERE kind NOT IN ('reverse', 'timeline') AND chain[len(chain)].object <> answer_id""",
    "edited_hop_is_edit": """
        SELECT q.question_id, h.hop.edit_id AS of_edit FROM questions q, unnest(q.chain) AS h(hop)
        LEFT JOIN edits e ON e.edit_id = h.hop.edit_id
        WHERE h.hop.edit_id IS NOT NULL AND q.asked_on IS NULL AND (e.edit_id IS NULL OR e.subject <> h.hop.subject
            OR e.relation <> h.hop.relation OR e.new_object <> h.hop.object
            OR NOT list_contains(q.edit_ids, e.edit_id))""",
    "changes_told_as_edited": """
        SELECT q.question_id, e.edit_id AS of_edit FROM questions q, unnest(q.chain) AS h(hop)
        JOIN edits e ON e.subject = h.hop.subject AND e.relation = h.hop.relation
        WHERE q.asked_on IS NULL AND q.kind <> 'timeline' AND h.hop.edit_id IS DISTINCT FROM e.edit_id""",
    "two_answers": """
        SELECT question_id, kind FROM questions
        WHERE kind IN ('edit', 'paraphrase', 'cloze', 'alias', 'multi_hop')
            AND (answer_id = answer_before_id OR plain(answer) = plain(answer_before))""",
    "locality_unmoved": """
        SELECT question_id FROM questions
        WHERE kind = 'locality' AND answer_id IS DISTINCT FROM answer_before_id
        UNION ALL
        SELECT q.question_id FROM questions q, unnest(q.chain) AS h(hop)
        JOIN edits e ON e.subject = h.hop.subject AND e.relation = h.hop.relation
        WHERE q.kind = 'locality'""",
    "history_is_past": """
        SELECT question_id, asked_on FROM questions, days
        WHERE (kind = 'history') <> (asked_on IS NOT NULL) OR asked_on > days.as_of""",
    "question_and_answer": """
        SELECT question_id FROM questions
        WHERE coalesce(trim(answer), '') = '' OR coalesce(trim(question), '') = ''""",
    "answer_not_given_away": """
        SELECT question_id, question, answer FROM questions
        WHERE contains(' ' || plain(question) || ' ', ' ' || plain(answer) || ' ')""",
    "one_answer_per_text": """
        SELECT question_id, question FROM questions SEMI JOIN (
            SELECT question FROM questions GROUP BY question HAVING count(DISTINCT answer_id) > 1
        ) twice USING (question)""",
    "fallback_names_told": """
        WITH shown AS (
            SELECT question_id, answer_id AS qid, fallback_names FROM questions
            UNION ALL SELECT question_id, subject, fallback_names FROM questions WHERE kind <> 'alias')
        SELECT question_id, qid, label_language FROM shown JOIN entities USING (qid)
        WHERE (label_language NOT IN (getvariable('language'), 'mul')) <> list_contains(fallback_names, qid)""",
    "split_kept": """
        WITH asked AS (SELECT question_id, kind, split, unnest(edit_ids) AS edit_id FROM questions)
        SELECT q.question_id, q.edit_id AS of_edit FROM asked q JOIN edits e USING (edit_id)
        WHERE (q.split = 'train' AND e.split <> 'train') OR (q.kind = 'edit' AND q.split <> e.split)""",
    "subject_split": """
        SELECT edit_id, subject, split FROM edits SEMI JOIN (
            SELECT subject FROM edits GROUP BY subject HAVING count(DISTINCT split) > 1) USING (subject)
        WHERE split = 'train'""",
    "known_reasons": "SELECT DISTINCT reason FROM rejections ANTI JOIN reason_codes USING (reason)",
}
