"""Whole readings of a live endpoint: complete in spite of faults, resumed after a crash, replayed byte for byte."""

from __future__ import annotations

import datetime
import gzip
import json
import random
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.sources import QueryTooBig, Window
from chronofacts.pipeline.sources.sample import engine, load_triples
from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings, open_endpoint, read_freshness
from chronofacts.pipeline.sources.sparql.http_policy import EndpointFailed
from chronofacts.pipeline.sources.sparql.neighbourhood import days_of_change
from chronofacts.pipeline.sources.sparql.results import RdfTerm, Solution
from chronofacts.pipeline.sources.sparql.source import EVERYTHING, Part, discover, split
from chronofacts.pipeline.sources.statements import Origin, StatementRows, read_json_statement
from chronofacts.schemas.catalogue import Catalogue, load_catalogue
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.pipeline.sources.rdf_world import RdfWorld, offices, rdf_world
from tests.pipeline.sources.sparql.endpoint_server import NOON, TRANSIENT, EndpointServer, FakeTime, serving
from tests.pipeline.whole_tables import StagedTables, stage

ROOT = Path(__file__).resolve().parents[4]
EXTRACTS = ROOT.parent / "shared" / "wikidata"


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    with serving(offices().store()) as running:
        yield running


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue().select(["office_holder", "birthplace", "country", "capital"])


def read(
    server: EndpointServer, catalogue: Catalogue, raw: Path, window: Window | None = None, finish: bool = True
) -> StagedTables:
    source = open_endpoint(server.url, EndpointSettings(raw=raw), FakeTime().clock())
    staged = stage(source, catalogue, window=window)
    if finish:
        source.finish()
    return staged


def rows(staged: StagedTables) -> tuple[list, list, list]:
    tables = (staged.statements, staged.lifecycle.sort_by("statement_id"), staged.labels.sort_by("qid"))
    return tuple(table.to_pylist() for table in tables)


def values(statements: pa.Table) -> set[tuple[str, str, str]]:
    return set(zip(*(statements[name].to_pylist() for name in ("subject", "property", "object")), strict=True))


