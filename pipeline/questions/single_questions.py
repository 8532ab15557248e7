"""Questions with one answer: the table `drafts`, from its first row to the last look at each.

The names of all edits are looked up once; then the edits are put into words a part at a time. Here an edit itself is
asked directly, by another name and in reverse; `locality`, `chain_questions` and `history` add their kinds to `drafts`.
The last look asks of each finished text whether it says its answer, and whether it has one answer only. What is
refused, and each edit that is left without a kind of probe, is a rejection; the others are the snapshot's rows.
Leaves out: questions about sets of values (`pipeline.questions.set_questions`).
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import Step, adds_to, creates

__all__ = [
    "ALIAS_DRAFTS", "ALIAS_NAMES", "CHECKED_DRAFTS", "DIRECT_DRAFTS", "DRAFTS", "DRAFT_WORDS", "EDIT_ROWS",
    "EDIT_TEXTS", "FOUND_PROBES", "LINKS", "NAMED_EDITS", "PART_EDITS", "PROBES", "PROBE_REJECTIONS", "QUESTION_ROWS",
    "REFUSED_REJECTIONS", "REVERSE_DRAFTS", "REVERSE_SUBJECTS", "collect_probes", "list_words", "refuse",
]  # fmt: skip

# Other names that mean one subject only, within its relation, and in the world: not one of two letters, and none that
# leaves out whose it is ("Partido Socialista" for the Socialist Party of Portugal), unless it is an acronym.
# edit_id: of an edit, or the group of a set that changed.
ALIAS_NAMES = creates("alias_names", reads="values_since values_as_of names edits set_groups relation_facts")("""
WITH taken AS (
    SELECT DISTINCT relation, n.words FROM (SELECT relation, subject FROM values_since UNION ALL
        SELECT relation, subject FROM values_as_of)
    JOIN names n ON n.id = subject AND n.kind = 'item' AND n.words IS NOT NULL
),
offered AS (
    SELECT a.edit_id, a.relation, a.subject, n.label, n.human, alias, plain_words(alias) AS words
    FROM (SELECT edit_id, relation, subject FROM edits
        UNION ALL SELECT group_id, relation, subject FROM set_groups) a
    JOIN names n ON n.id = a.subject AND n.kind = 'item', unnest(n.asked_aliases) AS u(alias)
),
unique_names AS (SELECT * FROM offered QUALIFY count(*) OVER (PARTITION BY relation, words) = 1)
SELECT u.edit_id, u.subject, u.label, u.alias, CASE WHEN r.article = 'the' THEN with_the(u.alias)
    WHEN r.article = 'none' OR u.human THEN u.alias ELSE listed_name(u.alias) END AS shown
FROM unique_names u JOIN relation_facts r USING (relation)
ANTI JOIN taken t ON t.relation = u.relation AND t.words = u.words
WHERE length(u.alias) > 2 AND (r.article = 'the' OR NOT contains(u.label, getvariable('linking_words'))
    OR NOT regexp_matches(u.alias, '[a-z]') OR contains(u.alias, split_part(u.label, ' ', -1)))
QUALIFY row_number() OVER (PARTITION BY u.edit_id ORDER BY draw_for(concat(u.edit_id, u.alias)), u.alias)
    <= getvariable('aliases_per_edit')
""")

# Edits whose new object points to one subject only: of no other is it known, or may it be true, that he holds it.
REVERSE_SUBJECTS = creates("reverse_subjects", reads="templates timelines values_as_of values_since names edits")("""
WITH reversible AS (
    SELECT relation FROM templates WHERE use = 'reverse'
),
held AS (
    SELECT v.relation, n.words, count(*) AS times FROM values_as_of v SEMI JOIN reversible r USING (relation)
    JOIN names n ON n.id = v.object AND n.kind = v.object_kind WHERE n.words IS NOT NULL GROUP BY ALL
),
held_before AS (
    SELECT v.relation, v.object, count(*) AS times, min(v.subject) AS subject
    FROM values_since v SEMI JOIN reversible r USING (relation) WHERE v.object_kind = 'item' GROUP BY ALL
),
held_elsewhere AS (
    SELECT a.edit_id FROM edits a SEMI JOIN reversible r USING (relation)
    JOIN timelines t ON t.relation = a.relation AND t.object = a.new_object AND t.subject <> a.subject
    WHERE coalesce(t.valid_from_earliest <= getvariable('as_of'), true)
        AND coalesce(t.valid_to_latest > getvariable('as_of'), true)
)
SELECT a.edit_id, b.subject AS before_id
FROM edits a JOIN names n ON n.id = a.new_object AND n.kind = 'item'
JOIN held h ON h.relation = a.relation AND h.words = n.words AND h.times = 1
LEFT JOIN held_before b ON b.relation = a.relation AND b.object = a.new_object
ANTI JOIN held_elsewhere t ON t.edit_id = a.edit_id
WHERE a.object_kind = 'item' AND coalesce(b.times, 1) = 1
""")

# A part that looked these names up itself would read every name of the set again.
NAMED_EDITS = creates("named_edits", reads="edits relation_facts facts names")("""
SELECT a.*, r.property, r.inverse, r.article, f.fact_id, s.aliases AS subject_aliases, s.sitelinks,
    named_subject(r.article, s) AS shown, n.aliases AS new_aliases, o.aliases AS old_aliases
