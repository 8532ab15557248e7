"""One line of the dump to rows: decoded by type, only the wanted properties and languages are ever built.

Every line that the typed decoder refuses is read again with `json` and `read_json_statement`, the reading
that defines what a row is; what even that cannot read is `BrokenLine`, one statement at a time.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from typing import Annotated, Any, NamedTuple

import msgspec
import pyarrow as pa

from chronofacts.pipeline.sources.dump.lines import BrokenLine
from chronofacts.pipeline.sources.entities import LABELS, label_row, name_languages
from chronofacts.pipeline.sources.statements import (
    NOVALUE,
    SOMEVALUE,
    Snak,
    StatementRows,
    item_snak,
    quantity_snak,
    read_json_statement,
    statement_id_from_iri,
    time_snak,
)
from chronofacts.schemas.dates import read_json_time
from chronofacts.schemas.ids import is_qid

__all__ = ["NAMES", "EntityReader", "NameRows"]

NAMES = LABELS.append(pa.field("revision", pa.int64()))
"""`pipeline.sources.entities.LABELS` and the revision they were read from, so that of two copies the newer counts."""

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _Value(msgspec.Struct, gc=False, rename={"numeric_id": "numeric-id"}):
    """Any value that is an object: the union of the fields of all kinds."""

    id: str | None = None
    numeric_id: int | None = None
    time: str | None = None
    precision: int | float | None = None  # a coordinate's is a fraction of a degree
    calendarmodel: str | None = None
    text: str | None = None
    language: str | None = None
    amount: str | None = None
    unit: str | None = None


class _DataValue(msgspec.Struct, gc=False):
    type: str
    value: _Value | str


class _Snak(msgspec.Struct, gc=False):
    snaktype: str
    datavalue: _DataValue | None = None


class _Statement(msgspec.Struct, gc=False):
    id: str
    rank: str
    mainsnak: _Snak
    qualifiers: dict[str, list[_Snak]] | list[Any] | None = None  # an empty map may be written as []


class _Text(msgspec.Struct, gc=False):
    value: str


class _Untyped(Exception):
    """The typed decoder met what it was not made for: read the line the general way."""


class EntityReader:
    """Decodes entity lines for some properties, and for names in a language when one is given.

    properties: PIDs; language: a code, whose names fall back to `mul` and `en` as at an endpoint.
    """

    def __init__(self, properties: Sequence[str], language: str | None = None) -> None:
        self.properties = tuple(dict.fromkeys(properties))
        self.languages = name_languages(language) if language is not None else ()
        self._decode = msgspec.json.Decoder(self._entity_type()).decode

    def add(
        self, text: bytes, rows: StatementRows, names: NameRows | None = None
    ) -> tuple[datetime.datetime | None, list[BrokenLine]]:
        """Add what one entity says; returns (when it was edited, what could not be read; lines are 0).

        An entity that is no item (a property, a lexeme) adds nothing.
        """
        try:
            entity = self._decode(text)
            if not is_qid(entity.id):
                return None, []
            return self._add_typed(entity, rows, names), []
        except (msgspec.MsgspecError, _Untyped, RecursionError, UnicodeDecodeError):
            return self._add_general(text, rows, names)

    def _entity_type(self) -> type[Any]:
        """The Struct of an entity with exactly the wanted members."""
        claims = msgspec.defstruct("Claims", [(pid, list[_Statement], ()) for pid in self.properties], gc=False)
        fields: list[Any] = [
            ("id", str),
            ("claims", claims | list[Any] | None, None),
            ("lastrevid", _Number | None, None),
            ("modified", datetime.datetime | None, None),
        ]
        if self.languages:
            members = {f"language{number}": code for number, code in enumerate(self.languages)}
            one = msgspec.defstruct("Names", [(name, _Text | None, None) for name in members], rename=members, gc=False)
            many = msgspec.defstruct("Aliases", [(name, list[_Text], ()) for name in members], rename=members, gc=False)
            fields += [
                ("labels", one | list[Any] | None, None),
                ("descriptions", one | list[Any] | None, None),
                ("aliases", many | list[Any] | None, None),
                ("sitelinks", dict[str, msgspec.Raw] | list[Any] | None, None),
            ]
        return msgspec.defstruct("Entity", fields, gc=False)

    def _add_typed(
        self,
        entity: Any,
        rows: StatementRows,
        names: NameRows | None,
    ) -> datetime.datetime | None:
        modified = _in_utc(entity.modified)
        ready = [
            (pid, statement, _read_typed_snak(statement.mainsnak), _read_typed_qualifiers(statement))
            for pid, statements in _members(self.properties, entity.claims)
            for statement in statements
        ]  # all of them before the first is added: a line is added by one reading or by the other
        own = f"{entity.id}$"
        for pid, statement, main, qualifiers in ready:
            is_spelled = statement.id.startswith(own) and "/" not in statement.id  # nearly always
            id_ = statement.id if is_spelled else statement_id_from_iri(statement.id)
            rows.add(id_, entity.id, pid, statement.rank, main, qualifiers, entity.lastrevid, modified)
        if names is not None:
            texts = Names(
                {code: text.value for code, text in _members(self.languages, entity.labels) if text is not None},
                {code: text.value for code, text in _members(self.languages, entity.descriptions) if text is not None},
                {code: [text.value for text in texts] for code, texts in _members(self.languages, entity.aliases)},
                None if entity.sitelinks is None else len(entity.sitelinks),
            )
            names.add(entity.id, texts, self.languages, entity.lastrevid)
        return modified

    def _add_general(
        self, text: bytes, rows: StatementRows, names: NameRows | None
    ) -> tuple[datetime.datetime | None, list[BrokenLine]]:
        try:
            entity = json.loads(text)
            subject = entity["id"]
            if not isinstance(subject, str):
                raise TypeError("its id is no text")
        except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
            return None, [BrokenLine(0, f"{type(error).__name__}: {error}"[:300])]
        if not is_qid(subject):
            return None, []
        revision, modified = _general_revision(entity)
        broken = []
        claims = entity.get("claims")
        for pid in self.properties:
            statements = claims.get(pid) if isinstance(claims, dict) else None
            for statement in statements if isinstance(statements, list) else ():
                try:
                    # A row of its own first: a value of a wrong type shows only when the column is made.
                    trial = StatementRows(rows.origin)
                    read_json_statement(trial, subject, pid, statement, revision, modified)
                    trial.table()
                except Exception as error:  # whatever it is, it is this statement's alone
                    named = statement.get("id") if isinstance(statement, dict) else None
                    id_ = named if isinstance(named, str) else None
                    broken.append(BrokenLine(0, f"{pid}: {type(error).__name__}: {error}"[:300], subject, id_))
                    continue
                read_json_statement(rows, subject, pid, statement, revision, modified)
        if names is not None:
            names.add(subject, _general_names(entity, self.languages), self.languages, revision)
        return modified, broken


class Names(NamedTuple):
    """What an entity is called, by language, and its number of sitelinks."""

    labels: Mapping[str, str]
    descriptions: Mapping[str, str]
    aliases: Mapping[str, Sequence[str]]
    sitelinks: int | None


class NameRows:
    """Columns of `NAMES` while they are being filled."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._rows: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, qid: str, names: Names, languages: Sequence[str], revision: int | None) -> None:
        """One row (`label_row`); an entity without any name adds none."""
        row = label_row(qid, names.labels, names.descriptions, names.aliases, languages, names.sitelinks)
        if row is not None:
            self._rows.append({**row, "revision": revision})

    def table(self) -> pa.Table:
        """The rows so far as `NAMES`."""
        return pa.Table.from_pylist(self._rows, schema=NAMES)


