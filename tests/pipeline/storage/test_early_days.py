"""Dates of all eras: what they decide, and that every table of a snapshot can be iterated whatever they are."""

from __future__ import annotations

import datetime
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import datasets
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.pipeline.storage.early_days import read_back, without_early_days
from chronofacts.pipeline.timelines.build import values_at
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.dates import read_json_time
from chronofacts.schemas.tables import SNAPSHOT_TABLES, STATEMENTS, TIMELINES
from tests.pipeline.sources.dump.dump_world import entity, item, snak, statement, write_dump
from tests.pipeline.timelines.statement_world import World, world
from tests.pipeline.whole_tables import draw_timelines
from tests.snapshots import build_snapshot, iterate_everything, read_dump

SINCE, AS_OF = datetime.date(2020, 1, 1), datetime.date(2024, 1, 1)
DUMP_DAY = datetime.date(2024, 6, 1)
LONG_AGO = "2023-06-01T00:00:00Z"
CATALOGUE = load_catalogue().select(("head_of_government", "office_holder", "capital"))
CALENDARS = ("Q1985727", "Q1985786")

spelled = st.one_of(
    st.sampled_from(["", "none", "unknown"]),
    st.integers(1, 60).map(lambda year: f"-{year:04d}"),
    st.integers(1, 40).map(lambda year: f"{year:04d}"),
    st.dates(datetime.date(1, 1, 1), datetime.date(40, 1, 1)).map(str),
    st.dates(datetime.date(1, 1, 1), datetime.date(40, 1, 1)).map(lambda day: f"-{day}"),
    st.dates(datetime.date(2019, 1, 1), datetime.date(2024, 6, 1)).map(str),
)
terms = st.lists(st.tuples(st.integers(1, 5), spelled, spelled), min_size=1, max_size=6)
raw_days = st.lists(st.one_of(st.none(), st.integers(-4_000_000, 4_000_000)), min_size=1, max_size=8)


def held(countries: list[list[tuple[int, str, str]]], *dead: int) -> World:
    made = world()
    for number, told in enumerate(countries, 100):
        made.country(f"Q{number}")
        for holder, start, end in told:
            made.held_by(f"Q{holder}", start, end)
    for holder in dead:
        made.died(f"Q{holder}", "-0043-12-07")
    return made


def timelines(made: World) -> pa.Table:
    return draw_timelines(*made.tables(), CATALOGUE, AS_OF)[0]


# Several countries in one world: drawing a world takes longer than all that is looked up in it.
@given(st.lists(terms, min_size=5, max_size=6), st.lists(st.integers(1, 5), max_size=2, unique=True))
@settings(max_examples=5, deadline=None)
def test_what_is_decided_is_the_same_from_the_written_timelines(
    told: list[list[tuple[int, str, str]]], dead: list[int]
) -> None:
    drawn = timelines(held(told, *dead))
    again = read_back(without_early_days(drawn), "timelines")
    for day in (SINCE, AS_OF, datetime.date(60, 1, 1)):
        assert values_at(again, day) == values_at(drawn, day)


@given(raw_days)
@settings(max_examples=15, deadline=None)
def test_whatever_the_days_are_the_written_table_iterates(days: list[int | None]) -> None:
    for schema in (STATEMENTS, TIMELINES, SNAPSHOT_TABLES["entities"]):
        columns = {
            field.name: pa.array(days, pa.int32()).cast(pa.date32()) if field.type == pa.date32()
            else pa.nulls(len(days), field.type)
            for field in schema
        }  # fmt: skip
        first = next(field.name for field in schema if field.type == pa.date32())
        given = pa.table(columns, schema=schema)
        table = without_early_days(given)
        assert len(table.to_pylist()) == len(table.to_pandas()) == len(list(datasets.Dataset(table))) == len(days)
        assert table.schema == given.schema
        for was, now in zip(days, table[first].to_pylist(), strict=True):
            inside = was is not None and -719_162 <= was <= 2_932_896
            assert now == (datetime.date(1970, 1, 1) + datetime.timedelta(was) if inside and was is not None else None)


@pytest.mark.parametrize(("time", "calendar"), [("+9999-12-31", "Q1985786"), ("+9999-00-00", "Q1985786")])
def test_a_julian_day_that_the_gregorian_calendar_puts_after_9999_is_a_fault(time: str, calendar: str) -> None:
    assert read_json_time(f"{time}T00:00:00Z", 11, calendar) == "absurd_year"
    assert read_json_time(f"{time}T00:00:00Z", 11, "Q1985727") != "absurd_year"


