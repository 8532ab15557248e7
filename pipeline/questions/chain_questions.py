"""Chains in words: each chosen chain of facts as one question, made of the templates of its relations.

Leaves out: which chains are asked (`pipeline.questions.multi_hop`).
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import Step, adds_to, creates

__all__ = ["MULTI_HOP_DRAFTS", "PART_CHAINS", "chain_texts"]


def chain_texts(scope: str) -> Step:
    """Creates `{scope}_chain_texts` (number, texts): the phrasings of each chain of `{scope}_chains` as one question.

    The chains have a number, start (QID), path (relations joined by /), day (that the first fact names, or null) and
    hops from 2 to 4. "the spouse of" + "the head of government of" + France; the last fact is asked.
    """
    # One level at a time: a macro's text is copied into its place, and three levels in one would grow eightfold each.
    return creates(f"{scope}_chain_texts", reads=f"{scope}_chains names relation_facts templates")(f"""
WITH chains AS (SELECT number, start, day, hops, string_split(path, '/') AS relations FROM {scope}_chains),
named AS (
    SELECT c.*, s.label, named_subject(r.article, s) AS shown, day_phrase(c.day) AS day_words
    FROM chains c JOIN names s ON s.id = c.start AND s.kind = 'item'
    JOIN relation_facts r ON r.relation = c.relations[1]
),
one AS MATERIALIZED (
    SELECT c.* EXCLUDE (label, shown, day_words), fill(t.form, c.shown, c.label, c.day_words, '') AS phrase,
        CASE WHEN c.hops = 2 AND is_short(t.form) THEN 'nested_short' ELSE 'nested' END AS use
    FROM named c JOIN templates t ON t.relation = c.relations[1] AND t.use = 'noun_named'
),
two AS MATERIALIZED (
    SELECT o.* REPLACE (
        CASE WHEN o.hops > 2 THEN fill(t.form, o.phrase, o.phrase, '', '') ELSE o.phrase END AS phrase)
    FROM one o LEFT JOIN templates t ON o.hops > 2 AND t.relation = o.relations[2] AND t.use = 'noun'
),
three AS MATERIALIZED (
    SELECT o.* REPLACE (
        CASE WHEN o.hops > 3 THEN fill(t.form, o.phrase, o.phrase, '', '') ELSE o.phrase END AS phrase)
    FROM two o LEFT JOIN templates t ON o.hops > 3 AND t.relation = o.relations[3] AND t.use = 'noun'
)
SELECT o.number, list(sentence(t.form, o.phrase, o.phrase, '', '') ORDER BY t.number) AS texts
FROM three o JOIN templates t ON t.relation = o.relations[o.hops] AND t.use = o.use
GROUP BY o.number
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
