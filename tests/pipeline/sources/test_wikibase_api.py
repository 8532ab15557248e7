"""Single entities re-read through a real HTTP server that answers as `wbgetentities` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from chronofacts.pipeline.sources.sparql.http_policy import EndpointFailed, HttpSettings
from chronofacts.pipeline.sources.wikibase_api import EntityApi
from chronofacts.schemas.errors import BadInput
from tests.pipeline.sources.entity_server import Api, serving
from tests.pipeline.sources.sparql.endpoint_server import FakeTime


@pytest.fixture
def server() -> Iterator[Api]:
    with serving() as running:
        yield running


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def api(server: Api, time: FakeTime, tmp_path: Path) -> Iterator[EntityApi]:
    with requests.Session() as session:
        yield EntityApi(HttpSettings(server.url, "tests", tmp_path / "lock"), time.clock(), session)


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
