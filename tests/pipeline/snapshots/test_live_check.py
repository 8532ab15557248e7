"""What a snapshot has of an entity beside what a real HTTP server, which answers as Wikidata's API, says now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from chronofacts.pipeline.snapshots.live_check import check_live, compare_statements
from chronofacts.pipeline.sources.sparql.http_policy import HttpSettings
from chronofacts.pipeline.sources.wikibase_api import EntityApi
from tests.pipeline.sources.entity_server import Api, entity, serving, statement
from tests.pipeline.sources.sparql.endpoint_server import FakeTime


@pytest.fixture
def server() -> Iterator[Api]:
    with serving() as running:
        yield running


@pytest.fixture
def api(server: Api, tmp_path: Path) -> Iterator[EntityApi]:
    with requests.Session() as session:
        yield EntityApi(HttpSettings(server.url, "tests", tmp_path / "lock"), FakeTime().clock(), session)


def verdicts(api: EntityApi, before: dict, after: dict, server: Api) -> list[tuple[str, str, str]]:
    """(verdict, what, detail) of two states of Q1, read one after the other."""
    readings = []
    for state in (before, after):
        server.entities["Q1"] = state
        readings.append(api.read(["Q1"], ["P6", "P35"], "en").statements)
    return [(line.verdict, line.what, line.detail) for line in compare_statements(*readings)]


def test_an_entity_that_was_edited_elsewhere_only_is_the_same(api: EntityApi, server: Api) -> None:
    old, new = entity("Q1", "one", P6="Q5"), {**entity("Q1", "another name", P6="Q5", P99="Q6"), "lastrevid": 78}

    assert verdicts(api, old, new, server) == [("same", "P6 Q5", "")]


def test_changed_gone_and_other_statements_are_told_apart(api: EntityApi, server: Api) -> None:
    old, new = entity("Q1", "one", P6="Q5", P35="Q8"), entity("Q1", "one", P6="Q5")
    new["claims"]["P6"][0]["rank"] = "normal"
    new["claims"]["P6"].append({**statement("Q1", "P6", "Q9"), "id": "q1$2-P6"})

    assert verdicts(api, old, new, server) == [
        ("changed", "P6 Q5", "rank: preferred -> normal"),
        ("other", "P6 Q9", "preferred"),
        ("gone", "P35 Q8", "preferred"),
    ]


def test_an_end_that_was_added_is_a_change_of_its_days(api: EntityApi, server: Api) -> None:
    old, new = entity("Q1", "one", P6="Q5"), entity("Q1", "one", P6="Q5")
    time = {
        "time": "+2026-11-20T00:00:00Z",
        "precision": 11,
        "calendarmodel": "http://www.wikidata.org/entity/Q1985727",
    }
    end = {"snaktype": "value", "property": "P582", "datavalue": {"type": "time", "value": time}}
    new["claims"]["P6"][0]["qualifiers"] = {"P582": [end]}

    [(verdict, what, detail)] = verdicts(api, old, new, server)

    assert (verdict, what) == ("changed", "P6 Q5, end 2026-11-20")
    assert "end_earliest: (none) -> 2026-11-20" in detail and "end_kind: absent -> known" in detail


def test_of_a_snapshot_the_statements_of_one_entity_are_compared(
    api: EntityApi, server: Api, sample_snapshot: Path
) -> None:
    server.entities["Q145"] = entity("Q145", "United Kingdom", P6="Q5")

    lines = check_live(sample_snapshot, "Q145", api)

    found = {verdict: [line for line in lines if line.verdict == verdict] for verdict in ("other", "gone", "same")}
    assert [line.ids for line in found["other"]] == [("Q145$1-P6",)]
    assert len(found["gone"]) == len(lines) - 1 > 3
    assert [asked["ids"] for asked in server.asked] == ["Q145"]


def test_merged_and_missing_entities_are_told(api: EntityApi, sample_snapshot: Path) -> None:
    first = check_live(sample_snapshot, "Q900", api)[0]
    assert (first.verdict, first.what) == ("merged", "Q900 is now Q7")
    assert [line.verdict for line in check_live(sample_snapshot, "Q901", api)] == ["missing"]
