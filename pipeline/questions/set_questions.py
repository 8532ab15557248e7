"""Questions about sets of values in words: what the set is now, what stays of it, what it was, and sets of others.

One question stands for all edits of its set; `answer_set` and `answer_before_set` name its values with their roles.
Of an open relation it stands for what joined or left on one day, and nothing is the answer before: "Which organisation
did Finland join on 4 April 2023?" is true however short Wikidata's list is. What stays is asked by its own day.
Leaves out: which values a set has (`pipeline.questions.sets`), and questions with one answer
(`pipeline.questions.single_questions`).
"""

from __future__ import annotations

from chronofacts.pipeline.questions.locality import TRIES
from chronofacts.pipeline.questions.sets import LONGEST_SET
from chronofacts.pipeline.questions.single_questions import collect_probes, list_words, refuse
from chronofacts.pipeline.questions.steps import Step, adds_to, creates

__all__ = [
    "ALIAS_SET_DRAFTS", "CHECKED_SET_DRAFTS", "CHOSEN_SETS", "DIRECT_SET_DRAFTS", "EVENT_PRESERVATION_SET_DRAFTS",
    "HISTORY_SET_DRAFTS", "LOCALITY_SET_DRAFTS", "PART_SETS", "PRESERVATION_SET_DRAFTS", "SET_DRAFTS",
    "SET_DRAFT_WORDS", "SET_EDIT_ROWS", "SET_FOUND_PROBES", "SET_QUESTION_ROWS", "SET_REFUSED_REJECTIONS", "SET_SPANS",
    "SET_TEXTS", "past_sets",
]  # fmt: skip

YEARS = 40
"""How many years before since may be asked."""

SET_SPANS = creates("set_spans", reads="timelines set_groups")("""
SELECT g.group_id, t.object, t.object_kind, t.valid_from_earliest, t.valid_from_latest, t.valid_to_earliest,
    t.valid_to_latest, t.valid_to_kind
FROM timelines t JOIN set_groups g ON g.relation = t.relation AND g.subject = t.subject
""")

# Sets of other subjects that stay as they are.
CHOSEN_SETS = creates("chosen_sets", reads="stable_sets guarded", drops="guarded")(f"""
WITH sizes AS (SELECT DISTINCT relation, size FROM stable_sets),
tries AS (
    SELECT g.pick, g.relation, g.subject, g.objects, g.edit_ids, g.train, g.part, t.try,
        (g.draw % s.size + t.try) % s.size AS position
    FROM guarded g JOIN sizes s USING (relation), range(getvariable('locality_per_edit') * {TRIES}) AS t(try)
    WHERE t.try < s.size
),
picked AS (
    SELECT k.set_id, t.edit_ids, t.train, t.part
    FROM tries t JOIN stable_sets k ON k.relation = t.relation AND k.position = t.position
    WHERE k.subject <> t.subject AND NOT list_has_any(k.objects, t.objects)
        AND NOT list_contains(k.objects, t.subject) AND NOT list_contains(t.objects, k.subject)
    QUALIFY row_number() OVER (PARTITION BY t.pick ORDER BY t.try, k.set_id) <= getvariable('locality_per_edit')
)
SELECT set_id, list_sort(list_distinct(flatten(list(edit_ids)))) AS edit_ids, bool_and(train) AS train,
    min(part) AS part
FROM picked GROUP BY set_id
""")

PART_SETS = creates("part_sets", reads="set_groups")("FROM set_groups WHERE part = getvariable('part')")


