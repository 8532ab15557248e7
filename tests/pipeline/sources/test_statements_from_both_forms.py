"""One statement reads the same from Wikidata's JSON and from its RDF, over a real SPARQL engine."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyoxigraph
import pytest

from chronofacts.pipeline.sources import Freshness, QueryTooBig
from chronofacts.pipeline.sources.sample import engine, load_triples
from chronofacts.pipeline.sources.sparql import queries
from chronofacts.pipeline.sources.sparql.results import RdfTerm
from chronofacts.pipeline.sources.sparql.source import SparqlSource, ask_in_halves
from chronofacts.pipeline.sources.statements import Origin, StatementRows, read_json_statement

NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
EXTRACTS = Path(__file__).resolve().parents[4] / "shared" / "wikidata"

PREFIXES = """
@prefix wd: <http://www.wikidata.org/entity/> .
@prefix wds: <http://www.wikidata.org/entity/statement/> .
@prefix wdv: <http://www.wikidata.org/value/> .
@prefix wdno: <http://www.wikidata.org/prop/novalue/> .
@prefix p: <http://www.wikidata.org/prop/> .
@prefix ps: <http://www.wikidata.org/prop/statement/> .
@prefix psv: <http://www.wikidata.org/prop/statement/value/> .
@prefix psn: <http://www.wikidata.org/prop/statement/value-normalized/> .
@prefix pq: <http://www.wikidata.org/prop/qualifier/> .
@prefix pqv: <http://www.wikidata.org/prop/qualifier/value/> .
@prefix prov: <http://www.w3.org/ns/prov#> .
@prefix wikibase: <http://wikiba.se/ontology#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix skos: <http://www.w3.org/2004/02/skos/core#> .
@prefix schema: <http://schema.org/> .
wdv:day wikibase:timeValue "2019-05-03T00:00:00Z"^^xsd:dateTime ; wikibase:timePrecision 11 ;
    wikibase:timeCalendarModel wd:Q1985727 .
wdv:year wikibase:timeValue "2019-01-01T00:00:00Z"^^xsd:dateTime ; wikibase:timePrecision 9 ;
    wikibase:timeCalendarModel wd:Q1985727 .
wdv:julian wikibase:timeValue "1917-11-07T00:00:00Z"^^xsd:dateTime ; wikibase:timePrecision 11 ;
    wikibase:timeCalendarModel wd:Q1985786 .
wdv:broken wikibase:timeValue "+0000-00-00T00:00:00Z" ; wikibase:timePrecision 9 ;
    wikibase:timeCalendarModel wd:Q1985727 .
