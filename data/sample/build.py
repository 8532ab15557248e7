"""Build the sample from the curated tables: `python data/sample/build.py` rewrites `sample.nt.gz` and its sums.

Each row of `curated/*/tenures.tsv` becomes the statements that Wikidata keeps for such a term: of the country
or organisation (P6, P35, P1037 …), of the person (P39) and of the office (P1308). The triples have the form
of Wikidata's RDF export. Statement ids are made from the content, since these rows are not Wikidata's own.
Names are English; `names.CODE.tsv` gives those of another language, or of all languages (`mul`).
Any fault in a table ends the run with its file and line.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
AS_OF = "2025-06-30"

ENTITY = "http://www.wikidata.org/entity/"
PROP = "http://www.wikidata.org/prop/"
WIKIBASE = "http://wikiba.se/ontology#"
XSD = "http://www.w3.org/2001/XMLSchema#"
RDF_TYPE = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
GREGORIAN = f"<{ENTITY}Q1985727>"
NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")  # any fixed one

# What the column `type` says, as the class that `P31` names.
CLASSES = {
    "person": "Q5",
    "country": "Q3624078",
    "office": "Q4164871",
    "city": "Q515",
    "region": "Q82794",
    "party": "Q7278",
    "currency": "Q8142",
    "continent": "Q5107",
    "organization": "Q43229",
    "central_bank": "Q66344",
    "ministry": "Q192350",
    "company": "Q4830453",
    "team": "Q12973014",
    "football_club": "Q476028",
    "national_football_team": "Q6979593",
    "basketball_team": "Q13393265",
    "american_football_team": "Q17156793",
    "league": "Q15991303",
    "university": "Q3918",
    "language": "Q34770",
    "software": "Q7397",
    "form_of_government": "Q1307214",
}
OF_THE_BODY = {"P6", "P35", "P1037", "P488", "P3975", "P169", "P286"}
# What the column `start` stands for where it is no start: a count's point in time, a version's publication.
START_IS = {"P1082": "P585", "P348": "P577"}
PLAIN = {"P348"}  # a text without a language
DAY_FORM = re.compile(r"-?\d{4}(-\d\d(-\d\d)?)?")
SOMEVALUE, NOVALUE = "unknown", "none"


class Fault(Exception):
    """A row that cannot be used: file, line and what is wrong."""


@dataclass(frozen=True)
class Statement:
    """subject, property, value ("Q…", a quoted text, a number, a day) and its qualifiers (PID, value)."""

    subject: str
    property: str
    value: str
    rank: str = "normal"
    qualifiers: tuple[tuple[str, str], ...] = ()

    @property
    def iri(self) -> str:
        digest = uuid.uuid5(
            NAMESPACE, "\t".join((self.subject, self.property, self.value, self.rank, *map(str, self.qualifiers)))
        )
        return f"<{ENTITY}statement/{self.subject}-{str(digest).upper()}>"


@dataclass
class Entity:
    """One row of entities.tsv, merged over all tables."""

    qid: str
    label: str
    aliases: set[str] = field(default_factory=set)
    type: str = ""
    description: str = ""
    began: str = ""
    ended: str = ""
    confirmed_by: str = ""
    translated: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    """(label, aliases) by language, besides English."""


def read_rows(name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(file:line, row) of all tables of one name."""
    for path in sorted((FOLDER / "curated").glob(f"*/{name}.tsv")):
        yield from read_table(path, f"{path.parent.name}/{path.name}")


