"""The world as of since, in words: what a small model is pretrained on, and what an editor may replay.

Every answer that a question expects *before* the edit can be learnt here: the edited facts as they were, the
stable facts that locality and chains rely on, what held on the past days that are asked, and chains themselves.
Each fact is told in several wordings; one of them is held out, so that recall of unseen wordings can be measured.
When there are more sentences than wanted, facts lose their later wordings before any fact is lost.
Leaves out: what changed after since (`edits`).
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from chronofacts.pipeline.questions.history import create_past_days
from chronofacts.pipeline.questions.set_sentences import write_set_lines
from chronofacts.pipeline.questions.settings import QuestionSettings
from chronofacts.pipeline.questions.templates import create_chain_texts
from chronofacts.schemas import tables

__all__ = ["write_sentences"]

SENTENCES_PER_EDIT = 20
"""Sentences that one edit needs at least; more edits than this allows are left out of the small world."""


def write_sentences(connection: duckdb.DuckDBPyConnection, settings: QuestionSettings) -> pa.Table:
    """`SENTENCES`, at most `settings.sentences` of them, sorted by id.

    Reads what `pipeline.questions.build` chose: `accepted`, `facts`, `chosen_locality`, `chosen_hops`, `alias_names`,
    and of sets of values `set_groups`, `set_edits` and `chosen_sets`.
    """
    connection.execute(WORLD, [max(1, settings.sentences // SENTENCES_PER_EDIT)])
    connection.execute(WORLD_EDITS)
    connection.execute(WORLD_SETS)
    # One past day more than is asked. The order of choice is the same, so the asked days are among them.
    create_past_days(connection, settings.history_per_edit + 1)
    connection.execute("SET VARIABLE asked_days = $1::INTEGER", [settings.history_per_edit])
    for step in (TOLD_CHAINS, TOLD_FACTS, FACT_LINES, PAST_LINES, ALIAS_LINES, WORLD_CHAINS):
        connection.execute(step)
    write_set_lines(connection, settings.history_per_edit)
    create_chain_texts(connection, "world_chains", "world_chain_texts")
    connection.execute(CHAIN_LINES)
    table = connection.sql(SENTENCES, params=[settings.sentences]).to_arrow_table()
    return tables.conform(table, tables.SENTENCES, "sentences")


# A set that changed is one thing to learn, however many of its values are edits.
WORLD = """
CREATE OR REPLACE TEMP TABLE world AS
SELECT id FROM (SELECT edit_id AS id, draw FROM accepted UNION ALL SELECT group_id, draw FROM set_groups)
QUALIFY row_number() OVER (ORDER BY draw, id) <= $1::INTEGER
"""

WORLD_EDITS = """
CREATE OR REPLACE TEMP TABLE part_edits AS
SELECT a.*, r.property, r.inverse, r.article, f.fact_id, s.label AS name, named_subject(r.article, s) AS shown,
    s.human AS subject_human
FROM accepted a
JOIN relation_facts r USING (relation)
JOIN facts f ON f.edit_id = a.edit_id
JOIN names s ON s.id = a.subject AND s.kind = 'item'
SEMI JOIN world ON world.id = a.edit_id
"""

WORLD_SETS = """
CREATE OR REPLACE TEMP TABLE part_sets AS SELECT * FROM set_groups g SEMI JOIN world ON world.id = g.group_id;
CREATE OR REPLACE TEMP TABLE world_set_edits AS SELECT unnest(edit_ids) AS edit_id FROM part_sets
"""

TOLD_CHAINS = """
CREATE OR REPLACE TEMP TABLE told_chains AS
SELECT h.* FROM chosen_hops h SEMI JOIN part_edits USING (edit_id)
"""

# wordings: how many wordings a fact is told in; edited facts in all of theirs.
TOLD_FACTS = """
CREATE OR REPLACE TEMP TABLE told_facts AS
WITH needed AS (
    SELECT fact_id, 9 AS wordings FROM part_edits
    UNION ALL
    SELECT fact_id, 4 FROM (SELECT fact_id, unnest(edit_ids) AS edit_id FROM chosen_locality)
    SEMI JOIN (SELECT edit_id FROM part_edits UNION ALL SELECT edit_id FROM world_set_edits) USING (edit_id)
    UNION ALL SELECT unnest(fact_ids), 3 FROM told_chains
    UNION ALL SELECT unnest(facts_before), 3 FROM told_chains
)
SELECT fact_id, max(wordings) AS wordings FROM needed GROUP BY fact_id
"""

FACT_LINES = """
CREATE OR REPLACE TEMP TABLE lines AS
WITH told AS (
    SELECT f.*, t.wordings, r.paraphrases, r.article, s.label AS name, named_subject(r.article, s) AS shown,
        o.label AS answer,
        -- The held-out wording differs from fact to fact: the wording is known, this fact in it is not.
        CAST(1 + f.draw % least(r.paraphrases, t.wordings - 1) AS INTEGER) AS unseen
    FROM told_facts t JOIN facts f USING (fact_id) JOIN relation_facts r USING (relation)
    JOIN names s ON s.id = f.subject AND s.kind = 'item'
    JOIN names o ON o.id = f.before AND o.kind = f.object_kind
)
SELECT CASE WHEN t.edit_id IS NULL AND t.for_ever THEN 'stable' ELSE 'current' END AS role,
    t.subject, t.relation, CASE WHEN w.use = 'cloze' THEN 'cloze' ELSE 'question' END AS form,
    CASE WHEN w.use = 'cloze' THEN 100 ELSE w.number END AS phrasing,
    w.use = 'now' AND w.number = t.unseen AS held_out,
    capital(worded(w.form, t.shown, t.name, day_told(t.day), '')) AS prompt, t.answer, NULL::DATE AS asked_on,
    CASE WHEN w.use = 'cloze' THEN 2 ELSE w.number END AS turn, NULL::VARCHAR[] AS edit_ids