FROM edits a
JOIN relation_facts r USING (relation)
JOIN facts f ON f.edit_id = a.edit_id
JOIN names s ON s.id = a.subject AND s.kind = 'item'
JOIN names n ON n.id = a.new_object AND n.kind = a.object_kind
LEFT JOIN names o ON o.id = a.old_object AND o.kind = a.object_kind
ORDER BY a.part
""")

PART_EDITS = creates("part_edits", reads="named_edits")("FROM named_edits WHERE part = getvariable('part')")

# Each fact that a question of this part walks over, as an element of `chain`.
LINKS = creates("links", reads="part_edits chosen_locality chosen_chains facts relation_facts names templates")("""
WITH used AS (
    SELECT fact_id FROM part_edits
    UNION SELECT fact_id FROM chosen_locality WHERE part = getvariable('part')
    UNION SELECT unnest(c.fact_ids) FROM chosen_chains c SEMI JOIN part_edits USING (edit_id)
),
-- Put in words once: what a macro is given is copied to every place where the macro names it.
named AS (
    SELECT f.*, r.property, r.inverse, s.label AS subject_label, named_subject(r.article, s) AS shown,
        day_phrase(f.day) AS day_words
    FROM facts f SEMI JOIN used u ON u.fact_id = f.fact_id
    JOIN relation_facts r USING (relation)
    JOIN names s ON s.id = f.subject AND s.kind = 'item'
)
SELECT f.fact_id, {
    'subject': f.subject, 'relation': f.relation, 'property': f.property, 'inverse': f.inverse, 'object': f.after,
    'subject_label': f.subject_label, 'object_label': n.label, 'object_before': f.before,
    'object_before_label': o.label, 'edit_id': f.edit_id, 'day': f.day,
    'question': sentence(t.form, f.shown, f.subject_label, f.day_words, ''),
    'cloze': sentence(c.form, f.shown, f.subject_label, f.day_words, '')
} AS link
FROM named f
JOIN names n ON n.id = f.after AND n.kind = f.object_kind
LEFT JOIN names o ON o.id = f.before AND o.kind = f.object_kind
JOIN templates t ON t.relation = f.relation AND t.use = 'now' AND t.number = 0
JOIN templates c ON c.relation = f.relation AND c.use = 'cloze' AND c.number = 0
""")

DRAFTS = creates("drafts", reads="links")("""
SELECT '' AS kind, '' AS locality_kind, 0::TINYINT AS hops, 0::TINYINT AS edited_hops, '' AS relation, '' AS subject,
    '' AS subject_label, '' AS question, []::VARCHAR[] AS phrasings, '' AS answer_id, '' AS answer_kind,
    '' AS before_id, NULL::DATE AS asked_on, []::VARCHAR[] AS edit_ids, [link] AS chain, true AS train
FROM links LIMIT 0
""")

EDIT_TEXTS = creates("edit_texts", reads="part_edits templates")("""
SELECT e.edit_id, t.use, t.number, sentence(t.form, e.shown, e.subject_label, '', '') AS text
FROM part_edits e JOIN templates t ON t.relation = e.relation AND t.use IN ('now', 'cloze')
""")

EDIT_ROWS = """
SELECT e.* EXCLUDE (object_unit), coalesce(u.label, CASE WHEN e.object_unit LIKE 'Q%' OR e.object_unit = '1' THEN NULL
        ELSE e.object_unit END) AS object_unit,
    []::STRUCT(id VARCHAR, label VARCHAR, aliases VARCHAR[])[] AS stays,
    t.prompt, e.new_label AS target_new, e.old_label AS target_old, t.paraphrases, t.cloze,
    CASE WHEN e.train THEN 'train' ELSE 'test' END AS split
