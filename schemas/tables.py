"""The Arrow schema of every table: the one contract between stages, and between pipeline and editing.

Each column carries its meaning (and unit, where it has one) as Arrow field metadata, so that
`inspect`, the dataset card and a reader of the Parquet all see the same words.
Dates are proleptic Gregorian days (`date32`); an interval is `[*_earliest, *_latest]`, both included.
No table holds a day before 0001-01-01 or after 9999-12-31, which Python, pandas and `datasets` cannot: it is null. That
null is not "unknown": a date before year 1 keeps its kind `known` and its precision of 9 or more, with which a day is
never missing otherwise, and it lies before every day that can be asked (`pipeline.storage.early_days`).
"""

from __future__ import annotations

import pyarrow as pa

from chronofacts.schemas.errors import SchemaMismatch

__all__ = [
    "EDITS",
    "ENTITIES",
    "QUESTIONS",
    "REJECTIONS",
    "SENTENCES",
    "SNAPSHOT_TABLES",
    "STATEMENTS",
    "TIMELINES",
    "conform",
    "describe",
]


def field(name: str, type_: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, type_, metadata={"meaning": meaning})


_NAMES = pa.list_(pa.string())


def _interval(prefix: str, what: str) -> list[pa.Field]:
    """The four columns that hold one Wikidata date qualifier."""
    return [
        field(
            f"{prefix}_earliest",
            pa.date32(),
            f"first day that {what} may be; null unless {prefix}_kind is known; before year 1: null",
        ),
        field(
            f"{prefix}_latest",
            pa.date32(),
            f"last day that {what} may be; null unless {prefix}_kind is known; before year 1: null",
        ),
        field(f"{prefix}_precision", pa.int8(), "Wikidata precision: 11 day, 10 month, 9 year, less is coarser"),
        field(f"{prefix}_kind", pa.string(), "known, none (explicit no value), unknown (some value) or absent"),
    ]


STATEMENTS = pa.schema(
    [
        field(
            "statement_id", pa.string(), "Wikidata statement id, as in JSON with the first letter capital: Q60$5083…"
        ),
        field("subject", pa.string(), "QID that the statement is about"),
        field("property", pa.string(), "PID of the main value"),
        field("object", pa.string(), "QID, or the literal in Wikidata's spelling; null for somevalue and novalue"),
        field("object_kind", pa.string(), "item, string, quantity, time, somevalue or novalue"),
        field("object_unit", pa.string(), "quantity: QID of the unit; monolingual text: language code; else null"),
        field("rank", pa.string(), "preferred, normal or deprecated"),
        *_interval("start", "the start (P580; of a software version without one its publication, P577)"),
        *_interval("end", "the end (P582)"),
        *_interval("point_in_time", "the point in time (P585)"),
        field("replaces", pa.string(), "QID of P1365; null when absent or many"),
        field("replaced_by", pa.string(), "QID of P1366; null when absent or many"),
        field("qualifiers", pa.list_(pa.string()), "all other qualifiers as PID=value, sorted"),
        field(
            "faults", pa.list_(pa.string()), "what is wrong with the row, as reason codes of schemas.reasons, sorted"
        ),
        field("revision", pa.int64(), "revision of the subject that was read; null when the source has none"),
        field(
            "modified_at",
            pa.timestamp("s", tz="UTC"),
            "when the subject was last edited; null when the source has none",
        ),
        field("retrieved_at", pa.timestamp("s", tz="UTC"), "when it was read from Wikidata"),
        field("source", pa.string(), "sample, dump, or the endpoint's address"),
    ]
)
# The columns that say where a row came from rather than what it says.
SOURCE_COLUMNS = ("revision", "modified_at", "retrieved_at", "source")

