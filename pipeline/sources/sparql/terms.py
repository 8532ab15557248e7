"""RDF terms, the values that they make, and the solutions of an engine in these terms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import unquote

import pyoxigraph

from chronofacts.pipeline.sources.statements import SOMEVALUE, Snak, item_snak, quantity_snak, time_snak
from chronofacts.schemas.dates import read_rdf_time
from chronofacts.schemas.errors import CheckFailed

__all__ = ["ENTITY", "RdfTerm", "Solution", "ValueNode", "rdf_snaks", "read_count", "solutions"]

ENTITY = "http://www.wikidata.org/entity/"
_COMMONS_FILE = re.compile(r"https?://commons\.wikimedia\.org/wiki/Special:FilePath/(.+)")
_TERMS_KNOWN = 10_000


class RdfTerm(NamedTuple):
    """One RDF term: kind is `uri`, `bnode` or `literal`."""

    kind: str
    value: str
    datatype: str = ""
    language: str | None = None


Solution = Mapping[str, RdfTerm]


class Row(dict[str, RdfTerm]):
    """A solution. Raises CheckFailed for a variable that the query asks for and the answer lacks."""

    def __missing__(self, variable: str) -> RdfTerm:
        raise CheckFailed(
            f"the endpoint's answer lacks ?{variable}, which the query asks for; it may be no SPARQL 1.1 endpoint"
        )


class ValueNode(NamedTuple):
    """What RDF says of a full value (`psv:`, `pqv:`): a time with precision and calendar, or an amount and its unit."""

    time: RdfTerm | None = None
    precision: str = ""
    calendar: str = ""
    amount: str | None = None
    unit: str = ""


def read_count(text: str) -> int | None:
    """A number of digits alone that a column of 64 bits holds; None for any other text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


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
    if not node.time.datatype.endswith("#dateTime") or read_count(node.precision) is None:
        return time_snak("malformed_time")  # a date that Wikibase cannot export is a plain string
    return time_snak(read_rdf_time(node.time.value, read_count(node.precision) or 0, node.calendar))


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
        row = Row()
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
