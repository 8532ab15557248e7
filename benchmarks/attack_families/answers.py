"""Whole answers of an endpoint that say something else than was asked: rows without variables, numbers, dates."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks.attack_families import Attack, expect_line
from chronofacts.pipeline.sources.sparql import results
from chronofacts.pipeline.sources.sparql.endpoint_source import read_freshness
from chronofacts.pipeline.sources.sparql.results import RdfTerm, Row
from chronofacts.pipeline.sources.statements import Origin

__all__ = ["attacks"]

ENTITY, PROP = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/"
NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
GOOD: Mapping[str, RdfTerm] = {
    "item": RdfTerm("uri", f"{ENTITY}Q1"),
    "claim": RdfTerm("uri", f"{PROP}P39"),
    "st": RdfTerm("uri", f"{ENTITY}statement/Q1-aaaa"),
    "p": RdfTerm("uri", f"{PROP}statement/value/P39"),
    "v": RdfTerm("uri", "http://www.wikidata.org/value/abc"),
    "time": RdfTerm("literal", "2020-01-01T00:00:00Z", "http://www.w3.org/2001/XMLSchema#dateTime"),
    "precision": RdfTerm("literal", "11"),
    "calendar": RdfTerm("uri", f"{ENTITY}Q1985727"),
    "amount": RdfTerm("literal", "+1"),
    "unit": RdfTerm("uri", f"{ENTITY}Q199"),
}
VALUES = (
    "", "9" * 5000, "9" * 15, "-1", "٣", "1e999", "NaN", "INF", "2020-13-45T99:99:99Z", "-99999999999-01-01T00:00:00Z",
    f"{ENTITY}Q{'9' * 5000}", "x" * 1_000_000, "\x00", "0000-00-00T00:00:00Z", "9999-12-31T23:59:59-14:00",
)  # fmt: skip
PREDICATES = (
    "http://schema.org/version", "http://schema.org/dateModified", "http://wikiba.se/ontology#sitelinks",
    "http://www.w3.org/2000/01/rdf-schema#label", f"{PROP}qualifier/value/P580", f"{PROP}qualifier/P580", "",
)  # fmt: skip


def attacks(folder: Path) -> Iterator[Attack]:
    for reader, read in READERS.items():
        for missing in GOOD:
            row = Row({name: term for name, term in GOOD.items() if name != missing})
            yield Attack(f"{reader}: without ?{missing}", partial(expect_line, partial(read, [row])))
        for name in ("v", "time", "precision", "calendar", "amount", "st", "item"):
            for value in VALUES:
                rows = [
                    Row({**GOOD, "p": RdfTerm("uri", predicate), name: GOOD[name]._replace(value=value)})
                    for predicate in (*PREDICATES, GOOD["p"].value)
                ]
                yield Attack(f"{reader}: ?{name} is {value[:30]!r}", partial(expect_line, partial(read, rows)))


def _statements(rows: list[Row]) -> object:
    found = results.sort_rows(rows)
    table = results.statement_table(found, Origin("attack", NOW))
    return table, results.label_table(["Q1"], found.names, results.read_counts(found.sitelinks), "en")


READERS: Mapping[str, Callable[[list[Row]], object]] = {
    "statements": _statements,
    "subjects": results.read_subjects,
    "revisions": results.read_revisions,
    "redirects": results.read_redirects,
    "freshness": lambda rows: read_freshness(rows, "http://attack", NOW),
}