FROM part_edits e
JOIN (
    SELECT edit_id, max(text) FILTER (use = 'now' AND number = 0) AS prompt,
        max(text) FILTER (use = 'cloze') AS cloze,
        list(text ORDER BY number) FILTER (use = 'now' AND number > 0) AS paraphrases
    FROM edit_texts GROUP BY edit_id
) t USING (edit_id)
LEFT JOIN names u ON u.id = e.object_unit AND u.kind = 'item' AND e.object_kind = 'quantity'
"""
"""The rows of the snapshot's `edits` for the part."""

DIRECT_DRAFTS = adds_to("drafts", reads="part_edits edit_texts links")("""
SELECT CASE WHEN t.use = 'cloze' THEN 'cloze' WHEN t.number = 0 THEN 'edit' ELSE 'paraphrase' END AS kind,
    1 AS hops, 1 AS edited_hops, e.relation, e.subject, e.subject_label, t.text AS question, [] AS phrasings,
    e.new_object AS answer_id, e.object_kind AS answer_kind, e.old_object AS before_id, [edit_id] AS edit_ids,
    [l.link] AS chain, e.train
FROM part_edits e JOIN edit_texts t USING (edit_id) JOIN links l USING (fact_id)
""")

ALIAS_DRAFTS = adds_to("drafts", reads="part_edits alias_names links templates")("""
SELECT 'alias' AS kind, 1 AS hops, 1 AS edited_hops, e.relation, e.subject, a.alias AS subject_label,
    sentence(t.form, a.shown, a.alias, '', '') AS question, [sentence(p.form, a.shown, a.alias, '', '')] AS phrasings,
    e.new_object AS answer_id, e.object_kind AS answer_kind, e.old_object AS before_id, [edit_id] AS edit_ids,
    [l.link] AS chain, e.train
FROM part_edits e JOIN alias_names a USING (edit_id) JOIN links l USING (fact_id)
JOIN templates t ON t.relation = e.relation AND t.use = 'now' AND t.number = 0
JOIN templates p ON p.relation = e.relation AND p.use = 'now' AND p.number = 1
""")

REVERSE_DRAFTS = adds_to("drafts", reads="part_edits reverse_subjects links names templates")("""
SELECT 'reverse' AS kind, 1 AS hops, 1 AS edited_hops, e.relation, e.new_object AS subject,
    e.new_label AS subject_label, sentence(t.form, '', '', '', n.shown) AS question, [] AS phrasings,
    e.subject AS answer_id, 'item' AS answer_kind, r.before_id, [edit_id] AS edit_ids, [l.link] AS chain, e.train
FROM part_edits e JOIN reverse_subjects r USING (edit_id) JOIN links l USING (fact_id)
JOIN names n ON n.id = e.new_object AND n.kind = 'item'
JOIN templates t ON t.relation = e.relation AND t.use = 'reverse' AND t.number = 0
""")


def list_words(drafts: str, table: str) -> Step:
    # Contradictions are sought among these alone, since whole questions are slow to sort.
    return creates(table, reads=drafts)(f"""
SELECT rowid AS draft, answer_id, plain_words(question) AS question_words,
    CASE WHEN len(phrasings) = 0 THEN question_words
        ELSE concat(question_words, ' | ', plain_words(array_to_string(phrasings, ' | '))) END AS all_words
FROM {drafts}
""")


def refuse(checked: str) -> Step:
    return adds_to("rejections", reads=checked)(f"""
SELECT 'questions' AS stage, reason, subject, relation, edit_ids AS ids, concat(kind, ': ', question) AS detail
FROM {checked} WHERE reason IS NOT NULL
""")


def collect_probes(checked: str) -> Step:
    return adds_to("probes", reads=checked)(f"""
SELECT DISTINCT kind, unnest(edit_ids) AS edit_id FROM {checked}
WHERE reason IS NULL AND kind IN ('multi_hop', 'history', 'preservation')
""")


PROBES = creates("probes")("SELECT '' AS kind, '' AS edit_id LIMIT 0")

DRAFT_WORDS = list_words("drafts", "draft_words")

