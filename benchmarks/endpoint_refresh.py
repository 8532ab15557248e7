"""Reading an endpoint: 100,000 statements in under 60 s and 500 MB, and 1 % changed for 5 % of the requests.

    python -m benchmarks.endpoint_refresh [--statements N | --soak]

The endpoint is a real HTTP server with an embedded engine in a process of its own, over a generated world: as many
people as statements, each in office once. `--soak` reads a world in 2,000 batches, twice: without faults, and while a
quarter of all replies are faults (throttling, cut answers, time-outs, closed connections); the rows are compared.
Waits are not slept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pyoxigraph

from benchmarks.claims import claim
from benchmarks.machine import MACHINE, peak_gib
from chronofacts.pipeline.incremental import UpdatedSource, from_tables
from chronofacts.pipeline.sources.sparql import source as sparql
from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings, EndpointSource, open_endpoint
from chronofacts.schemas.catalogue import load_catalogue
from tests.pipeline.sources.sparql.endpoint_server import TRANSIENT, EndpointServer, FakeTime
from tests.pipeline.whole_tables import StagedTables, describe_entities, stage

OFFICES = 2000
SOAK_PEOPLE, SOAK_BATCH = 20_000, 20
WD, P, WB = "<http://www.wikidata.org/entity/", "<http://www.wikidata.org/prop/", "<http://wikiba.se/ontology#"
XSD = "<http://www.w3.org/2001/XMLSchema#"


def item(qid: str, label: str, kind: str, revision: int) -> Iterator[str]:
    yield f'{WD}{qid}> <http://www.w3.org/2000/01/rdf-schema#label> "{label}"@en .'
    yield f'{WD}{qid}> {WB}sitelinks> "1"^^{XSD}integer> .'
    yield f'{WD}{qid}> <http://schema.org/version> "{revision}"^^{XSD}integer> .'
    yield from statement(qid, "P31", kind, None)


def statement(qid: str, pid: str, value: str, year: int | None) -> Iterator[str]:
    node = f"{WD}statement/{qid}-{pid}>"
    yield f"{WD}{qid}> {P}{pid}> {node} ."
    yield f"{node} <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> {WB}Statement> ."
    yield f"{node} {WB}rank> {WB}NormalRank> ."
    yield f"{node} {P}statement/{pid}> {WD}{value}> ."
    if year is not None:
        yield f'{node} {P}qualifier/P580> "{year}-05-02T00:00:00Z"^^{XSD}dateTime> .'
        yield f"{node} {P}qualifier/value/P580> <http://www.wikidata.org/value/{year}> ."


def world(people: int) -> Iterator[str]:
    for year in range(1900, 2026):
        node = f"<http://www.wikidata.org/value/{year}>"
        yield f'{node} {WB}timeValue> "{year}-05-02T00:00:00Z"^^{XSD}dateTime> .'
        yield f'{node} {WB}timePrecision> "11"^^{XSD}integer> .'
        yield f"{node} {WB}timeCalendarModel> {WD}Q1985727> ."
    for office in range(OFFICES):
        yield from item(f"Q{1000 + office}", f"Office {office}", "Q4164871", 10)
    for person in range(people):
        qid = f"Q{100_000 + person}"
        yield from item(qid, f"Person {person}", "Q5", 20)
        yield from statement(qid, "P39", f"Q{1000 + person % OFFICES}", 1900 + person // OFFICES % 126)


def serve(people: int, pipe: Connection) -> None:
    """The endpoint. At the command `change N` it gives N people another revision, at `faults` it begins to fail.
    It answers each with the seconds of CPU that it has used."""
    store = pyoxigraph.Store()
    store.bulk_load("\n".join(world(people)).encode(), format=pyoxigraph.RdfFormat.N_TRIPLES)
    with EndpointServer(store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pipe.send(server.url)
        while (command := pipe.recv()) != "stop":
            if command == "faults":
                server.fault = faulty(random.Random(1))
            elif command.startswith("change"):
                change(store, int(command.split()[1]))
            pipe.send(time.process_time())


def faulty(chance: random.Random) -> Callable[[int, str], str | None]:
    return lambda number, query: chance.choice(TRANSIENT) if chance.random() < 0.25 else None


def change(store: pyoxigraph.Store, people: int) -> None:
    version = pyoxigraph.NamedNode("http://schema.org/version")
    for person in range(people):
        node = pyoxigraph.NamedNode(f"http://www.wikidata.org/entity/Q{100_000 + person * 97}")
        for quad in list(store.quads_for_pattern(node, version, None, None)):
            store.remove(quad)
        number = pyoxigraph.Literal("21", datatype=pyoxigraph.NamedNode("http://www.w3.org/2001/XMLSchema#integer"))
        store.add(pyoxigraph.Quad(node, version, number))


def ask(pipe: Connection, what: str) -> float:
    pipe.send(what)
    seconds: float = pipe.recv()
    return seconds


def opened(url: str, folder: Path) -> EndpointSource:
    return open_endpoint(url, EndpointSettings(raw=folder), FakeTime().clock())


def rows(staged: StagedTables) -> list[pa.Table]:
    return [staged.statements, staged.lifecycle.sort_by("statement_id"), staged.labels.sort_by("qid")]


def same(one: StagedTables, other: StagedTables) -> bool:
    return all(a.equals(b) for a, b in zip(rows(one), rows(other), strict=True))


@contextmanager
def endpoint(people: int) -> Iterator[tuple[str, Connection]]:
    """The address of an endpoint in a process of its own, and the pipe to it."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(people, there), daemon=True)
    process.start()
    try:
        yield here.recv(), here
    finally:
        here.send("stop")
        process.join()


