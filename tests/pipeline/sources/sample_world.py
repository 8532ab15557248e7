"""The sample as a live endpoint would have told it on some day: with revisions, and ignorant of what came later."""

from __future__ import annotations

import datetime
from collections import Counter

import pyoxigraph
from pyoxigraph import Literal, NamedNode, Quad

from chronofacts.pipeline.sources.sample import SAMPLE_DIR, load_triples

WD, P, SCHEMA = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/", "http://schema.org/"
XSD = "http://www.w3.org/2001/XMLSchema#"


def sample_as_of(day: datetime.date) -> pyoxigraph.Store:
    """The shipped sample without the statements that start, and the ends that come, after a day.

    An item's revision counts what is said of it, so that a later day has a higher one exactly where it says more.
    """
    store = load_triples(sorted(SAMPLE_DIR.glob("*.nt.gz")))
    _forget_later(store, day)
    said = Counter(
        node.subject.value.removeprefix(f"{WD}statement/").partition("-")[0]
        for node in store.quads_for_pattern(None, None, None, None)
        if isinstance(node.subject, NamedNode) and node.subject.value.startswith(f"{WD}statement/")
    )
    version = NamedNode(f"{SCHEMA}version")
    items = {
        quad.subject
        for quad in store.quads_for_pattern(None, NamedNode("http://www.w3.org/2000/01/rdf-schema#label"), None, None)
        if isinstance(quad.subject, NamedNode)
    }
    for item in items:
        number = str(1 + said[item.value.removeprefix(WD)])
        store.add(Quad(item, version, Literal(number, datatype=NamedNode(f"{XSD}integer"))))
    moment = Literal(f"{day + datetime.timedelta(days=5)}T00:00:00Z", datatype=NamedNode(f"{XSD}dateTime"))
    store.add(Quad(NamedNode("http://www.wikidata.org"), NamedNode(f"{SCHEMA}dateModified"), moment))
    return store


def _forget_later(store: pyoxigraph.Store, day: datetime.date) -> None:
    for name, is_start in (("P580", True), ("P582", False)):
        for quad in list(store.quads_for_pattern(None, NamedNode(f"{P}qualifier/{name}"), None, None)):
            if not isinstance(quad.object, Literal) or quad.object.value[:10] <= str(day):
                continue
            if is_start:
                whole = [
                    *store.quads_for_pattern(quad.subject, None, None, None),
                    *store.quads_for_pattern(None, None, quad.subject, None),
                ]
            else:
                value = NamedNode(f"{P}qualifier/value/{name}")
                whole = [quad, *store.quads_for_pattern(quad.subject, value, None, None)]
            for one in whole:
                store.remove(one)
