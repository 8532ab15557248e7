"""The promises about words: that names, prompts and answers say what the ids beside them say.

Ids are held by the other promises; here the texts are held by the ids. Like the others these share no code with the
stages, and a query blames by its columns `edit_id` and `question_id` (`pipeline.snapshots.invariants`).
Leaves out: whether a wording is a good one, which no query can tell.
"""

from __future__ import annotations

__all__ = ["TEXTS_PREPARED", "TEXT_INVARIANTS", "TEXT_MACROS"]

TEXT_MACROS = r"""
-- A word that stands twice is read as one, since a name's slip of the keyboard is mended in a question.
CREATE MACRO unrepeated(text) AS
    list_reduce(string_split(plain(text), ' '), lambda said, word:
        CASE WHEN said = word OR ends_with(said, ' ' || word) THEN said ELSE said || ' ' || word END);
-- A number in figures, however a language divides them: 1,200 and 12,5.
CREATE MACRO digits(text) AS regexp_replace(text, '\D', '', 'g');
CREATE MACRO says_number(text, number) AS starts_with(text, '-') = (number < 0) AND
    CASE WHEN number = trunc(number) THEN digits(text) = digits(number::HUGEINT::VARCHAR)
        ELSE rtrim(digits(text), '0') = rtrim(digits(number::VARCHAR), '0') END;
"""

# Every name by which an edit or a question calls an entity or a literal; a view, since a large set has many millions.
# told: name, alias (a question by another name) or aliases (other right answers, one a row).
TEXTS_PREPARED = """
CREATE OR REPLACE VIEW names_to_check AS
WITH hops AS (SELECT question_id, unnest(chain) AS hop FROM questions),
members AS (
    SELECT edit_id, NULL AS question_id, unnest(stays) AS value FROM edits
    UNION ALL BY NAME
    SELECT question_id, unnest(list_concat(answer_set, answer_before_set)) AS value FROM questions
)
SELECT edit_id, NULL AS question_id, subject AS id, subject_label AS name, 'name' AS told FROM edits
UNION ALL SELECT edit_id, NULL, old_object, old_label, 'name' FROM edits
UNION ALL SELECT edit_id, NULL, new_object, new_label, 'name' FROM edits
UNION ALL SELECT edit_id, NULL, subject, unnest(subject_aliases), 'aliases' FROM edits
UNION ALL SELECT edit_id, NULL, old_object, unnest(old_aliases), 'aliases' FROM edits
UNION ALL SELECT edit_id, NULL, new_object, unnest(new_aliases), 'aliases' FROM edits
UNION ALL SELECT NULL, question_id, subject, subject_label, CASE kind WHEN 'alias' THEN 'alias' ELSE 'name' END
    FROM questions
UNION ALL SELECT NULL, question_id, answer_id, answer, 'name' FROM questions WHERE len(answer_set) = 0
UNION ALL SELECT NULL, question_id, answer_id, unnest(answer_aliases), 'aliases' FROM questions
UNION ALL SELECT NULL, question_id, answer_before_id, answer_before, 'name' FROM questions
    WHERE len(answer_set) = 0 AND len(answer_before_set) = 0
UNION ALL SELECT NULL, question_id, answer_before_id, unnest(answer_before_aliases), 'aliases' FROM questions
UNION ALL SELECT NULL, question_id, hop.subject, hop.subject_label, 'name' FROM hops
UNION ALL SELECT NULL, question_id, hop.object, hop.object_label, 'name' FROM hops
UNION ALL SELECT NULL, question_id, hop.object_before, hop.object_before_label, 'name' FROM hops
UNION ALL SELECT edit_id, question_id, value.id, value.label, 'name' FROM members
UNION ALL SELECT edit_id, question_id, value.id, unnest(value.aliases), 'aliases' FROM members;
"""

# The id of a promise -> what breaks it.
TEXT_INVARIANTS = {
    "target_is_named": """
        SELECT edit_id, target_new, new_label FROM edits
        WHERE kind NOT IN ('addition', 'removal')
            AND (target_new IS DISTINCT FROM new_label OR target_old IS DISTINCT FROM old_label)""",
    # One of them: a benchmark may make the same edit in several records, each in its own words.
    "edit_asked_as_told": """
        WITH asked AS (SELECT *, unnest(edit_ids) AS edit_id FROM questions WHERE kind = 'edit')
        SELECT e.edit_id, e.prompt, e.target_new FROM edits e JOIN asked q USING (edit_id)
        GROUP BY ALL
        HAVING NOT bool_or(q.question IS NOT DISTINCT FROM e.prompt AND q.answer IS NOT DISTINCT FROM e.target_new
            AND q.answer_before IS NOT DISTINCT FROM e.target_old
            AND q.subject_label IS NOT DISTINCT FROM e.subject_label)""",
    "wordings_of_the_edit": """
        SELECT DISTINCT e.edit_id, q.question FROM edits e JOIN (
            SELECT kind, question, unnest(edit_ids) AS edit_id FROM questions WHERE kind IN ('paraphrase', 'cloze')
        ) q USING (edit_id)
        WHERE NOT coalesce(CASE q.kind WHEN 'cloze' THEN q.question = e.cloze
            ELSE list_contains(e.paraphrases, q.question) END, false)""",
    # An office is told with its place, where its name alone would not say of what: with more words, but with those.
    # Of two names the one that is the entity's own is right.
    "called_by_name": """
        WITH told AS (SELECT DISTINCT id, name, told FROM names_to_check WHERE id IS NOT NULL OR name IS NOT NULL),
        judged AS (
            SELECT t.*, e.qid IS NOT NULL AS is_entity, e.label, e.aliases, coalesce(t.name = e.label, false) AS same,
                bool_or(coalesce(t.name = e.label, false)) OVER (PARTITION BY t.id, t.told) AS by_own_name
            FROM told t LEFT JOIN entities e ON e.qid = t.id
        ),
        wrong AS (
            SELECT id, name, told FROM judged
            WHERE NOT same AND NOT coalesce(CASE
                WHEN is_entity AND told <> 'name' THEN list_contains(aliases, name)
                WHEN is_entity THEN NOT by_own_name AND contains(unrepeated(name), unrepeated(label))
                ELSE name = id OR says_number(name, TRY_CAST(ltrim(id, '+') AS DECIMAL(38, 6))) END, false)
        )
        SELECT DISTINCT n.edit_id, n.question_id, n.id, n.name FROM names_to_check n
        JOIN wrong w ON w.id IS NOT DISTINCT FROM n.id AND w.name IS NOT DISTINCT FROM n.name AND w.told = n.told""",
    "question_names_subject": """
        SELECT question_id, question, subject_label FROM questions
        WHERE NOT coalesce(contains(plain(question), plain(subject_label)), false)""",
    "question_id_is_hash": """
        SELECT question_id, question FROM questions
        WHERE question_id <> left(sha256(concat_ws(chr(31), kind,
            CASE WHEN len(chain) > 0 THEN array_to_string(list_transform(chain, lambda hop:
                    concat_ws(chr(30), hop.subject, hop.relation, hop.object)), chr(29))
                ELSE concat_ws(chr(30), subject, relation, answer_id) END,
            asked_on::VARCHAR, question)), 16)""",
}
