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
    "EDITS", "ENTITIES", "QUESTIONS", "REJECTIONS", "SENTENCES", "SNAPSHOT_TABLES", "STATEMENTS", "TIMELINES",
    "conform", "describe",
]  # fmt: skip


def field(name: str, type_: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, type_, metadata={"meaning": meaning})


def _text(name: str, meaning: str) -> pa.Field:
    return field(name, pa.string(), meaning)


def _texts(name: str, meaning: str) -> pa.Field:
    return field(name, pa.list_(pa.string()), meaning)


def _day(name: str, meaning: str) -> pa.Field:
    return field(name, pa.date32(), meaning)


def _small(name: str, meaning: str) -> pa.Field:
    return field(name, pa.int8(), meaning)


_MOMENT = pa.timestamp("s", tz="UTC")


def _interval(prefix: str, what: str) -> list[pa.Field]:
    """The four columns that hold one Wikidata date qualifier."""
    known = f"null unless {prefix}_kind is known; before year 1: null"
    return [
        _day(f"{prefix}_earliest", f"first day that {what} may be; {known}"),
        _day(f"{prefix}_latest", f"last day that {what} may be; {known}"),
        _small(f"{prefix}_precision", "Wikidata precision: 11 day, 10 month, 9 year, less is coarser"),
        _text(f"{prefix}_kind", "known, none (explicit no value), unknown (some value) or absent"),
    ]


STATEMENTS = pa.schema(
    [
        _text("statement_id", "Wikidata statement id, as in JSON with the first letter capital: Q60$5083…"),
        _text("subject", "QID that the statement is about"),
        _text("property", "PID of the main value"),
        _text("object", "QID, or the literal in Wikidata's spelling; null for somevalue and novalue"),
        _text("object_kind", "item, string, quantity, time, somevalue or novalue"),
        _text("object_unit", "quantity: QID of the unit; monolingual text: language code; else null"),
        _text("rank", "preferred, normal or deprecated"),
        *_interval("start", "the start (P580; of a software version without one its publication, P577)"),
        *_interval("end", "the end (P582)"),
        *_interval("point_in_time", "the point in time (P585)"),
        _text("replaces", "QID of P1365; null when absent or many"),
        _text("replaced_by", "QID of P1366; null when absent or many"),
        _texts("qualifiers", "all other qualifiers as PID=value, sorted"),
        _texts("faults", "what is wrong with the row, as reason codes of schemas.reasons, sorted"),
        field("revision", pa.int64(), "revision of the subject that was read; null when the source has none"),
        field("modified_at", _MOMENT, "when the subject was last edited; null when the source has none"),
        field("retrieved_at", _MOMENT, "when it was read from Wikidata"),
        _text("source", "sample, dump, or the endpoint's address"),
    ]
)
# The columns that say where a row came from rather than what it says.
SOURCE_COLUMNS = ("revision", "modified_at", "retrieved_at", "source")

ENTITIES = pa.schema(
    [
        _text("qid", "Wikidata id"),
        _text("label", "name in the snapshot's language; null when there is none"),
        _text("label_language", "language the label was found in (the snapshot's, mul, or en as fallback)"),
        _text("description", "Wikidata's description in the snapshot's language"),
        _texts("aliases", "other names, sorted, without the label"),
        _texts("alias_languages", "language of each alias: the snapshot's, mul or en"),
        _texts("types", "QIDs of P31, sorted"),
        field(
            "sitelinks", pa.int32(), "number of Wikipedia and sister pages, a measure of popularity; null if unknown"
        ),
        _day("began_earliest", "first day of birth (P569) or inception (P571); null if unknown or before year 1"),
        _day("began_latest", "last day of birth or inception"),
        _day(
            "ended_earliest",
            "first day of death (P570) or abolition (P576); null while it exists, or before year 1 (ended_kind known)",
        ),
        _day("ended_latest", "last day of death or abolition"),
        _text("ended_kind", "known, unknown (dead, day unknown) or absent"),
    ]
)