def read_table(path: Path, told: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(told:line, row) of one table."""
    with path.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE), start=2):
            where = f"{told}:{number}"
            if None in row or None in row.values():
                raise Fault(f"{where}: the row has not as many columns as the header")
            yield where, {key: value.strip() for key, value in row.items()}


def read_entities() -> dict[str, Entity]:
    """All entities; of several rows for one id the first gives what it has, later ones add."""
    entities: dict[str, Entity] = {}
    for where, row in read_rows("entities"):
        qid = row["qid"]
        if not re.fullmatch(r"Q[1-9]\d*", qid):
            raise Fault(f"{where}: {qid!r} is not a QID")
        if row["type"] not in CLASSES:
            raise Fault(f"{where}: type {row['type']!r} is not one of {sorted(CLASSES)}")
        if not row["label"] or not row["confirmed_by"]:
            raise Fault(f"{where}: {qid} has no label or no confirmation")
        for column in ("born", "died"):
            if row[column] and not DAY_FORM.fullmatch(row[column]):
                raise Fault(f"{where}: {column} {row[column]!r} is not a day, a month or a year")
        entity = entities.setdefault(qid, Entity(qid, row["label"]))
        if entity.label != row["label"]:
            print(
                f"{where}: {qid} is {entity.label!r} elsewhere, {row['label']!r} here; kept as another name",
                file=sys.stderr,
            )
        entity.aliases |= {alias.strip() for alias in [row["label"], *row["aliases"].split("|")] if alias.strip()}
        entity.type = entity.type or row["type"]
        entity.description = entity.description or row["description"]
        entity.began = max(entity.began, row["born"], key=len)
        entity.ended = max(entity.ended, row["died"], key=len)
        entity.confirmed_by = entity.confirmed_by or row["confirmed_by"]
    read_translations(entities)
    return entities


def read_translations(entities: dict[str, Entity]) -> None:
    """Add the names of every `names.CODE.tsv` to their entities."""
    for path in sorted(FOLDER.glob("names.*.tsv")):
        code = path.name.split(".")[1]
        for where, row in read_table(path, path.name):
            if row["qid"] not in entities:
                raise Fault(f"{where}: {row['qid']} has no row in entities.tsv")
            entity = entities[row["qid"]]
            if not row["label"] or code in entity.translated:
                raise Fault(f"{where}: {entity.qid} has no label here, or two rows")
            entity.translated[code] = (row["label"], [alias for alias in row["aliases"].split("|") if alias])


def dates(where: str, start: str, end: str) -> tuple[tuple[str, str], ...]:
    for text in (start, end):
        if text not in ("", SOMEVALUE, NOVALUE) and not DAY_FORM.fullmatch(text):
            raise Fault(f"{where}: {text!r} is not a day, a month or a year")
    if start and end and start[:1].isdigit() and end[:1].isdigit() and start[: len(end)] > end[: len(start)]:
        raise Fault(f"{where}: ends ({end}) before it starts ({start})")
    return tuple((pid, text) for pid, text in (("P580", start), ("P582", end)) if text)


def of_tenures() -> Iterator[tuple[str, Statement]]:
    for where, row in read_rows("tenures"):
        rank = row["rank"] or "normal"
        qualifiers = dates(where, row["start"], row["end"])
        if re.split("[;,]", row["note"])[0].strip() == "acting":  # the whole term, not "acting until …"
            qualifiers = (*qualifiers, ("P5102", "Q4676846"))
        person, office, body, pid = row["person"], row["office"], row["body"], row["property"]
        if pid in OF_THE_BODY:
            yield where, Statement(body, pid, person, rank, qualifiers)
        elif pid != "P39":
            raise Fault(f"{where}: property {pid!r} is not P39 or one of {sorted(OF_THE_BODY)}")
        if office:
            yield where, Statement(person, "P39", office, rank, qualifiers)
            if rank != "deprecated":
                yield where, Statement(office, "P1308", person, rank, qualifiers)


def of_facts() -> Iterator[tuple[str, Statement]]:
    for where, row in read_rows("facts"):
        qualifiers = dates(where, row["start"], row["end"])
        value = row["object"]
        start_is = START_IS.get(row["property"], "P580")
        qualifiers = tuple((start_is if pid == "P580" else pid, day) for pid, day in qualifiers)
        if row["property"] == "P1082":
            value = f"+{value.lstrip('+')}"
        yield where, Statement(row["subject"], row["property"], value, row["rank"] or "normal", qualifiers)


def of_entities(entities: dict[str, Entity]) -> Iterator[Statement]:
    for entity in entities.values():
        yield Statement(entity.qid, "P31", CLASSES[entity.type])
        began, ended = ("P569", "P570") if entity.type == "person" else ("P571", "P576")
        if entity.began:
            yield Statement(entity.qid, began, entity.began)
        if entity.ended:
            yield Statement(entity.qid, ended, entity.ended)


def checked(told: Iterator[tuple[str, Statement]], entities: dict[str, Entity]) -> Iterator[Statement]:
    """Statements whose ids are all known; anything else is a fault of the tables."""
    seen: set[Statement] = set()
    for where, statement in told:
        for qid in (statement.subject, statement.value):
            if re.fullmatch(r"Q\d+", qid) and qid not in entities:
                raise Fault(f"{where}: {qid} has no row in entities.tsv")
        if not re.fullmatch(r"P[1-9]\d*", statement.property):
            raise Fault(f"{where}: {statement.property!r} is not a property")
        if statement.rank not in ("normal", "preferred", "deprecated"):
            raise Fault(f"{where}: rank {statement.rank!r}")
        if statement not in seen:
            seen.add(statement)
            yield statement


def triples(statements: list[Statement], entities: dict[str, Entity]) -> Iterator[str]:
    yield from (line for entity in entities.values() for line in names(entity))
    best: dict[tuple[str, str], str] = {}
    for statement in statements:
        if statement.rank != "deprecated":
            key = (statement.subject, statement.property)
            best[key] = "preferred" if "preferred" in (statement.rank, best.get(key)) else "normal"
    for statement in statements:
        yield from statement_triples(statement, best.get((statement.subject, statement.property)) == statement.rank)


def names(entity: Entity) -> Iterator[str]:
    subject = f"<{ENTITY}{entity.qid}>"
    english = (entity.label, sorted(entity.aliases - {entity.label}))
    for code, (label, aliases) in {"en": english, **entity.translated}.items():
        yield f'{subject} <http://www.w3.org/2000/01/rdf-schema#label> "{escaped(label)}"@{code} .'
        for alias in aliases:
            yield f'{subject} <http://www.w3.org/2004/02/skos/core#altLabel> "{escaped(alias)}"@{code} .'
    if entity.description:
        yield f'{subject} <http://schema.org/description> "{escaped(entity.description)}"@en .'


def statement_triples(statement: Statement, is_best: bool) -> Iterator[str]:
    node = statement.iri
    yield f"<{ENTITY}{statement.subject}> <{PROP}{statement.property}> {node} ."
    yield f"{node} {RDF_TYPE} <{WIKIBASE}Statement> ."
    yield f"{node} <{WIKIBASE}rank> <{WIKIBASE}{statement.rank.capitalize()}Rank> ."
    if is_best:
        yield f"{node} {RDF_TYPE} <{WIKIBASE}BestRank> ."
    yield from value_triples(node, statement.property, statement.value, "statement")
    for pid, value in statement.qualifiers:
        yield from value_triples(node, pid, value, "qualifier")


def value_triples(node: str, pid: str, value: str, place: str) -> Iterator[str]:
    """The simple value, and for a time or a number its full value node."""
    predicate, full = f"<{PROP}{place}/{pid}>", f"<{PROP}{place}/value/{pid}>"
    if value == NOVALUE:
        yield f"{node} {RDF_TYPE} <{PROP}novalue/{pid}> ."
    elif value == SOMEVALUE:
        blank = hashlib.sha256(f"{node}{pid}".encode()).hexdigest()[:32]
        yield f"{node} {predicate} _:{blank} ."
    elif value.startswith("Q"):
        yield f"{node} {predicate} <{ENTITY}{value}> ."
    elif value.startswith('"'):
        language = "" if pid in PLAIN else "@en"
        yield f'{node} {predicate} "{escaped(value.strip(chr(34)))}"{language} .'
    elif value.startswith("+"):
        number = f'"{value}"^^<{XSD}decimal>'
        yield f"{node} {predicate} {number} ."
        target = value_node(number)
        yield f"{node} {full} {target} ."
        yield f"{target} {RDF_TYPE} <{WIKIBASE}QuantityValue> ."
        yield f"{target} <{WIKIBASE}quantityAmount> {number} ."
        yield f"{target} <{WIKIBASE}quantityUnit> <{ENTITY}Q199> ."
    else:
        precision = 9 + value.count("-", 1)
        time = f'"{(value + "-01-01")[:10]}T00:00:00Z"^^<{XSD}dateTime>'
        yield f"{node} {predicate} {time} ."
        target = value_node(f"{time}{precision}")
        yield f"{node} {full} {target} ."
        yield f"{target} {RDF_TYPE} <{WIKIBASE}TimeValue> ."
        yield f"{target} <{WIKIBASE}timeValue> {time} ."
        yield f'{target} <{WIKIBASE}timePrecision> "{precision}"^^<{XSD}integer> .'
        yield f'{target} <{WIKIBASE}timeTimezone> "0"^^<{XSD}integer> .'
        yield f"{target} <{WIKIBASE}timeCalendarModel> {GREGORIAN} ."


def value_node(content: str) -> str:
    return f"<http://www.wikidata.org/value/{hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()}>"


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def main() -> None:
    try:
        entities = read_entities()
        told = list(checked((pair for part in (of_tenures(), of_facts()) for pair in part), entities))
    except Fault as fault:
        sys.exit(f"the curated tables have a fault: {fault}")
    used = {qid for s in told for qid in (s.subject, s.value) if qid.startswith("Q")}
    entities = {qid: entities[qid] for qid in sorted(used, key=lambda qid: int(qid[1:]))}
    statements = [*told, *of_entities(entities)]
    lines = sorted(set(triples(statements, entities)))
    packed = gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=9, mtime=0)
    (FOLDER / "sample.nt.gz").write_bytes(packed)
    (FOLDER / "SHA256SUMS").write_text(f"{hashlib.sha256(packed).hexdigest()}  sample.nt.gz\n", encoding="ascii")
    (FOLDER / "sample.json").write_text(json.dumps({"as_of": AS_OF}) + "\n", encoding="ascii")
    dated = sum(1 for s in told if any(pid in ("P577", "P580", "P582", "P585") for pid, _ in s.qualifiers))
    by_property: dict[str, int] = defaultdict(int)
    for s in told:
        by_property[s.property] += 1
    print(f"{len(entities)} entities, {len(told)} statements, {dated} of them dated, {len(lines)} triples")
    print(", ".join(f"{pid} {count}" for pid, count in sorted(by_property.items(), key=lambda pair: -pair[1])))


if __name__ == "__main__":
    main()
