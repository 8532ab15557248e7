"""A dump answers like any source: whole or in parts, with its day, its names and what it could not read."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pyarrow as pa
import pytest

from chronofacts.pipeline.sources import Window
from chronofacts.pipeline.sources.dump.progress import Meter, Progress
from chronofacts.pipeline.sources.dump.source import DumpSettings, DumpSource, open_dump
from chronofacts.pipeline.sources.sample import engine, load_triples
from chronofacts.pipeline.sources.sparql.source import SparqlSource
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.tables import SOURCE_COLUMNS
from tests.pipeline.sources.dump.dump_world import (
    EDITED,
    as_dump,
    as_lines,
    day,
    entity,
    holders,
    item,
    statement,
    write_dump,
)
from tests.pipeline.whole_tables import stage

EXTRACTS = Path(__file__).resolve().parents[5] / "shared" / "wikidata"
OFFICE = entity(11696, statement("Q11696$1", item("P31", 4164871)), label="president")


def opened(path: Path | str, tmp_path: Path, *properties: str, **options) -> DumpSource:
    return open_dump(str(path), properties or ("P39",), DumpSettings(raw=tmp_path / "raw", **options))


def told(source: DumpSource, *properties: str) -> pa.Table:
    return pa.concat_tables(source.statements(properties or ("P39",)))


def test_a_dump_in_parts_tells_what_the_whole_one_tells(tmp_path: Path) -> None:
    people = [*holders(1, 30), OFFICE]
    whole = write_dump(tmp_path / "whole.json.gz", people)
    parts = tmp_path / "parts"
    parts.mkdir()
    for place, form in enumerate((".json", ".json.gz", ".json.bz2", ".json.zst")):
        write_dump(parts / f"part-{place}{form}", people[place * 8 : place * 8 + 8])
    (parts / "md5sums.txt").write_text("not a part")

    tables = []
    for number, path in enumerate((whole, parts, parts / "part-*.json*")):
        source = opened(path, tmp_path / str(number))
        statements, batches = told(source), list(source.entities(["Q3", "Q11696"], "en"))
        lifecycle, labels = (pa.concat_tables(column) for column in zip(*batches, strict=True))
        tables.append((statements, lifecycle, labels))

    assert tables[0][0].num_rows == 30
    assert tables[0][2]["label"].to_pylist() == ["item 3", "president"]
    assert tables[0] == tables[1] == tables[2]


def test_a_source_of_a_dump_can_be_asked_about_some_items_only(tmp_path: Path) -> None:
    source = opened(write_dump(tmp_path / "d.json", [*holders(1, 40), OFFICE]), tmp_path)

    assert source.subjects(["P39"], Window(datetime.date(1910, 1, 1), datetime.date(1911, 1, 1))) == ["Q10", "Q9"]
    assert source.subjects(["P39"], Window(None, datetime.date(1902, 1, 1))) == ["Q1"]
    assert len(source.subjects(["P39"])) == 40
    assert len(source.subjects_with_value("P39", ["Q11696", "Q5"])) == 40
    assert source.subjects_with_value("P39", ["Q5"]) == []
    [table] = source.statements_of(["Q9", "Q11", "Q99"], ["P39"])
    assert table["subject"].to_pylist() == ["Q9", "Q11"]


def test_a_second_reading_uses_the_finished_parts_of_the_first(tmp_path: Path) -> None:
    path = write_dump(tmp_path / "d.json", holders(1, 40))
    first = opened(path, tmp_path)
    assert told(first).num_rows == 40

    second = opened(path, tmp_path)

    assert told(second).equals(told(first))
    assert [report.reused for report in second.reports] == [True]


def test_asking_for_another_property_reads_the_dump_for_both(tmp_path: Path) -> None:
    source = opened(write_dump(tmp_path / "d.json", holders(1, 4)), tmp_path)

    assert (told(source).num_rows, told(source, "P39", "P569").num_rows) == (4, 8)


@pytest.mark.parametrize(
    ("name", "modified", "options", "expected"),
    [
        ("wikidata-20250106-all.json", EDITED, {}, "2025-01-06 (from its name)"),
        ("all.json", EDITED, {}, "2025-03-04 (its newest edit)"),
        ("all-20259999.json", EDITED, {}, "2025-03-04 (its newest edit)"),
        ("all.json", EDITED, {"day": datetime.date(2025, 3, 3)}, "2025-03-03 (as told)"),
        ("all.json", None, {}, "2024-02-03 (the day of the file"),
    ],
)
def test_the_day_of_a_dump_is_told_or_named_or_that_of_its_newest_edit(
    name: str, modified: str | None, options: dict, expected: str, tmp_path: Path
) -> None:
    people = [one | {"modified": modified} for one in holders(1, 3)]
    people[0]["modified"] = modified and "2025-01-01T00:00:00Z"
    path = write_dump(tmp_path / name, people)
    moment = datetime.datetime(2024, 2, 3, 12, tzinfo=datetime.UTC).timestamp()
    os.utime(path, (moment, moment))

    freshness = opened(path, tmp_path, **options).freshness()

    assert expected in freshness.detail
    assert str(freshness.day) == expected[:10]
    assert freshness.retrieved_at.date() == freshness.day


@pytest.mark.parametrize(("make", "message"), [
    (lambda folder: folder / "none.json", "is no file"),
    (lambda folder: folder, "no part of a dump"),
    (lambda folder: folder / "*.zst", "is no file"),
])  # fmt: skip
def test_a_dump_that_is_not_there_is_told(make, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=message):
        opened(make(tmp_path), tmp_path)


def test_dumps_of_several_days_in_one_folder_are_refused(tmp_path: Path) -> None:
    for name in ("20250101.json.gz", "20250108.json.gz"):
        write_dump(tmp_path / name, holders(1, 2))

    with pytest.raises(BadInput, match="several days"):
        opened(tmp_path, tmp_path)


def test_of_an_entity_that_two_parts_have_the_newer_name_counts(tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, revision in (("a", 5), ("b", 9), ("c", 9), ("d", 2)):
        write_dump(parts / f"{name}.json", [entity(1, label=f"of revision {revision}", revision=revision)])

    batches = list(opened(parts, tmp_path).entities(["Q1"], "en"))

    assert pa.concat_tables(batch.labels for batch in batches)["label"].to_pylist() == ["of revision 9"]


def test_each_thing_that_could_not_be_read_is_rejected_once_although_both_passes_met_it(tmp_path: Path) -> None:
    lines = as_lines(holders(1, 6))
    lines[3] = lines[3][:99] + b"\n"
    path = tmp_path / "d.json"
    path.write_bytes(as_dump(lines).removesuffix(b"]\n"))
    source = opened(path, tmp_path)

    assert told(source).num_rows == 5
    assert len(list(source.entities(["Q1"], "en"))) == 2

    assert source.rejections()["detail"].to_pylist() == [
        "d.json line 5: cut off", "d.json: the array has no end, so that entities may be missing",
    ]  # fmt: skip


def test_rejections_of_a_dump_arrive_among_those_of_the_reading(tmp_path: Path) -> None:
    lines = as_lines(holders(1, 6))
    path = tmp_path / "d.json"
    path.write_bytes(as_dump([*lines[:2], b"{broken\n", *lines[2:]]))

    found = stage(opened(path, tmp_path), load_catalogue().select(["P39"]))

    assert found.statements.num_rows == 6
    assert found.rejections["reason"].to_pylist() == ["broken_line"]


@pytest.mark.skipif(not EXTRACTS.is_dir(), reason="the extracts of Wikidata do not lie beside the project")
def test_a_real_dump_and_an_engine_over_the_same_facts_tell_the_same(tmp_path: Path) -> None:
    catalogue = load_catalogue().select(["P39", "P6", "P1308", "P26", "P17"])
    dump = opened(EXTRACTS / "offices-2022.json.gz", tmp_path, *{r.property for r in catalogue.relations})
    endpoint = SparqlSource("rdf", engine(load_triples([EXTRACTS / "offices-2022.nt.gz"])), dump.freshness, False)

    ours, theirs = (stage(source, catalogue) for source in (dump, endpoint))

    def facts(table: pa.Table) -> pa.Table:
        return table.drop_columns(list(SOURCE_COLUMNS)).sort_by("statement_id")

    assert ours.statements.num_rows > 8000
    assert facts(ours.statements) == facts(theirs.statements)
    assert facts(ours.lifecycle) == facts(theirs.lifecycle)
    assert ours.labels.sort_by("qid") == theirs.labels.sort_by("qid")
    assert not ours.rejections.num_rows


@pytest.mark.skipif(not EXTRACTS.is_dir(), reason="the extracts of Wikidata do not lie beside the project")
def test_all_twenty_entities_of_a_real_excerpt_are_read(tmp_path: Path) -> None:
    source = opened(EXTRACTS / "dump-excerpt.json.bz2", tmp_path, "P31", "P54", "P569")

    assert told(source, "P31", "P54", "P569").num_rows > 20

    [report] = source.reports
    assert (report.entities, report.broken, report.opened, report.closed) == (20, 0, 1, 1)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_follows_the_speed_and_counts_the_pass_to_come() -> None:
    clock, shown = Clock(), list[Progress]()
    meter = Meter([100, 300], 2, clock, shown.append, every=5)
    clock.now = 1
    meter.update(0, 10, 50)
    assert not shown
    clock.now = 10
    meter.update(0, 100, 1000)

    [progress] = shown
    assert (progress.bytes_read, progress.bytes_total) == (100, 800)
    assert progress.seconds_left == pytest.approx(700 / 10)
    assert progress.json_per_second == pytest.approx(100)
    assert str(progress).endswith("70 s left")


def test_parts_that_were_read_earlier_shorten_the_time_left_and_say_nothing_of_the_speed() -> None:
    clock = Clock()
    meter = Meter([100, 300], 2, clock, lambda progress: None)
    meter.begin(2)
    clock.now = 10
    meter.skip(0)
    meter.update(1, 100, 100)

    progress = meter.progress()
    assert (progress.bytes_read, progress.seconds_left) == (600, pytest.approx(20))


def test_a_change_of_speed_shows_within_about_a_minute() -> None:
    clock = Clock()
    meter = Meter([100_000], 1, clock, lambda progress: None)
    for second in range(1, 400):
        clock.now = second
        meter.update(0, second * 10 if second < 200 else 2000 + (second - 200) * 100, 0)
        progress = meter.progress()

    assert progress.seconds_left == pytest.approx((100_000 - progress.bytes_read) / 100)


def test_a_day_that_is_no_edit_is_not_taken_for_one(tmp_path: Path) -> None:
    strange = entity(5, statement("Q5$1", day("P39", "2031-01-01")), label='"modified":"2031-01-01T')
    path = write_dump(tmp_path / "d.json", [strange])

    assert opened(path, tmp_path).freshness().day == datetime.date(2025, 3, 4)
