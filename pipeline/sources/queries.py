"""The SPARQL text that every endpoint gets: one portable text for WDQS, QLever and the embedded engine.

Standard SPARQL 1.1 with every prefix declared; no label service, hints, ORDER BY or paging, since these
fail or answer differently from engine to engine. Ranks, label fallback, sorting and "some value" are
worked out from the answer (`pipeline.sources.answers`).
Every id is checked before it enters a text.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.sources import Window
from pipeline.wikidata import is_pid, is_qid

__all__ = ["discover", "labels", "revisions", "sitelinks", "statements"]

PREFIXES = """\
PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
PREFIX skos: <http://www.w3.org/2004/02/skos/core#>
PREFIX schema: <http://schema.org/>
PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX wikibase: <http://wikiba.se/ontology#>
PREFIX wd: <http://www.wikidata.org/entity/>
PREFIX data: <https://www.wikidata.org/wiki/Special:EntityData/>
PREFIX p: <http://www.wikidata.org/prop/>
PREFIX pq: <http://www.wikidata.org/prop/qualifier/>
"""


def discover(property_: str, window: Window | None = None) -> str:
    """Subjects (`?item`) with a statement of the property, or with one that starts or ends in the window."""
    pid = _checked_pid(property_)
    if window is None:
        return f"{PREFIXES}SELECT DISTINCT ?item WHERE {{ ?item p:{pid} ?st }}"
    # Full literals with time and zone: other spellings compare as false on some engines, without an error.
    first, last = (f'"{day.isoformat()}T00:00:00Z"^^xsd:dateTime' for day in (window.first, window.last))
    return (
        f"{PREFIXES}SELECT DISTINCT ?item WHERE {{\n"
        f"  {{ ?st pq:P580 ?day }} UNION {{ ?st pq:P582 ?day }}\n"
        f"  FILTER(?day >= {first} && ?day < {last})\n"
        f"  ?item p:{pid} ?st .\n}}"
    )


def statements(properties: Sequence[str], qids: Sequence[str]) -> str:
    """Everything about the statements of some properties of some items, but their references.

    One row per (`?st`, `?p`, `?v`), with what a value node says of its time or quantity.
    """
    # One branch a property: a second VALUES makes engines join it with the items first.
    claims = " UNION ".join(
        f"{{ ?item p:{pid} ?st . BIND(p:{pid} AS ?claim) }}" for pid in map(_checked_pid, properties)
    )
    return (
        f"{PREFIXES}SELECT ?item ?claim ?st ?p ?v ?time ?precision ?calendar ?amount ?unit WHERE {{\n"
        f"  VALUES ?item {{ {_items(qids)} }}\n"
        f"  {claims}\n"
        f"  ?st ?p ?v .\n"
        f"  FILTER(?p != prov:wasDerivedFrom)\n"
        f"  OPTIONAL {{ ?v wikibase:timeValue ?time ; wikibase:timePrecision ?precision ;"
        f" wikibase:timeCalendarModel ?calendar }}\n"
        f"  OPTIONAL {{ ?v wikibase:quantityAmount ?amount ; wikibase:quantityUnit ?unit }}\n}}"
    )


def labels(qids: Sequence[str], languages: Sequence[str]) -> str:
    """Labels, aliases and descriptions (`?p`, `?v`) in some languages. `mul` must be among them: Wikidata
    removes labels of single languages in its favour."""
    wanted = ", ".join(f'"{_checked_language(language)}"' for language in languages)
    names = " UNION ".join(
        f"{{ ?item {name} ?v . BIND({name} AS ?p) }}" for name in ("rdfs:label", "skos:altLabel", "schema:description")
    )
    return (
        f"{PREFIXES}SELECT ?item ?p ?v WHERE {{\n"
        f"  VALUES ?item {{ {_items(qids)} }}\n"
        f"  {names}\n"
        f"  FILTER(LANG(?v) IN ({wanted}))\n}}"
    )


def sitelinks(qids: Sequence[str]) -> str:
    """Number of sitelinks; the query services keep it on the item, the RDF dumps on its document."""
    return _of_item_or_document(qids, "wikibase:sitelinks")


def revisions(qids: Sequence[str]) -> str:
    """Revision of each item and when it was edited (`?p`, `?v`), kept in the same two places."""
    return _of_item_or_document(qids, "schema:version", "schema:dateModified")


def _of_item_or_document(qids: Sequence[str], *predicates: str) -> str:
    documents = " ".join(f"data:{qid}" for qid in qids)
    told = " UNION ".join(f"{{ ?item {name} ?v . BIND({name} AS ?p) }}" for name in predicates)
    return f"{PREFIXES}SELECT ?item ?p ?v WHERE {{\n  VALUES ?item {{ {_items(qids)} {documents} }}\n  {told}\n}}"


def _items(qids: Sequence[str]) -> str:
    for qid in qids:
        if not is_qid(qid):
            raise ValueError(f"{qid!r} is not a QID")
    return " ".join(f"wd:{qid}" for qid in qids)


def _checked_pid(pid: str) -> str:
    if not is_pid(pid):
        raise ValueError(f"{pid!r} is not a PID")
    return pid


def _checked_language(code: str) -> str:
    if not code.replace("-", "").isalnum() or not code.isascii():
        raise ValueError(f"{code!r} is not a language code")
    return code
