"""A foreign benchmark as rows of our own tables: what was changed, what is asked, what was left out.

A format's module adds its records to a `Benchmark` one by one; `Benchmark.tables` makes the tables. A benchmark
that edits one fact in several ways (MQuAKE-CF does) cannot be applied as one set: the first way counts, the others
and what is asked about them are rejections (MQuAKE-Remastered, ICLR 2025, is why).
Leaves out: the sentences of a small world (`pipeline.exchange.sentences`).
"""

from __future__ import annotations

import datetime
import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pyarrow as pa

from chronofacts.pipeline.exchange.sentences import Sentence, sentences
from chronofacts.pipeline.storage.rejections import rejection_rows
from chronofacts.schemas import tables

__all__ = [
    "Benchmark", "Edit", "Link", "OwnSet", "Question", "consequence_question", "content_id", "guard_question", "plain",
]  # fmt: skip

_UNIT, _FIELD, _ROW = "\x1f", "\x1e", "\x1d"


class OwnSet(NamedTuple):
    """What our own exports say of the snapshot that they are made of."""

    since: datetime.date
    as_of: datetime.date
    language: str


class Link(NamedTuple):
    """One fact of a chain, with the fields of `chain` in `tables.QUESTIONS`."""

    subject: str
    relation: str
    property: str | None
    inverse: bool
    object: str
    subject_label: str
    object_label: str
    object_before: str | None
    object_before_label: str | None
    edit_id: str | None
    question: str | None
    cloze: str | None
    day: datetime.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A row of `tables.EDITS`. What a benchmark does not know keeps its default.

    An entity without a QID goes by its name: the benchmark has no other id for it.
    """

    subject: str
    subject_label: str
    relation: str
    new_object: str
    new_label: str
    prompt: str
    old_object: str | None = None
    old_label: str | None = None
    pid: str | None = None
    """The column `property`."""
    inverse: bool = False
    subject_aliases: Sequence[str] = ()
    old_aliases: Sequence[str] | None = None
    new_aliases: Sequence[str] = ()
    object_kind: str = "string"
    object_unit: str | None = None
    changed_on_earliest: datetime.date | None = None
    changed_on_latest: datetime.date | None = None
    changed_on_precision: int | None = None
    paraphrases: Sequence[str] = ()
    cloze: str | None = None
    sitelinks: int | None = None
    confidence: int | None = None
    statement_ids: Sequence[str] = ()
    kind: str | None = None
    """`injection` where the benchmark says that nothing was there before; None: that follows from the rest."""

    @property
    def edit_id(self) -> str:
        content = [self.relation, self.subject, self.old_object, self.new_object]
        changed_on = None if self.changed_on_earliest is None else str(self.changed_on_earliest)
        return content_id(json.dumps([*content, changed_on], ensure_ascii=False, separators=(",", ":")))

    @property
    def link(self) -> Link:
        """The edited fact as the chain of the questions that ask for it directly."""
        return Link(
            self.subject, self.relation, self.pid, self.inverse, self.new_object, self.subject_label,
            self.new_label, self.old_object, self.old_label, self.edit_id, self.prompt, self.cloze,
        )  # fmt: skip

    def row(self) -> dict[str, Any]:
        kind, before = "modification", "known"
        if self.old_object is None:  # what was there before, the benchmark does not say
            kind, before = self.kind or "update", "nobody" if self.kind == "injection" else "unknown"
        return {
            **_columns(self),
            "property": self.pid,
            "edit_id": self.edit_id,
            "kind": kind,
            "before": before,
            "stays": (),
            "target_new": self.new_label,
            "target_old": self.old_label,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A row of `tables.QUESTIONS` but for `as_of`; an answer without a QID goes by its name."""

    kind: str
    edit_ids: tuple[str, ...]
    question: str
    answer: str
    relation: str
    subject: str
    subject_label: str
    answer_id: str = ""
    answer_aliases: Sequence[str] = ()
    answer_before: str | None = None
    answer_before_id: str | None = None
    answer_before_aliases: Sequence[str] | None = None
    locality_kind: str | None = None
    hops: int | None = 1
    edited_hops: int | None = None
    phrasings: Sequence[str] = ()
    asked_on: datetime.date | None = None
    chain: Sequence[Link] = ()
    split: str = "test"
    sitelinks: int | None = None
    fallback_names: Sequence[str] = ()
    question_id: str = ""

    @property
    def content(self) -> str:
        """The id that the content gives, by the rule of `tables.QUESTIONS`; without a chain, its triple."""
        walked = [(link.subject, link.relation, link.object) for link in self.chain]
        triples = walked or [(self.subject, self.relation, self.answer_id or self.answer)]
        parts = [self.kind, _ROW.join(_FIELD.join(triple) for triple in triples)]
        parts += [] if self.asked_on is None else [str(self.asked_on)]
        return content_id(_UNIT.join([*parts, self.question]))

    def row(self, as_of: datetime.date) -> dict[str, Any]:
        row = _columns(self) | {
            "as_of": as_of,
            "answer_set": (),
            "answer_before_set": (),
            "chain": [link._asdict() for link in self.chain],
        }
        row["answer_id"] = self.answer_id or self.answer
        if self.answer_before is not None:
            row["answer_before_id"] = self.answer_before_id or self.answer_before
        return row


