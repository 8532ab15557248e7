"""Small worlds in Wikidata's RDF form, built by one readable builder.

rdf_world().item("Q1", "Finland", revision=7).says("Q1", "P6", "Q2", start="2019-06-06", end="2019-12-10").store()
"""

from __future__ import annotations

import itertools

import pyoxigraph
from pyoxigraph import BlankNode, Literal, NamedNode, Quad

WD, P = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/"
WIKIBASE, SCHEMA = "http://wikiba.se/ontology#", "http://schema.org/"
XSD = "http://www.w3.org/2001/XMLSchema#"
TYPE = NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
PRECISION = {4: 9, 7: 10, 10: 11}  # length of the date's text -> Wikidata's precision


class RdfWorld:
    def __init__(self, store: pyoxigraph.Store | None = None) -> None:
        self._store = pyoxigraph.Store() if store is None else store
        self._numbers = itertools.count(len(self._store))

    def item(
        self, qid: str, label: str | None = None, revision: int | None = None, types: tuple[str, ...] = ()
    ) -> RdfWorld:
        """An item, with its label, its revision and what it is an instance of; again to change them."""
        subject = NamedNode(WD + qid)
        if label is not None:
            self._set(subject, "http://www.w3.org/2000/01/rdf-schema#label", Literal(label, language="en"))
            self._set(subject, f"{WIKIBASE}sitelinks", Literal("3", datatype=NamedNode(f"{XSD}integer")))
        if revision is not None:
            self._set(subject, f"{SCHEMA}version", Literal(str(revision), datatype=NamedNode(f"{XSD}integer")))
        for kind in types:
            self.says(qid, "P31", kind)
        return self

    def says(
        self,
        subject: str,
        pid: str,
        value: str,
        start: str | None = None,
        end: str | None = None,
        at: str | None = None,
    ) -> RdfWorld:
        """A statement with an item as value. Dates: YYYY, YYYY-MM or YYYY-MM-DD; `?` is "some value"."""
        node = NamedNode(f"{WD}statement/{subject}-{next(self._numbers):08d}")
        self._add(NamedNode(WD + subject), P + pid, node)
        self._add(node, f"{WIKIBASE}rank", NamedNode(f"{WIKIBASE}NormalRank"))
        self._add(node, f"{P}statement/{pid}", NamedNode(WD + value))
        for qualifier, date in (("P580", start), ("P582", end), ("P585", at)):
            if date == "?":
                self._add(node, f"{P}qualifier/{qualifier}", BlankNode())
            elif date is not None:
                self._date(node, qualifier, date)
        return self

    def merged(self, old: str, new: str) -> RdfWorld:
        """old becomes a redirect: nothing of it is left but where it leads."""
        self.removed(old)
        self._add(NamedNode(WD + old), "http://www.w3.org/2002/07/owl#sameAs", NamedNode(WD + new))
        return self

    def removed(self, qid: str) -> RdfWorld:
        for quad in list(self._store.quads_for_pattern(NamedNode(WD + qid), None, None, None)):
            self._store.remove(quad)
        return self

    def complete_until(self, moment: str) -> RdfWorld:
        self._set(
            NamedNode("http://www.wikidata.org"),
            f"{SCHEMA}dateModified",
            Literal(moment, datatype=NamedNode(f"{XSD}dateTime")),
        )
        return self

    def store(self) -> pyoxigraph.Store:
        return self._store

    def _date(self, node: NamedNode, qualifier: str, date: str) -> None:

        full = date + "-01-01"[len(date) - 4 :] if len(date) < 10 else date
        value = Literal(f"{full}T00:00:00Z", datatype=NamedNode(f"{XSD}dateTime"))
        time = NamedNode(f"http://www.wikidata.org/value/{date}")
        self._add(node, f"{P}qualifier/{qualifier}", value)
        self._add(node, f"{P}qualifier/value/{qualifier}", time)
        self._add(time, f"{WIKIBASE}timeValue", value)
        precision = Literal(str(PRECISION[len(date)]), datatype=NamedNode(f"{XSD}integer"))
        self._add(time, f"{WIKIBASE}timePrecision", precision)
        self._add(time, f"{WIKIBASE}timeCalendarModel", NamedNode(f"{WD}Q1985727"))

    def _set(self, subject: NamedNode, predicate: str, value: Literal) -> None:
        for quad in list(self._store.quads_for_pattern(subject, NamedNode(predicate), None, None)):
            self._store.remove(quad)
        self._add(subject, predicate, value)

    def _add(self, subject: NamedNode, predicate: str, value: object) -> None:
        self._store.add(Quad(subject, NamedNode(predicate), value))


def rdf_world() -> RdfWorld:
    return RdfWorld()


def offices(people: int = 60) -> RdfWorld:
    """Ten offices (Q10 …) held in turn by people (Q100 …) for a year each, from 2000 on; some without dates."""
    world = rdf_world().complete_until("2026-11-20T08:00:00Z")
    for office in range(10):
        world.item(f"Q{10 + office}", f"Office {office}", revision=50 + office, types=("Q4164871",))
    for person in range(people):
        qid, year = f"Q{100 + person}", 2000 + person // 10
        world.item(qid, f"Person {person}", revision=1000 + person, types=("Q5",))
        dates = {} if person % 7 == 6 else {"start": f"{year}-03-0{1 + person % 9}", "end": f"{year + 1}"}
        world.says(qid, "P39", f"Q{10 + person % 10}", **dates)
    return world.item("Q5", "human", revision=5).item("Q4164871", "position", revision=6)