wdv:people wikibase:quantityAmount "+8000000"^^xsd:decimal ; wikibase:quantityUnit wd:Q199 .
wdv:metres wikibase:quantityAmount "+12.50"^^xsd:decimal ; wikibase:quantityUnit wd:Q11573 .
"""


def day(time: str, precision: int = 11, calendar: str = "Q1985727") -> dict:
    value = {"time": time, "precision": precision, "calendarmodel": f"http://www.wikidata.org/entity/{calendar}"}
    return {"snaktype": "value", "datavalue": {"type": "time", "value": value}}


def item(qid: str) -> dict:
    return {
        "snaktype": "value",
        "datavalue": {"type": "wikibase-entityid", "value": {"entity-type": "item", "id": qid}},
    }


def number(amount: str, unit: str) -> dict:
    return {"snaktype": "value", "datavalue": {"type": "quantity", "value": {"amount": amount, "unit": unit}}}


def text(value: str, language: str | None = None) -> dict:
    datavalue = {"type": "monolingualtext", "value": {"text": value, "language": language}} if language else {
        "type": "string", "value": value}  # fmt: skip
    return {"snaktype": "value", "datavalue": datavalue}


SOME, NO = {"snaktype": "somevalue"}, {"snaktype": "novalue"}
# name -> (Turtle about the statement node, main snak, qualifiers, rank)
CASES = {
    "a term with both dates": (
        "ps:P6 wd:Q2 ; pq:P580 '2019-05-03T00:00:00Z'^^xsd:dateTime ; pqv:P580 wdv:day ; pqv:P582 wdv:year",
        item("Q2"), {"P580": [day("+2019-05-03T00:00:00Z")], "P582": [day("+2019-00-00T00:00:00Z", 9)]}, "Normal",
    ),
    "an explicit no value as end": (
        "ps:P6 wd:Q2 ; a wdno:P582", item("Q2"), {"P582": [NO]}, "Preferred",
    ),
    "some value as end, as a blank node": (
        "ps:P6 wd:Q2 ; pq:P582 [] ; pqv:P580 wdv:day", item("Q2"),
        {"P582": [SOME], "P580": [day("+2019-05-03T00:00:00Z")]}, "Normal",
    ),
    "some value as holder, as the query service spells it": (
        "ps:P6 <http://www.wikidata.org/.well-known/genid/0a1b2c>", SOME, {}, "Normal",
    ),
    "no value as holder": ("a wdno:P6", NO, {}, "Normal"),
    "two starts that can both be true": (
        "ps:P6 wd:Q2 ; pqv:P580 wdv:day , wdv:year", item("Q2"),
        {"P580": [day("+2019-00-00T00:00:00Z", 9), day("+2019-05-03T00:00:00Z")]}, "Normal",
    ),
    "a Julian day": (
        "ps:P6 wd:Q2 ; pqv:P580 wdv:julian", item("Q2"),
        {"P580": [day("+1917-10-25T00:00:00Z", 11, "Q1985786")]}, "Normal",
    ),
    "a date that cannot be": (
        "ps:P6 wd:Q2 ; pqv:P580 wdv:broken", item("Q2"), {"P580": [day("+0000-00-00T00:00:00Z", 9)]}, "Deprecated",
    ),
    "succession and other qualifiers": (
        "ps:P6 wd:Q2 ; pq:P1365 wd:Q3 ; pq:P1366 wd:Q4 ; pq:P5102 wd:Q9 ; pq:P1810 'as written' ; "
        "prov:wasDerivedFrom <http://www.wikidata.org/reference/1>",
        item("Q2"),
        {"P1365": [item("Q3")], "P1366": [item("Q4")], "P5102": [item("Q9")], "P1810": [text("as written")]},
        "Normal",
    ),
    "a population": (
        "ps:P6 '+8000000'^^xsd:decimal ; psv:P6 wdv:people ; psn:P6 wdv:people",
        number("+8000000", "1"), {}, "Normal",
    ),
    "a length with its unit": (
        "ps:P6 '+12.50'^^xsd:decimal ; psv:P6 wdv:metres",
        number("+12.50", "http://www.wikidata.org/entity/Q11573"), {}, "Normal",
    ),
    "a text with its language": ("ps:P6 'Suomi'@fi", text("Suomi", "fi"), {}, "Normal"),
    "a file": (
        "ps:P6 <http://commons.wikimedia.org/wiki/Special:FilePath/Flag%20of%20X.svg>",
        text("Flag of X.svg"), {}, "Normal",
    ),
}  # fmt: skip


def from_rdf(turtle: str, properties: list[str]) -> pa.Table:
    store = pyoxigraph.Store()
    store.load((PREFIXES + turtle).encode(), format=pyoxigraph.RdfFormat.TURTLE)
    return pa.concat_tables(source(store).statements(properties))


def source(store: pyoxigraph.Store) -> SparqlSource:
    return SparqlSource("test", engine(store), lambda: Freshness(NOW.date(), NOW, "test"))


@pytest.mark.parametrize("name", CASES)
def test_both_forms_of_a_statement_give_one_row(name: str) -> None:
    turtle, main, qualifiers, rank = CASES[name]
    node = "wds:q1-0A1B-2C"
    rdf = from_rdf(
        f"wd:Q1 p:P6 {node} . {node} a wikibase:Statement ; wikibase:rank wikibase:{rank}Rank ; {turtle} .", ["P6"]
    )
    rows = StatementRows(Origin("test", NOW))
    statement = {"id": "q1$0A1B-2C", "rank": rank.lower(), "mainsnak": main, "qualifiers": qualifiers}
    read_json_statement(rows, "Q1", "P6", statement, None)
    assert rdf.to_pylist() == rows.table().to_pylist()


def test_labels_are_taken_in_the_language_then_mul_then_english() -> None:
    store = pyoxigraph.Store()
    store.load(
        (PREFIXES + """
        wd:Q1 rdfs:label "Finland"@en, "Suomi"@fi ; skos:altLabel "Republic of Finland"@en .
        wd:Q2 rdfs:label "Ann"@mul, "Anna"@fi .
        wd:Q3 rdfs:label "Q3"@en .
        wd:Q4 rdfs:label "Vier"@de .
        wd:Q1 wikibase:sitelinks 300 .
        <https://www.wikidata.org/wiki/Special:EntityData/Q2> wikibase:sitelinks 7 .
        """).encode(),
        format=pyoxigraph.RdfFormat.TURTLE,
    )  # fmt: skip
    (batch,) = source(store).entities(["Q1", "Q2", "Q3", "Q4", "Q5"], "en")
    assert [
        (r["qid"], r["label"], r["label_language"], r["aliases"], r["sitelinks"]) for r in batch.labels.to_pylist()
    ] == [
        ("Q1", "Finland", "en", ["Republic of Finland"], 300),
        ("Q2", "Ann", "mul", [], 7),
    ]
    (batch,) = source(store).entities(["Q1", "Q2"], "fi")
    assert [row["label"] for row in batch.labels.to_pylist()] == ["Suomi", "Anna"]


def test_an_id_that_is_none_never_enters_a_query() -> None:
    for build in (
        queries.discover,
        lambda text: queries.statements([text], ["Q1"]),
        lambda text: queries.entities([text], ["Q1"], ["en"]),
    ):
        with pytest.raises(ValueError, match="is not a"):
            build("P6 } DROP ALL {")
    with pytest.raises(ValueError, match="language"):
        queries.entities(["P31"], ["Q1"], ['en") } #'])


def test_a_batch_that_is_too_big_is_halved_until_it_is_not() -> None:
    asked: list[int] = []

    def ask(query: str) -> list[dict[str, RdfTerm]]:
        ids = query.split()
        asked.append(len(ids))
        if len(ids) > 3:
            raise QueryTooBig("too slow")
        return [{"item": RdfTerm("uri", qid)} for qid in ids]

    ids = [f"Q{number}" for number in range(1, 11)]
    assert [row["item"].value for row in ask_in_halves(ask, " ".join, ids)] == ids
    assert asked == [10, 5, 2, 3, 5, 2, 3]


@pytest.mark.skipif(not EXTRACTS.is_dir(), reason="the extracts of Wikidata do not lie beside the project")
def test_thousands_of_real_statements_read_the_same_from_both_forms() -> None:
    properties = ["P39", "P6", "P1308", "P26"]
    rdf = pa.concat_tables(source(load_triples([EXTRACTS / "offices-2022.nt.gz"])).statements(properties))
    rows = StatementRows(Origin("test", NOW))
    with gzip.open(EXTRACTS / "offices-2022.json.gz") as lines:
        for line in lines:
            if len(line) > 3:
                entity = json.loads(line.strip().rstrip(b","))
                for pid in properties:
                    for statement in entity["claims"].get(pid, []):
                        read_json_statement(rows, entity["id"], pid, statement, None)
    order = [("statement_id", "ascending")]
    assert rdf.num_rows > 5000
    assert rdf.drop_columns(["revision", "modified_at"]).sort_by(order) == rows.table().drop_columns(
        ["revision", "modified_at"]
    ).sort_by(order)