TIMELINES = pa.schema(
    [
        _text("subject", "QID"),
        _text("relation", "id of the relation in the catalogue"),
        field("ordinal", pa.int32(), "place in the timeline, from 0, by start"),
        _text("object", "QID or literal that held; null for somevalue (held by somebody unknown) and novalue"),
        _text("object_kind", "item, string, quantity, year, somevalue or novalue"),
        _day(
            "valid_from_earliest",
            "first day on which it may have begun; null: unknown, or with a precision of 9 or more: before year 1",
        ),
        _day("valid_from_latest", "last day on which it may have begun; null: as valid_from_earliest"),
        _small("valid_from_precision", "Wikidata precision of the start; null: unknown"),
        _day(
            "valid_to_earliest",
            "first day on which it may no longer hold; null: unknown, never, or (valid_to_kind known) before year 1",
        ),
        _day("valid_to_latest", "last day on which it may cease to hold; null: as valid_to_earliest"),
        _small("valid_to_precision", "Wikidata precision of the end; null: unknown or inferred"),
        _text("valid_to_kind", "known, none (has not ended), unknown, open (assumed to hold until as_of)"),
        field("end_inferred", pa.bool_(), "true when no statement says the end and it was inferred or assumed"),
        _text(
            "end_reason",
            "stated, last_day (the stated day is the last one), no_value, some_value, successor, death, abolition, "
            "contested (another statement of the same start has an end), open, too_old, dateless",
        ),
        _text("rank", "best rank among its statements"),
        _small("confidence", "in how many places Wikidata says it (statement, office's P1308, person's P39 …)"),
        _texts("statement_ids", "statements that say it, sorted"),
    ]
)

STAYING = pa.struct({"id": pa.string(), "label": pa.string(), "aliases": pa.list_(pa.string())})
"""One value of a many-valued relation that holds on both days."""

ANSWER = pa.struct([*STAYING, pa.field("role", pa.string())])
"""One value of an answer set. role: joined or stays (at as_of), left or stays (at since)."""

_LINK = (
    "subject", "relation", "property", pa.field("inverse", pa.bool_()), "object", "subject_label", "object_label",
    "object_before", "object_before_label", "edit_id",
    _day("day", "the past day that the fact names; null for a fact of now"), "question", "cloze",
)  # fmt: skip
_CHAIN = pa.list_(pa.struct([pa.field(part, pa.string()) if isinstance(part, str) else part for part in _LINK]))

EDITS = pa.schema(
    [
        _text("edit_id", "sha256 of (relation, subject, old_object, new_object, changed_on), 16 hex digits"),
        _text(
            "kind",
            "modification (o -> o'), injection (nobody -> o'), update (unknown -> o'); of a many-valued relation "
            "addition (one value joins, others stay) or removal (one value leaves, others stay)",
        ),
        _text(
            "before",
            "what is known of the value at since: known, nobody (an injection: the subject began later, or Wikidata "
            "says that there was none) or unknown (an update: Wikidata has a hole)",
        ),
        _text("relation", "id of the relation in the catalogue"),
        _text("property", "PID that the relation reads"),
        field("inverse", pa.bool_(), "true when the property is read backwards (subject is its value)"),
        _text("subject", "QID"),
        _text("subject_label", "name used in the questions"),
        _texts("subject_aliases", "other names of the subject"),
        _text("old_object", "QID or literal that held at since (modification) or that left (removal); else null"),
        _text("old_label", "name of the old object; null where there is none"),
        _texts("old_aliases", "other names of the old object"),
        _text("new_object", "QID or literal that holds at as_of (addition: that joined); null for a removal"),
        _text("new_label", "name of the new object; null for a removal"),
        _texts("new_aliases", "other names of the new object"),
        field(
            "stays",
            pa.list_(STAYING),
            "addition and removal: the values that certainly hold on both days, sorted by id; else empty",
        ),
        _text("object_kind", "item, string, quantity or year"),
        _text("object_unit", "quantity: name of the unit; text: language; else null"),
        _day("changed_on_earliest", "first day on which the new value may have begun (removal: the old one ended)"),
        _day("changed_on_latest", "last day on which the new value may have begun (removal: the old one ended)"),
        _small("changed_on_precision", "Wikidata precision of that day; 8: it lies in one of several years"),
        _text("prompt", "the edit question, in the present tense: Who is the head of government of France?"),
        _text(
            "target_new",
            "the answer at as_of (= new_label); addition and removal: the whole set as one text, the same for all "
            "edits of the subject and relation (of a set of more than eight: what joined); of an open relation what "
            "joined, or left, on the day that the prompt names",
        ),
        _text(
            "target_old",
            "the answer at since (= old_label); addition and removal: the whole set, null where it has none or more "
            "than eight values, or where the prompt names a day",
        ),
        _texts("paraphrases", "other wordings of prompt, at least four"),
        _text("cloze", "a sentence to be completed with the answer: The head of government of France is"),
        field("sitelinks", pa.int32(), "popularity of the subject"),
        _small("confidence", "in how many places Wikidata says the new value"),
        _texts("statement_ids", "statements behind the old and the new value, sorted"),
        _text("split", "train or test, drawn by seed and subject: that of the questions which ask for the edit"),
    ]
)