def test_a_reading_holds_every_statement_with_its_revision(
    server: EndpointServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    told = read(server, catalogue, tmp_path)
    assert told.statements.num_rows == 60 and told.labels.num_rows == 70
    assert set(told.statements["revision"].to_pylist()) == set(range(1000, 1060))
    assert set(told.statements["source"].to_pylist()) == {server.url}
    assert None not in told.lifecycle["revision"].to_pylist()


def test_discovery_in_parts_finds_what_the_whole_question_finds(server: EndpointServer) -> None:
    ask = engine(server.store)

    def narrow(limit: int) -> Callable[[str], Iterator[Solution]]:
        def asked(query: str) -> Iterator[Solution]:
            found = list(ask(query))
            if len(found) > limit:
                raise QueryTooBig("too many")
            return iter(found)

        return asked

    everyone = discover(ask, ["P39"])
    assert len(everyone) == 60
    assert set(discover(narrow(7), ["P39", "P31"])) >= set(everyone)
    assert discover(narrow(2), ["P39"]) == everyone
    with pytest.raises(QueryTooBig):
        discover(narrow(0), ["P39"])


def test_new_year_is_a_window_of_its_own() -> None:
    parts, days = [Part(Window(datetime.date(2019, 1, 1), datetime.date(2021, 1, 1)))], set()
    while parts:
        part = parts.pop()
        assert part.window is not None
        days.add((part.window.first, part.window.last))
        parts += [piece for piece in split(part) if not piece.digits]
    for year in (2019, 2020):
        assert (datetime.date(year, 1, 1), datetime.date(year, 1, 2)) in days
        assert (datetime.date(year, 1, 2), datetime.date(year + 1, 1, 1)) in days
    assert sum((last - first).days == 1 for first, last in days) == 731


def test_the_parts_of_everything_leave_no_statement_out() -> None:
    world = rdf_world()
    for number, dates in enumerate(
        [{}, {"start": "2019"}, {"end": "1850-05"}, {"at": "0001-01-01"}, {"start": "?"}, {"start": "2150"}], start=1
    ):
        world.says(f"Q{number}", "P39", "Q99", **dates)
    ask = engine(world.store())
    found = Counter(qid for part in split(EVERYTHING) for qid in discover(ask, ["P39"], part))
    assert found == Counter([f"Q{number}" for number in range(1, 7)])


def test_an_engine_that_never_finishes_the_whole_question_gives_the_same_rows(
    server: EndpointServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    expected = rows(read(server, catalogue, tmp_path / "a"))
    server.fault = lambda number, query: (
        "time-out as 500" if "FILTER" not in query and "SELECT DISTINCT ?item" in query else None
    )
    assert rows(read(server, catalogue, tmp_path / "b")) == expected


def test_random_faults_leave_the_same_rows_as_none(
    server: EndpointServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    expected = rows(read(server, catalogue, tmp_path / "a"))
    for seed in range(3):
        chance = random.Random(seed)
        server.fault = lambda number, query, chance=chance: chance.choice(TRANSIENT) if chance.random() < 0.25 else None
        assert rows(read(server, catalogue, tmp_path / f"b{seed}")) == expected


def test_a_replica_that_lags_never_lends_its_rows_to_a_newer_revision(
    server: EndpointServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    server.older = offices().store()
    for person in range(60):
        RdfWorld(server.store).item(f"Q{100 + person}", f"New name {person}", revision=9000 + person)
    for person in range(0, 60, 3):
        RdfWorld(server.store).says(f"Q{100 + person}", "P39", "Q19", start="2020")
    for turn in (0, 1):
        server.fault = lambda number, query, turn=turn: "lags" if number % 2 == turn else None
        told = read(server, catalogue, tmp_path / str(turn)).statements
        for row in told.to_pylist():
            assert (row["revision"] >= 9000) or row["start_earliest"] != datetime.date(2020, 1, 1), row
        new = [row for row in told.to_pylist() if row["revision"] >= 9000]
        assert len(new) in (0, 80)


def test_a_crash_at_any_request_repeats_no_finished_batch(
    server: EndpointServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    expected = rows(read(server, catalogue, tmp_path / "a"))
    whole = len(server.queries)
    for crash in range(whole):
        server.queries.clear()
        server.fault = lambda number, query, crash=crash: "banned" if number == crash else None
        with pytest.raises(EndpointFailed):
            read(server, catalogue, tmp_path / f"b{crash}")
        assert rows(read(server, catalogue, tmp_path / f"b{crash}")) == expected
        assert len(server.queries) == whole + 1
        assert max(Counter(server.queries).values()) == (2 if crash < whole else 1)


READ_IN_A_PROCESS = """
import sys
from pathlib import Path
from tests.pipeline.whole_tables import stage
from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings, open_endpoint
from chronofacts.schemas.catalogue import load_catalogue
url, raw, relations = sys.argv[1:]
print("ready", flush=True)
stage(open_endpoint(url, EndpointSettings(raw=Path(raw))), load_catalogue().select(relations.split(",")))
"""


def test_a_killed_process_repeats_no_finished_batch(
    server: EndpointServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    expected = rows(read(server, catalogue, tmp_path / "a"))
    whole = len(server.queries)
    server.queries.clear()
    relations = ",".join(relation.id for relation in catalogue.relations)
    command = [sys.executable, "-c", READ_IN_A_PROCESS, server.url, str(tmp_path / "b"), relations]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:

        def kill(number: int, query: str) -> None:
            if number == 3:
                process.kill()

        server.fault = kill
        process.wait(timeout=120)
    assert process.returncode == -9 and len(server.queries) == 4
    server.fault = lambda number, query: None
    source = open_endpoint(server.url, EndpointSettings(raw=tmp_path / "b"))
    assert values(stage(source, catalogue).statements) == {
        (row["subject"], row["property"], row["object"]) for row in expected[0]
    }
    assert len(server.queries) in (whole, whole + 1)  # the fourth answer may have been on its way


def test_a_full_disk_is_told_and_what_was_kept_serves(
    server: EndpointServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        server.fault = lambda number, query: (
            resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1])) if number == 1 else None
        )
        with pytest.raises(CheckFailed, match="make room and run the same command again"):
            read(server, catalogue, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read(server, catalogue, tmp_path).statements.num_rows == 60
    assert len(server.queries) == len(set(server.queries)) + 1  # only the one that could not be kept
    assert not list(tmp_path.rglob("*.partial"))


def test_a_finished_reading_is_asked_anew_and_shares_its_answers(
    server: EndpointServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    read(server, catalogue, tmp_path)
    asked, blobs = len(server.queries), {path.name for path in tmp_path.glob("blobs/*/*")}
    read(server, catalogue, tmp_path)
    assert len(server.queries) == 2 * asked
    assert {path.name for path in tmp_path.glob("blobs/*/*")} == blobs
    assert len(list(tmp_path.glob("runs/*/finished"))) == 2


def test_an_unfinished_reading_of_yesterday_is_not_taken_up(
    server: EndpointServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    read(server, catalogue, tmp_path, finish=False)
    asked = len(server.queries)
    later = FakeTime()
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=25)
    clock = later.clock()
    clock = type(clock)(lambda: now, clock.monotonic, clock.sleep)
    source = open_endpoint(server.url, EndpointSettings(raw=tmp_path), clock)
    stage(source, catalogue)
    assert len(server.queries) == 2 * asked


def test_a_replay_gives_the_same_bytes_without_the_network(catalogue: Catalogue, tmp_path: Path) -> None:
    from chronofacts.flows.refresh import refresh
    from chronofacts.flows.settings import RefreshSettings

    days = SnapshotSettings(datetime.date(2003, 6, 1), datetime.date(2005, 6, 1))
    with serving(offices().store()) as server:
        options = EndpointSettings(raw=tmp_path / "raw")
        first = refresh(RefreshSettings(server.url, tmp_path / "first", days, ("office_holder",), endpoint=options))
    again = refresh(RefreshSettings(f"raw:{tmp_path / 'raw'}", tmp_path / "again", days, ("office_holder",)))
    files = {path.relative_to(first) for path in first.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
    assert [name for name in files if (first / name).read_bytes() != (again / name).read_bytes()] == []
    with pytest.raises(CheckFailed, match="holds no answer"):
        stage(open_endpoint(f"raw:{tmp_path / 'raw'}", EndpointSettings()), catalogue)


def test_a_day_beyond_the_endpoint_is_wrong_use_and_keeps_nothing_for_the_next_try(tmp_path: Path) -> None:
    from chronofacts.flows.refresh import refresh
    from chronofacts.flows.settings import RefreshSettings

    days = SnapshotSettings(datetime.date(2020, 1, 1), datetime.date(2027, 1, 1))
    with serving(offices().store()) as server:
        options = EndpointSettings(raw=tmp_path / "raw")
        for _ in range(2):
            with pytest.raises(BadInput, match="2026-11-20"):
                refresh(RefreshSettings(server.url, tmp_path / "s", days, endpoint=options))
        assert len(server.queries) == 2


def small_world() -> RdfWorld:
    """Office Q10 changes hands in 2020; Q11 does not; facts without dates lead on from the new holder."""
    world = rdf_world().complete_until("2026-11-20T08:00:00Z")
    world.says("Q101", "P39", "Q10", start="2015-01-10", end="2020-05-01").says(
        "Q101", "P39", "Q11", start="2001-02-01"
    )
    world.says("Q102", "P39", "Q10", start="2020-05-01").says("Q103", "P39", "Q10").says("Q104", "P39", "Q12")
    world.says("Q105", "P39", "Q11", start="1999-02-01", end="2001-02-01")
    world.says("Q102", "P19", "Q201").says("Q201", "P17", "Q301").says("Q301", "P36", "Q202").says(
        "Q301", "P36", "Q203"
    )
    world.says("Q999", "P19", "Q998")
    for qid in ("Q10", "Q11", "Q101", "Q102", "Q103", "Q105", "Q201", "Q202", "Q203", "Q301"):
        world.item(qid, f"Name of {qid}", revision=1)
    return world


def test_a_reading_of_changes_reaches_all_that_they_name_and_no_more(catalogue: Catalogue, tmp_path: Path) -> None:
    window = days_of_change(datetime.date(2019, 6, 1), datetime.date(2021, 6, 1))
    with serving(small_world().store()) as server:
        told = read(server, catalogue, tmp_path, window).statements
    sound = told.filter(pa.compute.equal(pa.compute.list_value_length(told["faults"]), 0))
    assert values(sound) == {
        ("Q101", "P39", "Q10"),
        ("Q102", "P39", "Q10"),
        ("Q103", "P39", "Q10"),  # without dates: found by the office's name
        ("Q102", "P19", "Q201"),
        ("Q201", "P17", "Q301"),
        ("Q301", "P36", "Q202"),
        ("Q301", "P36", "Q203"),
    }
    # Of the office that did not change, another holder has not been read.
    assert values(told) - values(sound) == {("Q101", "P39", "Q11")}
    assert told["faults"].to_pylist().count(["unread_subject"]) == 1


def test_a_value_that_was_merged_is_read_as_what_it_became(catalogue: Catalogue, tmp_path: Path) -> None:
    world = small_world().item("Q400", "The town", revision=9)
    world.merged("Q201", "Q400")
    with serving(world.store()) as server:
        told = read(server, catalogue, tmp_path)
    assert ("Q102", "P19", "Q400") in values(told.statements)
    names = dict(zip(*(told.labels[name].to_pylist() for name in ("qid", "label")), strict=True))
    assert names["Q400"] == "The town" and "Q201" not in names


def term(text: str) -> RdfTerm:
    return RdfTerm("literal", text)


def test_an_endpoint_says_how_fresh_it_is_or_that_it_does_not() -> None:
    modified = {"p": term("http://schema.org/dateModified"), "v": term("2026-11-19T22:00:00Z")}
    complete = {"p": term("http://wikiba.se/ontology#updatesCompleteUntil"), "v": term("2026-11-20T23:30:00Z")}
    assert read_freshness([modified], "wdqs", NOON).day == datetime.date(2026, 11, 19)
    assert read_freshness([complete, modified], "qlever", NOON).day == datetime.date(2026, 11, 20)
    untold = read_freshness([], "mine", NOON)
    assert untold.day == NOON.date() and "tells no date" in untold.detail


def test_a_wikimedia_host_is_refused_without_contact_data(tmp_path: Path) -> None:
    for name in ("wdqs", "https://query.wikidata.org/sparql"):
        with pytest.raises(BadInput, match="--user-agent"):
            open_endpoint(name, EndpointSettings(raw=tmp_path))
    assert not any(tmp_path.iterdir())
    with pytest.raises(BadInput, match="no finished reading"):
        open_endpoint(f"raw:{tmp_path}", EndpointSettings())


@pytest.mark.skipif(not (EXTRACTS / "offices-2022.nt.gz").exists(), reason="the extract is not beside the project")
def test_a_real_extract_reads_the_same_over_http_as_from_its_json(tmp_path: Path) -> None:
    with serving(load_triples([EXTRACTS / "offices-2022.nt.gz"])) as server:
        source = open_endpoint(server.url, EndpointSettings(raw=tmp_path), FakeTime().clock())
        over_http = pa.concat_tables(source.statements(["P39"]))
        origin = source.origin()
        source.finish()
    from_json = StatementRows(Origin(origin.source, origin.retrieved_at))
    with gzip.open(EXTRACTS / "offices-2022.json.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            entity = json.loads(text) if (text := line.strip().rstrip(",")).startswith("{") else {}
            for statement in entity.get("claims", {}).get("P39", []):
                read_json_statement(from_json, entity["id"], "P39", statement, None)
    assert over_http.num_rows == 5857
    assert over_http.sort_by("statement_id").equals(from_json.table().sort_by("statement_id"))
