"""Questions in words: the edits of one part and everything that asks about them.

`create_links` renders each fact that a question walks over once; every other function here adds rows to
`drafts`, which `pipeline.questions.build` checks and finishes.
Leaves out: questions about past days (`pipeline.questions.history`).
"""

from __future__ import annotations

import duckdb

from chronofacts.pipeline.questions.templates import create_chain_texts

__all__ = ["EDIT_ROWS", "create_alias_names", "create_edits", "create_reverse_names", "write_now_questions"]


def create_edits(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `named_edits`: the rows of `accepted` with all that is said of them, once for all parts.

    A part that looked these names up itself would read every name of the set again.
    """
    connection.execute(NAMED_EDITS)


def create_alias_names(connection: duckdb.DuckDBPyConnection, per_edit: int) -> None:
    """Create `alias_names` (edit_id, alias): other names that mean one subject only, within its relation.

    edit_id: of an edit, or the group of a set that changed.
    """
    connection.execute(ALIAS_NAMES, [per_edit])


def create_reverse_names(connection: duckdb.DuckDBPyConnection) -> None:
    """Create `reverse_subjects` (edit_id, before_id): edits whose new object points to one subject only."""
    connection.execute(REVERSE_SUBJECTS)


def write_now_questions(connection: duckdb.DuckDBPyConnection) -> None:
    """Start `drafts` and `links` for the edits of the part, and add every kind that asks about now.

    Reads `accepted`, `named_edits`, `chosen_hops`, `chosen_locality`, `alias_names`, `reverse_subjects`, `names`,
    `wordings` and the variable `part`.
    """
    for step in (PART, LINKS, DRAFTS, EDIT_WORDS, DIRECT, ALIAS, REVERSE, LOCALITY, PART_CHAINS):
        connection.execute(step)
    create_chain_texts(connection, "part_chains", "part_chain_texts")
    connection.execute(MULTI_HOP)


ALIAS_NAMES = """
CREATE OR REPLACE TEMP TABLE alias_names AS
WITH taken AS (
    SELECT DISTINCT relation, n.words FROM (SELECT relation, subject FROM values_since UNION ALL
        SELECT relation, subject FROM values_as_of)
    JOIN names n ON n.id = subject AND n.kind = 'item' AND n.words IS NOT NULL
),
offered AS (
    SELECT a.edit_id, a.relation, alias, plain_words(alias) AS words
    FROM (SELECT edit_id, relation, subject FROM accepted
        UNION ALL SELECT group_id, relation, subject FROM set_groups) a
    JOIN names n ON n.id = a.subject AND n.kind = 'item', unnest(n.said_aliases) AS u(alias)
)
SELECT edit_id, alias FROM (
    SELECT * FROM offered
    QUALIFY count(*) OVER (PARTITION BY relation, words) = 1
) o
ANTI JOIN taken t ON t.relation = o.relation AND t.words = o.words
QUALIFY row_number() OVER (PARTITION BY edit_id ORDER BY drawn(concat(edit_id, alias)), alias) <= $1::INTEGER
"""

REVERSE_SUBJECTS = """
CREATE OR REPLACE TEMP TABLE reverse_subjects AS
WITH reversible AS (
    SELECT relation FROM wordings WHERE use = 'reverse'
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
FROM accepted a JOIN names n ON n.id = a.new_object AND n.kind = 'item'
JOIN held h ON h.relation = a.relation AND h.words = n.words AND h.times = 1
LEFT JOIN held_before b ON b.relation = a.relation AND b.object = a.new_object
WHERE a.object_kind = 'item' AND coalesce(b.times, 1) = 1
"""

NAMED_EDITS = """
CREATE OR REPLACE TEMP TABLE named_edits AS
SELECT a.*, r.property, r.inverse, r.article, f.fact_id, s.aliases AS subject_aliases, s.sitelinks,
    named_subject(r.article, s) AS shown, n.aliases AS new_aliases, o.aliases AS old_aliases, s.human AS subject_human
FROM accepted a
JOIN relation_facts r USING (relation)
JOIN facts f ON f.edit_id = a.edit_id
JOIN names s ON s.id = a.subject AND s.kind = 'item'
JOIN names n ON n.id = a.new_object AND n.kind = a.object_kind
LEFT JOIN names o ON o.id = a.old_object AND o.kind = a.object_kind
ORDER BY a.part
"""

PART = "CREATE OR REPLACE TEMP TABLE part_edits AS SELECT * FROM named_edits WHERE part = getvariable('part')"

# Each fact that a question of this part walks over, as an element of `chain`.
LINKS = """
CREATE OR REPLACE TEMP TABLE links AS
WITH used AS (
    SELECT fact_id FROM part_edits
    UNION SELECT fact_id FROM chosen_locality WHERE part = getvariable('part')
    UNION SELECT unnest(h.fact_ids) FROM chosen_hops h SEMI JOIN part_edits USING (edit_id)
)
SELECT f.fact_id, {
    'subject': f.subject, 'relation': f.relation, 'property': r.property, 'inverse': r.inverse, 'object': f.after,
    'subject_label': s.label, 'object_label': n.label, 'object_before': f.before, 'object_before_label': o.label,
    'edit_id': f.edit_id,
    'day': f.day,
    'question': capital(worded(w.form, named_subject(r.article, s), s.label, day_told(f.day), '')),
    'cloze': capital(worded(c.form, named_subject(r.article, s), s.label, day_told(f.day), ''))
} AS link
FROM facts f SEMI JOIN used u ON u.fact_id = f.fact_id
JOIN relation_facts r USING (relation)
JOIN names s ON s.id = f.subject AND s.kind = 'item'
JOIN names n ON n.id = f.after AND n.kind = f.object_kind
LEFT JOIN names o ON o.id = f.before AND o.kind = f.object_kind
JOIN wordings w ON w.relation = f.relation AND w.use = 'now' AND w.number = 0
JOIN wordings c ON c.relation = f.relation AND c.use = 'cloze' AND c.number = 0
"""

DRAFTS = """
CREATE OR REPLACE TEMP TABLE drafts AS
SELECT '' AS kind, '' AS locality_kind, 0::TINYINT AS hops, 0::TINYINT AS edited_hops, '' AS relation, '' AS subject,
    '' AS subject_label, '' AS question, []::VARCHAR[] AS phrasings, '' AS answer_id, '' AS answer_kind,
    '' AS before_id, NULL::DATE AS asked_on, []::VARCHAR[] AS edit_ids, [link] AS chain, true AS train
FROM links LIMIT 0
"""

EDIT_WORDS = """
CREATE OR REPLACE TEMP TABLE edit_words AS
SELECT e.edit_id, w.use, w.number, capital(worded(w.form, e.shown, e.subject_label, '', '')) AS text
FROM part_edits e JOIN wordings w ON w.relation = e.relation AND w.use IN ('now', 'cloze')
"""

EDIT_ROWS = """
SELECT e.* EXCLUDE (object_unit), coalesce(u.label, CASE WHEN e.object_unit LIKE 'Q%' OR e.object_unit = '1' THEN NULL
        ELSE e.object_unit END) AS object_unit,
    []::STRUCT(id VARCHAR, label VARCHAR, aliases VARCHAR[])[] AS stays,
    w.prompt, e.new_label AS target_new, e.old_label AS target_old, w.paraphrases, w.cloze
FROM part_edits e
JOIN (
    SELECT edit_id, max(text) FILTER (use = 'now' AND number = 0) AS prompt,
        max(text) FILTER (use = 'cloze') AS cloze,
        list(text ORDER BY number) FILTER (use = 'now' AND number > 0) AS paraphrases
    FROM edit_words GROUP BY edit_id
) w USING (edit_id)
LEFT JOIN names u ON u.id = e.object_unit AND u.kind = 'item' AND e.object_kind = 'quantity'
"""

DIRECT = """
INSERT INTO drafts
SELECT CASE WHEN w.use = 'cloze' THEN 'cloze' WHEN w.number = 0 THEN 'edit' ELSE 'paraphrase' END, NULL, 1, 1,
    e.relation, e.subject, e.subject_label, w.text, [], e.new_object, e.object_kind, e.old_object, NULL,
    [e.edit_id], [l.link], e.train
FROM part_edits e JOIN edit_words w USING (edit_id) JOIN links l USING (fact_id)
"""

ALIAS = """
INSERT INTO drafts
WITH aliased AS (
    SELECT e.*, n.alias, CASE WHEN e.article = 'the' THEN with_the(n.alias)
        WHEN e.article = 'none' OR e.subject_human THEN n.alias ELSE listed_name(n.alias) END AS shown_alias
    FROM part_edits e JOIN alias_names n USING (edit_id)
)
SELECT 'alias', NULL, 1, 1, e.relation, e.subject, e.alias,
    capital(worded(w.form, e.shown_alias, e.alias, '', '')), [capital(worded(p.form, e.shown_alias, e.alias, '', ''))],
    e.new_object, e.object_kind, e.old_object, NULL, [e.edit_id], [l.link], e.train
FROM aliased e JOIN links l USING (fact_id)
JOIN wordings w ON w.relation = e.relation AND w.use = 'now' AND w.number = 0
JOIN wordings p ON p.relation = e.relation AND p.use = 'now' AND p.number = 1
"""

REVERSE = """
INSERT INTO drafts
SELECT 'reverse', NULL, 1, 1, e.relation, e.new_object, e.new_label,
    capital(worded(w.form, '', '', '', n.shown)), [], e.subject, 'item', v.before_id, NULL,
    [e.edit_id], [l.link], e.train
FROM part_edits e JOIN reverse_subjects v USING (edit_id) JOIN links l USING (fact_id)
JOIN names n ON n.id = e.new_object AND n.kind = 'item'
JOIN wordings w ON w.relation = e.relation AND w.use = 'reverse' AND w.number = 0
"""

LOCALITY = """
INSERT INTO drafts
WITH asked AS (
    SELECT c.*, l.link, f.object_kind, named_subject(r.article, s) AS shown
    FROM chosen_locality c JOIN links l USING (fact_id) JOIN facts f USING (fact_id)
    JOIN relation_facts r USING (relation) JOIN names s ON s.id = f.subject AND s.kind = 'item'
    WHERE c.part = getvariable('part')
),
others AS (
    SELECT a.fact_id,
        list(capital(worded(w.form, a.shown, a.link.subject_label, '', '')) ORDER BY w.number) AS phrasings
    FROM asked a JOIN wordings w ON w.relation = a.link.relation AND w.use = 'now' AND w.number IN (1, 2)
    GROUP BY a.fact_id
)
SELECT 'locality', a.locality_kind, 1, 0, a.link.relation, a.link.subject, a.link.subject_label, a.link.question,
    o.phrasings, a.link.object, a.object_kind, a.link.object, NULL, a.edit_ids, [a.link], a.train
FROM asked a JOIN others o USING (fact_id)
"""

PART_CHAINS = """
CREATE OR REPLACE TEMP TABLE part_chains AS
SELECT h.*, row_number() OVER (ORDER BY h.start, h.path, h.day) AS number
FROM chosen_hops h SEMI JOIN part_edits USING (edit_id)
"""

MULTI_HOP = """
INSERT INTO drafts
WITH walked AS (
    SELECT c.number, list(l.link ORDER BY c.place) AS chain
    FROM (SELECT number, unnest(fact_ids) AS fact_id, generate_subscripts(fact_ids, 1) AS place FROM part_chains) c
    JOIN links l USING (fact_id)
    GROUP BY c.number
),
edited AS (
    SELECT w.number, list_sort(list(DISTINCT a.edit_id)) AS edit_ids, bool_and(a.train) AS train
    FROM walked w, unnest(w.chain) AS u(link) JOIN accepted a ON a.edit_id = u.link.edit_id
    GROUP BY w.number
)
SELECT 'multi_hop', NULL, c.hops, len(e.edit_ids), w.chain[c.hops].relation, c.start, w.chain[1].subject_label,
    t.texts[1], t.texts[2:], c.answer_id, c.answer_kind, c.before_id, NULL, e.edit_ids, w.chain, e.train
FROM part_chains c JOIN part_chain_texts t USING (number) JOIN walked w USING (number) JOIN edited e USING (number)
"""
