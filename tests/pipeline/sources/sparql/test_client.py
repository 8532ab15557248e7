"""One endpoint over real HTTP: what each of its faults leads to, and how it is treated."""

from __future__ import annotations

import datetime
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chronofacts.pipeline.sources import QueryTooBig
from chronofacts.pipeline.sources.sparql.http_policy import EndpointFailed
from chronofacts.pipeline.sources.sparql.rate_limit import Budget, full_user_agent, retry_after
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.pipeline.sources.rdf_world import offices
from tests.pipeline.sources.sparql.endpoint_server import (
    BROKEN,
    NOON,
    TRANSIENT,
    EndpointServer,
    FakeTime,
    endpoint_at,
    serving,
)

ALL = "SELECT ?s ?o WHERE { ?s <http://www.wikidata.org/prop/P39> ?o }"
ONE = "PREFIX wd: <http://www.wikidata.org/entity/> SELECT ?o WHERE { VALUES ?s { wd:Q100 } ?s ?p ?o }"


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    with serving(offices().store()) as running:
        yield running


def first(fault: str, times: int = 1):
    return lambda number, query: fault if number < times else None


def test_an_answer_holds_every_row_and_is_kept_with_its_record(server: EndpointServer, tmp_path: Path) -> None:
    with endpoint_at(server.url, tmp_path, FakeTime()) as endpoint:
        rows = list(endpoint.ask(ALL))
    assert len(rows) == 60 and server.agents == ["tests"]
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("raw/runs/*/asked/*/*.json"))
    assert (record["endpoint"], record["status"], record["attempt"]) == (server.url, 200, 1)
    assert record["asked_at"] == "2026-11-21T12:00:00+00:00" and record["answer_bytes"] > 1000
    assert len(list(tmp_path.glob("raw/blobs/*/*.zst"))) == 2  # the query and its answer


@pytest.mark.parametrize("fault", [*BROKEN[:2], "closed", "a page", "overloaded", "throttled for 7 s"])
def test_a_passing_fault_is_followed_by_the_same_query(server: EndpointServer, tmp_path: Path, fault: str) -> None:
    server.fault = first(fault, times=2)
    with endpoint_at(server.url, tmp_path, FakeTime()) as endpoint:
        assert len(list(endpoint.ask(ALL))) == 60
    assert len(server.queries) == 3


@pytest.mark.parametrize(
    ("fault", "waits"),
    [("throttled for 7 s", [7.0]), ("throttled for 0 s", [1.0]), ("throttled", [60.0]), ("overloaded", [3.0])],
)
def test_a_throttled_client_waits_as_long_as_it_is_told(
    server: EndpointServer, tmp_path: Path, fault: str, waits: list[float]
) -> None:
    server.fault = first(fault)
    time = FakeTime()
    with endpoint_at(server.url, tmp_path, time) as endpoint:
        list(endpoint.ask(ALL))
    assert time.slept == waits


@pytest.mark.parametrize(
    "fault",
    ["time-out as 500", "time-out as 429", "time-out as 504", "cut with a Java trace", "cut with QLever's tail"],
)
def test_a_time_out_asks_for_less_and_is_not_repeated(server: EndpointServer, tmp_path: Path, fault: str) -> None:
    server.fault = first(fault)
    with endpoint_at(server.url, tmp_path, FakeTime()) as endpoint, pytest.raises(QueryTooBig):
        list(endpoint.ask(ALL))
    assert len(server.queries) == 1


def test_any_429_of_qlever_is_a_time_out(server: EndpointServer, tmp_path: Path) -> None:
    server.fault = first("throttled")
    with endpoint_at(server.url, tmp_path, FakeTime(), splits_429=True) as endpoint, pytest.raises(QueryTooBig):
        list(endpoint.ask(ALL))


def test_a_query_about_one_item_gets_three_chances(server: EndpointServer, tmp_path: Path) -> None:
    server.fault = first("time-out as 500", times=2)
    with endpoint_at(server.url, tmp_path, FakeTime()) as endpoint:
        assert len(list(endpoint.ask(ONE))) == 5
    server.fault = lambda number, query: "time-out as 500"
    with (
        endpoint_at(server.url, tmp_path / "b", FakeTime()) as endpoint,
        pytest.raises(QueryTooBig, match="Q100 alone"),
    ):
        list(endpoint.ask(ONE))


def test_an_answer_that_is_always_cut_is_asked_for_in_parts(server: EndpointServer, tmp_path: Path) -> None:
    server.fault = lambda number, query: "cut gzip"
    with endpoint_at(server.url, tmp_path, FakeTime(), attempts=3) as endpoint, pytest.raises(QueryTooBig):
        list(endpoint.ask(ALL))
    assert len(server.queries) == 3


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("refused with 200", BadInput, "--user-agent"),
        ("refused with 403", BadInput, "--user-agent"),
        ("banned", EndpointFailed, "banned this machine.*2026-11-22"),
        ("throttled for a day", EndpointFailed, "wait 86400 s"),
    ],
)
def test_a_refusal_is_told_at_once(
    server: EndpointServer, tmp_path: Path, fault: str, error: type[Exception], words: str
) -> None:
    server.fault = lambda number, query: fault
    with endpoint_at(server.url, tmp_path, FakeTime()) as endpoint, pytest.raises(error, match=words):
        list(endpoint.ask(ALL))
    assert len(server.queries) == 1


def test_a_query_that_is_not_understood_is_an_error(server: EndpointServer, tmp_path: Path) -> None:
    with (
        endpoint_at(server.url, tmp_path, FakeTime()) as endpoint,
        pytest.raises(EndpointFailed, match="does not understand"),
    ):
        list(endpoint.ask("SELECT ?s WHERE { ?s ?o }"))
    assert len(server.queries) == 1