def requests_of(source: EndpointSource) -> int:
    return source.endpoint.requests if source.endpoint else 0


def measure_refresh(people: int, folder: Path) -> None:
    """A full refresh, and an update after 1 % has changed."""
    catalogue = load_catalogue().select(["office_holder"])
    with endpoint(people) as (url, pipe):
        source = opened(url, folder / "full")
        there = -ask(pipe, "cpu")
        began, here = time.perf_counter(), time.process_time()
        full = stage(source, catalogue)
        wall, here = time.perf_counter() - began, time.process_time() - here
        there += ask(pipe, "cpu")
        requests_full = requests_of(source)
        print(f"full refresh     {full.statements.num_rows} statements, {full.labels.num_rows} entities")
        print(f"                 {wall:.1f} s ({here:.1f} s of CPU here, {there:.1f} s in the endpoint)")
        print(f"                 peak {peak_gib() * 1024:.0f} MB, {requests_full} requests")
        most = peak_gib() * 1024
        claim(f"endpoint, {people:,} statements: seconds", "under 60", f"{wall:.0f}", wall < 60)
        claim(f"endpoint, {people:,} statements: MB", "under 500", f"{most:.0f}", most < 500)
        ask(pipe, f"change {people // 100}")
        source = opened(url, folder / "update")
        statements = pa.concat_tables([full.statements, full.lifecycle])
        older = from_tables(statements, describe_entities(full.lifecycle, full.labels))
        began = time.perf_counter()
        updated = stage(UpdatedSource(source, older), catalogue)
        wall, requests = time.perf_counter() - began, requests_of(source)
        ratio = 100 * requests / requests_full
        print(f"1 % changed      {wall:.1f} s, {requests} requests, {ratio:.1f} % of the full refresh's")
        what = "endpoint, update after 1 % changed: share of a full refresh's requests"
        claim(what, "at most 5 %", f"{ratio:.1f} %", ratio <= 5)
        expected = stage(opened(url, folder / "again"), catalogue)
        print(f"                 equal to a full refresh: {same(updated, expected)}")


def soak(folder: Path) -> None:
    """Two thousand batches and more, a quarter of all replies faults."""
    catalogue = load_catalogue().select(["office_holder"])
    sparql.STATEMENT_BATCH = sparql.ENTITY_BATCH = SOAK_BATCH  # many batches of few ids, so that many can fail
    with endpoint(SOAK_PEOPLE) as (url, pipe):
        source = opened(url, folder / "faultless")
        expected = stage(source, catalogue)
        batches = requests_of(source)
        ask(pipe, "faults")
        source = opened(url, folder / "soak")
        began = time.perf_counter()
        soaked = stage(source, catalogue)
        wall, requests = time.perf_counter() - began, requests_of(source)
        print(f"soak             {batches} batches: {requests} requests in {wall:.0f} s, a quarter of them faults")
        print(f"                 equal to the faultless one: {same(soaked, expected)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--statements", type=int, default=100_000)
    parser.add_argument("--soak", action="store_true", help="instead: read a world while a quarter of replies fail")
    options = parser.parse_args()
    print(f"machine          {MACHINE}")
    with tempfile.TemporaryDirectory() as folder:
        if options.soak:
            soak(Path(folder))
        else:
            measure_refresh(options.statements, Path(folder))


if __name__ == "__main__":
    main()