ENTITIES = pa.schema(
    [
        field("qid", pa.string(), "Wikidata id"),
        field("label", pa.string(), "name in the snapshot's language; null when there is none"),
        field(
            "label_language", pa.string(), "language the label was found in (the snapshot's, mul, or en as fallback)"
        ),
        field("description", pa.string(), "Wikidata's description in the snapshot's language"),
        field("aliases", pa.list_(pa.string()), "other names, sorted, without the label"),
        field("alias_languages", pa.list_(pa.string()), "language of each alias: the snapshot's, mul or en"),
        field("types", pa.list_(pa.string()), "QIDs of P31, sorted"),
        field(
            "sitelinks", pa.int32(), "number of Wikipedia and sister pages, a measure of popularity; null if unknown"
        ),
        field(
            "began_earliest",
            pa.date32(),
            "first day of birth (P569) or inception (P571); null if unknown or before year 1",
        ),
        field("began_latest", pa.date32(), "last day of birth or inception"),
        field(
            "ended_earliest",
            pa.date32(),
            "first day of death (P570) or abolition (P576); null while it exists, or before year 1 (ended_kind known)",
        ),
        field("ended_latest", pa.date32(), "last day of death or abolition"),
        field("ended_kind", pa.string(), "known, unknown (dead, day unknown) or absent"),
    ]
)

TIMELINES = pa.schema(
    [
        field("subject", pa.string(), "QID"),
        field("relation", pa.string(), "id of the relation in the catalogue"),
        field("ordinal", pa.int32(), "place in the timeline, from 0, by start"),
        field(
            "object", pa.string(), "QID or literal that held; null for somevalue (held by somebody unknown) and novalue"
        ),
        field("object_kind", pa.string(), "item, string, quantity, year, somevalue or novalue"),
        field(
            "valid_from_earliest",
            pa.date32(),
            "first day on which it may have begun; null: unknown, or with a precision of 9 or more: before year 1",
        ),
        field("valid_from_latest", pa.date32(), "last day on which it may have begun; null: as valid_from_earliest"),
        field("valid_from_precision", pa.int8(), "Wikidata precision of the start; null: unknown"),
        field(
            "valid_to_earliest",
            pa.date32(),
            "first day on which it may no longer hold; null: unknown, never, or (valid_to_kind known) before year 1",
        ),
        field("valid_to_latest", pa.date32(), "last day on which it may cease to hold; null: as valid_to_earliest"),
        field("valid_to_precision", pa.int8(), "Wikidata precision of the end; null: unknown or inferred"),
        field("valid_to_kind", pa.string(), "known, none (has not ended), unknown, open (assumed to hold until as_of)"),
        field("end_inferred", pa.bool_(), "true when no statement says the end and it was inferred or assumed"),
        field(
            "end_reason",
            pa.string(),
            "stated, last_day (the stated day is the last one), no_value, some_value, successor, death, abolition, "
            "contested (another statement of the same start has an end), open, too_old, dateless",
        ),
        field("rank", pa.string(), "best rank among its statements"),
        field(
            "confidence", pa.int8(), "in how many places Wikidata says it (statement, office's P1308, person's P39 …)"
        ),
        field("statement_ids", pa.list_(pa.string()), "statements that say it, sorted"),
    ]
)

STAYING = pa.struct([pa.field("id", pa.string()), pa.field("label", pa.string()), pa.field("aliases", _NAMES)])
"""One value of a many-valued relation that holds on both days."""

ANSWER = pa.struct([*STAYING, pa.field("role", pa.string())])
"""One value of an answer set. role: joined or stays (at as_of), left or stays (at since)."""

_CHAIN = pa.list_(
    pa.struct(
        [
            pa.field("subject", pa.string()),
            pa.field("relation", pa.string()),
            pa.field("property", pa.string()),
            pa.field("inverse", pa.bool_()),
            pa.field("object", pa.string()),
            pa.field("subject_label", pa.string()),
            pa.field("object_label", pa.string()),
            pa.field("object_before", pa.string()),
            pa.field("object_before_label", pa.string()),
            pa.field("edit_id", pa.string()),
            field("day", pa.date32(), "the past day that the fact names; null for a fact of now"),
            pa.field("question", pa.string()),
            pa.field("cloze", pa.string()),
        ]
    )
)

