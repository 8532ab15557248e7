"""Changes to questions: the whole question set of a snapshot, in words.

The order of work: what everything is called (`names`), what is certainly so on both dates (`facts`, `sets`), which
neighbours and chains are asked (`locality`, `multi_hop`), then, a part of the edits at a time, the words
(`direct`, `history`, `set_questions`) and the last checks; at the end the sentences of the small world (`sentences`).
Everything is drawn from the seed and the content alone: the order of the input and the size of a part change
nothing. Leaves out: what is a change (`pipeline.changes`) and writing files (`pipeline.snapshots.write`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from chronofacts.pipeline.memberships import MEMBERS
from chronofacts.pipeline.questions.direct import (
    EDIT_ROWS,
    create_alias_names,
    create_edits,
    create_reverse_names,
    write_now_questions,
)
from chronofacts.pipeline.questions.facts import create_facts
from chronofacts.pipeline.questions.history import create_edited_spans, create_past_days, write_past_questions
from chronofacts.pipeline.questions.locality import create_chosen_locality
from chronofacts.pipeline.questions.multi_hop import create_chosen_hops
from chronofacts.pipeline.questions.names import create_names
from chronofacts.pipeline.questions.sentences import write_sentences
from chronofacts.pipeline.questions.set_questions import (
    SET_EDIT_ROWS,
    SET_QUESTIONS,
    create_set_locality,
    create_set_spans,
    write_set_questions,
)
from chronofacts.pipeline.questions.sets import create_guarded, create_sets
from chronofacts.pipeline.questions.settings import QuestionSettings
from chronofacts.pipeline.questions.templates import create_wordings
from chronofacts.pipeline.storage.session import Tabular, connect, register
from chronofacts.schemas import tables
from chronofacts.schemas.catalogue import Catalogue

__all__ = ["QuestionInputs", "QuestionSettings", "QuestionTables", "build_questions", "question_parts"]


@dataclass(frozen=True)
class QuestionInputs:
    """What the questions are made from; each an Arrow table or a folder of Parquet."""

    changes: Tabular
    """`pipeline.changes.CHANGES`."""
    timelines: Tabular
    values_since: Tabular
    """`pipeline.timelines.build.values_at` on since."""
    values_as_of: Tabular
    entities: Tabular
    statements: Tabular
    """`STATEMENTS`: who followed whom, and what else ended near a day."""
    members: Tabular = field(default_factory=MEMBERS.empty_table)
    """`pipeline.memberships.MEMBERS`: what joined and left sets of values, and what stays."""


@dataclass(frozen=True)
class QuestionTables:
    """Tables of `schemas.tables`, each sorted by its id."""

    edits: pa.Table
    questions: pa.Table
    sentences: pa.Table
    rejections: pa.Table


def build_questions(
    changes: Tabular,
    timelines: Tabular,
    values_since: Tabular,
    values_as_of: Tabular,
    entities: Tabular,
    statements: Tabular,
    catalogue: Catalogue,
    settings: QuestionSettings,
    members: Tabular | None = None,
) -> QuestionTables:
    """All questions about the changes, in memory; see `question_parts` for more than fits.

    Raises BadInput when a relation of the catalogue has no words in the settings' language.
    """
    members = MEMBERS.empty_table() if members is None else members
    inputs = QuestionInputs(changes, timelines, values_since, values_as_of, entities, statements, members)
    parts = list(question_parts(inputs, catalogue, settings))
    return QuestionTables(
        edits=pa.concat_tables([part.edits for part in parts]).sort_by("edit_id"),
        questions=pa.concat_tables([part.questions for part in parts]).sort_by("question_id"),
        sentences=pa.concat_tables([part.sentences for part in parts]).sort_by("sentence_id"),
        rejections=pa.concat_tables([part.rejections for part in parts]).sort_by(_REJECTION_ORDER),
    )


_REJECTION_ORDER = [(name, "ascending") for name in ("stage", "reason", "relation", "subject", "detail")]


def question_parts(
    inputs: QuestionInputs, catalogue: Catalogue, settings: QuestionSettings
) -> Iterator[QuestionTables]:
    """The question set in parts of about `settings.edits_per_part` edits; the last one brings all sentences.

    The union of the parts does not depend on their size. One part is in memory at a time; its rows are in no order.
    """
    with connect(settings.threads, settings.memory_gib, settings.spill) as connection:
        for name in ("changes", "timelines", "values_since", "values_as_of", "entities", "statements", "members"):
            register(connection, name, getattr(inputs, name))
        parts = _prepare(connection, catalogue, settings)
        for part in range(parts):
            connection.execute("SET VARIABLE part = $1::INTEGER", [part])
            yield _part(connection, settings)
        sentences = write_sentences(connection, settings)
        rejections = connection.sql("SELECT * FROM question_rejections ORDER BY ALL").to_arrow_table()
        yield QuestionTables(
            tables.EDITS.empty_table(), tables.QUESTIONS.empty_table(), sentences, rejections.cast(tables.REJECTIONS)
        )


def _prepare(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, settings: QuestionSettings) -> int:
    """Everything that is decided over the whole set, before any words. Returns the number of parts."""
    create_wordings(connection, catalogue, settings.language)
    create_names(connection, catalogue, settings.language)
    create_facts(connection, settings.since, settings.as_of, settings.seed, settings.train_share)
    create_sets(connection)
    edits, of_sets = (_count(connection, table) for table in ("accepted", "set_edits"))
    parts = max(1, -(-(edits + of_sets) // settings.edits_per_part))
    connection.execute("ALTER TABLE accepted ADD COLUMN part INTEGER")
    for table in ("accepted", "set_groups"):
        connection.execute(f"UPDATE {table} SET part = CAST(draw % $1::UBIGINT AS INTEGER)", [parts])
    create_guarded(connection)
    create_set_spans(connection)
    create_edits(connection)
    create_edited_spans(connection)
    create_alias_names(connection, settings.aliases_per_edit)
    create_reverse_names(connection)
    create_chosen_locality(connection, settings)
    create_set_locality(connection, settings)
    create_chosen_hops(connection, settings, edits)
    return parts


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return row[0] if row else 0


def _part(connection: duckdb.DuckDBPyConnection, settings: QuestionSettings) -> QuestionTables:
    write_now_questions(connection)
    create_past_days(connection, settings.history_per_edit)
    write_past_questions(connection)
    for step in (DRAFT_WORDS, CHECKED, REFUSED, WITHOUT_PROBE, *WITHOUT_DRAFTS):
        connection.execute(step)
    write_set_questions(connection, settings.history_per_edit)
    edits = _rows(connection, "edits", EDIT_ROWS, SET_EDIT_ROWS)
    questions = _rows(connection, "questions", QUESTIONS, SET_QUESTIONS)
    connection.execute("DROP TABLE checked_drafts")
    return QuestionTables(edits, questions, tables.SENTENCES.empty_table(), tables.REJECTIONS.empty_table())


def _rows(connection: duckdb.DuckDBPyConnection, name: str, *queries: str) -> pa.Table:
    """The results of several queries as one table of the snapshot."""
    schema = tables.SNAPSHOT_TABLES[name]
    return pa.concat_tables([tables.conform(connection.sql(sql).to_arrow_table(), schema, name) for sql in queries])


# The last look at each finished text: does it say its answer, and does it have one answer only?
DRAFT_WORDS = """
CREATE OR REPLACE TEMP TABLE draft_words AS
SELECT rowid AS draft, answer_id, plain_words(question) AS text_words,
    CASE WHEN len(phrasings) = 0 THEN text_words
        ELSE concat(text_words, ' | ', plain_words(array_to_string(phrasings, ' | '))) END AS said
