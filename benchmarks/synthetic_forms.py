"""A synthetic world in Wikidata's two forms: JSON entity lines, and N-Triples by the exporter's rules.

The two are written from the claims independently of each other and of the code that reads them.
Source of the rules: Wikibase docs/topics/json.md and repo/includes/Rdf (DateTimeValueCleaner,
JulianDateTimeValueCleaner, FullStatementRdfBuilder): a day-precise Julian date is converted in RDF and not in
JSON, coarser dates lose month and day, a year 0 is written as a plain string, "no value" is a class of the
statement, "some value" a blank node, and the `$` of an id becomes a hyphen.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator

from benchmarks.synthetic_world import JULIAN, Claim, Item, Special, Text, Time, Value, World, pages

__all__ = ["json_lines", "triples"]

WIKIDATA = "http://www.wikidata.org/"
WD, WDS, WDV, P, PS = (
    WIKIDATA + part for part in ("entity/", "entity/statement/", "value/", "prop/", "prop/statement/")
)
PQ, PQV, WDNO, WDT = (
    WIKIDATA + part for part in ("prop/qualifier/", "prop/qualifier/value/", "prop/novalue/", "prop/direct/")
)
DATA = "https://www.wikidata.org/wiki/Special:EntityData/"
WIKIBASE, XSD = "http://wikiba.se/ontology#", "http://www.w3.org/2001/XMLSchema#"
RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_MODIFIED = "2024-11-05T12:00:00Z"


def julian(day: int) -> tuple[int, int, int]:
    """(year, month, day) in the Julian calendar of a day number, by the algorithm of Richards (2013)."""
    f = day + 2_440_588 + 1401
    e = 4 * f + 3
    g = e % 1461 // 4
    h = 5 * g + 2
    month = (h // 153 + 2) % 12 + 1
    return e // 1461 - 4716 + (12 + 2 - month) // 12, month, h % 153 // 5 + 1


def on_paper(time: Time) -> tuple[int, int, int]:
    """(year, month, day) in the time's own calendar; an unknown calendar counts as Gregorian."""
    if time.calendar == JULIAN:
        return julian(time.day)
    date = datetime.date.fromordinal(time.day + _EPOCH)
    return date.year, date.month, date.day


def json_lines(world: World) -> Iterator[str]:
    """Each entity as one line of Wikidata's JSON dump, without the brackets around them."""
    for qid, claims in pages(world):
        label = world.labels[qid]
        language = "mul" if int(qid[1:]) % 3 == 0 else "en"
        by_property: dict[str, list[dict]] = {}
        for claim in claims:
            by_property.setdefault(claim.property, []).append(json_statement(claim))
        entity = {
            "id": qid,
            "type": "item",
            "labels": {language: {"language": language, "value": label}} if label else [],
            "descriptions": [],
            "aliases": [],
            "claims": by_property or [],
            "lastrevid": int(qid[1:]),
            "modified": _MODIFIED,
        }
        yield json.dumps(entity, ensure_ascii=False)


def json_statement(claim: Claim) -> dict:
    return {
        "id": claim.statement_id,
        "type": "statement",
        "rank": claim.rank,
        "mainsnak": json_snak(claim.property, claim.value),
        "qualifiers": {pid: [json_snak(pid, v) for v in values] for pid, values in claim.qualifiers.items()} or [],
        "references": [],
    }


def json_snak(pid: str, value: Value) -> dict:
    if isinstance(value, Special):
        return {"snaktype": value.snaktype, "property": pid}
    if isinstance(value, Item):
        datavalue = {"type": "wikibase-entityid", "value": {"entity-type": "item", "id": value.qid}}
    elif isinstance(value, Text):
        datavalue = {"type": "string", "value": value.text}
    else:
        fields = {"time": json_time(value), "timezone": 0, "before": 0, "after": 0, "precision": value.precision}
        datavalue = {"type": "time", "value": {**fields, "calendarmodel": WD + value.calendar}}
    return {"snaktype": "value", "property": pid, "datavalue": datavalue}


def json_time(time: Time) -> str:
    if time.raw is not None:
        return time.raw
    year, month, day = on_paper(time)
    if time.precision < 11:
        day = 0
    if time.precision < 10 and year % 2:  # both spellings of a year occur
        month = 0
    return f"+{year:04d}-{month:02d}-{day:02d}T00:00:00Z"