FROM told t JOIN wordings w ON w.relation = t.relation AND w.use IN ('now', 'cloze')
    AND (w.use = 'cloze' OR w.number < t.wordings)
"""

# Every second asked day is trained in other wordings than the question's; a day that nobody asks comes last.
PAST_LINES = """
INSERT INTO lines BY NAME
WITH told AS (
    SELECT e.subject, e.relation, w.use, w.number, d.number % 2 = 1 AS unseen,
        d.number < getvariable('asked_days') AS asked,
        capital(worded(w.form, e.shown, e.name, d.phrase, '')) AS prompt, n.label AS answer, d.asked_on
    FROM past_days d JOIN part_edits e USING (edit_id)
    JOIN names n ON n.id = d.object AND n.kind = d.object_kind
    JOIN wordings w ON w.relation = e.relation AND (w.use = 'on_date' AND w.number < 3 OR w.use = 'cloze_on_date')
)
SELECT 'history' AS role, subject, relation, CASE WHEN use = 'on_date' THEN 'question' ELSE 'cloze' END AS form,
    CASE WHEN use = 'on_date' THEN number ELSE 100 END AS phrasing,
    unseen AND use = 'on_date' AND number = 0 AS held_out, prompt, answer, asked_on,
    CASE WHEN use = 'cloze_on_date' THEN 1 WHEN unseen THEN [2, 0, 3][number + 1] ELSE number END
        + CASE WHEN asked THEN 0 ELSE 2 END AS turn
FROM told
"""

# Another name: that it is one, and the name in use in a fact that no edit touches.
ALIAS_LINES = """
INSERT INTO lines BY NAME
WITH aliased AS (
    SELECT DISTINCT e.subject, a.alias, e.name,
        CASE WHEN e.subject_human THEN a.alias WHEN e.article = 'the' THEN with_the(a.alias)
            ELSE listed_name(a.alias) END AS shown
    FROM alias_names a JOIN part_edits e USING (edit_id)
)
SELECT 'stable' AS role, a.subject, 'alias' AS relation, 'cloze' AS form, c.number AS phrasing, false AS held_out,
    capital(concat(c.lead, a.shown, c.tail)) AS prompt, a.name AS answer, NULL::DATE AS asked_on, c.number AS turn
FROM aliased a CROSS JOIN alias_clozes c
UNION ALL
SELECT CASE WHEN f.for_ever THEN 'stable' ELSE 'current' END, a.subject, f.relation, 'question', w.number, false,
    capital(worded(w.form, a.shown, a.alias, '', '')), o.label, NULL, w.number
