"""Questions about sets of values in words: what the set is now, what stays of it, what it was, and sets of others.

One question stands for all edits of its set; `answer_set` and `answer_before_set` tell its values with their roles.
Leaves out: which values a set has (`pipeline.questions.sets`), and questions with one answer
(`pipeline.questions.direct`).
"""

from __future__ import annotations

import duckdb

from chronofacts.pipeline.questions.settings import QuestionSettings

__all__ = ["SET_EDIT_ROWS", "SET_QUESTIONS", "create_set_locality", "create_set_spans", "write_set_questions"]

TRIES = 4
"""Sets of others looked at per wanted probe; the first that may serve is taken."""
YEARS = 40
"""How many years before since may be asked."""


def create_set_spans(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `set_spans`: the timelines of the sets that changed, once for all parts."""
    connection.execute(SET_SPANS)


def create_set_locality(connection: duckdb.DuckDBPyConnection, settings: QuestionSettings) -> None:
    """Create `chosen_sets` (set_id, edit_ids, train, part): sets of other subjects that stay as they are."""
    wanted = max(settings.locality_per_edit, 0)
    connection.execute("SET VARIABLE per_kind = $1::INTEGER", [wanted])
    connection.execute("SET VARIABLE tries = $1::INTEGER", [wanted * TRIES])
    connection.execute(CHOSEN_SETS)


def write_set_questions(connection: duckdb.DuckDBPyConnection, per_edit: int) -> None:
    """Create `checked_sets` for the sets of the part, and add to `question_rejections`.

    Reads `set_groups`, `set_spans`, `stable_sets`, `chosen_sets`, `alias_names`, `names`, `wordings` and the
    variable `part`. per_edit: past years asked.
    """
    connection.execute(PART)
    create_past_sets(connection, per_edit)
    for step in (WORDS, DRAFTS, DIRECT, ALIAS, PRESERVATION, LOCALITY, HISTORY, CHECKED, REFUSED, WITHOUT_PROBE):
        connection.execute(step)


def create_past_sets(connection: duckdb.DuckDBPyConnection, per_set: int) -> None:
    """Create `past_sets` (group_id, asked_on, phrase, told, answer, number, …) for the sets in `part_sets`."""
    connection.execute(PAST_SETS, [per_set])


SET_SPANS = """
CREATE TEMP TABLE set_spans AS
SELECT g.group_id, t.object, t.object_kind, t.valid_from_earliest, t.valid_from_latest, t.valid_to_earliest,
    t.valid_to_latest, t.valid_to_kind
FROM timelines t JOIN set_groups g ON g.relation = t.relation AND g.subject = t.subject
"""

CHOSEN_SETS = """
CREATE TEMP TABLE chosen_sets AS
WITH sizes AS (SELECT DISTINCT relation, places FROM stable_sets),
tries AS (
    SELECT g.pick, g.relation, g.subject, g.objects, g.edit_ids, g.train, g.part, t.try,
        (g.draw % s.places + t.try) % s.places AS place
    FROM guarded g JOIN sizes s USING (relation), range(getvariable('tries')) AS t(try)
    WHERE t.try < s.places
),
picked AS (
    SELECT k.set_id, t.edit_ids, t.train, t.part
    FROM tries t JOIN stable_sets k ON k.relation = t.relation AND k.place = t.place
    WHERE k.subject <> t.subject AND NOT list_has_any(k.objects, t.objects)
        AND NOT list_contains(k.objects, t.subject) AND NOT list_contains(t.objects, k.subject)
    QUALIFY row_number() OVER (PARTITION BY t.pick ORDER BY t.try, k.set_id) <= getvariable('per_kind')
)
SELECT set_id, list_sort(list_distinct(flatten(list(edit_ids)))) AS edit_ids, bool_and(train) AS train,
    min(part) AS part
FROM picked GROUP BY set_id
"""

PART = "CREATE OR REPLACE TEMP TABLE part_sets AS SELECT * FROM set_groups WHERE part = getvariable('part')"

# A year is asked when every span certainly holds through all of it or on no day of it.
PAST_SETS = f"""
CREATE OR REPLACE TEMP TABLE past_sets AS
WITH years AS (
    SELECT p.group_id, y.year, make_date(CAST(y.year AS INTEGER), 1, 1) AS first,
        make_date(CAST(y.year AS INTEGER) + 1, 1, 1) AS next
    FROM part_sets p, range(year(getvariable('since')) - {YEARS}, year(getvariable('since'))) AS y(year)
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
told AS (
    SELECT c.group_id, c.year,
        list({{'id': n.id, 'label': n.label, 'aliases': n.aliases, 'role': 'stays'}} ORDER BY n.id) AS told,
        list_text(list(n.shown ORDER BY lower(n.label), n.id)) AS answer,
        array_to_string(list(n.id ORDER BY n.id), '|') AS answer_id,
        list(n.id ORDER BY n.id) FILTER (n.fell_back) AS fallback_names,
        bool_and(n.reason IS NULL) AS sayable
    FROM clear c
    JOIN (SELECT DISTINCT group_id, year, object, object_kind FROM spans WHERE through) s USING (group_id, year)
    JOIN names n ON n.id = s.object AND n.kind = s.object_kind
    GROUP BY c.group_id, c.year
    HAVING sayable AND count(*) <= getvariable('longest_set')
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY group_id, answer_id ORDER BY year DESC) AS turn FROM told
)
SELECT group_id, make_date(CAST(year AS INTEGER), 7, 1) AS asked_on, date_phrase(asked_on, 9) AS phrase, told, answer,
    answer_id, coalesce(fallback_names, []) AS fallback_names,
    -- Each set that there was once before any is asked again, the latest first.
    row_number() OVER choice - 1 AS number
FROM ranked
WINDOW choice AS (PARTITION BY group_id ORDER BY turn, year DESC)
QUALIFY row_number() OVER choice <= $1::INTEGER
"""

WORDS = """
CREATE OR REPLACE TEMP TABLE set_words AS
SELECT p.group_id, w.use, w.number, capital(worded(w.form, p.shown, p.subject_label, '', '')) AS text
FROM part_sets p JOIN wordings w ON w.relation = p.relation AND w.use IN ('all_now', 'all_cloze', 'all_preservation')
"""

SET_EDIT_ROWS = """
SELECT e.edit_id, CASE e.role WHEN 'joined' THEN 'addition' ELSE 'removal' END AS kind, 'known' AS before, g.relation,
    g.property, g.inverse, g.subject, g.subject_label, g.subject_aliases,
    CASE WHEN e.role = 'left' THEN e.object END AS old_object, CASE WHEN e.role = 'left' THEN e.label END AS old_label,
    CASE WHEN e.role = 'left' THEN e.aliases ELSE [] END AS old_aliases,
    CASE WHEN e.role = 'joined' THEN e.object END AS new_object,
    CASE WHEN e.role = 'joined' THEN e.label END AS new_label,
    CASE WHEN e.role = 'joined' THEN e.aliases ELSE [] END AS new_aliases,
    g.stays, e.object_kind, NULL::VARCHAR AS object_unit, e.changed_on_earliest, e.changed_on_latest,
    e.changed_on_precision, w.prompt, g.target_new, g.target_old, w.paraphrases, w.cloze, g.sitelinks, e.confidence,
    e.statement_ids
FROM part_sets g JOIN set_edits e USING (group_id)
JOIN (
    SELECT group_id, max(text) FILTER (use = 'all_now' AND number = 0) AS prompt,
        max(text) FILTER (use = 'all_cloze') AS cloze,
        list(text ORDER BY number) FILTER (use = 'all_now' AND number > 0) AS paraphrases
    FROM set_words GROUP BY group_id
) w USING (group_id)
"""

DRAFTS = """
CREATE OR REPLACE TEMP TABLE set_drafts AS
SELECT '' AS kind, '' AS locality_kind, 0::TINYINT AS edited_hops, '' AS relation, '' AS subject, '' AS subject_label,
    '' AS question, []::VARCHAR[] AS phrasings, '' AS answer, '' AS answer_id, after_told AS answer_set,
    '' AS answer_before, '' AS before_id, after_told AS before_set, NULL::DATE AS asked_on, []::VARCHAR[] AS edit_ids,
    true AS train, 0::INTEGER AS sitelinks, []::VARCHAR[] AS fallback_names
FROM set_groups LIMIT 0
"""

_FALLBACK = "list_concat({names}, CASE WHEN {subject} THEN [{qid}] ELSE [] END)"

DIRECT = f"""
INSERT INTO set_drafts
SELECT CASE WHEN w.use = 'all_cloze' THEN 'cloze' WHEN w.number = 0 THEN 'edit' ELSE 'paraphrase' END, NULL, 1,
    p.relation, p.subject, p.subject_label, w.text, [], p.target_new, p.answer_id, p.after_told, p.target_old,
    p.before_id, p.before_told, NULL, p.edit_ids, p.train, p.sitelinks,
    {_FALLBACK.format(names="p.fallback_names", subject="p.subject_fell_back", qid="p.subject")}
FROM part_sets p JOIN set_words w USING (group_id) WHERE w.use <> 'all_preservation'
"""

ALIAS = """
INSERT INTO set_drafts
WITH aliased AS (
    SELECT p.*, n.alias, CASE WHEN p.article = 'the' THEN with_the(n.alias)
        WHEN p.article = 'none' OR p.subject_human THEN n.alias ELSE listed_name(n.alias) END AS shown_alias
    FROM part_sets p JOIN alias_names n ON n.edit_id = p.group_id
)
SELECT 'alias', NULL, 1, a.relation, a.subject, a.alias,
    capital(worded(w.form, a.shown_alias, a.alias, '', '')), [capital(worded(o.form, a.shown_alias, a.alias, '', ''))],
    a.target_new, a.answer_id, a.after_told, a.target_old, a.before_id, a.before_told, NULL, a.edit_ids, a.train,
    a.sitelinks, a.fallback_names
FROM aliased a
JOIN wordings w ON w.relation = a.relation AND w.use = 'all_now' AND w.number = 0
JOIN wordings o ON o.relation = a.relation AND o.use = 'all_now' AND o.number = 1
"""

# The whole set is the answer, since nothing less is true; what stays of it is what counts (`answer_set`, its roles).
PRESERVATION = f"""
INSERT INTO set_drafts
SELECT 'preservation', NULL, 0, p.relation, p.subject, p.subject_label, w.text, [], p.target_new, p.answer_id,
    p.after_told, p.target_old, p.before_id, p.before_told, NULL, p.edit_ids, p.train, p.sitelinks,
    {_FALLBACK.format(names="p.fallback_names", subject="p.subject_fell_back", qid="p.subject")}
FROM part_sets p JOIN set_words w USING (group_id)
WHERE w.use = 'all_preservation' AND len(p.stays) > 0
    AND list_has_all(list_transform(p.after_told, lambda v: v.id), list_transform(p.stays, lambda v: v.id))
"""

LOCALITY = f"""
INSERT INTO set_drafts
WITH asked AS (
    SELECT k.*, c.edit_ids, c.train FROM chosen_sets c JOIN stable_sets k USING (set_id)
    WHERE c.part = getvariable('part')
),
texts AS (
    SELECT a.set_id, list(capital(worded(w.form, a.shown, a.subject_label, '', '')) ORDER BY w.number) AS texts
    FROM asked a JOIN wordings w ON w.relation = a.relation AND w.use = 'all_now' AND w.number < 3
    GROUP BY a.set_id
)
SELECT 'locality', 'relation', 0, a.relation, a.subject, a.subject_label, t.texts[1], t.texts[2:], a.answer,
    array_to_string(a.objects, '|'), a.told, a.answer, array_to_string(a.objects, '|'), a.told, NULL, a.edit_ids,
    a.train, a.sitelinks,
    {_FALLBACK.format(names="a.fallback_names", subject="a.subject_fell_back", qid="a.subject")}
FROM asked a JOIN texts t USING (set_id)
"""

HISTORY = f"""
INSERT INTO set_drafts
WITH texts AS (
    SELECT d.group_id, d.asked_on,
        list(capital(worded(w.form, p.shown, p.subject_label, d.phrase, '')) ORDER BY w.number) AS texts
    FROM past_sets d JOIN part_sets p USING (group_id)
    JOIN wordings w ON w.relation = p.relation AND w.use = 'all_on_date'
    GROUP BY d.group_id, d.asked_on
)
SELECT 'history', NULL, 0, p.relation, p.subject, p.subject_label, t.texts[1], t.texts[2:], d.answer, d.answer_id,
    d.told, d.answer, d.answer_id, d.told, d.asked_on, p.edit_ids, p.train, p.sitelinks,
    {_FALLBACK.format(names="d.fallback_names", subject="p.subject_fell_back", qid="p.subject")}
FROM past_sets d JOIN part_sets p USING (group_id) JOIN texts t USING (group_id, asked_on)
"""

# The last look: does the text say one of its answers, and does it have one set of them only?
CHECKED = """
CREATE OR REPLACE TEMP TABLE checked_sets AS
WITH words AS (
    SELECT rowid AS draft, answer_id, plain_words(question) AS text_words,
        concat(text_words, ' | ', plain_words(array_to_string(phrasings, ' | '))) AS said
    FROM set_drafts
),
contradicting AS (
    SELECT text_words FROM words GROUP BY text_words HAVING min(answer_id) <> max(answer_id)
)
SELECT d.*, CASE
        WHEN len(list_filter(list_concat(d.answer_set, d.before_set), lambda v: contains(w.said, plain_words(v.label))))
            > 0 THEN 'answer_in_question'
        WHEN c.text_words IS NOT NULL THEN 'contradicting_answers' END AS reason
FROM set_drafts d JOIN words w ON w.draft = d.rowid LEFT JOIN contradicting c ON c.text_words = w.text_words
"""

REFUSED = """
INSERT INTO question_rejections
SELECT 'questions', reason, subject, relation, edit_ids, concat(kind, ': ', question) FROM checked_sets
WHERE reason IS NOT NULL
"""

WITHOUT_PROBE = """
INSERT INTO question_rejections
WITH kinds AS (SELECT unnest(['preservation', 'locality', 'history']) AS kind),
asked AS (SELECT DISTINCT kind, unnest(edit_ids) AS edit_id FROM checked_sets WHERE reason IS NULL
    UNION SELECT 'locality', unnest(edit_ids) FROM chosen_locality
    UNION SELECT 'locality', unnest(edit_ids) FROM chosen_sets)
SELECT 'questions', 'no_probe', p.subject, p.relation, p.edit_ids,
    concat('no question of kind ', string_agg(k.kind, ', ' ORDER BY k.kind))
FROM part_sets p CROSS JOIN kinds k ANTI JOIN asked a ON a.kind = k.kind AND a.edit_id = p.edit_ids[1]
GROUP BY p.subject, p.relation, p.edit_ids
"""

SET_QUESTIONS = """
SELECT
    content_id(concat_ws(chr(31), kind, concat_ws(chr(30), subject, relation, answer_id), CAST(asked_on AS VARCHAR),
        question)) AS question_id,
    edit_ids, kind, locality_kind, 1::TINYINT AS hops, edited_hops, relation, subject, subject_label, question,
    phrasings, answer, answer_id, []::VARCHAR[] AS answer_aliases, answer_set, answer_before,
    before_id AS answer_before_id,
    CASE WHEN answer_before IS NOT NULL THEN []::VARCHAR[] END AS answer_before_aliases,
    before_set AS answer_before_set, getvariable('as_of') AS as_of, asked_on, [] AS chain,
    CASE WHEN train THEN 'train' ELSE 'test' END AS split, sitelinks,
    list_sort(list_distinct(fallback_names)) AS fallback_names
FROM checked_sets WHERE reason IS NULL
"""
