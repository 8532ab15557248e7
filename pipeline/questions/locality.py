"""What must not move: facts near an edit that are certainly the same on both dates.

Three kinds: the same relation of another subject, another relation of the same subject, and a fact about the
new object. Never a relation that may move with the edited one (the catalogue's `moves_with`), never an
answer that is the edit's old or new object, never a fact that any edit of the set touches.
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import adds_to, creates

__all__ = ["ASKABLE_FACTS", "CHOSEN_LOCALITY", "LOCALITY_DRAFTS", "NEIGHBOURS", "TRIES"]

TRIES = 4
"""Neighbours looked at per wanted probe; the first that may serve is taken."""

# Stable facts that a question about now may ask, numbered within their relation in the order of their draws.
ASKABLE_FACTS = creates("askable_facts", reads="facts")("""
SELECT fact_id, subject, relation, after, draw,
    row_number() OVER (PARTITION BY relation ORDER BY draw, subject) - 1 AS position,
    count(*) OVER (PARTITION BY relation) AS size
FROM facts WHERE edit_id IS NULL AND NOT unaskable AND alive_after AND day IS NULL
""")

NEIGHBOURS = creates("neighbours", reads="askable_facts guarded moves facts", drops="askable_facts")(f"""
WITH sizes AS (SELECT DISTINCT relation, size FROM askable_facts),
-- A position in the relation's order is a join on one number: a hub relation costs no more than a small one.
tries AS (
    SELECT g.pick, g.relation, t.try, (g.draw % s.size + t.try) % s.size AS position
    FROM guarded g JOIN sizes s USING (relation), range(getvariable('locality_per_edit') * {TRIES}) AS t(try)
    WHERE t.try < s.size
),
found AS (
    SELECT t.pick, 'relation' AS locality_kind, k.fact_id, t.try AS preference
    FROM tries t JOIN askable_facts k ON k.relation = t.relation AND k.position = t.position
    UNION ALL
    SELECT g.pick, 'subject', k.fact_id, draw_for(concat(g.pick, k.relation)) % 1000000
    FROM guarded g JOIN askable_facts k ON k.subject = g.subject
    ANTI JOIN moves m ON m.relation = g.relation AND m.other = k.relation
    UNION ALL
    SELECT g.pick, 'object', k.fact_id, draw_for(concat(g.pick, k.relation)) % 1000000
    FROM guarded g JOIN askable_facts k ON k.subject = g.neighbour
    ANTI JOIN moves m ON m.relation = g.relation AND m.other = k.relation
)
SELECT f.pick, f.locality_kind, f.fact_id
FROM found f JOIN guarded g USING (pick) JOIN facts k USING (fact_id)
WHERE NOT list_contains(g.objects, k.after) AND k.after <> g.subject
    AND NOT (f.locality_kind = 'relation' AND (k.subject = g.subject OR list_contains(g.objects, k.subject)))
QUALIFY row_number() OVER (PARTITION BY f.pick, f.locality_kind ORDER BY f.preference, f.fact_id)
    <= getvariable('locality_per_edit')
""")

# A fact that guards several edits is one question.
CHOSEN_LOCALITY = creates("chosen_locality", reads="neighbours guarded", drops="neighbours")("""
SELECT n.fact_id, min(n.locality_kind) AS locality_kind,
    list_sort(list_distinct(flatten(list(g.edit_ids)))) AS edit_ids, bool_and(g.train) AS train, min(g.part) AS part
FROM neighbours n JOIN guarded g USING (pick) GROUP BY n.fact_id
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
