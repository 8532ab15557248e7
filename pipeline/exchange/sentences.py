"""Sentences of the world before a benchmark's edits, so that a small world can be trained on them.

What an imported benchmark says was true is all there is: the old answers of its edits, its locality questions,
its single hops. The last of three or more wordings is held out. Leaves out: facts without an answer.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from chronofacts.schemas.tables import SENTENCES

__all__ = ["Sentence", "sentences"]

_ENOUGH_WORDINGS = 3  # with fewer, none can be spared
_MOST_WORDINGS = 100  # `phrasing` is one byte
_ROLES = {"history": "history", "multi_hop": "composed"}


class Sentence(NamedTuple):
    """One wording of a fact that was true before the edits."""

    role: str
    subject: str
    relation: str
    form: str
    prompt: str
    answer: str
    phrasing: int = 0
    held_out: bool = False
    asked_on: datetime.date | None = None
    edit_ids: tuple[str, ...] = ()
    """Edits that move the answer, besides those that share the subject."""


def sentences(edits: pa.Table, questions: pa.Table, further: Sequence[Sentence]) -> pa.Table:
    """`tables.SENTENCES`, sorted by id, of the old answers and of `further` ones.

    edits, questions: `tables.EDITS` and `tables.QUESTIONS`. Of two answers to one prompt the first counts.
    """
    edit_rows, question_rows = edits.to_pylist(), questions.to_pylist()
    touching: dict[str, set[str]] = {}
    for edit in edit_rows:
        touching.setdefault(edit["subject"], set()).add(edit["edit_id"])
    rows: dict[str, dict[str, Any]] = {}
    for line in (*_of_edits(edit_rows), *_of_questions(question_rows), *further):
        sentence_id = _sentence_id(line)
        if rows.get(sentence_id, {}).get("form", line.form) != line.form:  # a benchmark may ask by its cloze
            sentence_id = _sentence_id(line, line.form)
        edit_ids = sorted({*line.edit_ids, *touching.get(line.subject, ())})
        rows.setdefault(sentence_id, {**line._asdict(), "sentence_id": sentence_id, "edit_ids": edit_ids})
    return pa.Table.from_pylist([row for _, row in sorted(rows.items())], schema=SENTENCES)


def _sentence_id(line: Sentence, *form: str) -> str:
    """The id of `tables.SENTENCES`; form: only where one prompt stands in two forms."""
    day = "" if line.asked_on is None else str(line.asked_on)
    content = "\x1f".join((line.subject, line.relation, day, line.prompt, *form))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _of_edits(edits: Iterable[dict[str, Any]]) -> Iterator[Sentence]:
    for edit in edits:
        if edit["target_old"] is None:
            continue
        yield from _wordings(edit, "current", [edit["prompt"], *edit["paraphrases"]], edit["target_old"])
        if edit["cloze"]:
            yield Sentence("current", edit["subject"], edit["relation"], "cloze", edit["cloze"], edit["target_old"])


def _of_questions(questions: Iterable[dict[str, Any]]) -> Iterator[Sentence]:
    for question in questions:
        if question["answer_before"] is None or question["kind"] in ("edit", "paraphrase", "cloze"):
            continue
        role = _ROLES.get(question["kind"], "current")
        moved_by = tuple(question["edit_ids"]) if role == "composed" else ()
        texts = [question["question"], *question["phrasings"]]
        for line in _wordings(question, role, texts, question["answer_before"]):
            yield line._replace(asked_on=question["asked_on"], edit_ids=moved_by)


def _wordings(row: dict[str, Any], role: str, texts: list[str], answer: str) -> Iterator[Sentence]:
    for number, text in enumerate(texts[:_MOST_WORDINGS]):
        held_out = number >= _ENOUGH_WORDINGS - 1 and number == len(texts) - 1
        yield Sentence(role, row["subject"], row["relation"], "question", text, answer, number, held_out)