def test_an_address_where_nobody_answers_is_told_soon(tmp_path: Path) -> None:
    time = FakeTime()
    with (
        endpoint_at("http://127.0.0.1:9/sparql", tmp_path, time) as endpoint,
        pytest.raises(EndpointFailed, match=r"no answer in 3 attempts.*check the address"),
    ):
        list(endpoint.ask(ALL))
    assert time.slept == [1, 2]


def test_a_host_that_goes_away_is_waited_for_longer(server: EndpointServer, tmp_path: Path) -> None:
    time = FakeTime()
    with endpoint_at(server.url, tmp_path, time) as endpoint:
        list(endpoint.ask(ALL))
        server.fault = lambda number, query: "closed"
        with pytest.raises(EndpointFailed, match="no answer in 8 attempts"):
            list(endpoint.ask(ONE))
    assert time.slept == [1, 2, 4, 8, 16, 32, 60]


def test_silence_is_a_time_out(server: EndpointServer, tmp_path: Path) -> None:
    server.fault = lambda number, query: "slow"
    with endpoint_at(server.url, tmp_path, FakeTime(), silence_s=0.2) as endpoint, pytest.raises(QueryTooBig):
        list(endpoint.ask(ALL))


def test_two_endpoints_ask_one_question_at_a_time(server: EndpointServer, tmp_path: Path) -> None:
    def read(name: str) -> None:
        with endpoint_at(server.url, tmp_path / name, FakeTime(), lock=tmp_path / "lock") as endpoint:
            for limit in range(1, 12):
                list(endpoint.ask(f"{ALL} LIMIT {limit}"))

    threads = [threading.Thread(target=read, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.queries) == 33 and server.most_at_once == 1


def test_a_kept_answer_is_not_asked_for_again(server: EndpointServer, tmp_path: Path) -> None:
    with endpoint_at(server.url, tmp_path, FakeTime()) as endpoint:
        rows = list(endpoint.ask(ALL))
    with endpoint_at(server.url, tmp_path, FakeTime()) as resumed:
        assert list(resumed.ask(ALL)) == rows
    assert len(server.queries) == 1


def test_a_record_torn_by_a_crash_is_asked_again(server: EndpointServer, tmp_path: Path) -> None:
    with endpoint_at(server.url, tmp_path, FakeTime()) as endpoint:
        rows = list(endpoint.ask(ALL))
        (record,) = tmp_path.glob("raw/runs/*/asked/*/*.json")
        record.write_text(record.read_text()[:50])
        assert list(endpoint.ask(ALL)) == rows
    assert len(server.queries) == 2


def test_an_answer_torn_by_a_crash_of_the_machine_is_asked_again(server: EndpointServer, tmp_path: Path) -> None:
    with endpoint_at(server.url, tmp_path, FakeTime()) as endpoint:
        rows = list(endpoint.ask(ALL))
        for blob in tmp_path.glob("raw/blobs/*/*.zst"):
            blob.write_bytes(blob.read_bytes()[:-9])
        assert list(endpoint.ask(ALL)) == rows
    assert len(server.queries) == 2


def test_a_changed_answer_is_never_read_as_another(server: EndpointServer, tmp_path: Path) -> None:
    with endpoint_at(server.url, tmp_path, FakeTime()) as endpoint:
        list(endpoint.ask(ALL))
        list(endpoint.ask(ONE))
        for blob in tmp_path.glob("raw/blobs/*/*.zst"):
            packed = blob.read_bytes()
            middle = len(packed) // 2
            blob.write_bytes(packed[:middle] + bytes([packed[middle] ^ 1]) + packed[middle + 1 :])
        for query in (ALL, ONE):
            with pytest.raises(CheckFailed, match="damaged"):
                list(endpoint.ask(query))


def test_random_faults_change_no_row(server: EndpointServer, tmp_path: Path) -> None:
    chance = random.Random(4)
    queries = [f"{ALL} # {n}\n" for n in range(40)]
    server.fault = lambda number, query: chance.choice(TRANSIENT) if chance.random() < 0.4 else None
    with endpoint_at(server.url, tmp_path, FakeTime(), attempts=30) as endpoint:
        for query in queries:
            try:
                assert len(list(endpoint.ask(query))) == 60
            except QueryTooBig:
                continue


def test_a_wikimedia_host_wants_contact_data() -> None:
    address = "https://query.wikidata.org/sparql"
    for given in ("", "my bot", "my bot (https://example.com)", "bot/1.0 me@example"):
        with pytest.raises(BadInput, match="--user-agent"):
            full_user_agent(given, address)
    agent = full_user_agent("facts/1.0 (https://facts.university.edu)", address)
    assert agent.startswith("chronofacts/") and "https://facts.university.edu" in agent and "requests/" in agent
    assert full_user_agent("bot me@university.edu", address)
    assert full_user_agent("", "http://127.0.0.1:7001/sparql").startswith("chronofacts/")


def test_retry_after_may_be_a_date_or_missing() -> None:
    assert retry_after("Sat, 21 Nov 2026 12:00:30 GMT", NOON, 60) == 30
    assert retry_after("Sat, 21 Nov 2026 11:00:30 GMT", NOON, 60) == 1
    assert retry_after(None, NOON, 60) == 60 and retry_after("soon", NOON, 60) == 60


def test_the_budget_is_a_minute_of_query_time_a_minute() -> None:
    time = FakeTime()
    budget = Budget(60, time.clock())
    budget.wait()
    budget.spend(90)
    assert budget.wait() == 31 and time.slept == [31]
    assert datetime.timedelta(seconds=31) == time.clock().now() - NOON