CHECKED_DRAFTS = creates("checked_drafts", reads="draft_words drafts names", drops="draft_words drafts")("""
WITH contradicting AS (
    SELECT question_words FROM draft_words GROUP BY question_words HAVING min(answer_id) <> max(answer_id)
),
-- A city and its office ask one question.
repeated AS (
    SELECT w.draft FROM draft_words w JOIN drafts d ON d.rowid = w.draft WHERE d.kind = 'locality'
    QUALIFY row_number() OVER (PARTITION BY w.question_words ORDER BY d.relation, d.subject) > 1
)
SELECT d.*, a.label AS answer, a.aliases AS answer_aliases, b.label AS answer_before, b.aliases AS before_aliases,
    a.fell_back AS answer_fell_back, coalesce(b.fell_back, false) AS before_fell_back,
    CASE WHEN contains(w.all_words, a.words) OR coalesce(contains(w.all_words, b.words), false)
            THEN 'answer_in_question'
        WHEN c.question_words IS NOT NULL THEN 'contradicting_answers'
        WHEN r.draft IS NOT NULL THEN 'said_twice' END AS reason
FROM drafts d JOIN draft_words w ON w.draft = d.rowid
LEFT JOIN contradicting c ON c.question_words = w.question_words
LEFT JOIN repeated r ON r.draft = d.rowid
JOIN names a ON a.id = d.answer_id AND a.kind = d.answer_kind
LEFT JOIN names b ON b.id = d.before_id AND b.kind = d.answer_kind
""")

REFUSED_REJECTIONS = refuse("checked_drafts")
FOUND_PROBES = collect_probes("checked_drafts")

QUESTION_ROWS = """
SELECT
    content_id(concat_ws(chr(31), c.kind, array_to_string(list_transform(c.chain,
        lambda l: concat_ws(chr(30), l.subject, l.relation, l.object)), chr(29)),
        CAST(c.asked_on AS VARCHAR), c.question)) AS question_id,
    c.edit_ids, c.kind, c.locality_kind, c.hops, c.edited_hops, c.relation, c.subject, c.subject_label, c.question,
    c.phrasings, c.answer, c.answer_id, c.answer_aliases, c.answer_before, c.before_id AS answer_before_id,
    c.before_aliases AS answer_before_aliases,
    []::STRUCT(id VARCHAR, label VARCHAR, aliases VARCHAR[], "role" VARCHAR)[] AS answer_set,
    answer_set AS answer_before_set, getvariable('as_of') AS as_of, c.asked_on, c.chain,
    CASE WHEN c.train THEN 'train' ELSE 'test' END AS split, n.sitelinks,
    -- Another name of the subject is in the language; a timeline's question names the new object too.
    list_sort(list_distinct(list_filter([
        CASE WHEN n.fell_back AND c.kind <> 'alias' THEN c.subject END,
        CASE WHEN c.kind = 'timeline' AND o.fell_back THEN o.id END,
        CASE WHEN c.answer_fell_back THEN c.answer_id END, CASE WHEN c.before_fell_back THEN c.before_id END
    ], lambda id: id IS NOT NULL))) AS fallback_names
FROM checked_drafts c JOIN names n ON n.id = c.subject AND n.kind = 'item'
LEFT JOIN names o ON c.kind = 'timeline' AND o.id = c.chain[1].object AND o.kind = 'item'
WHERE c.reason IS NULL
"""
"""The rows of the snapshot's `questions` for the part."""

# After all parts: a chain is asked in the part of the edit from which it was drawn, and may probe one of another part.
PROBE_REJECTIONS = adds_to("rejections", reads="named_edits set_groups probes chosen_locality chosen_sets")("""
WITH wanted AS (
    SELECT subject, relation, [edit_id] AS ids, unnest(['multi_hop', 'locality', 'history']) AS kind FROM named_edits
    UNION ALL
    SELECT subject, relation, edit_ids, unnest(['preservation', 'locality', 'history']) FROM set_groups
),
found AS (
    FROM probes
    UNION SELECT 'locality', unnest(edit_ids) FROM chosen_locality
    UNION SELECT 'locality', unnest(edit_ids) FROM chosen_sets
)
SELECT 'questions' AS stage, 'no_probe' AS reason, w.subject, w.relation, w.ids,
    concat('no question of kind ', string_agg(w.kind, ', ' ORDER BY w.kind)) AS detail
FROM wanted w ANTI JOIN found f ON f.kind = w.kind AND f.edit_id = w.ids[1]
GROUP BY w.subject, w.relation, w.ids
""")
