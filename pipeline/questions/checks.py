"""The last look at each finished text: does it say its answer, and does it have one answer only?

What is refused, and each edit that is left without a kind of probe, is a rejection; the others are the snapshot's rows.
"""

from __future__ import annotations

from chronofacts.pipeline.questions.steps import Step, adds_to, creates

__all__ = [
    "CHECKED_DRAFTS", "CHECKED_SET_DRAFTS", "DRAFT_WORDS", "FOUND_PROBES", "PROBES", "PROBE_REJECTIONS",
    "QUESTION_ROWS", "REFUSED_REJECTIONS", "SET_DRAFT_WORDS", "SET_FOUND_PROBES", "SET_QUESTION_ROWS",
    "SET_REFUSED_REJECTIONS",
]  # fmt: skip


def list_words(drafts: str, table: str) -> Step:
    # Contradictions are sought among these alone, since whole questions are dear to sort.
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
)
SELECT d.*, a.label AS answer, a.aliases AS answer_aliases, b.label AS answer_before, b.aliases AS before_aliases,
    a.fell_back AS answer_fell_back, coalesce(b.fell_back, false) AS before_fell_back,
    CASE WHEN contains(w.all_words, a.words) OR coalesce(contains(w.all_words, b.words), false)
            THEN 'answer_in_question'
        WHEN c.question_words IS NOT NULL THEN 'contradicting_answers' END AS reason
FROM drafts d JOIN draft_words w ON w.draft = d.rowid
LEFT JOIN contradicting c ON c.question_words = w.question_words
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