QUESTIONS = pa.schema(
    [
        _text("question_id", "sha256 of (kind, chain or triple, asked_on, question), 16 hex digits"),
        _texts("edit_ids", "edits that the question tests or guards, sorted"),
        _text(
            "kind",
            "edit, paraphrase, cloze, alias, reverse, multi_hop, locality, history, timeline or preservation (what "
            "stays of a set that changed)",
        ),
        _text("locality_kind", "relation (other subject), subject (other relation), object (neighbour); else null"),
        _small("hops", "number of facts walked from the named entity to the answer"),
        _small("edited_hops", "how many of them are edited facts"),
        _text("relation", "relation of the last fact walked"),
        _text("subject", "QID of the entity that the question names"),
        _text("subject_label", "its name in the question"),
        _text("question", "the question"),
        _texts("phrasings", "other wordings with the same answer (a multi-hop question has three in all)"),
        _text("answer", "the right answer at as_of (history: at asked_on)"),
        _text(
            "answer_id",
            "QID or literal of the answer; of a set those of the values that joined, else left, else all, joined by |",
        ),
        _texts("answer_aliases", "other names of the answer; empty for a set"),
        field(
            "answer_set",
            pa.list_(ANSWER),
            "a question with several answers: each value with its role (joined, stays; left where the question "
            "asks what did), sorted by id; else empty",
        ),
        _text("answer_before", "the right answer at since; null where there was none"),
        _text("answer_before_id", "QID or literal of it"),
        _texts("answer_before_aliases", "other names of it"),
        field(
            "answer_before_set",
            pa.list_(ANSWER),
            "the same at since: each value with its role (left, stays), sorted by id; else empty",
        ),
        _day("as_of", "the day on which answer is right"),
        _day("asked_on", "the past day that the question asks about; null for a question about now"),
        field("chain", _CHAIN, "the facts walked, in order; empty for a question with an answer set"),
        _text("split", "train or test, by subject"),
        field("sitelinks", pa.int32(), "popularity of the named entity"),
        _texts(
            "fallback_names",
            "QIDs named in the question or its answers by an English name, for want of one in the language; sorted",
        ),
    ]
)

SENTENCES = pa.schema(
    [
        _text("sentence_id", "sha256 of (subject, relation, asked_on, prompt), 16 hex digits"),
        _text("role", "current (true at since), history (past day, true for ever), stable, composed (several hops)"),
        _text("subject", "QID of the entity that the prompt names"),
        _text("relation", "relation asked for (the last one of a composed prompt)"),
        _text("form", "question or cloze"),
        _small("phrasing", "number of the wording; the same number is the same wording for every subject"),
        field("held_out", pa.bool_(), "true: never trained on, so that recall of unseen wordings can be measured"),
        _text("prompt", "text up to the answer"),
        _text("answer", "the answer as of since (role history: as of asked_on)"),
        _day("asked_on", "the past day named in the prompt; null otherwise"),
        _texts("edit_ids", "edits that change this answer at as_of (current, composed) or share its subject"),
    ]
)

REJECTIONS = pa.schema(
    [
        _text("stage", "statements, timelines, crosscheck, changes, questions, hops or verify"),
        _text("reason", "reason code, from the closed list in schemas.reasons"),
        _text("subject", "QID concerned, if one is"),
        _text("relation", "relation or PID concerned, if one is"),
        _texts("ids", "statement, edit or entity ids concerned, sorted"),
        _text("detail", "what exactly was found, for a person to read"),
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