def _members(keys: Sequence[str], members: object) -> Iterable[tuple[str, Any]]:
    """The members of a Struct that say something, by the names that they have in JSON; none of what is no Struct."""
    if not isinstance(members, msgspec.Struct):
        return ()
    values = msgspec.structs.astuple(members)
    return compress(zip(keys, values, strict=True), values)


def _read_typed_snak(snak: _Snak) -> Snak:
    """`pipeline.sources.statements.json_snak` for the typed form; raises _Untyped for what only that one can judge."""
    if snak.snaktype != "value":
        return SOMEVALUE if snak.snaktype == "somevalue" else NOVALUE
    if snak.datavalue is None:
        raise _Untyped
    kind, value = snak.datavalue.type, snak.datavalue.value
    if isinstance(value, str):
        if kind == "string":
            return Snak("string", value)
    elif kind == "wikibase-entityid":
        if value.id or value.numeric_id is not None:
            return item_snak(value.id or f"Q{value.numeric_id}")
    elif kind == "time":
        if value.time is not None and isinstance(value.precision, int) and value.calendarmodel is not None:
            return _time(value.time, value.precision, value.calendarmodel)
    elif kind == "monolingualtext":
        if value.text is not None and value.language is not None:
            return Snak("text", value.text, unit=value.language)
    elif kind == "quantity":
        if value.amount is not None and value.unit is not None:
            return quantity_snak(value.amount, value.unit.rsplit("/", 1)[-1])
    elif kind != "string":
        return Snak("other")
    raise _Untyped


def _read_typed_qualifiers(statement: _Statement) -> dict[str, list[Snak]]:
    qualifiers = statement.qualifiers
    if not qualifiers:
        return {}
    if isinstance(qualifiers, list):
        raise _Untyped
    return {pid: [_read_typed_snak(snak) for snak in snaks] for pid, snaks in qualifiers.items()}


@lru_cache(maxsize=65_536)  # days repeat: a dump names few beside how often it names them
def _time(time: str, precision: int, calendar: str) -> Snak:
    return time_snak(read_json_time(time, precision, calendar))


def _in_utc(moment: datetime.datetime | None) -> datetime.datetime | None:
    return moment.replace(tzinfo=datetime.UTC) if moment is not None and moment.tzinfo is None else moment


def _general_revision(entity: Mapping[str, Any]) -> tuple[int | None, datetime.datetime | None]:
    revision, modified = entity.get("lastrevid"), entity.get("modified")
    usable = isinstance(revision, int) and not isinstance(revision, bool) and 0 <= revision <= 2**62
    try:
        moment = _in_utc(datetime.datetime.fromisoformat(modified)) if isinstance(modified, str) else None
    except ValueError:
        moment = None
    return (revision if usable else None), moment


def _general_names(entity: Mapping[str, Any], languages: Sequence[str]) -> Names:
    """Names from a line that the typed decoder refused: whatever of them has the right form."""

    def members(key: str) -> Iterator[tuple[str, Any]]:
        found = entity.get(key)
        yield from ((code, found[code]) for code in languages if code in found) if isinstance(found, dict) else ()

    def text(name: object) -> str | None:
        value = name.get("value") if isinstance(name, dict) else None
        half_character = isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value)
        return value if isinstance(value, str) and not half_character else None

    links = entity.get("sitelinks")
    return Names(
        {code: found for code, name in members("labels") if (found := text(name)) is not None},
        {code: found for code, name in members("descriptions") if (found := text(name)) is not None},
        {
            code: [found for name in names if (found := text(name)) is not None]
            for code, names in members("aliases")
            if isinstance(names, list)
        },
        len(links) if isinstance(links, dict | list) else None,
    )