EDITS = pa.schema(
    [
        field(
            "edit_id", pa.string(), "sha256 of (relation, subject, old_object, new_object, changed_on), 16 hex digits"
        ),
        field(
            "kind",
            pa.string(),
            "modification (o -> o'), injection (nobody -> o'), update (unknown -> o'); of a many-valued relation "
            "addition (one value joins, others stay) or removal (one value leaves, others stay)",
        ),
        field(
            "before",
            pa.string(),
            "what is known of the value at since: known, nobody (an injection: the subject began later, or Wikidata "
            "says that there was none) or unknown (an update: Wikidata has a hole)",
        ),
        field("relation", pa.string(), "id of the relation in the catalogue"),
        field("property", pa.string(), "PID that the relation reads"),
        field("inverse", pa.bool_(), "true when the property is read backwards (subject is its value)"),
        field("subject", pa.string(), "QID"),
        field("subject_label", pa.string(), "name used in the questions"),
        field("subject_aliases", pa.list_(pa.string()), "other names of the subject"),
        field(
            "old_object",
            pa.string(),
            "QID or literal that held at since (modification) or that left (removal); else null",
        ),
        field("old_label", pa.string(), "name of the old object; null where there is none"),
        field("old_aliases", pa.list_(pa.string()), "other names of the old object"),
        field(
            "new_object", pa.string(), "QID or literal that holds at as_of (addition: that joined); null for a removal"
        ),
        field("new_label", pa.string(), "name of the new object; null for a removal"),
        field("new_aliases", pa.list_(pa.string()), "other names of the new object"),
        field(
            "stays",
            pa.list_(STAYING),
            "addition and removal: the values that certainly hold on both days, sorted by id; else empty",
        ),
        field("object_kind", pa.string(), "item, string, quantity or year"),
        field("object_unit", pa.string(), "quantity: name of the unit; text: language; else null"),
        field(
            "changed_on_earliest",
            pa.date32(),
            "first day on which the new value may have begun (removal: the old one ended)",
        ),
        field(
            "changed_on_latest",
            pa.date32(),
            "last day on which the new value may have begun (removal: the old one ended)",
        ),
        field("changed_on_precision", pa.int8(), "Wikidata precision of that day"),
        field(
            "prompt", pa.string(), "the edit question, in the present tense: Who is the head of government of France?"
        ),
        field(
            "target_new",
            pa.string(),
            "the answer at as_of (= new_label); addition and removal: the whole set as one text, the same for all "
            "edits of the subject and relation (of a set of more than eight: what joined); of an open relation what "
            "joined, or left, on the day that the prompt names",
        ),
        field(
            "target_old",
            pa.string(),
            "the answer at since (= old_label); addition and removal: the whole set, null where it has none or more "
            "than eight values, or where the prompt names a day",
        ),
        field("paraphrases", pa.list_(pa.string()), "other wordings of prompt, at least four"),
        field("cloze", pa.string(), "a sentence to be completed with the answer: The head of government of France is"),
        field("sitelinks", pa.int32(), "popularity of the subject"),
        field("confidence", pa.int8(), "in how many places Wikidata says the new value"),
        field("statement_ids", pa.list_(pa.string()), "statements behind the old and the new value, sorted"),
    ]
)