FROM drafts
"""

CHECKED = """
CREATE OR REPLACE TEMP TABLE checked_drafts AS
WITH contradicting AS (
    SELECT text_words FROM draft_words GROUP BY text_words HAVING min(answer_id) <> max(answer_id)
)
SELECT r.*, a.label AS answer, a.aliases AS answer_aliases, b.label AS answer_before, b.aliases AS before_aliases,
    a.fell_back AS answer_fell_back, coalesce(b.fell_back, false) AS before_fell_back,
    CASE WHEN contains(w.said, a.words) OR coalesce(contains(w.said, b.words), false) THEN 'answer_in_question'
        WHEN c.text_words IS NOT NULL THEN 'contradicting_answers' END AS reason
FROM drafts r JOIN draft_words w ON w.draft = r.rowid
LEFT JOIN contradicting c ON c.text_words = w.text_words
JOIN names a ON a.id = r.answer_id AND a.kind = r.answer_kind
LEFT JOIN names b ON b.id = r.before_id AND b.kind = r.answer_kind
"""

REFUSED = """
INSERT INTO question_rejections
SELECT 'questions', reason, subject, relation, edit_ids, concat(kind, ': ', question) FROM checked_drafts
WHERE reason IS NOT NULL
"""

# Texts are in memory once: the drafts go when they are checked, and the checked ones before the next part begins.
WITHOUT_DRAFTS = ("DROP TABLE draft_words", "DROP TABLE drafts")

WITHOUT_PROBE = """
INSERT INTO question_rejections
WITH kinds AS (SELECT unnest(['multi_hop', 'locality', 'history']) AS kind),
asked AS (SELECT DISTINCT kind, unnest(edit_ids) AS edit_id FROM checked_drafts WHERE reason IS NULL
    UNION SELECT 'locality', unnest(edit_ids) FROM chosen_locality)
SELECT 'questions', 'no_probe', e.subject, e.relation, [e.edit_id],
    concat('no question of kind ', string_agg(k.kind, ', ' ORDER BY k.kind))
FROM part_edits e CROSS JOIN kinds k ANTI JOIN asked a ON a.kind = k.kind AND a.edit_id = e.edit_id
GROUP BY e.subject, e.relation, e.edit_id
"""

QUESTIONS = """
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