def triples(world: World) -> Iterator[str]:
    """Each entity's N-Triples, line by line."""
    for qid, claims in pages(world):
        label = world.labels[qid]
        if label:
            language = "mul" if int(qid[1:]) % 3 == 0 else "en"
            yield f'<{WD}{qid}> <http://www.w3.org/2000/01/rdf-schema#label> "{label}"@{language} .'
        yield f'<{DATA}{qid}> <http://schema.org/version> "{qid[1:]}"^^<{XSD}integer> .'
        yield f'<{DATA}{qid}> <http://schema.org/dateModified> "{_MODIFIED}"^^<{XSD}dateTime> .'
        for pid in sorted({claim.property for claim in claims}):
            group = [claim for claim in claims if claim.property == pid]
            best = "preferred" if any(claim.rank == "preferred" for claim in group) else "normal"
            for claim in group:
                yield from statement_triples(claim, best=claim.rank == best)


def statement_triples(claim: Claim, best: bool) -> Iterator[str]:
    node = f"<{WDS}{claim.statement_id.replace('$', '-')}>"
    yield f"<{WD}{claim.subject}> <{P}{claim.property}> {node} ."
    yield f"{node} <{RDF_TYPE}> <{WIKIBASE}Statement> ."
    yield f"{node} <{WIKIBASE}rank> <{WIKIBASE}{claim.rank.capitalize()}Rank> ."
    if best:
        yield f"{node} <{RDF_TYPE}> <{WIKIBASE}BestRank> ."
        if not isinstance(claim.value, Special):
            yield f"<{WD}{claim.subject}> <{WDT}{claim.property}> {term(claim.value, node)} ."
    yield from value_triples(node, claim.property, claim.value, PS, PS + "value/")
    for pid, values in claim.qualifiers.items():
        for value in values:
            yield from value_triples(node, pid, value, PQ, PQV)


def value_triples(node: str, pid: str, value: Value, simple: str, full: str) -> Iterator[str]:
    if isinstance(value, Special) and value.snaktype == "novalue":
        yield f"{node} <{RDF_TYPE}> <{WDNO}{pid}> ."
        return
    yield f"{node} <{simple}{pid}> {term(value, node + pid)} ."
    if isinstance(value, Time):
        written = term(value, node)
        name = hashlib.sha256(f"{written} {value.precision} {value.calendar}".encode()).hexdigest()[:32]
        yield f"{node} <{full}{pid}> <{WDV}{name}> ."
        yield f"<{WDV}{name}> <{RDF_TYPE}> <{WIKIBASE}TimeValue> ."
        yield f"<{WDV}{name}> <{WIKIBASE}timeValue> {written} ."
        yield f'<{WDV}{name}> <{WIKIBASE}timePrecision> "{value.precision}"^^<{XSD}integer> .'
        yield f'<{WDV}{name}> <{WIKIBASE}timeTimezone> "0"^^<{XSD}integer> .'
        yield f"<{WDV}{name}> <{WIKIBASE}timeCalendarModel> <{WD}{value.calendar}> ."


def term(value: Value, owner: str) -> str:
    """The simple value; `owner` names the blank node of "some value"."""
    if isinstance(value, Item):
        return f"<{WD}{value.qid}>"
    if isinstance(value, Text):
        return json.dumps(value.text)
    if isinstance(value, Special):
        return f"_:b{hashlib.sha256(owner.encode()).hexdigest()[:32]}"
    return rdf_time(value)


def rdf_time(time: Time) -> str:
    if time.raw is not None:
        year, date = time.raw.lstrip("+").split("-", 1)
        if int(year) == 0:
            return f'"{time.raw}"'  # cannot be cleaned, so that it is no dateTime
        return f'"{year}-{date.replace("00-00T", "01-01T")}"^^<{XSD}dateTime>'
    gregorian = Time(time.day) if time.precision == 11 else time  # day-precise dates are converted
    year, month, day = on_paper(gregorian)
    if time.precision < 11:
        day = 1
    if time.precision < 10:
        month = 1
    return f'"{year:04d}-{month:02d}-{day:02d}T00:00:00Z"^^<{XSD}dateTime>'