def past_sets(scope: str, most: str) -> Step:
    """Create `{scope}_past_sets`: what each set of `{scope}_sets` was in past years.

    A year is asked when every span certainly holds through all of it or on no day of it.
    most: how many years of each set, as SQL. number: from 0, in the order of choice.
    """
    return creates(f"{scope}_past_sets", reads=f"{scope}_sets set_spans names")(f"""
WITH years AS (
    SELECT s.group_id, y.year, make_date(CAST(y.year AS INTEGER), 1, 1) AS first,
        make_date(CAST(y.year AS INTEGER) + 1, 1, 1) AS next
    FROM {scope}_sets s, range(year(getvariable('since')) - {YEARS}, year(getvariable('since'))) AS y(year)
    WHERE NOT s.open_set
),
spans AS (
    SELECT y.group_id, y.year, s.object, s.object_kind,
        coalesce(s.object IS NOT NULL AND s.valid_from_latest <= y.first AND year(s.valid_from_latest) >= 1000
            AND (s.valid_to_earliest >= y.next
                OR s.valid_to_earliest IS NULL AND s.valid_to_kind IN ('none', 'open')), false) AS through,
        coalesce(s.valid_from_earliest >= y.next, false) OR coalesce(s.valid_to_latest <= y.first, false) AS outside
    FROM years y JOIN set_spans s USING (group_id)
),
clear AS (
    SELECT group_id, year FROM spans GROUP BY group_id, year HAVING bool_and(through OR outside) AND bool_or(through)
),
answers AS (
    SELECT c.group_id, c.year,
        list({{'id': n.id, 'label': n.label, 'aliases': n.aliases, 'role': 'stays'}} ORDER BY n.id) AS answer_set,
        list_text(list(n.shown ORDER BY lower(n.label), n.id)) AS answer,
        array_to_string(list(n.id ORDER BY n.id), '|') AS answer_id,
        list(n.id ORDER BY n.id) FILTER (n.fell_back) AS fallback_names,
        bool_and(n.reason IS NULL) AS sayable
    FROM clear c
    JOIN (SELECT DISTINCT group_id, year, object, object_kind FROM spans WHERE through) s USING (group_id, year)
    JOIN names n ON n.id = s.object AND n.kind = s.object_kind
    GROUP BY c.group_id, c.year
    HAVING sayable AND count(*) <= {LONGEST_SET}
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY group_id, answer_id ORDER BY year DESC) AS turn FROM answers
)
SELECT group_id, make_date(CAST(year AS INTEGER), 7, 1) AS asked_on, date_phrase(asked_on, 9) AS phrase, answer_set,
    answer, answer_id, coalesce(fallback_names, []) AS fallback_names,
    -- Each set that there was once before any is asked again, the latest first.
    row_number() OVER choice - 1 AS number
FROM ranked
WINDOW choice AS (PARTITION BY group_id ORDER BY turn, year DESC)
QUALIFY row_number() OVER choice <= {most}
""")


SET_TEXTS = creates("set_texts", reads="part_sets templates")("""
SELECT p.group_id, CASE t.use WHEN p.ask THEN 'ask' WHEN p.close THEN 'close' ELSE 'stays' END AS part_of, t.number,
    sentence(t.form, p.shown, p.subject_label, p.phrase, '') AS text
FROM part_sets p JOIN templates t ON t.relation = p.relation AND t.use IN (p.ask, p.close, 'all_preservation')
""")

SET_EDIT_ROWS = """
SELECT e.edit_id, CASE e.role WHEN 'joined' THEN 'addition' ELSE 'removal' END AS kind, 'known' AS before, g.relation,
    g.property, g.inverse, g.subject, g.subject_label, g.subject_aliases,
    CASE WHEN e.role = 'left' THEN e.object END AS old_object, CASE WHEN e.role = 'left' THEN e.label END AS old_label,
    CASE WHEN e.role = 'left' THEN e.aliases ELSE [] END AS old_aliases,
    CASE WHEN e.role = 'joined' THEN e.object END AS new_object,
    CASE WHEN e.role = 'joined' THEN e.label END AS new_label,
    CASE WHEN e.role = 'joined' THEN e.aliases ELSE [] END AS new_aliases,
    g.stays, e.object_kind, NULL::VARCHAR AS object_unit, e.changed_on_earliest, e.changed_on_latest,
    e.changed_on_precision, t.prompt, g.target_new, g.target_old, t.paraphrases, t.cloze, g.sitelinks, e.confidence,
    e.statement_ids
FROM part_sets g JOIN set_edits e USING (group_id)
JOIN (
    SELECT group_id, max(text) FILTER (part_of = 'ask' AND number = 0) AS prompt,
        max(text) FILTER (part_of = 'close') AS cloze,
        list(text ORDER BY number) FILTER (part_of = 'ask' AND number > 0) AS paraphrases
    FROM set_texts GROUP BY group_id
) t USING (group_id)
"""
"""The rows of the snapshot's `edits` for the sets of the part."""