QUESTIONS = pa.schema(
    [
        field("question_id", pa.string(), "sha256 of (kind, chain or triple, asked_on, question), 16 hex digits"),
        field("edit_ids", pa.list_(pa.string()), "edits that the question tests or guards, sorted"),
        field(
            "kind",
            pa.string(),
            "edit, paraphrase, cloze, alias, reverse, multi_hop, locality, history, timeline or preservation (what "
            "stays of a set that changed)",
        ),
        field(
            "locality_kind",
            pa.string(),
            "relation (other subject), subject (other relation), object (neighbour); else null",
        ),
        field("hops", pa.int8(), "number of facts walked from the named entity to the answer"),
        field("edited_hops", pa.int8(), "how many of them are edited facts"),
        field("relation", pa.string(), "relation of the last fact walked"),
        field("subject", pa.string(), "QID of the entity that the question names"),
        field("subject_label", pa.string(), "its name in the question"),
        field("question", pa.string(), "the question"),
        field(
            "phrasings",
            pa.list_(pa.string()),
            "other wordings with the same answer (a multi-hop question has three in all)",
        ),
        field("answer", pa.string(), "the right answer at as_of (history: at asked_on)"),
        field(
            "answer_id",
            pa.string(),
            "QID or literal of the answer; of a set those of the values that joined, else left, else all, joined by |",
        ),
        field("answer_aliases", pa.list_(pa.string()), "other names of the answer; empty for a set"),
        field(
            "answer_set",
            pa.list_(ANSWER),
            "a question with several answers: each value with its role (joined, stays; left where the question asks "
            "what did), sorted by id; else empty",
        ),
        field("answer_before", pa.string(), "the right answer at since; null where there was none"),
        field("answer_before_id", pa.string(), "QID or literal of it"),
        field("answer_before_aliases", pa.list_(pa.string()), "other names of it"),
        field(
            "answer_before_set",
            pa.list_(ANSWER),
            "the same at since: each value with its role (left, stays), sorted by id; else empty",
        ),
        field("as_of", pa.date32(), "the day on which answer is right"),
        field("asked_on", pa.date32(), "the past day that the question asks about; null for a question about now"),
        field("chain", _CHAIN, "the facts walked, in order; empty for a question with an answer set"),
        field("split", pa.string(), "train or test, by subject"),
        field("sitelinks", pa.int32(), "popularity of the named entity"),
        field(
            "fallback_names",
            pa.list_(pa.string()),
            "QIDs named in the question or its answers by an English name, for want of one in the language; sorted",
        ),
    ]
)

SENTENCES = pa.schema(
    [
        field("sentence_id", pa.string(), "sha256 of (subject, relation, asked_on, prompt), 16 hex digits"),
        field(
            "role",
            pa.string(),
            "current (true at since), history (past day, true for ever), stable, composed (several hops)",
        ),
        field("subject", pa.string(), "QID of the entity that the prompt names"),
        field("relation", pa.string(), "relation asked for (the last one of a composed prompt)"),
        field("form", pa.string(), "question or cloze"),
        field("phrasing", pa.int8(), "number of the wording; the same number is the same wording for every subject"),
        field("held_out", pa.bool_(), "true: never trained on, so that recall of unseen wordings can be measured"),
        field("prompt", pa.string(), "text up to the answer"),
        field("answer", pa.string(), "the answer as of since (role history: as of asked_on)"),
        field("asked_on", pa.date32(), "the past day named in the prompt; null otherwise"),
        field(
            "edit_ids",
            pa.list_(pa.string()),
            "edits that change this answer at as_of (current, composed) or share its subject",
        ),
    ]
)

REJECTIONS = pa.schema(
    [
        field("stage", pa.string(), "statements, timelines, crosscheck, changes, questions, hops or verify"),
        field("reason", pa.string(), "reason code, from the closed list in schemas.reasons"),
        field("subject", pa.string(), "QID concerned, if one is"),
        field("relation", pa.string(), "relation or PID concerned, if one is"),
        field("ids", pa.list_(pa.string()), "statement, edit or entity ids concerned, sorted"),
        field("detail", pa.string(), "what exactly was found, for a person to read"),
    ]
)

SNAPSHOT_TABLES: dict[str, pa.Schema] = {
    "statements": STATEMENTS,
    "entities": ENTITIES,
    "timelines": TIMELINES,
    "edits": EDITS,
    "questions": QUESTIONS,
    "sentences": SENTENCES,
    "rejections": REJECTIONS,
}


def conform(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """The table with exactly the schema's columns, order and types.

    Raises SchemaMismatch naming the table and the first column that is missing or of a type
    that cannot be cast without loss.
    """
    columns = []
    for wanted in schema:
        if wanted.name not in table.column_names:
            raise SchemaMismatch(f"table {name} lacks the column {wanted.name} ({wanted.type})")
        column = table.column(wanted.name)
        try:
            columns.append(column if column.type == wanted.type else column.cast(wanted.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SchemaMismatch(f"table {name}, column {wanted.name}: {error}") from error
    return pa.table(columns, schema=schema)


def describe(schema: pa.Schema) -> list[tuple[str, str, str]]:
    """(column, type, meaning) of every column, for cards and documentation."""
    return [(f.name, str(f.type), (f.metadata or {}).get(b"meaning", b"").decode()) for f in schema]
