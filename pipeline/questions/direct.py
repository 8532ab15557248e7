"""Questions about now: of each edit directly, by another name and in reverse, of its neighbours, and of its chains.

The names of all edits are looked up once; then the edits are put into words a part at a time. Each kind of question
adds its rows to `drafts`, at which `pipeline.questions.checks` looks last.
Leaves out: questions about past days (`pipeline.questions.history`) and sets (`pipeline.questions.set_questions`).
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import adds_to, creates

__all__ = [
    "ALIAS_DRAFTS", "ALIAS_NAMES", "DIRECT_DRAFTS", "DRAFTS", "EDIT_ROWS", "EDIT_TEXTS", "LINKS", "LOCALITY_DRAFTS",
    "MULTI_HOP_DRAFTS", "NAMED_EDITS", "PART_CHAINS", "PART_EDITS", "REVERSE_DRAFTS", "REVERSE_SUBJECTS",
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

# Edits whose new object points to one subject only.
REVERSE_SUBJECTS = creates("reverse_subjects", reads="templates values_as_of values_since names edits")("""
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
)
SELECT a.edit_id, b.subject AS before_id
FROM edits a JOIN names n ON n.id = a.new_object AND n.kind = 'item'
JOIN held h ON h.relation = a.relation AND h.words = n.words AND h.times = 1
LEFT JOIN held_before b ON b.relation = a.relation AND b.object = a.new_object
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
)
SELECT f.fact_id, {
    'subject': f.subject, 'relation': f.relation, 'property': r.property, 'inverse': r.inverse, 'object': f.after,
    'subject_label': s.label, 'object_label': n.label, 'object_before': f.before, 'object_before_label': o.label,
    'edit_id': f.edit_id,
    'day': f.day,
    'question': sentence(t.form, named_subject(r.article, s), s.label, day_phrase(f.day), ''),
    'cloze': sentence(c.form, named_subject(r.article, s), s.label, day_phrase(f.day), '')
} AS link
FROM facts f SEMI JOIN used u ON u.fact_id = f.fact_id
JOIN relation_facts r USING (relation)
JOIN names s ON s.id = f.subject AND s.kind = 'item'
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

LOCALITY_DRAFTS = adds_to("drafts", reads="chosen_locality links facts relation_facts names templates")("""
WITH probes AS (
    SELECT c.*, l.link, f.object_kind, named_subject(r.article, s) AS shown
    FROM chosen_locality c JOIN links l USING (fact_id) JOIN facts f USING (fact_id)
    JOIN relation_facts r USING (relation) JOIN names s ON s.id = f.subject AND s.kind = 'item'
    WHERE c.part = getvariable('part')
),
texts AS (
    SELECT p.fact_id, list(sentence(t.form, p.shown, p.link.subject_label, '', '') ORDER BY t.number) AS phrasings
    FROM probes p JOIN templates t ON t.relation = p.link.relation AND t.use = 'now' AND t.number IN (1, 2)
    GROUP BY p.fact_id
)
SELECT 'locality' AS kind, p.locality_kind, 1 AS hops, 0 AS edited_hops, p.link.relation AS relation,
    p.link.subject AS subject, p.link.subject_label AS subject_label, p.link.question AS question, t.phrasings,
    p.link.object AS answer_id, p.object_kind AS answer_kind, p.link.object AS before_id, p.edit_ids,
    [p.link] AS chain, p.train
FROM probes p JOIN texts t USING (fact_id)
""")

PART_CHAINS = creates("part_chains", reads="chosen_chains part_edits")("""
SELECT c.*, row_number() OVER (ORDER BY c.start, c.path, c.day) AS number
FROM chosen_chains c SEMI JOIN part_edits USING (edit_id)
""")

MULTI_HOP_DRAFTS = adds_to(
    "drafts", reads="part_chains links edits part_chain_texts", drops="part_chains part_chain_texts"
)("""
WITH linked AS (
    SELECT c.number, list(l.link ORDER BY c.position) AS chain
    FROM (SELECT number, unnest(fact_ids) AS fact_id, generate_subscripts(fact_ids, 1) AS position FROM part_chains) c
    JOIN links l USING (fact_id)
    GROUP BY c.number
),
edited AS (
    SELECT w.number, list_sort(list(DISTINCT a.edit_id)) AS edit_ids, bool_and(a.train) AS train
    FROM linked w, unnest(w.chain) AS u(link) JOIN edits a ON a.edit_id = u.link.edit_id
    GROUP BY w.number
)
SELECT 'multi_hop' AS kind, c.hops, len(e.edit_ids) AS edited_hops, w.chain[c.hops].relation AS relation,
    c.start AS subject, w.chain[1].subject_label AS subject_label, t.texts[1] AS question, t.texts[2:] AS phrasings,
    c.answer_id, c.answer_kind, c.before_id, e.edit_ids, w.chain, e.train
FROM part_chains c JOIN part_chain_texts t USING (number) JOIN linked w USING (number) JOIN edited e USING (number)
""")