SET_DRAFTS = creates("set_drafts", reads="set_groups")("""
SELECT '' AS kind, '' AS locality_kind, 0::TINYINT AS edited_hops, '' AS relation, '' AS subject, '' AS subject_label,
    '' AS question, []::VARCHAR[] AS phrasings, '' AS answer, '' AS answer_id, answer_set, '' AS answer_before,
    '' AS before_id, before_set, NULL::DATE AS asked_on, []::VARCHAR[] AS edit_ids, true AS train,
    []::VARCHAR[] AS fallback_names
FROM set_groups LIMIT 0
""")

_ANSWERS = """p.target_new AS answer, p.answer_id, p.answer_set, p.target_old AS answer_before, p.before_id,
    p.before_set, p.edit_ids, p.train, p.fallback_names"""
"""What the set of the part is now and was at since."""

DIRECT_SET_DRAFTS = adds_to("set_drafts", reads="part_sets set_texts")(f"""
SELECT CASE WHEN t.part_of = 'close' THEN 'cloze' WHEN t.number = 0 THEN 'edit' ELSE 'paraphrase' END AS kind,
    1 AS edited_hops, p.relation, p.subject, p.subject_label, t.text AS question, [] AS phrasings, {_ANSWERS}
FROM part_sets p JOIN set_texts t USING (group_id) WHERE t.part_of <> 'stays'
""")

ALIAS_SET_DRAFTS = adds_to("set_drafts", reads="part_sets alias_names templates")(f"""
SELECT 'alias' AS kind, 1 AS edited_hops, p.relation, p.subject, a.alias AS subject_label,
    sentence(t.form, a.shown, a.alias, p.phrase, '') AS question,
    [sentence(o.form, a.shown, a.alias, p.phrase, '')] AS phrasings, {_ANSWERS}
FROM part_sets p JOIN alias_names a ON a.edit_id = p.group_id
JOIN templates t ON t.relation = p.relation AND t.use = p.ask AND t.number = 0
JOIN templates o ON o.relation = p.relation AND o.use = p.ask AND o.number = 1
""")

# The whole set is the answer, since nothing less is true; what stays of it is what counts (`answer_set`, its roles).
PRESERVATION_SET_DRAFTS = adds_to("set_drafts", reads="part_sets set_texts")(f"""
SELECT 'preservation' AS kind, 0 AS edited_hops, p.relation, p.subject, p.subject_label, t.text AS question,
    [] AS phrasings, {_ANSWERS}
FROM part_sets p JOIN set_texts t USING (group_id)
WHERE t.part_of = 'stays' AND len(p.stays) > 0
    AND list_has_all(list_transform(p.answer_set, lambda v: v.id), list_transform(p.stays, lambda v: v.id))
""")

# Each stands for all edits of its subject's set, whatever day they are asked by.
EVENT_PRESERVATION_SET_DRAFTS = adds_to("set_drafts", reads="set_events part_sets templates")("""
WITH guarding AS (
    SELECT relation, subject, list_sort(flatten(list(edit_ids))) AS edit_ids, bool_and(train) AS train
    FROM part_sets WHERE open_set GROUP BY relation, subject
),
texts AS (
    SELECT e.relation, e.subject, e.first,
        list(sentence(t.form, e.shown, e.subject_label, e.phrase, '') ORDER BY t.number) AS texts
    FROM set_events e SEMI JOIN guarding USING (relation, subject)
    JOIN templates t ON t.relation = e.relation AND t.use = e.ask AND t.number < 3
    GROUP BY e.relation, e.subject, e.first
)
SELECT 'preservation' AS kind, 0 AS edited_hops, e.relation, e.subject, e.subject_label, t.texts[1] AS question,
    t.texts[2:] AS phrasings, e.answer, array_to_string(e.objects, '|') AS answer_id, e.answer_set,
    e.answer AS answer_before, array_to_string(e.objects, '|') AS before_id, e.answer_set AS before_set, g.edit_ids,
    g.train, e.fallback_names
FROM set_events e JOIN guarding g USING (relation, subject) JOIN texts t USING (relation, subject, first)
""")

