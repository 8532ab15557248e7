"""Answers of a SPARQL engine to Arrow tables, alike for every engine.

A solution is a mapping from variable to `RdfTerm`; solutions may come in any order and more than once
(several values multiply), so that everything is collected per statement or per item first. `rdf_snaks` reads the terms
of one property as the values that they make.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyoxigraph

from chronofacts.pipeline.sources.entities import LABELS, label_row, name_languages
from chronofacts.pipeline.sources.statements import (
    NOVALUE,
    SOMEVALUE,
    Origin,
    Snak,
    StatementRows,
    item_snak,
    quantity_snak,
    statement_id_from_iri,
    time_snak,
)
from chronofacts.schemas.dates import read_rdf_time
from chronofacts.schemas.ids import is_qid

__all__ = [
    "ENTITY", "RdfTerm", "Revision", "Solution", "SortedRows", "ValueNode", "label_table", "rdf_snaks", "read_counts",
    "read_redirects", "read_revisions", "read_subjects", "solutions", "sort_rows", "statement_table",
]  # fmt: skip

ENTITY = "http://www.wikidata.org/entity/"
_COMMONS_FILE = re.compile(r"https?://commons\.wikimedia\.org/wiki/Special:FilePath/(.+)")
_TERMS_KNOWN = 10_000
_PROP = "http://www.wikidata.org/prop/"
_WIKIBASE = "http://wikiba.se/ontology#"
_RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
_LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
_ALIAS = "http://www.w3.org/2004/02/skos/core#altLabel"
_SCHEMA = "http://schema.org/"
_DESCRIPTION = f"{_SCHEMA}description"
_RANKS = {"PreferredRank": "preferred", "NormalRank": "normal", "DeprecatedRank": "deprecated"}


class RdfTerm(NamedTuple):
    """One RDF term: kind is `uri`, `bnode` or `literal`."""

    kind: str
    value: str
    datatype: str = ""
    language: str | None = None


Solution = Mapping[str, RdfTerm]


class ValueNode(NamedTuple):
    """What RDF says of a full value (`psv:`, `pqv:`): a time with precision and calendar, or an amount and its unit."""

    time: RdfTerm | None = None
    precision: str = ""
    calendar: str = ""
    amount: str | None = None
    unit: str = ""


@dataclass
class _Statement:
    """One statement while its rows come in; dicts are used as ordered sets."""

    subject: str
    property: str
    rank: str = "normal"
    simple: dict[str, dict[RdfTerm, None]] = field(default_factory=lambda: defaultdict(dict))
    nodes: dict[str, dict[tuple[str, ValueNode], None]] = field(default_factory=lambda: defaultdict(dict))
    without: set[str] = field(default_factory=set)  # properties with "no value"

    def snaks(self, key: str) -> list[Snak]:
        return rdf_snaks(self.simple.get(key, ()), (node for _, node in self.nodes.get(key, ())))


class SortedRows(NamedTuple):
    """The rows of one answer to `queries.statements` or `queries.entities`, by what they tell."""

    statements: list[Solution]
    revisions: list[Solution]
    sitelinks: list[Solution]
    names: list[Solution]


def sort_rows(solutions: Iterable[Solution]) -> SortedRows:
    """The rows by what they tell; all of one batch are held."""
    rows = SortedRows([], [], [], [])
    lists = {
        f"{_SCHEMA}version": rows.revisions,
        f"{_SCHEMA}dateModified": rows.revisions,
        f"{_WIKIBASE}sitelinks": rows.sitelinks,
    }
    for row in solutions:
        rows_like_it = rows.statements if "st" in row else lists.get(row["p"].value, rows.names)
        rows_like_it.append(row)
    return rows


def read_subjects(solutions: Iterable[Solution]) -> dict[str, int | None]:
    """The QIDs in `?item`, each with the newest revision in `?v`, where there is any."""
    found: dict[str, int | None] = {}
    for row in solutions:
        if (qid := _local_id(row["item"])) is not None:
            number = int(row["v"].value) if "v" in row and row["v"].value.isdecimal() else None
            known = found.setdefault(qid, number)
            if number is not None and (known is None or number > known):
                found[qid] = number
    return found


def statement_table(sorted_rows: SortedRows, origin: Origin) -> pa.Table:
    """`STATEMENTS` from the rows of statements and revisions, sorted by subject, property and id."""
    revisions = read_revisions(sorted_rows.revisions)
    statements: dict[str, _Statement] = {}
    for row in sorted_rows.statements:
        iri = row["st"].value
        if iri not in statements:
            subject, pid = _local_id(row["item"]), row["claim"].value.removeprefix(_PROP)
            statements[iri] = _Statement(subject or row["item"].value, pid)
        _add_row(statements[iri], row)
    rows = StatementRows(origin)
    for iri, statement in sorted(statements.items(), key=lambda pair: (pair[1].subject, pair[1].property, pair[0])):
        main = statement.snaks("statement")
        qualifiers = {
            key: statement.snaks(key) + ([NOVALUE] if key in statement.without else [])
            for key in sorted({*statement.simple, *statement.nodes, *statement.without} - {"statement"})
            if key != statement.property or key not in statement.without
        }
        rows.add(
            statement_id_from_iri(iri),
            statement.subject,
            statement.property,
            statement.rank,
            main[0] if main else NOVALUE,
            qualifiers,
            *revisions.get(statement.subject, Revision()),
        )
    return rows.table()


def _add_row(statement: _Statement, row: Solution) -> None:
    predicate, value = row["p"].value, row["v"]
    if predicate.startswith(_PROP):
        kind, _, pid = predicate[len(_PROP) :].rpartition("/")
        # `…-normalized` repeats a quantity in base units
        if kind == "statement":
            statement.simple["statement"][value] = None
        elif kind == "qualifier":
            statement.simple[pid][value] = None
        elif kind in ("statement/value", "qualifier/value"):
            key = "statement" if kind.startswith("statement") else pid
            statement.nodes[key][value.value, _value_node(row)] = None
    elif predicate == f"{_WIKIBASE}rank":
        statement.rank = _RANKS.get(value.value.removeprefix(_WIKIBASE), "normal")
    elif predicate == _RDF_TYPE and value.value.startswith(f"{_PROP}novalue/"):
        statement.without.add(value.value.rpartition("/")[2])


def _value_node(row: Solution) -> ValueNode:
    if "time" in row:
        return ValueNode(row["time"], row["precision"].value, row["calendar"].value)
    if "amount" in row:
        return ValueNode(amount=row["amount"].value, unit=row["unit"].value)
    return ValueNode()


class Revision(NamedTuple):
    """Which revision of an item was read, and when it was made."""

    number: int | None = None
    modified_at: datetime.datetime | None = None


def read_revisions(solutions: Iterable[Solution]) -> dict[str, Revision]:
    """The newest revision of each item, from the rows of `queries.revisions`."""
    found: dict[str, Revision] = {}
    for row in solutions:
        qid, value = _local_id(row["item"]), row["v"].value
        if qid is None:
            continue
        known = found.get(qid, Revision())
        if row["p"].value.endswith("/version") and value.isdecimal():
            found[qid] = known._replace(number=max(int(value), known.number or 0))
        elif row["p"].value.endswith("/dateModified"):
            moment = datetime.datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
            found[qid] = known._replace(modified_at=max(moment, known.modified_at or moment))
    return found


def read_counts(solutions: Iterable[Solution]) -> dict[str, int]:
    """`?v` as a number by QID (sitelinks); of several the largest."""
    counts: dict[str, int] = {}
    for row in solutions:
        qid = _local_id(row["item"])
        if qid is not None and row["v"].value.isdecimal():
            counts[qid] = max(int(row["v"].value), counts.get(qid, 0))
    return counts


def read_redirects(solutions: Iterable[Solution]) -> dict[str, str]:
    """`?v` as a QID by QID; of several the smallest."""
    moved: dict[str, str] = {}
    for row in solutions:
        old, new = _local_id(row["item"]), _local_id(row["v"])
        if old is not None and new is not None and old != new:
            moved[old] = min(new, moved.get(old, new))
    return moved


def label_table(
    qids: Sequence[str], solutions: Iterable[Solution], sitelinks: Mapping[str, int], language: str
) -> pa.Table:
    """`LABELS` of the items that have any name, in the order of qids."""
    names: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in solutions:
        qid, text = _local_id(row["item"]), row["v"]
        if qid is not None and text.language is not None and text.value != qid:
            names[qid, row["p"].value][text.language].add(text.value)
    rows = []
    for qid in qids:
        labels, descriptions = (
            {code: min(texts) for code, texts in names[qid, predicate].items()} for predicate in (_LABEL, _DESCRIPTION)
        )
        languages, aliases = name_languages(language), names[qid, _ALIAS]
        rows.append(label_row(qid, labels, descriptions, aliases, languages, sitelinks.get(qid)))
    return pa.Table.from_pylist([row for row in rows if row is not None], schema=LABELS)


def _local_id(term: RdfTerm) -> str | None:
    """The QID of an item's or its document's IRI."""
    qid = term.value.removeprefix(ENTITY).rpartition("/")[2]
    return qid if is_qid(qid) else None


def rdf_snaks(simple: Iterable[RdfTerm], nodes: Iterable[ValueNode]) -> list[Snak]:
    """The values of one property of one statement, from its simple values (`ps:`, `pq:`) and its value nodes.

    Times and quantities are read from their nodes, since only these know precision and unit; of their
    simple values only "some value" counts, which has no node.
    """
    snaks = [_node_snak(node) for node in nodes if node.time is not None or node.amount is not None]
    for term in simple:
        snak = _simple_snak(term)
        if not snaks or snak.kind not in ("time", "quantity"):
            snaks.append(snak)
    return snaks


def _node_snak(node: ValueNode) -> Snak:
    if node.time is None:
        return quantity_snak(node.amount or "", node.unit.rsplit("/", 1)[-1])
    if not node.time.datatype.endswith("#dateTime") or not node.precision.isdecimal():
        return time_snak("malformed_time")  # a date that Wikibase cannot export is a plain string
    return time_snak(read_rdf_time(node.time.value, int(node.precision), node.calendar))


def _simple_snak(term: RdfTerm) -> Snak:
    if term.kind == "bnode" or "/.well-known/genid/" in term.value:
        return SOMEVALUE
    if term.kind == "uri":
        if term.value.startswith(ENTITY):
            return item_snak(term.value[len(ENTITY) :])
        file = _COMMONS_FILE.fullmatch(term.value)
        return Snak("string", unquote(file[1]).replace("_", " ") if file else term.value)
    if term.language is not None:
        return Snak("text", term.value, unit=term.language)
    datatype = term.datatype.rsplit("#", 1)[-1]
    if datatype == "dateTime":  # without its node a date has no precision, and decides nothing
        return time_snak("malformed_time")
    if datatype in ("decimal", "integer", "int", "double"):
        return quantity_snak(term.value, None)
    return Snak("other") if datatype.endswith("wktLiteral") else Snak("string", term.value)


def solutions(answer: pyoxigraph.QuerySolutions) -> Iterator[Solution]:
    """Solutions of the engine, or of an endpoint's answer that it has parsed, in our terms."""
    names = [variable.value for variable in answer.variables]
    known: dict[object, RdfTerm] = {}  # the rows of a statement repeat most of their terms
    for solution in answer:
        row = {}
        for name, term in zip(names, solution, strict=True):
            if term is not None:
                if (read := known.get(term)) is None:
                    read = known[term] = _read_term(term)
                row[name] = read
        yield row
        if len(known) > _TERMS_KNOWN:
            known.clear()


def _read_term(term: object) -> RdfTerm:
    if isinstance(term, pyoxigraph.NamedNode):
        return RdfTerm("uri", term.value)
    if isinstance(term, pyoxigraph.Literal):
        return RdfTerm("literal", term.value, term.datatype.value, term.language)
    return RdfTerm("bnode", str(term))
