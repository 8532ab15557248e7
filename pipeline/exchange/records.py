"""JSON records of other people's files, read with errors that name the record and the field.

Leaves out: what the fields mean (each format's own module).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from chronofacts.schemas.documents import Unreadable, parse_json
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.parquet import LONGEST_TEXT
from chronofacts.schemas.texts import read_text

__all__ = ["Record", "read_records", "unread_fields", "write_records"]


OWN = "chronofacts"
"""Key of what our own exports carry, whose columns have checks of their own."""
_INDEX = re.compile(r"\[\d+\]")


class Known(NamedTuple):
    """Fields by where they lie (`requested_rewrite.target_new`): those read as values, and those looked into."""

    asked: set[str]
    opened: set[str]


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object of a file. Every method raises BadInput when a field is not what it asks for."""

    file: Path
    number: int
    """Position in the file, from 1."""
    values: Mapping[str, Any]
    within: str = ""
    """Where in the record this object lies: `requested_rewrite[0].`"""
    known: Known = field(default_factory=lambda: Known(set(), set()), compare=False)
    """What the reader has asked for so far, of all records of the file."""

    def has(self, field: str) -> bool:
        """Is the field there, and neither null nor NaN, as pandas writes an empty cell?"""
        self._note(field)
        value = self.values.get(field)
        return value is not None and not _is_nan(value)

    def text(self, field: str) -> str:
        """A text; a number is taken as one."""
        value = self._value(field)
        if isinstance(value, str):
            return self._bounded(field, value.strip())
        if _is_number(value):
            return str(value)
        raise self.wrong(field, "a text", value)

    def texts(self, field: str) -> list[str]:
        """A list of texts without empty ones; a lone text is a list of one."""
        value = self._value(field)
        listed = value if isinstance(value, list) else [value]
        texts = [item.strip() for item in listed if isinstance(item, str)]
        if len(texts) < len(listed):
            raise self.wrong(field, "a list of texts", value)
        return [self._bounded(field, text) for text in texts if text]

    def answers(self, field: str) -> list[str]:
        """All texts of a text, a list, or a list of lists (KnowEdit has all three), each once, in order."""
        return list(dict.fromkeys(self._flat(field, self._value(field))))

    def rows(self, field: str) -> list[list[str]]:
        """A list of lists of texts: triples."""
        value = self._value(field)
        if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
            raise self.wrong(field, "a list of triples", value)
        return [[self._bounded(field, str(cell)) for cell in row] for row in value]

    def record(self, field: str) -> Record:
        value = self._value(field)
        if not isinstance(value, dict):
            raise self.wrong(field, "an object", value)
        return self._inner(field, value, f"{self.within}{field}.")

    def records(self, field: str) -> list[Record]:
        value = self._value(field)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(field, "a list of objects", value)
        return [self._inner(field, item, f"{self.within}{field}[{index}].") for index, item in enumerate(value)]

    def leave_out(self, *fields: str) -> None:
        """Fields that the reader knows and has no use for."""
        for name in fields:
            self._note(name)

    def wrong(self, field: str, wanted: str, found: object) -> BadInput:
        """The error for a field that is there and is not what it should be."""
        return BadInput(
            f"{self.file}, record {self.number}: {self.within}{field} should be {wanted}, "
            f"found {json.dumps(found, ensure_ascii=False, default=str)[:60]}; is --format the file's format?"
        )

    def _bounded(self, field: str, text: str) -> str:
        """The text. Raises BadInput for one that no snapshot may hold."""
        if len(text) > LONGEST_TEXT // 4 and len(text.encode()) > LONGEST_TEXT:
            raise BadInput(
                f"{self.file}, record {self.number}: {self.within}{field} is a text of more than "
                f"{LONGEST_TEXT >> 20} MB ({text[:40]}…); shorten it, or take the record out"
            )
        return text

    def _note(self, field: str) -> None:
        self.known.asked.add(f"{_INDEX.sub('', self.within)}{field}")

    def _inner(self, field: str, values: Mapping[str, Any], within: str) -> Record:
        self.known.opened.add(f"{_INDEX.sub('', self.within)}{field}")
        return Record(self.file, self.number, values, within, self.known)

    def _value(self, field: str) -> object:
        self._note(field)
        if field not in self.values:
            raise BadInput(
                f"{self.file}, record {self.number}: the field {self.within}{field} is missing; "
                "is --format the file's format?"
            )
        return self.values[field]

    def _flat(self, field: str, value: object) -> list[str]:
        if isinstance(value, str):
            return [self._bounded(field, value.strip())] if value.strip() else []
        if _is_number(value):
            return [str(value)]
        if not isinstance(value, list):
            raise self.wrong(field, "an answer or a list of answers", value)
        return [text for item in value for text in self._flat(field, item)]


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_records(file: Path) -> list[Record]:
    """The records of a file that holds a list of objects, or an object a line.

    Raises BadInput for anything else, and for a list without records.
    """
    document = _read_document(file)
    if isinstance(document, dict) and file.suffix.lower() == ".jsonl":
        document = [document]
    if not isinstance(document, list):
        raise BadInput(f"{file} holds no list of records but a single {type(document).__name__}")
    if not document:
        raise BadInput(f"{file} holds no record")
    for number, value in enumerate(document, 1):
        if not isinstance(value, dict):
            raise BadInput(f"{file}, record {number}: an object is expected, found a {type(value).__name__}")
    known = Known(set(), set())
    return [Record(file, number, value, known=known) for number, value in enumerate(document, 1)]


def unread_fields(records: Sequence[Record]) -> dict[str, int]:
    """field -> records that have something in it, for every field that no reader has asked for; after the reading."""
    counts: dict[str, int] = {}
    for record in records:
        for name in set(_unread(record.values, "", record.known)):
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def _unread(values: Mapping[str, Any], within: str, known: Known) -> Iterator[str]:
    for key, value in values.items():
        name = f"{within}{key}"
        if name == OWN:
            continue
        if name not in known.asked and name not in known.opened:
            if value not in (None, "", [], {}):
                yield name
        elif name in known.opened:
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    yield from _unread(inner, f"{name}.", known)


def _read_document(file: Path) -> object:
    """The JSON value of a file, or the list of its lines where each line is a JSON object."""
    text = read_text(file)
    try:
        return parse_json(text)
    except Unreadable as error:
        lines = [line for line in text.split("\n") if line.strip()]  # splitlines() cuts at U+2028 in a text, too
        try:
            if len(lines) > 1:
                return [parse_json(line) for line in lines]
        except Unreadable:
            pass
        raise BadInput(f"{file} is not JSON ({error}); give the benchmark's .json or .jsonl file") from error


def write_records(records: Sequence[Mapping[str, Any]], file: Path) -> Path:
    """Write records as the JSON list that the other tools load whole; dates are written as YYYY-MM-DD."""
    file.write_text(json.dumps(records, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")
    return file
