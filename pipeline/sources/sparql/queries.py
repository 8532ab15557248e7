"""The SPARQL text that every endpoint gets: one portable text for WDQS, QLever and the embedded engine.

Standard SPARQL 1.1 with every prefix declared; no label service, hints, ORDER BY or paging, since these
fail or answer differently from engine to engine. Ranks, label fallback, sorting and "some value" are
worked out from the answer (`pipeline.sources.sparql.results`).
Every id is checked before it enters a text.
"""

from __future__ import annotations

from collections.abc import Sequence

from chronofacts.pipeline.sources import Window
from chronofacts.schemas.ids import is_pid, is_qid

__all__ = ["discover", "entities", "freshness", "redirects", "revisions", "statements", "subjects_with_value"]

PREFIXES = """\
PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX skos: <http://www.w3.org/2004/02/skos/core#>
PREFIX schema: <http://schema.org/>
PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX wikibase: <http://wikiba.se/ontology#>
PREFIX wd: <http://www.wikidata.org/entity/>
PREFIX data: <https://www.wikidata.org/wiki/Special:EntityData/>
PREFIX owl: <http://www.w3.org/2002/07/owl#>
PREFIX p: <http://www.wikidata.org/prop/>
PREFIX ps: <http://www.wikidata.org/prop/statement/>
PREFIX pq: <http://www.wikidata.org/prop/qualifier/>
"""
_DATES = ("P580", "P582", "P585")  # start, end, point in time
_STATEMENT_COLUMNS = "?item ?claim ?st ?p ?v ?time ?precision ?calendar ?amount ?unit"


def discover(
    properties: Sequence[str],
    window: Window | None = None,
    undated: bool = False,
    digits: str = "",
    with_revisions: bool = False,
) -> str:
    """Subjects (`?item`) with a statement of one of the properties.

    window: only statements with a start, an end or a point in time in it; undated: only those without any.
    digits: only subjects the MD5 of whose IRI begins with these hexadecimal digits.
    with_revisions: also the revision of each (`?v`), where the item itself and not its document has it.
    """
    claims = " UNION ".join(f"{{ ?item p:{pid} ?st }}" for pid in map(_check_pid, properties))
    # a software version is dated by its publication
    dates = (*_DATES, "P577") if "P348" in properties else _DATES
    lines = []
    if window is not None:
        lines += [
            f"  {{ ?st pq:{pid} ?day }}{union}"
            for pid, union in zip(dates, [" UNION"] * (len(dates) - 1) + [""], strict=True)
        ]
        lines.append(f"  FILTER({_within(window)})")
    lines.append(f"  {claims}")
    if undated:
        # A date that is "some value", or not a date at all, lies in no window.
        lines += [
            f"  FILTER NOT EXISTS {{ ?st pq:{pid} ?day{n} FILTER(DATATYPE(?day{n}) = xsd:dateTime) }}"
            for n, pid in enumerate(dates)
        ]
    if digits:
        lines.append(f'  FILTER(STRSTARTS(MD5(STR(?item)), "{_check_digits(digits)}"))')
    body = "\n".join(lines)
    if with_revisions:
        # what is found first, and only then the revision of each: else it is looked up once a statement
        found = "\n".join(f"    {line}" for line in ("SELECT DISTINCT ?item WHERE {", *lines, "}"))
        return f"{PREFIXES}SELECT ?item ?v WHERE {{\n  {{\n{found}\n  }}\n  OPTIONAL {{ ?item schema:version ?v }}\n}}"
    return f"{PREFIXES}SELECT DISTINCT ?item WHERE {{\n{body}\n}}"


def _within(window: Window) -> str:
    # Full literals with time and zone: other spellings compare as false on some engines, without an error.
    bounds = [(">=", window.first), ("<", window.last)]
    return " && ".join(
        f'?day {sign} "{day.isoformat()}T00:00:00Z"^^xsd:dateTime' for sign, day in bounds if day is not None
    )


def subjects_with_value(property_: str, qids: Sequence[str]) -> str:
    """Subjects (`?item`) whose statements of the property have one of the items as value."""
    pid = _check_pid(property_)
    return (
        f"{PREFIXES}SELECT DISTINCT ?item WHERE {{\n"
        f"  VALUES ?v {{ {_items(qids)} }}\n"
        f"  ?st ps:{pid} ?v .\n"
        f"  ?item p:{pid} ?st .\n}}"
    )


def statements(properties: Sequence[str], qids: Sequence[str], with_revisions: bool = True) -> str:
    """Everything about the statements of some properties of some items, but their references and RDF classes.

    One row per (`?st`, `?p`, `?v`), with what a value node says of its time or quantity.
    with_revisions: also the rows of `revisions`, in the same answer: another one may come from another replica,
    which lags or is ahead.
    """
    parts = [_statements(properties, qids), *([_revisions(qids)] if with_revisions else [])]
    return _one_answer(_STATEMENT_COLUMNS, parts)