class Benchmark:
    """Collects edits and questions in the order of the file; the same calls give the same tables."""

    def __init__(self) -> None:
        self.edits: dict[str, Edit] = {}
        self._facts: dict[tuple[str, str], str] = {}
        self._questions: dict[str, Question] = {}
        self._sentences: list[Sentence] = []
        self._rejected: list[tuple[str, str, str | None, str | None, Sequence[str], str]] = []
        self._same: dict[str, str] = {}
        self.own_set: OwnSet | None = None
        """None for what others made."""
        self.unread: Mapping[str, int] = {}
        """Fields of the file that its reader does not know -> records that have them."""
        self.notes: Counter[tuple[str, str]] = Counter()
        """(reason, what) -> how often: what is told of the file without a row for each record."""

    def edit(self, edit: Edit, shared: bool = False) -> bool:
        """Take an edit; False (and a rejection) when it changes nothing or another edit changes the fact.

        The same edit in several records is one, which is noted but where records share theirs, as cases of MQuAKE do.
        """
        fact = (edit.relation, edit.subject)
        if not edit.subject_label.strip() or not edit.new_label.strip() or not edit.prompt.strip():
            return self.reject("no_label", edit, "an empty name or prompt")
        if edit.old_label is not None and (
            edit.old_object == edit.new_object or plain(edit.old_label) == plain(edit.new_label)
        ):
            return self.reject("same_name", edit, f"from {edit.old_label} to {edit.new_label}")
        before = self._facts.setdefault(fact, edit.edit_id)
        if before != edit.edit_id and plain(self.edits[before].new_label) == plain(edit.new_label):
            self._same[edit.edit_id] = before  # the same new answer in place of another old one: no contradiction
            return True
        if before != edit.edit_id:
            return self.reject(
                "contradicting_edits", edit, f"to {edit.new_label}, and to {self.edits[before].new_label}"
            )
        if edit.edit_id in self.edits and not shared:
            self.note("repeated_record", "an edit that an earlier record makes,")
        self.edits.setdefault(edit.edit_id, edit)
        return True

    def ask(self, question: Question) -> None:
        """Take a question; the same question about another edit guards both."""
        question = self._as_first(question)
        key = question.question_id or question.content
        if (known := self._questions.get(key)) is not None:
            if known.kind == "multi_hop" and set(question.edit_ids) <= set(known.edit_ids):
                self.note("repeated_record", "a question over several facts, asked by an earlier record,")
            question = replace(known, edit_ids=tuple(sorted({*known.edit_ids, *question.edit_ids})))
        self._questions[key] = replace(question, question_id=key, edit_ids=tuple(sorted(question.edit_ids)))

    def _as_first(self, question: Question) -> Question:
        """The question about the edit that was taken first, where several records make the same change."""
        if not self._same.keys() & {*question.edit_ids, *(link.edit_id for link in question.chain)}:
            return question
        chain = tuple(
            link._replace(edit_id=self._same.get(link.edit_id or "", link.edit_id)) for link in question.chain
        )
        return replace(question, edit_ids=tuple(self._same.get(one, one) for one in question.edit_ids), chain=chain)

    def ask_directly(self, edit: Edit, split: str = "test") -> None:
        """Take the questions that an edit's own wordings are: its prompt, its paraphrases and its cloze."""
        wordings = [("edit", edit.prompt), *(("paraphrase", text) for text in edit.paraphrases)]
        for kind, text in [*wordings, *([("cloze", edit.cloze)] if edit.cloze else [])]:
            self.ask(direct_question(edit, kind, text, split))

    def note(self, reason: str, what: str) -> None:
        """Count what the file has and a reader should know of, without a row of its own."""
        self.notes[reason, what] += 1

    def add_sentence(self, sentence: Sentence) -> None:
        """Take a fact of the world before the edits, for the small world."""
        self._sentences.append(sentence)

    def reject(self, reason: str, about: Edit | Question, detail: str) -> bool:
        """Record what is left out; always False."""
        ids = [about.edit_id] if isinstance(about, Edit) else list(about.edit_ids)
        stage = {"no_label": "changes", "same_name": "changes", "hop_unchanged": "hops"}.get(reason, "questions")
        self._rejected.append((stage, reason, about.subject, about.relation, ids, detail))
        return False

    def tables(self, as_of: datetime.date) -> dict[str, pa.Table]:
        """All tables of `tables.SNAPSHOT_TABLES`, sorted by their ids; statements and timelines are empty.

        as_of: the day on which the new answers are taken to be right.
        """
        asked = [question for _, question in sorted(self._questions.items()) if self._may_ask(question)]
        edits = [edit for _, edit in sorted(self.edits.items())]
        trained = {one for question in asked if question.split == "train" and question.kind == "edit"
                   for one in question.edit_ids}  # fmt: skip
        filled = {
            "entities": _table(_entities(edits), tables.ENTITIES),
            "edits": _table(
                (edit.row() | {"split": "train" if edit.edit_id in trained else "test"} for edit in edits), tables.EDITS
            ),
            "questions": _table((question.row(as_of) for question in asked), tables.QUESTIONS),
            "rejections": rejection_rows([*self._rejected, *self._unread_rows()]).sort_by(
                [(name, "ascending") for name in ("stage", "reason", "relation", "subject", "detail")]
            ),
        }
        filled["sentences"] = sentences(filled["edits"], filled["questions"], self._sentences)
        return {name: filled.get(name, schema.empty_table()) for name, schema in tables.SNAPSHOT_TABLES.items()}

    def _unread_rows(self) -> list[tuple[str, str, str | None, str | None, Sequence[str], str]]:
        noted = [(reason, f"{what} {count} times") for (reason, what), count in sorted(self.notes.items())]
        unread = [("unread_field", f"{name[:200]} in {count} records") for name, count in self.unread.items()]
        return [("questions", reason, None, None, [], detail) for reason, detail in (*noted, *unread)]

    def _may_ask(self, question: Question) -> bool:
        """Is the question right under all edits of the set at once?"""
        if lost := [edit_id for edit_id in question.edit_ids if edit_id not in self.edits]:
            return self.reject("contradicting_edits", question, f"{question.question} (needs {', '.join(lost)})")
        moves = question.answer_before is not None and question.kind not in ("locality", "history")
        if moves and plain(question.answer) == plain(question.answer_before or ""):
            return self.reject("hop_unchanged", question, question.question)
        for link in question.chain:
            other = self._facts.get((link.relation, link.subject))
            if other is not None and question.asked_on is None and self.edits[other].new_object != link.object:
                detail = f"{question.question} (walks over {link.subject_label}, which another edit changes)"
                return self.reject("contradicting_edits", question, detail)
        return True