@pytest.mark.parametrize(
    ("told", "dead", "value"),
    [
        ([(1, "-0044", "")], (), None),  # older than anybody holds it
        ([(1, "-0044", "none")], (), "Q1"),  # has begun, and Wikidata says that it has not ended
        ([(1, "2010", "")], (1,), None),  # dead before it began
        ([(1, "-0060", "-0044-03-15"), (2, "2010", "")], (), "Q2"),
        ([(1, "-0060", "unknown"), (2, "-0043", "-0030"), (3, "2010", "")], (), "Q3"),
    ],
)
def test_a_day_before_year_1_is_before_every_day_that_is_asked(
    told: list[tuple[int, str, str]], dead: tuple[int, ...], value: str | None
) -> None:
    drawn = timelines(held([told], *dead))
    written = without_early_days(drawn)
    assert written.to_pylist()  # Python can hold it
    for table in (drawn, read_back(written, "timelines")):
        assert [row["object"] for row in values_at(table, SINCE).to_pylist()] in (
            [value],
            [] if value is None else [value],
        )


def test_a_date_before_year_1_is_written_as_null_and_keeps_its_precision() -> None:
    made = held([[(1, "-0060-02", "-0044-03-15"), (2, "2010-05-01", "")]])
    statements = without_early_days(made.tables().statements).to_pylist()
    first = {key: statements[0][key] for key in ("start_earliest", "start_latest", "start_precision", "start_kind")}
    assert first == {"start_earliest": None, "start_latest": None, "start_precision": 10, "start_kind": "known"}
    assert (statements[0]["end_latest"], statements[0]["end_precision"], statements[0]["end_kind"]) == (
        None,
        11,
        "known",
    )
    assert statements[1]["start_earliest"] == datetime.date(2010, 5, 1)


def time(property_: str, text: str, precision: int, calendar: str) -> dict:
    value = {"time": f"{text}T00:00:00Z", "timezone": 0, "before": 0, "after": 0, "precision": precision}
    return snak(property_, "time", {**value, "calendarmodel": f"http://www.wikidata.org/entity/{calendar}"})


def any_date(chance: random.Random) -> tuple[str, int, str]:
    """(time, precision, calendar) of any era, not all of them dates."""
    year = chance.choice([chance.randint(0, 60), chance.randint(1500, 2030), chance.randint(9990, 10_000), 10**9])
    text = f"{chance.choice('+-')}{year:04d}-{chance.randint(0, 13):02d}-{chance.randint(0, 32):02d}"
    return text, chance.choice([0, 6, 7, 9, 9, 10, 11, 11, 14]), chance.choice(CALENDARS)


def country_of_any_era(number: int, chance: random.Random) -> list[dict]:
    """A country whose head of government changed in 2022, with an earlier one, an inception and a death of any date."""
    old, new, earlier = (f * 10_000 + number for f in (2, 3, 4))
    changed = ("+2022-02-02", 11, CALENDARS[0])
    country = entity(
        number,
        statement(f"Q{number}$0", item("P31", 6256)),
        statement(f"Q{number}$1", time("P571", *any_date(chance))),
        statement(f"Q{number}$2", item("P6", earlier), time("P580", *any_date(chance)),
                  time("P582", *any_date(chance))),
        statement(f"Q{number}$3", item("P6", old), time("P580", "+2015-01-01", 11, CALENDARS[0]),
                  time("P582", *changed)),
        statement(f"Q{number}$4", item("P6", new), time("P580", *changed)),
        label=f"Landia {number}", modified=LONG_AGO,
    )  # fmt: skip
    people = [
        entity(person, statement(f"Q{person}$0", item("P31", 5)), *died, label=f"Ada Number{person}", modified=LONG_AGO)
        for person, died in (
            (old, []),
            (new, []),
            (earlier, [statement(f"Q{earlier}$1", time("P570", *any_date(chance)))]),
        )
    ]
    return [country, *people]


@given(st.integers(0, 2**32))
@settings(max_examples=1, deadline=None, phases=[Phase.generate])  # of eighty subjects
def test_every_config_of_a_snapshot_iterates_whatever_the_dates_are(seed: int) -> None:
    chance = random.Random(seed)
    entities = [entity(6256, label="country"), entity(5, label="human")]
    for number in range(1000, 1080):
        entities += country_of_any_era(number, chance)
    with TemporaryDirectory() as name:
        work = Path(name)
        reading = read_dump(write_dump(work / "dump.json", entities), work, DUMP_DAY)
        manifest = build_snapshot(reading, SINCE, AS_OF, work / "out")
        assert manifest.set_aside == {} and verify(work / "out") == []
        assert read_table(work / "out", "edits").num_rows > 0
        rows = iterate_everything(work / "out", manifest, work / "cache")
        assert rows == sum(entry.rows for entry in manifest.files.values())
