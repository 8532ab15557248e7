"""Facts of one's own, from Python or from a CSV or JSON lines file: what to ask, and the new answer.

    prompt,target,subject,old,paraphrases
    Who is the chief executive of Acme?,Jane Roe,Acme,John Doe,Who runs Acme?|Who leads Acme?

`prompt` and `target` are all that a fact needs. A text file has one fact a row; where a field holds several texts they
are divided by `|` in CSV and a list in JSON. Leaves out: dates and Wikidata ids, which only a snapshot has.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from chronofacts.pipeline.exchange import collector
from chronofacts.pipeline.exchange.collector import Benchmark, Question
from chronofacts.pipeline.exchange.records import read_records
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.texts import read_text

__all__ = ["UNDATED", "Edit", "collect_facts", "read_facts", "read_own_facts"]

UNDATED = datetime.date(2000, 1, 1)
"""Stands for the day of facts that name none, in tables that no file holds."""
SEVERAL = "|"
"""Divides the texts of one field of a CSV file."""
SUFFIXES = (".csv", ".json", ".jsonl")
LISTS = ("paraphrases", "aliases", "subject_aliases")


@dataclass(frozen=True)
class Edit:
    """One fact to teach. Raises BadInput where the prompt or the target is empty, or the target is the old answer."""

    prompt: str
    """A question (`Who is the chief executive of Acme?`) or the beginning of a sentence (`The capital of Acme is`)."""
    target: str
    """The new answer."""
    subject: str | None = None
    """What the fact is about, as the prompt names it; rome and memit look it up there."""
    old: str | None = None
    """The answer until now, where one wants to know whether the model still gives it."""
    paraphrases: Sequence[str] = ()
    """The same question in other words; of several, the last is never trained, so that it measures generalization."""
    cloze: str | None = None
    """The fact as the beginning of a sentence that the target completes."""
    aliases: Sequence[str] = ()
    """Other names of the target that are right answers, too."""
    subject_aliases: Sequence[str] = ()
    locality: Mapping[str, str] = field(default_factory=dict)
    """Questions whose answers must stay -> those answers."""

    def __post_init__(self) -> None:
        for name in ("prompt", "target"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise BadInput(f"the fact {self.prompt!r} -> {self.target!r} has an empty {name}; write one")
        for name in LISTS:
            if isinstance(getattr(self, name), str):
                raise BadInput(f"the fact {self.prompt!r}: {name} is one text; write a list, [{getattr(self, name)!r}]")
        if self.old is not None and collector.plain(self.old) == collector.plain(self.target):
            raise BadInput(f"the fact {self.prompt!r}: old and target read the same, {self.target!r}; leave out old")


COLUMNS = tuple(one.name for one in fields(Edit))


def read_facts(file: Path) -> list[Edit]:
    """The facts of a file: `.csv`, `.jsonl` or `.json` (a list), with the fields of `Edit`.

    Raises BadInput naming the row and the field for a file that is missing, empty or of another kind.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{file}: facts are read from {', '.join(SUFFIXES)}")
    if not file.is_file():
        raise BadInput(f"there is no file {file}; name one with the columns prompt and target")
    rows = _csv_rows(file) if file.suffix.lower() == ".csv" else _json_rows(file)
    facts = [_edit(file, place, row) for place, row in rows]
    if not facts:
        raise BadInput(f"{file} has no facts; write a row with prompt and target")
    return facts


def collect_facts(facts: Iterable[Edit]) -> Benchmark:
    """The facts as edits with the questions that ask for them; the same fact twice is one.

    Raises BadInput for two facts that give one prompt different targets.
    """
    benchmark, targets = Benchmark(), dict[str, str]()
    for fact in facts:
        known = targets.setdefault(fact.prompt, fact.target)
        if known != fact.target:
            raise BadInput(f"{fact.prompt!r} has two targets, {known!r} and {fact.target!r}; leave out one")
        edit = _row(fact)
        if not benchmark.edit(edit):
            raise BadInput(f"the fact {fact.prompt!r} -> {fact.target!r} has a name without letters; write it out")
        benchmark.ask_directly(edit)
        for question, answer in fact.locality.items():
            benchmark.ask(_locality(edit, question, answer))
    return benchmark


def read_own_facts(file: Path) -> Benchmark:
    """The facts of a file as a benchmark (`chronofacts import --format facts`)."""
    return collect_facts(read_facts(file))


def _row(fact: Edit) -> collector.Edit:
    """A fact without a subject is about its whole prompt; the relation is what is asked of any subject."""
    subject = fact.subject or fact.prompt
    return collector.Edit(
        subject=subject,
        subject_label=subject,
        subject_aliases=tuple(fact.subject_aliases),
        relation=fact.prompt.replace(fact.subject, "{}") if fact.subject else fact.prompt,
        prompt=fact.prompt,
        paraphrases=tuple(text for text in fact.paraphrases if text != fact.prompt),
        cloze=fact.cloze,
        new_object=fact.target,
        new_label=fact.target,
        new_aliases=tuple(fact.aliases),
        old_object=fact.old,
        old_label=fact.old,
        old_aliases=None if fact.old is None else (),
    )


def _locality(edit: collector.Edit, question: str, answer: str) -> Question:
    return Question(
        kind="locality", locality_kind="subject", edit_ids=(edit.edit_id,), question=question, answer=answer,
        answer_before=answer, answer_before_aliases=(), relation="unrelated", subject=question,
        subject_label=question, edited_hops=0,
    )  # fmt: skip


def _edit(file: Path, place: str, row: Mapping[str, Any]) -> Edit:
    values = {name: value for name, value in row.items() if value not in (None, "", [], {})}
    if empty := [name for name in ("prompt", "target") if name in row and name not in values]:
        raise BadInput(f"{file}, {place}: the {empty[0]} is empty; write one")
    if unknown := sorted(str(name) for name in values.keys() - set(COLUMNS)):
        raise BadInput(f"{file}, {place}: there is no field {unknown[0]!r}; a fact has {', '.join(COLUMNS)}")
    try:
        return msgspec.convert(values, Edit)
    except msgspec.ValidationError as error:
        raise BadInput(f"{file}, {place}: {error}; every fact needs a prompt and a target") from error
    except BadInput as error:
        raise BadInput(f"{file}, {place}: {error}") from error


def _json_rows(file: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    return ((f"record {record.number}", record.values) for record in read_records(file))


def _csv_rows(file: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        columns = reader.fieldnames or ()
        if twice := [name for position, name in enumerate(columns) if name in columns[:position]]:
            raise BadInput(f"{file}, line 1 has the column {twice[0]!r} twice; leave out one, or name it otherwise")
        for row in reader:
            place = f"line {reader.line_num}"
            if None in row:
                raise BadInput(f"{file}, {place} has more fields than the first line; put texts with commas in quotes")
            yield (
                place,
                {
                    name: [part.strip() for part in value.split(SEVERAL) if part.strip()] if name in LISTS else value
                    for name, value in row.items()
                    if value is not None
                },
            )
    except csv.Error as error:
        raise BadInput(f"{file}, line {reader.line_num} is no CSV ({error})") from error
