"""One Wikidata statement to one row of `statements`.

JSON (here) and RDF (`pipeline.sources.sparql.results`) are first read into `Snak`s (Wikibase's word for a property with
a value, a "some value" or a "no value"), then one function makes the row, so that the two forms cannot drift apart.
Nothing raises on bad data: what is wrong with a value becomes a fault code in the row, and
`pipeline.timelines.build` rejects the row by that name.
References are not read, and of coordinates only that there is one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, DecimalException
from typing import Any, Literal

import msgspec
import pyarrow as pa

from chronofacts.schemas import tables
from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.dates import ABSENT, Bound, DayInterval, combine, read_json_time, spell_interval
from chronofacts.schemas.ids import is_pid, is_qid

__all__ = [
    "LIFECYCLE", "NOVALUE", "SOMEVALUE", "Origin", "Snak", "StatementRows", "item_snak", "json_snak", "properties_of",
    "quantity_snak", "read_json_statement", "statement_id_from_iri", "time_snak",
]  # fmt: skip

# instance of, birth, death, inception, abolition: what `entities` is made from
LIFECYCLE = ("P31", "P569", "P570", "P571", "P576")

_STATEMENT_IRI = re.compile(r"(?:.*/statement/)?([A-Za-z]\d+)[$-](.+)")
_NO_UNIT = "Q199"  # Wikidata's "1": a plain number
# in the order of their columns
_TIMES = ("P580", "P582", "P585")  # start, end, point in time
LONGEST_TEXT = 20_000
"""Characters of a value, and of all qualifiers of a statement. Wikidata takes values of at most 1,500."""
LONGEST_ID = 200
"""Characters of a statement's id (Wikidata's have 50), a unit or a language."""
LONGEST_AMOUNT = 127
"""Characters of a number, and places before or behind its point (Wikibase's own bound)."""
RANKS = frozenset({"preferred", "normal", "deprecated"})
# software version: it begins with its publication date (P577)
_BEGIN_PUBLISHED = ("P348",)
_SUCCESSION = ("P1365", "P1366")  # replaces, replaced by

SnakKind = Literal["item", "string", "text", "quantity", "time", "other", "somevalue", "novalue"]


def properties_of(catalogue: Catalogue) -> list[str]:
    """PIDs to be read for the catalogue's relations, in the order of their numbers; those of `LIFECYCLE` come with
    every entity that is named, so that nobody's birth is read for its own sake."""
    named = {relation.property for relation in catalogue.relations}
    return sorted(named.difference(LIFECYCLE), key=lambda pid: int(pid[1:]))


class Snak(msgspec.Struct, frozen=True, gc=False):
    """A value: `text` is its spelling (null for somevalue, novalue, other), `date` the date of a time value,
    `unit` the unit of a quantity or the language of a text, `fault` what is wrong with it."""

    kind: SnakKind
    text: str | None = None
    date: DayInterval | None = None
    unit: str | None = None
    fault: str | None = None

    def spelled(self) -> str:
        return f"({self.kind})" if self.text is None else self.text if self.unit is None else f"{self.text}@{self.unit}"


SOMEVALUE, NOVALUE = Snak("somevalue"), Snak("novalue")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows were read: a source's name and the moment, the same for all rows of one reading."""

    source: str
    retrieved_at: datetime


def time_snak(date: DayInterval | str) -> Snak:
    """A time value, or the snak that carries the fault code of one that does not read."""
    if isinstance(date, str):
        return Snak("time", fault=date)
    return Snak("time", spell_interval(date), date)


def item_snak(entity: str) -> Snak:
    return Snak("item", entity) if is_qid(entity) else Snak("other", entity)


def quantity_snak(amount: str, unit: str | None) -> Snak:
    try:
        number = Decimal(amount) if amount.isascii() and len(amount) <= LONGEST_AMOUNT else None
        # A few characters with an exponent stand for gigabytes of zeros.
        if number is None or (number.is_finite() and abs(number.adjusted()) > LONGEST_AMOUNT):
            return Snak("quantity", amount, unit=unit, fault="wrong_object_type")
        spelled = format(number.normalize(), "f") if number.is_finite() else amount
    except DecimalException:
        return Snak("quantity", amount, unit=unit, fault="wrong_object_type")
    return Snak("quantity", spelled, unit=None if unit in (None, _NO_UNIT, "1") else unit)


def json_snak(snak: Mapping[str, Any]) -> Snak:
    """A snak of Wikidata's JSON (`mainsnak`, or an element of `qualifiers[PID]`)."""
    if snak["snaktype"] != "value":
        return SOMEVALUE if snak["snaktype"] == "somevalue" else NOVALUE
    kind, value = snak["datavalue"]["type"], snak["datavalue"]["value"]
    if kind == "wikibase-entityid":
        return item_snak(value.get("id") or f"Q{value['numeric-id']}")
    if kind == "time":
        return time_snak(read_json_time(value["time"], value["precision"], value["calendarmodel"]))
    if kind == "string":
        return Snak("string", value)
    if kind == "monolingualtext":
        return Snak("text", value["text"], unit=value["language"])
    if kind == "quantity":
        return quantity_snak(value["amount"], value["unit"].rsplit("/", 1)[-1])
    return Snak("other")


def statement_id_from_iri(iri: str) -> str:
    """`…/statement/q60-5083…` or `q60$5083…` -> `Q60$5083…`, the one spelling that both forms share.

    RDF replaces the dollar by a hyphen (Wikibase RdfVocabulary), and old ids begin with a small letter.
    """
    match = _STATEMENT_IRI.fullmatch(iri)
    return f"{match[1].upper()}${match[2]}" if match else iri


class StatementRows:
    """Rows of `statements` while they are being filled; a table is cut from them in batches."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._rows: list[tuple[object, ...]] = []
        self._subject, self._properties = "", set[str]()

    def clear(self) -> None:
        self._rows = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        statement_id: str,
        subject: str,
        property_: str,
        rank: str | None,
        main: Snak,
        qualifiers: Mapping[str, Sequence[Snak]],
        revision: int | None,
        modified_at: datetime | None = None,
    ) -> None:
        """One row. Never raises: faults of values go into the row's `faults`; a rank that is none counts as normal."""
        faults = {main.fault} if main.fault else set()
        if len(statement_id) > LONGEST_ID or not self._are_ids(subject, property_):
            faults.add("malformed_id")
        if len(main.text or "") > LONGEST_TEXT or len(main.unit or "") > LONGEST_ID:
            faults.add("too_long")
        others = _other_qualifiers(qualifiers)
        if sum(map(len, others)) > LONGEST_TEXT:
            faults.add("too_long")
            others = []
        start, end, point_in_time = [
            self._bound(qualifiers[pid], faults) if pid in qualifiers else ABSENT for pid in _TIMES
        ]
        if property_ in _BEGIN_PUBLISHED and "P580" not in qualifiers and "P577" in qualifiers:
            start = self._bound(qualifiers["P577"], faults)
        if _certainly_after(start, end):
            faults.add("start_after_end")
        self._rows.append(
            (
                _short_id(statement_id),
                subject[:LONGEST_ID],
                property_[:LONGEST_ID],
                main.text and main.text[:LONGEST_TEXT],
                "string" if main.kind in ("text", "other") else main.kind,
                main.unit and main.unit[:LONGEST_ID],
                rank if rank in RANKS else "normal",
                *_interval_columns(start),
                *_interval_columns(end),
                *_interval_columns(point_in_time),
                *[_one_item(qualifiers[pid]) if pid in qualifiers else None for pid in _SUCCESSION],
                others,
                sorted(faults),
                revision,
                modified_at,
            )
        )

    def _are_ids(self, subject: str, property_: str) -> bool:
        """Rows that follow one another mostly share a subject, and all of them a few properties."""
        if subject != self._subject:
            if not is_qid(subject):
                return False
            self._subject = subject
        if property_ not in self._properties:
            if not is_pid(property_):
                return False
            self._properties.add(property_)
        return True

    @staticmethod
    def _bound(snaks: Iterable[Snak], faults: set[str]) -> Bound:
        bounds = []
        for snak in snaks:
            if snak.fault:
                faults.add(snak.fault)
            if snak.kind == "time" and snak.date is not None:
                bounds.append(Bound("known", snak.date))
            elif snak.kind == "time":
                bounds.append(Bound("unknown"))  # the fault is recorded already; the row will be rejected
            elif snak.kind == "novalue":
                bounds.append(Bound("none"))
            elif snak.kind == "somevalue":
                bounds.append(Bound("unknown"))
            else:
                faults.add("malformed_time")
        bound = combine(bounds)
        if bound is None:
            faults.add("conflicting_dates")
            return ABSENT
        return bound

    def table(self) -> pa.Table:
        """The rows so far as `tables.STATEMENTS`."""
        size = len(self)
        stamp = pa.scalar(int(self.origin.retrieved_at.timestamp()), tables.STATEMENTS.field("retrieved_at").type)
        columns = [column for column in tables.STATEMENTS if column.name not in ("retrieved_at", "source")]
        values = zip(*self._rows, strict=True) if self._rows else [()] * len(columns)
        arrays = [
            pa.array(cells, pa.int32()).view(pa.date32())
            if pa.types.is_date32(column.type)
            else pa.array(cells, column.type)
            for column, cells in zip(columns, values, strict=True)
        ]
        arrays += [pa.repeat(stamp, size), pa.repeat(pa.scalar(self.origin.source), size)]
        return pa.Table.from_arrays(arrays, schema=tables.STATEMENTS)


def _short_id(statement_id: str) -> str:
    """The id; of an endless one the beginning and a hash, so that two do not become one."""
    if len(statement_id) <= LONGEST_ID:
        return statement_id
    return f"{statement_id[: LONGEST_ID // 2]}{hashlib.sha256(statement_id.encode()).hexdigest()[:16]}"


def _interval_columns(bound: Bound) -> tuple[int | None, int | None, int | None, str]:
    """(earliest, latest, precision, kind), as `tables.STATEMENTS` has them."""
    if bound.date is None:
        return None, None, None, bound.kind
    return bound.date.earliest, bound.date.latest, bound.date.precision, bound.kind


def _one_item(snaks: Sequence[Snak]) -> str | None:
    items = [snak.text for snak in snaks if snak.kind == "item"]
    return items[0] if len(items) == 1 else None


def _other_qualifiers(qualifiers: Mapping[str, Sequence[Snak]]) -> list[str]:
    """`PID=value` of what has no column of its own, sorted."""
    return sorted(
        f"{pid}={snak.spelled()}"
        for pid, snaks in qualifiers.items()
        if pid not in _TIMES and not (pid in _SUCCESSION and len(snaks) == 1)
        for snak in snaks
    )


def _certainly_after(start: Bound, end: Bound) -> bool:
    first = start.date.earliest if start.date is not None else None
    last = end.date.latest if end.date is not None else None
    return first is not None and last is not None and first > last


def read_json_statement(
    rows: StatementRows,
    subject: str,
    property_: str,
    statement: Mapping[str, Any],
    revision: int | None,
    modified_at: datetime | None = None,
) -> None:
    """Add one element of an entity's `claims[PID]`."""
    qualifiers = statement.get("qualifiers") or {}  # an empty map may be written as []
    rows.add(
        statement_id_from_iri(statement["id"]),
        subject,
        property_,
        statement["rank"],
        json_snak(statement["mainsnak"]),
        {pid: [json_snak(snak) for snak in snaks] for pid, snaks in qualifiers.items()},
        revision,
        modified_at,
    )