LOCALITY_SET_DRAFTS = adds_to("set_drafts", reads="chosen_sets stable_sets templates")("""
WITH probes AS (
    SELECT s.*, array_to_string(s.objects, '|') AS answer_id, c.edit_ids, c.train
    FROM chosen_sets c JOIN stable_sets s USING (set_id) WHERE c.part = getvariable('part')
),
texts AS (
    SELECT p.set_id, list(sentence(t.form, p.shown, p.subject_label, p.phrase, '') ORDER BY t.number) AS texts
    FROM probes p JOIN templates t ON t.relation = p.relation AND t.use = p.ask AND t.number < 3
    GROUP BY p.set_id
)
SELECT 'locality' AS kind, 'relation' AS locality_kind, 0 AS edited_hops, p.relation, p.subject, p.subject_label,
    t.texts[1] AS question, t.texts[2:] AS phrasings, p.answer, p.answer_id, p.answer_set, p.answer AS answer_before,
    p.answer_id AS before_id, p.answer_set AS before_set, p.edit_ids, p.train, p.fallback_names
FROM probes p JOIN texts t USING (set_id)
""")

HISTORY_SET_DRAFTS = adds_to("set_drafts", reads="part_past_sets part_sets templates", drops="part_past_sets")("""
WITH texts AS (
    SELECT d.group_id, d.asked_on,
        list(sentence(t.form, p.shown, p.subject_label, d.phrase, '') ORDER BY t.number) AS texts
    FROM part_past_sets d JOIN part_sets p USING (group_id)
    JOIN templates t ON t.relation = p.relation AND t.use = 'all_on_date'
    GROUP BY d.group_id, d.asked_on
)
SELECT 'history' AS kind, 0 AS edited_hops, p.relation, p.subject, p.subject_label, t.texts[1] AS question,
    t.texts[2:] AS phrasings, d.answer, d.answer_id, d.answer_set, d.answer AS answer_before, d.answer_id AS before_id,
    d.answer_set AS before_set, asked_on, p.edit_ids, p.train, d.fallback_names
FROM part_past_sets d JOIN part_sets p USING (group_id) JOIN texts t USING (group_id, asked_on)
""")

SET_DRAFT_WORDS = list_words("set_drafts", "set_draft_words")

CHECKED_SET_DRAFTS = creates(
    "checked_set_drafts", reads="set_draft_words set_drafts", drops="set_draft_words set_drafts"
)("""
WITH contradicting AS (
    SELECT question_words FROM set_draft_words GROUP BY question_words HAVING min(answer_id) <> max(answer_id)
)
SELECT d.*, CASE
        WHEN len(list_filter(list_concat(d.answer_set, d.before_set),
            lambda v: contains(w.all_words, plain_words(v.label)))) > 0 THEN 'answer_in_question'
        WHEN c.question_words IS NOT NULL THEN 'contradicting_answers' END AS reason
FROM set_drafts d JOIN set_draft_words w ON w.draft = d.rowid
LEFT JOIN contradicting c ON c.question_words = w.question_words
""")

SET_REFUSED_REJECTIONS = refuse("checked_set_drafts")
SET_FOUND_PROBES = collect_probes("checked_set_drafts")

SET_QUESTION_ROWS = """
SELECT
    content_id(concat_ws(chr(31), c.kind, concat_ws(chr(30), c.subject, c.relation, c.answer_id),
        CAST(c.asked_on AS VARCHAR), c.question)) AS question_id,
    c.edit_ids, c.kind, c.locality_kind, 1::TINYINT AS hops, c.edited_hops, c.relation, c.subject, c.subject_label,
    c.question, c.phrasings, c.answer, c.answer_id, []::VARCHAR[] AS answer_aliases, c.answer_set, c.answer_before,
    c.before_id AS answer_before_id,
    CASE WHEN c.answer_before IS NOT NULL THEN []::VARCHAR[] END AS answer_before_aliases,
    c.before_set AS answer_before_set, getvariable('as_of') AS as_of, c.asked_on, [] AS chain,
    CASE WHEN c.train THEN 'train' ELSE 'test' END AS split, n.sitelinks,
    list_sort(list_distinct(CASE WHEN n.fell_back AND c.kind <> 'alias' THEN list_append(c.fallback_names, c.subject)
        ELSE c.fallback_names END)) AS fallback_names
FROM checked_set_drafts c JOIN names n ON n.id = c.subject AND n.kind = 'item'
WHERE c.reason IS NULL
"""
"""The rows of the snapshot's `questions` about the sets of the part."""