FROM aliased a
JOIN (
    SELECT f.* FROM facts f SEMI JOIN part_edits e ON e.subject = f.subject
    WHERE f.edit_id IS NULL QUALIFY row_number() OVER (PARTITION BY f.subject ORDER BY f.draw) = 1
) f ON f.subject = a.subject
JOIN names o ON o.id = f.before AND o.kind = f.object_kind
JOIN wordings w ON w.relation = f.relation AND w.use = 'now' AND w.number < 2
"""

# Chains as the questions ask them, and as many that no edit touches, so that walking itself is learnt and kept.
WORLD_CHAINS = """
CREATE OR REPLACE TEMP TABLE world_chains AS
WITH untouched AS (
    SELECT f.subject AS start, f.day, concat(f.relation, '/', g.relation) AS path, g.before AS answer_id,
        g.object_kind AS answer_kind, g.subject AS bridge
    FROM told_facts t JOIN facts f USING (fact_id)
    JOIN joins j ON j.relation = f.relation
    JOIN facts g ON g.subject = f.after AND g.relation = j.next AND g.day IS NULL
    WHERE f.edit_id IS NULL AND g.edit_id IS NULL AND f.nameable AND f.object_kind = 'item' AND g.after <> f.subject
    QUALIFY row_number() OVER (PARTITION BY f.fact_id ORDER BY g.draw, g.fact_id) = 1
),
sayable AS (
    SELECT u.* FROM untouched u
    JOIN names s ON s.id = u.start AND s.kind = 'item' JOIN names b ON b.id = u.bridge AND b.kind = 'item'
    JOIN names a ON a.id = u.answer_id AND a.kind = u.answer_kind
    WHERE NOT contains(s.words, b.words) AND NOT contains(s.words, a.words)
    QUALIFY row_number() OVER (ORDER BY drawn(concat(u.start, u.path)), u.start, u.path)
        <= greatest((SELECT count(*) FROM told_chains), (SELECT count(*) FROM part_edits))
),
chains AS (
    SELECT start, day, path, hops, before_id AS answer_id, answer_kind, fact_ids, facts_before FROM told_chains
    UNION ALL SELECT start, day, path, 2, answer_id, answer_kind, [], [] FROM sayable
),
numbered AS (SELECT *, row_number() OVER (ORDER BY start, path, day) AS number FROM chains),
touched AS (
    SELECT number, list_sort(list(DISTINCT f.edit_id)) AS edit_ids
    FROM (SELECT number, unnest(list_concat(fact_ids, facts_before)) AS fact_id FROM numbered)
    JOIN facts f USING (fact_id) WHERE f.edit_id IS NOT NULL GROUP BY number
)
SELECT n.* EXCLUDE (fact_ids, facts_before), coalesce(t.edit_ids, []) AS edit_ids
FROM numbered n LEFT JOIN touched t USING (number)
"""

CHAIN_LINES = """
INSERT INTO lines BY NAME
WITH texts AS (
    SELECT number, unnest(texts) AS prompt, generate_subscripts(texts, 1) - 1 AS phrasing FROM world_chain_texts
)
SELECT 'composed' AS role, c.start AS subject, string_split(c.path, '/')[c.hops] AS relation, 'question' AS form,
    t.phrasing, t.phrasing = 1 + drawn(concat(c.start, c.path)) % 2 AS held_out, t.prompt, a.label AS answer,
    NULL::DATE AS asked_on, t.phrasing + 1 AS turn, c.edit_ids
FROM world_chains c JOIN texts t USING (number)
JOIN names a ON a.id = c.answer_id AND a.kind = c.answer_kind
"""

# One prompt, one answer; when there are too many, the later wordings go first.
SENTENCES = """
WITH touching AS (
    SELECT subject, list_sort(list(edit_id)) AS edit_ids FROM (
        SELECT subject, edit_id FROM accepted UNION ALL SELECT subject, edit_id FROM set_edits)
    GROUP BY subject
),
single AS (
    SELECT * FROM lines
    QUALIFY min(answer) OVER (PARTITION BY prompt) = max(answer) OVER (PARTITION BY prompt)
        AND row_number() OVER (PARTITION BY prompt ORDER BY held_out, turn, relation, subject) = 1
),
kept AS (
    SELECT * FROM single
    QUALIFY row_number() OVER (ORDER BY turn, drawn(prompt), prompt) <= $1::INTEGER
)
SELECT content_id(concat_ws(chr(31), k.subject, k.relation, CAST(k.asked_on AS VARCHAR), k.prompt)) AS sentence_id,
    k.* EXCLUDE (edit_ids, turn), coalesce(k.edit_ids, t.edit_ids, []) AS edit_ids
FROM kept k LEFT JOIN touching t USING (subject)
ORDER BY sentence_id
"""
