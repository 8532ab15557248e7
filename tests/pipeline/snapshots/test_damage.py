"""One damaged row costs at most the timelines that it is about: no abort, nothing set aside, the others as they were.

`CHRONOFACTS_SWEEP=60 pytest tests/pipeline/snapshots/test_damage.py` damages sixty worlds instead of three
(CONTRIBUTING).
"""

from __future__ import annotations

import copy
import datetime
import gzip
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from chronofacts.pipeline.snapshots.write import read_table
from tests.pipeline.snapshots.damage import damage_statement
from tests.pipeline.sources.dump.dump_world import day, entity, item, statement, write_dump
from tests.snapshots import build_snapshot, read_dump

Json = dict[str, Any]

WORLDS = int(os.environ.get("CHRONOFACTS_SWEEP", "3"))
SINCE, AS_OF, DUMP_DAY = datetime.date(2020, 1, 1), datetime.date(2024, 1, 1), datetime.date(2024, 6, 1)
LONG_AGO = "2023-06-01T00:00:00Z"
FAMILIES, DAMAGED = 40, 12  # few enough damages that a relation stays what it is
CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "wikidata"
DUMPS = sorted(path for path in CASES.glob("*.json*") if path.stat().st_size > 0)


def family(number: int) -> list[Json]:
    """A country and its head of government, an office and its holders, a firm and its chief: all change; a marriage."""
    country, city, office, firm, *people = (10_000 * (place + 1) + number for place in range(8))
    first, second, third, fourth = people

    def told(number: int, place: int, main: Json, *qualifiers: Json) -> Json:
        return statement(f"Q{number}$00000000-0000-4000-8000-{place:012d}", main, *qualifiers)

    def from_to(start: str, end: str | None = None) -> list[Json]:
        return [day("P580", start), *([day("P582", end)] if end else [])]

    def person(number: int, label: str, *held: Json) -> Json:
        born = told(number, 1, day("P569", f"19{60 + number % 30}-02-03"))
        return entity(number, told(number, 0, item("P31", 5)), born, *held, label=label, modified=LONG_AGO)

    def named(text: str) -> str:
        return f"{text} {chr(65 + number // 26)}{chr(97 + number % 26)}"

    return [
        entity(
            country, told(country, 0, item("P31", 6256)), told(country, 1, item("P36", city)),
            told(country, 2, item("P6", first), *from_to("2015-03-01", "2022-05-10")),
            told(country, 3, item("P6", second), *from_to("2022-05-10")), label=named("Landia"), modified=LONG_AGO,
        ),
        entity(
            city, told(city, 0, item("P31", 515)), told(city, 1, item("P17", country)), label=named("Urbs"),
            modified=LONG_AGO,
        ),
        entity(
            office, told(office, 0, item("P31", 4164871)), told(office, 1, item("P1001", country)),
            label=f"Chancellor of {named('Landia')}", modified=LONG_AGO,
        ),
        entity(
            firm, told(firm, 0, item("P31", 4830453)),
            told(firm, 1, item("P169", third), *from_to("2012-01-01", "2021-01-01")),
            told(firm, 2, item("P169", fourth), *from_to("2021-01-01")), label=named("Firm"), modified=LONG_AGO,
        ),
        person(first, named("Ada"), told(first, 2, item("P26", fourth), *from_to("2001-01-01"))),
        person(second, named("Bruno"), told(second, 2, item("P39", office), *from_to("2010-01-01", "2019-02-02"))),
        person(third, named("Chiara"), told(third, 2, item("P39", office), *from_to("2019-02-02", "2023-03-03"))),
        person(fourth, named("Dario"), told(fourth, 2, item("P39", office), *from_to("2023-03-03"))),
    ]  # fmt: skip


def classes() -> list[Json]:
    named = {5: "human", 515: "city", 6256: "country", 4164871: "position", 4830453: "business"}
    return [entity(number, label=label, modified=LONG_AGO) for number, label in named.items()]


def edits_of(entities: list[Json], folder: Path) -> dict[int, set[tuple[str, ...]]]:
    """What a dump of the entities makes: number of a family -> its edits."""
    folder.mkdir()
    reading = read_dump(write_dump(folder / "dump.json", entities), folder, DUMP_DAY)
    build_snapshot(reading, SINCE, AS_OF, folder / "out")
    found: dict[int, set[tuple[str, ...]]] = {number: set() for number in range(FAMILIES)}
    for row in read_table(folder / "out", "edits").to_pylist():
        told = tuple(str(row[name]) for name in ("edit_id", "kind", "relation", "prompt", "target_old", "target_new"))
        found[int(row["subject"][1:]) % 10_000].add(told)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[int, set[tuple[str, ...]]]:
    """The edits of all families without damage."""
    entities = [one for number in range(FAMILIES) for one in family(number)]
    made = edits_of([*classes(), *entities], tmp_path_factory.mktemp("whole") / "world")
    assert all(len(edits) == 3 for edits in made.values())
    return made


@pytest.mark.parametrize("seed", range(WORLDS))
def test_one_damaged_row_never_costs_another_familys_edits(
    whole: dict[int, set[tuple[str, ...]]], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    damaged = set(chance.sample(range(FAMILIES), DAMAGED))
    told, entities = [], classes()
    for number in range(FAMILIES):
        members = family(number)
        if number in damaged:
            told.append(damage_statement(chance.choice(members), chance))
        entities += members
    made = edits_of(entities, tmp_path / "world")
    assert {n: edits for n, edits in made.items() if n not in damaged} == {
        n: edits for n, edits in whole.items() if n not in damaged
    }, told


@pytest.mark.skipif(not DUMPS, reason="the situations lie beside the project")
@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.name)
def test_a_damaged_row_in_a_dump_of_situations_is_a_rejection_and_no_abort(dump: Path, tmp_path: Path) -> None:
    raw = gzip.decompress(dump.read_bytes()) if dump.suffix == ".gz" else dump.read_bytes()
    lines = [line.strip().strip(b",") for line in raw.splitlines()]
    entities = [json.loads(line) for line in lines if line.startswith(b"{")]
    for seed in range(WORLDS // 3):
        chance, hurt = random.Random(seed), copy.deepcopy(entities)
        told = [damage_statement(one, chance) for one in chance.sample(hurt, max(1, len(hurt) // 10))]
        folder = tmp_path / str(seed)
        folder.mkdir()
        reading = read_dump(write_dump(folder / "dump.json", hurt), folder, DUMP_DAY)
        assert build_snapshot(reading, SINCE, AS_OF, folder / "out").set_aside == {}, told


def test_an_id_of_another_property_is_a_rejection_and_a_rank_that_is_none_counts_as_normal(tmp_path: Path) -> None:
    of_the_id, of_the_rank = family(0), family(1)
    of_the_id[0]["claims"]["P31"][0]["id"] = of_the_id[0]["claims"]["P6"][1]["id"]
    of_the_rank[0]["claims"]["P6"][1].update(rank=None)
    found = edits_of([*classes(), *of_the_id, *of_the_rank], tmp_path / "world")
    assert (len(found[0]), len(found[1])) == (3, 3)
    rejections = read_table(tmp_path / "world" / "out", "rejections")
    assert rejections["reason"].to_pylist().count("duplicate_statement") == 1
