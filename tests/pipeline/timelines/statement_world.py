"""A small world of statements, written as a person would tell it:

world().office("Q1").held_by("Q2", "2019-05", "2021-03-04").held_by("Q3", "2021-03-04").tables()

Dates are `2019`, `2019-05` or `2019-05-03`, and `-0044` before year 1; an end may also be `none` (explicit no value),
`unknown` (some value) or left out. Several dates of one kind are separated by a blank.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

import pyarrow as pa

from chronofacts.pipeline.sources.entities import LABELS
from chronofacts.pipeline.sources.statements import NOVALUE, Origin, Snak, StatementRows
from chronofacts.pipeline.sources.statements import SOMEVALUE as SOMEBODY
from chronofacts.schemas.dates import read_json_time, spell_interval
from tests.pipeline.whole_tables import describe_entities

GREGORIAN = "http://www.wikidata.org/entity/Q1985727"
ORIGIN = Origin("test", datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC))


class Tables(NamedTuple):
    statements: pa.Table
    entities: pa.Table


def time(text: str) -> Snak:
    if text == "none":
        return NOVALUE
    if text == "unknown":
        return SOMEBODY
    sign, text = ("-", text[1:]) if text.startswith("-") else ("+", text)
    date = read_json_time(f"{sign}{(text + '-00-00')[:10]}T00:00:00Z", 9 + text.count("-"), GREGORIAN)
    if isinstance(date, str):
        return Snak("time", fault=date)
    return Snak("time", spell_interval(date), date)


class World:
    """Statements are numbered in the order told: `S1`, `S2` …"""

    def __init__(self) -> None:
        self.rows = StatementRows(ORIGIN)
        self.lifecycle = StatementRows(ORIGIN)
        self.names: set[str] = set()
        self.called_by: dict[str, tuple[str, ...]] = {}
        self.number = 0
        self.subject = ""
        self.property = ""

    def office(self, qid: str) -> World:
        self.subject, self.property = qid, "P39"
        return self

    def country(self, qid: str, property_: str = "P6") -> World:
        self.subject, self.property = qid, property_
        return self

    def held_by(
        self, holder: str | None, start: str = "", end: str = "", rank: str = "normal", **qualifiers: str
    ) -> World:
        """holder: QID, or None for "somebody"; qualifiers: P642="Q9", P585="2020-05-03"."""
        told = {pid: [time(date) for date in text.split()] for pid, text in (("P580", start), ("P582", end)) if text}
        told |= {pid: [Snak("item", text) if text[0] == "Q" else time(text)] for pid, text in qualifiers.items()}
        subject, value = (holder, self.subject) if self.property == "P39" else (self.subject, holder)
        assert subject is not None
        self.number += 1
        self.rows.add(
            f"S{self.number}",
            subject,
            self.property,
            rank,
            SOMEBODY if value is None else Snak("item", value),
            told,
            None,
        )
        self.names |= {qid for qid in (subject, value) if qid}
        return self

    def vacant(self, start: str, end: str = "") -> World:
        """Wikidata says that nobody held it: the explicit "no value" of a property that is read forwards."""
        assert self.property != "P39"
        self.number += 1
        told = {pid: [time(text)] for pid, text in (("P580", start), ("P582", end)) if text}
        self.rows.add(f"S{self.number}", self.subject, self.property, "normal", NOVALUE, told, None)
        self.names.add(self.subject)
        return self

    def untold(self) -> World:
        """Leave out one number, as if a statement had stood here."""
        self.number += 1
        return self

    def fact(self, subject: str, property_: str, value: str, start: str = "", end: str = "") -> World:
        self.country(subject, property_)
        return self.held_by(value, start, end)

    def called(self, qid: str, label: str, *aliases: str) -> World:
        """Without it a thing is called "name of" its QID."""
        self.called_by[qid] = (label, *aliases)
        self.names.add(qid)
        return self

    def is_a(self, qid: str, *classes: str) -> World:
        for class_ in classes:
            number = f"L{len(self.lifecycle) + 1}"
            self.lifecycle.add(number, qid, "P31", "normal", Snak("item", class_), {}, None)
        self.names.add(qid)
        return self

    def died(self, qid: str, day: str) -> World:
        return self._lived(qid, "P570", day)

    def abolished(self, qid: str, day: str) -> World:
        return self._lived(qid, "P576", day)

    def began(self, qid: str, day: str) -> World:
        return self._lived(qid, "P571", day)

    def _lived(self, qid: str, property_: str, day: str) -> World:
        self.lifecycle.add(f"L{len(self.lifecycle) + 1}", qid, property_, "normal", time(day), {}, None)
        self.names.add(qid)
        return self

    def told(self) -> tuple[pa.Table, pa.Table]:
        """(`STATEMENTS`, `LABELS`)"""
        labels = []
        for qid in sorted(self.names):
            label, *aliases = self.called_by.get(qid, (f"name of {qid}",))
            told = {"aliases": sorted(aliases), "alias_languages": ["en"] * len(aliases)}
            labels.append({"qid": qid, "label": label, "label_language": "en"} | told)
        return self.rows.table(), pa.Table.from_pylist(labels, schema=LABELS)

    def tables(self) -> Tables:
        statements, labels = self.told()
        return Tables(statements, describe_entities(self.lifecycle.table(), labels))


def world() -> World:
    return World()
