"""The small world: sentences as of since, on which a small model is pretrained and which an editor may replay.

Every answer that a question expects *before* the edit can be learnt here: the edited facts and sets as they were, the
stable ones that locality and chains rely on, what held on the past days that are asked, and chains themselves.
Each fact has several phrasings; one of them is held out, so that recall of unseen phrasings can be measured.
When there are more sentences than wanted, facts lose their later phrasings before any fact is lost.
Leaves out: what changed after since (`edits`).
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import adds_to, creates

__all__ = [
    "ALIAS_SENTENCES", "CHAIN_SENTENCES", "DAY_SENTENCES", "FACT_SENTENCES", "SAMPLED_CHAINS", "SENTENCES",
    "SENTENCE_ROWS", "SET_SENTENCES", "WORLD", "WORLD_CHAINS", "WORLD_EDITS", "WORLD_FACTS", "WORLD_SETS",
]  # fmt: skip

SENTENCES_PER_EDIT = 20
"""Sentences that one edit needs at least; more edits than this allows are left out of the small world."""

# A set that changed is one thing to learn, however many of its values are edits.
WORLD = creates("world", reads="edits set_groups")(f"""
SELECT id FROM (SELECT edit_id AS id, draw FROM edits UNION ALL SELECT group_id, draw FROM set_groups)
QUALIFY row_number() OVER (ORDER BY draw, id) <= greatest(1, getvariable('sentences') // {SENTENCES_PER_EDIT})
""")

WORLD_EDITS = creates("world_edits", reads="named_edits world")("""
FROM named_edits e SEMI JOIN world ON world.id = e.edit_id
""")

WORLD_SETS = creates("world_sets", reads="set_groups world")("""
FROM set_groups g SEMI JOIN world ON world.id = g.group_id
""")

SAMPLED_CHAINS = creates("sampled_chains", reads="chosen_chains world_edits")("""
FROM chosen_chains SEMI JOIN world_edits USING (edit_id)
""")

# phrasings: how many the fact has; edited facts have all of theirs.
WORLD_FACTS = creates("world_facts", reads="world_edits chosen_locality world_sets sampled_chains")("""
WITH needed AS (
    SELECT fact_id, 9 AS phrasings FROM world_edits
    UNION ALL
    SELECT fact_id, 4 FROM (SELECT fact_id, unnest(edit_ids) AS edit_id FROM chosen_locality)
    SEMI JOIN (SELECT edit_id FROM world_edits UNION ALL SELECT unnest(edit_ids) FROM world_sets) USING (edit_id)
    UNION ALL SELECT unnest(fact_ids), 3 FROM sampled_chains
    UNION ALL SELECT unnest(facts_before), 3 FROM sampled_chains
)
SELECT fact_id, max(phrasings) AS phrasings FROM needed GROUP BY fact_id
""")

# turn: when there are too many, those with the highest go first.
SENTENCES = creates("sentences")("""
SELECT '' AS role, '' AS subject, '' AS relation, '' AS form, 0 AS phrasing, false AS held_out, '' AS prompt,
    '' AS answer, NULL::DATE AS asked_on, 0 AS turn, []::VARCHAR[] AS edit_ids LIMIT 0
""")

FACT_SENTENCES = adds_to("sentences", reads="world_facts facts relation_facts names templates")("""
WITH known AS (
    SELECT f.*, w.phrasings, s.label, named_subject(r.article, s) AS shown, o.label AS answer,
        -- The held-out phrasing differs from fact to fact: the template is known, this fact in it is not.
        CAST(1 + f.draw % least(r.paraphrases, w.phrasings - 1) AS INTEGER) AS unseen
    FROM world_facts w JOIN facts f USING (fact_id) JOIN relation_facts r USING (relation)
    JOIN names s ON s.id = f.subject AND s.kind = 'item'
    JOIN names o ON o.id = f.before AND o.kind = f.object_kind
)
SELECT CASE WHEN k.edit_id IS NULL AND k.for_ever THEN 'stable' ELSE 'current' END AS role,
    k.subject, k.relation, CASE WHEN t.use = 'cloze' THEN 'cloze' ELSE 'question' END AS form,
    CASE WHEN t.use = 'cloze' THEN 100 ELSE t.number END AS phrasing,
    t.use = 'now' AND t.number = k.unseen AS held_out,
    sentence(t.form, k.shown, k.label, day_phrase(k.day), '') AS prompt, k.answer,
    CASE WHEN t.use = 'cloze' THEN 2 ELSE t.number END AS turn
FROM known k JOIN templates t ON t.relation = k.relation AND t.use IN ('now', 'cloze')
    AND (t.use = 'cloze' OR t.number < k.phrasings)
""")

# phrasing 90: the template that asks what stays. It is learnt too, about the set as it was.
# Of an open set that changed the days are learnt on which what stays joined.
SET_SENTENCES = adds_to("sentences", reads="world_sets set_events stable_sets chosen_sets templates")("""
WITH known AS (
    SELECT subject, relation, shown, subject_label, phrase, ask, close, target_old AS answer, draw, 9 AS phrasings
    FROM world_sets WHERE target_old IS NOT NULL
    UNION ALL
    SELECT subject, relation, shown, subject_label, phrase, ask, close, answer, draw, 4
    FROM set_events SEMI JOIN world_sets USING (relation, subject)
    UNION ALL
    SELECT s.subject, s.relation, s.shown, s.subject_label, s.phrase, s.ask, s.close, s.answer, s.draw, 4
    FROM stable_sets s SEMI JOIN (
        SELECT c.set_id FROM (SELECT set_id, unnest(edit_ids) AS edit_id FROM chosen_sets) c
        SEMI JOIN (SELECT unnest(edit_ids) AS edit_id FROM world_sets) USING (edit_id)) near USING (set_id)
),
counted AS (SELECT relation, use, max(number) AS paraphrases FROM templates GROUP BY relation, use)
SELECT 'current' AS role, k.subject, k.relation, CASE WHEN t.use = k.close THEN 'cloze' ELSE 'question' END AS form,
    CASE t.use WHEN k.close THEN 100 WHEN 'all_preservation' THEN 90 ELSE t.number END AS phrasing,
    t.use = k.ask AND t.number = 1 + k.draw % least(c.paraphrases, k.phrasings - 1) AS held_out,
    sentence(t.form, k.shown, k.subject_label, k.phrase, '') AS prompt, k.answer,
    CASE t.use WHEN k.close THEN 2 WHEN 'all_preservation' THEN 1 ELSE t.number END AS turn
FROM known k JOIN counted c ON c.relation = k.relation AND c.use = k.ask
JOIN templates t ON t.relation = k.relation AND (t.use IN (k.close, 'all_preservation')
    OR t.use = k.ask AND t.number < k.phrasings)
""")

# Every second asked day is trained in other phrasings than the question's; a day that nobody asks comes last.
DAY_SENTENCES = adds_to("sentences", reads="world_past_days world_edits names world_past_sets world_sets templates")("""
WITH days AS (
    SELECT e.subject, e.relation, e.shown, e.subject_label, d.phrase, d.number, d.asked_on, n.label AS answer,
        'on_date' AS use, 'cloze_on_date' AS cloze
    FROM world_past_days d JOIN world_edits e USING (edit_id)
    JOIN names n ON n.id = d.object AND n.kind = d.object_kind
    UNION ALL
    SELECT s.subject, s.relation, s.shown, s.subject_label, d.phrase, d.number, d.asked_on, d.answer,
        'all_on_date', 'all_cloze_on_date'
    FROM world_past_sets d JOIN world_sets s USING (group_id)
),
texts AS (
    SELECT d.*, t.use = d.cloze AS is_cloze, t.number AS phrasing, d.number % 2 = 1 AS unseen,
        sentence(t.form, d.shown, d.subject_label, d.phrase, '') AS prompt
    FROM days d JOIN templates t ON t.relation = d.relation AND (t.use = d.use AND t.number < 3 OR t.use = d.cloze)
)
SELECT 'history' AS role, subject, relation, CASE WHEN is_cloze THEN 'cloze' ELSE 'question' END AS form,
    CASE WHEN is_cloze THEN 100 ELSE phrasing END AS phrasing, unseen AND NOT is_cloze AND t.phrasing = 0 AS held_out,
    prompt, answer, asked_on,
    CASE WHEN is_cloze THEN 1 WHEN unseen THEN [2, 0, 3][t.phrasing + 1] ELSE t.phrasing END
        + CASE WHEN number < getvariable('history_per_edit') THEN 0 ELSE 2 END AS turn
FROM texts t
""")

# Another name: that it is one, and the name in use in a fact that no edit touches.
ALIAS_SENTENCES = adds_to("sentences", reads="alias_names world alias_clozes world_edits facts names templates")("""
WITH aliases AS (
    SELECT DISTINCT a.subject, a.alias, a.label, a.shown FROM alias_names a SEMI JOIN world ON world.id = a.edit_id
),
edited AS (
    SELECT DISTINCT a.subject, a.alias, a.shown FROM alias_names a SEMI JOIN world_edits USING (edit_id)
),
untouched AS (
    SELECT * FROM facts SEMI JOIN edited USING (subject)
    WHERE edit_id IS NULL QUALIFY row_number() OVER (PARTITION BY subject ORDER BY draw) = 1
)
SELECT 'stable' AS role, a.subject, 'alias' AS relation, 'cloze' AS form, c.number AS phrasing, false AS held_out,
    capital(concat(c.lead, a.shown, c.tail)) AS prompt, a.label AS answer, c.number AS turn
FROM aliases a CROSS JOIN alias_clozes c
UNION ALL
SELECT CASE WHEN f.for_ever THEN 'stable' ELSE 'current' END, a.subject, f.relation, 'question', t.number, false,
    sentence(t.form, a.shown, a.alias, '', ''), o.label, t.number
FROM edited a JOIN untouched f ON f.subject = a.subject
JOIN names o ON o.id = f.before AND o.kind = f.object_kind
JOIN templates t ON t.relation = f.relation AND t.use = 'now' AND t.number < 2
""")

# Chains as the questions ask them, and as many that no edit touches, so that walking itself is learnt and kept.
WORLD_CHAINS = creates("world_chains", reads="world_facts facts joins names sampled_chains world_edits")("""
WITH untouched AS (
    SELECT f.subject AS start, f.day, concat(f.relation, '/', g.relation) AS path, g.before AS answer_id,
        g.object_kind AS answer_kind, g.subject AS bridge
    FROM world_facts w JOIN facts f USING (fact_id)
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
    QUALIFY row_number() OVER (ORDER BY draw_for(concat(u.start, u.path)), u.start, u.path)
        <= greatest((SELECT count(*) FROM sampled_chains), (SELECT count(*) FROM world_edits))
),
chains AS (
    SELECT start, day, path, hops, before_id AS answer_id, answer_kind, fact_ids, facts_before FROM sampled_chains
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
""")

CHAIN_SENTENCES = adds_to("sentences", reads="world_chain_texts world_chains names")("""
WITH texts AS (
    SELECT number, unnest(texts) AS prompt, generate_subscripts(texts, 1) - 1 AS phrasing FROM world_chain_texts
)
SELECT 'composed' AS role, c.start AS subject, string_split(c.path, '/')[c.hops] AS relation, 'question' AS form,
    t.phrasing, t.phrasing = 1 + draw_for(concat(c.start, c.path)) % 2 AS held_out, t.prompt, a.label AS answer,
    t.phrasing + 1 AS turn, c.edit_ids
FROM world_chains c JOIN texts t USING (number)
JOIN names a ON a.id = c.answer_id AND a.kind = c.answer_kind
""")

# One prompt, one answer.
SENTENCE_ROWS = """
WITH touching AS (
    SELECT subject, list_sort(list(edit_id)) AS edit_ids FROM (
        SELECT subject, edit_id FROM edits UNION ALL SELECT subject, edit_id FROM set_edits)
    GROUP BY subject
),
single AS (
    SELECT * FROM sentences
    QUALIFY min(answer) OVER (PARTITION BY prompt) = max(answer) OVER (PARTITION BY prompt)
        AND row_number() OVER (PARTITION BY prompt ORDER BY held_out, turn, relation, subject) = 1
),
kept AS (
    SELECT * FROM single
    QUALIFY row_number() OVER (ORDER BY turn, draw_for(prompt), prompt) <= getvariable('sentences')
)
SELECT content_id(concat_ws(chr(31), k.subject, k.relation, CAST(k.asked_on AS VARCHAR), k.prompt)) AS sentence_id,
    k.* EXCLUDE (edit_ids, turn), coalesce(k.edit_ids, t.edit_ids, []) AS edit_ids
FROM kept k LEFT JOIN touching t USING (subject)
ORDER BY sentence_id
"""
"""The rows of the snapshot's `sentences`."""
