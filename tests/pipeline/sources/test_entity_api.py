"""Single entities re-read through a real HTTP server that answers as `wbgetentities` does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import requests

from pipeline.sources.entity_api import ApiSettings, EntityApi
from pipeline.sources.verdicts import EndpointFailed
from schemas.errors import BadInput
from tests.pipeline.sources.endpoint_server import FakeTime


def statement(subject: str, pid: str, value: str) -> dict:
    return {
        "id": f"{subject.lower()}$1-{pid}", "type": "statement", "rank": "preferred",
        "mainsnak": {
            "snaktype": "value", "property": pid,
            "datavalue": {"type": "wikibase-entityid", "value": {"entity-type": "item", "id": value}},
        },
    }  # fmt: skip


def entity(qid: str, label: str, **claims: str) -> dict:
    return {
        "type": "item", "id": qid, "lastrevid": 77, "modified": "2026-11-20T10:00:00Z",
        "labels": {"mul": {"language": "mul", "value": label}, "fi": {"language": "fi", "value": f"{label} (fi)"}},
        "aliases": {"en": [{"language": "en", "value": f"alias of {label}"}]}, "descriptions": [],
        "claims": {pid: [statement(qid, pid, value)] for pid, value in claims.items()} or [],
        "sitelinks": {"enwiki": {"site": "enwiki", "title": label}},
    }  # fmt: skip


ENTITIES = {
    f"Q{number}": entity(f"Q{number}", f"Name {number}", P6=f"Q{number + 1000}", P31="Q6256")
    for number in range(1, 121)
}
MERGED = {"Q900": "Q7"}


class Api(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, str]] = []
        self.troubles: list[tuple[int, dict[str, str], dict]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/w/api.php"


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append({name: values[0] for name, values in form.items()})
        if self.server.troubles:
            self._send(*self.server.troubles.pop(0))
            return
        found = {}
        for qid in form["ids"][0].split("|"):
            if qid in MERGED:
                found[qid] = {**ENTITIES[MERGED[qid]], "redirects": {"from": qid, "to": MERGED[qid]}}
            else:
                found[qid] = ENTITIES.get(qid, {"id": qid, "missing": ""})
        self._send(200, {}, {"entities": found, "success": 1})

    def _send(self, status: int, headers: dict[str, str], reply: dict) -> None:
        body = json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Api]:
    with Api() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def api(server: Api, time: FakeTime, tmp_path: Path) -> Iterator[EntityApi]:
    with requests.Session() as session:
        yield EntityApi(ApiSettings("tests", tmp_path / "lock", server.url), time.clock(), session)


def test_items_are_read_fifty_at_a_time(api: EntityApi, server: Api) -> None:
    told = api.read([f"Q{number}" for number in range(1, 121)], ["P6"], "fi")
    assert [len(asked["ids"].split("|")) for asked in server.asked] == [50, 50, 20]
    assert server.asked[0]["languages"] == "fi|mul|en" and server.asked[0]["maxlag"] == "5"
    assert told.statements.num_rows == 120 and set(told.statements["revision"].to_pylist()) == {77}
    first = told.statements.to_pylist()[0]
    assert (first["statement_id"], first["object"], first["rank"]) == ("Q1$1-P6", "Q1001", "preferred")
    names = told.entities.labels.to_pylist()[0]
    assert (names["label"], names["sitelinks"], names["aliases"]) == ("Name 1 (fi)", 1, ["Name 1", "alias of Name 1"])
    assert told.entities.lifecycle.num_rows == 120


def test_merged_and_missing_items_are_told_apart(api: EntityApi) -> None:
    told = api.read(["Q900", "Q901", "Q7"], ["P6"], "en")
    assert told.redirects == {"Q900": "Q7"} and told.missing == ("Q901",)
    assert told.statements["subject"].to_pylist() == ["Q7"]


def test_a_lagging_or_throttling_api_is_waited_for(api: EntityApi, server: Api, time: FakeTime) -> None:
    lag = {"error": {"code": "maxlag", "info": "Waiting for a server: 7 seconds lagged"}}
    server.troubles = [
        (200, {"Retry-After": "9"}, lag),
        (200, {}, lag),
        (429, {"Retry-After": "18"}, {}),
        (503, {}, {}),
    ]
    assert api.read(["Q1"], ["P6"], "en").statements.num_rows == 1
    assert time.slept == [9, 5, 18, 8]


def test_a_refusal_and_a_wrong_id_are_told(api: EntityApi, server: Api) -> None:
    server.troubles = [(200, {}, {"error": {"code": "no-such-entity", "info": "Could not find an entity"}})]
    with pytest.raises(EndpointFailed, match="Could not find"):
        api.read(["Q1"], ["P6"], "en")
    with pytest.raises(BadInput, match="no item"):
        api.read(["Q1|Q2"], ["P6"], "en")