def guard_question(edit: Edit, question: str, answers: Sequence[str], relation: str = "unrelated") -> Question:
    """A question whose answer must stay, about something that the file does not name: the question stands for it."""
    return Question(
        kind="locality", locality_kind="subject", edit_ids=(edit.edit_id,), question=question, answer=answers[0],
        answer_aliases=answers[1:], answer_before=answers[0], answer_before_aliases=answers[1:], relation=relation,
        subject=question, subject_label=question, edited_hops=0,
    )  # fmt: skip


def consequence_question(
    edit: Edit, kind: str, question: str, answers: Sequence[str], hops: int, phrasings: Sequence[str] = ()
) -> Question:
    """A question whose answer follows from the edit; what it was before, the file does not say."""
    return Question(
        kind=kind, edit_ids=(edit.edit_id,), question=question, phrasings=phrasings, answer=answers[0],
        answer_aliases=answers[1:], relation=edit.relation, subject=edit.subject, subject_label=edit.subject_label,
        hops=hops, edited_hops=1,
    )  # fmt: skip


def direct_question(edit: Edit, kind: str, text: str, split: str) -> Question:
    """A question that asks for the edited fact itself."""
    return Question(
        kind=kind, edit_ids=(edit.edit_id,), question=text, answer=edit.new_label, answer_id=edit.new_object,
        answer_aliases=edit.new_aliases, answer_before=edit.old_label, answer_before_id=edit.old_object,
        answer_before_aliases=edit.old_aliases, relation=edit.relation, subject=edit.subject,
        subject_label=edit.subject_label, edited_hops=1, chain=(edit.link,), split=split, sitelinks=edit.sitelinks,
    )  # fmt: skip


def content_id(text: str) -> str:
    """sha256 of the text, 16 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain(text: str) -> str:
    """Letters and digits in lower case without accents: names that are equal so are one name to a reader."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    words = "".join(c if c.isalnum() else "" if unicodedata.combining(c) else " " for c in folded)
    return " ".join(words.split())


def _columns(row: Edit | Question) -> dict[str, Any]:
    """Field by field, not copied: `dataclasses.asdict` is ten times slower on half a million questions."""
    return {name: getattr(row, name) for name in row.__slots__}


def _entities(edits: Iterable[Edit]) -> list[dict[str, Any]]:
    """One row per subject and item of the edits, with the first name that it has there."""
    named: dict[str, tuple[str, Sequence[str]]] = {}
    for edit in edits:
        named.setdefault(edit.subject, (edit.subject_label, edit.subject_aliases))
        if edit.object_kind == "item":
            named.setdefault(edit.new_object, (edit.new_label, edit.new_aliases))
            if edit.old_object is not None:
                named.setdefault(edit.old_object, (edit.old_label or edit.old_object, edit.old_aliases or ()))
    return [
        {"qid": qid, "label": label, "aliases": sorted(aliases), "types": [], "ended_kind": "absent"}
        for qid, (label, aliases) in sorted(named.items())
    ]


def _table(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema)