def entities(
    properties: Sequence[str], qids: Sequence[str], languages: Sequence[str], with_revisions: bool = True
) -> str:
    """`statements`, and in the same answer labels, aliases and descriptions in some languages (`?p`, `?v`) and the
    number of sitelinks.

    `mul` must be among the languages: Wikidata removes labels of single languages in its favour.
    """
    wanted = ", ".join(f'"{_check_language(language)}"' for language in languages)
    names = _union(("rdfs:label", "skos:altLabel", "schema:description"))
    parts = [
        _statements(properties, qids),
        f"  VALUES ?item {{ {_items(qids)} }}\n  {names}\n  FILTER(LANG(?v) IN ({wanted}))",
        _of_item_or_document(qids, "wikibase:sitelinks"),
        *([_revisions(qids)] if with_revisions else []),
    ]
    return _one_answer(_STATEMENT_COLUMNS, parts)


def revisions(qids: Sequence[str]) -> str:
    """Revision of each item and when it was edited (`?p`, `?v`)."""
    return _one_answer("?item ?p ?v", [_revisions(qids)])


def _one_answer(columns: str, parts: Sequence[str]) -> str:
    body = "\n} UNION {\n".join(parts)
    return f"{PREFIXES}SELECT {columns} WHERE {{\n{{\n{body}\n}}\n}}"


def _statements(properties: Sequence[str], qids: Sequence[str]) -> str:
    # One branch a property: a second VALUES makes engines join it with the items first.
    claims = " UNION ".join(f"{{ ?item p:{pid} ?st . BIND(p:{pid} AS ?claim) }}" for pid in map(_check_pid, properties))
    return (
        f"  VALUES ?item {{ {_items(qids)} }}\n"
        f"  {claims}\n"
        f"  ?st ?p ?v .\n"
        f"  FILTER(?p != prov:wasDerivedFrom && ?v NOT IN (wikibase:Statement, wikibase:BestRank))\n"
        f"  OPTIONAL {{ ?v wikibase:timeValue ?time ; wikibase:timePrecision ?precision ;"
        f" wikibase:timeCalendarModel ?calendar }}\n"
        f"  OPTIONAL {{ ?v wikibase:quantityAmount ?amount ; wikibase:quantityUnit ?unit }}"
    )


def _revisions(qids: Sequence[str]) -> str:
    return _of_item_or_document(qids, "schema:version", "schema:dateModified")


def _of_item_or_document(qids: Sequence[str], *predicates: str) -> str:
    """The query services keep these on the item, the RDF dumps on its document."""
    documents = " ".join(f"data:{qid}" for qid in qids)
    return f"  VALUES ?item {{ {_items(qids)} {documents} }}\n  {_union(predicates)}"


def _union(predicates: Sequence[str]) -> str:
    return " UNION ".join(f"{{ ?item {name} ?v . BIND({name} AS ?p) }}" for name in predicates)


def redirects(qids: Sequence[str]) -> str:
    """What an item was merged into (`?v`)."""
    return f"{PREFIXES}SELECT ?item ?v WHERE {{\n  VALUES ?item {{ {_items(qids)} }}\n  ?item owl:sameAs ?v .\n}}"


def freshness() -> str:
    """Up to when the endpoint knows Wikidata (`?v`), as the query service (`?p` = schema:dateModified) or QLever
    (`?p` = wikibase:updatesCompleteUntil) tell it."""
    return (
        f"{PREFIXES}SELECT ?p ?v WHERE {{\n"
        f"  {{ <http://www.wikidata.org> schema:dateModified ?v . BIND(schema:dateModified AS ?p) }} UNION\n"
        f"  {{ wikibase:Dump wikibase:updatesCompleteUntil ?v . BIND(wikibase:updatesCompleteUntil AS ?p) }}\n}}"
    )


def _items(qids: Sequence[str]) -> str:
    for qid in qids:
        if not is_qid(qid):
            raise ValueError(f"{qid!r} is not a QID")
    return " ".join(f"wd:{qid}" for qid in qids)


def _check_pid(pid: str) -> str:
    if not is_pid(pid):
        raise ValueError(f"{pid!r} is not a PID")
    return pid


def _check_language(code: str) -> str:
    if not code.replace("-", "").isalnum() or not code.isascii():
        raise ValueError(f"{code!r} is not a language code")
    return code


def _check_digits(digits: str) -> str:
    if not set(digits) <= set("0123456789abcdef"):
        raise ValueError(f"{digits!r} is not hexadecimal")
    return digits
