"""The typed reading of a line gives exactly the rows of `read_json_statement`, for good lines and bad ones."""

from __future__ import annotations

import bz2
import copy
import datetime
import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.sources.dump.entities import EntityReader, NameRows
from chronofacts.pipeline.sources.statements import Origin, StatementRows, read_json_statement
from tests.pipeline.sources.dump.dump_world import EDITED, day, entity, holder, item, snak, statement

EXTRACTS = Path(__file__).resolve().parents[5] / "shared" / "wikidata"
NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
EDIT = datetime.datetime.fromisoformat(EDITED)
PIDS = ("P6", "P39", "P569", "P1082", "P1448", "P625", "P18")


def reference(entities: Iterable[dict], properties: Sequence[str], modified: datetime.datetime | None) -> pa.Table:
    """All statements by the general reading."""
    rows = StatementRows(Origin("dump", NOW))
    for one in entities:
        for pid in properties:
            for found in (one["claims"] or {}).get(pid, ()):
                read_json_statement(rows, one["id"], pid, found, one["lastrevid"], modified)
    return rows.table()


def typed(lines: Iterable[bytes], properties: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """(all statements by the fast reading, what it could not read)."""
    rows, reader = StatementRows(Origin("dump", NOW)), EntityReader(properties)
    broken = [fault.reason for line in lines for fault in reader.add(line, rows)[1]]
    return rows.table(), broken


@pytest.mark.parametrize("name", ["offices-2022.json.gz", "dump-excerpt.json.bz2"])
def test_real_entities_read_the_same_by_both_readings(name: str) -> None:
    path = EXTRACTS / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    lines = [line.strip().rstrip(b",") for line in (bz2.open if path.suffix == ".bz2" else gzip.open)(path)]
    lines = [line for line in lines if line.startswith(b"{")]
    lines = lines if len(lines) < 5000 else lines[::5]
    entities = [json.loads(line) for line in lines]
    properties = sorted({pid for one in entities for pid in one["claims"] or ()})

    rows, broken = typed(lines, properties)

    assert not broken
    assert rows.num_rows > 500
    assert rows.equals(reference(entities, properties, None))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(1, 200_000_000)
dates = st.builds(
    lambda year, month, day_: f"{year:04d}-{month:02d}-{day_:02d}",
    st.integers(0, 2400), st.integers(0, 13), st.integers(0, 32),
)  # fmt: skip


def values(pid: str) -> st.SearchStrategy[dict]:
    return st.one_of(
        st.builds(item, st.just(pid), numbers),
        st.builds(day, st.just(pid), dates, st.integers(0, 14)),
        st.builds(snak, st.just(pid), st.just("string"), texts),
        st.builds(lambda t: snak(pid, "monolingualtext", {"text": t, "language": "fr"}), texts),
        st.builds(lambda n: snak(pid, "quantity", {"amount": f"+{n}", "unit": "1"}), numbers),
        st.just(snak(pid, "quantity", {"amount": "+3.50", "unit": "http://www.wikidata.org/entity/Q11573"})),
        st.just(snak(pid, "globecoordinate", {"latitude": 1.5, "longitude": 2, "precision": 0.0001, "globe": "Q2"})),
        st.just(snak(pid, "wikibase-entityid", {"entity-type": "property", "numeric-id": 31, "id": "P31"})),
        st.just(snak(pid, "wikibase-entityid", {"entity-type": "item", "numeric-id": 5})),
        st.sampled_from([{"snaktype": kind, "property": pid} for kind in ("somevalue", "novalue")]),
    )


@st.composite
def entities(draw: st.DrawFn) -> dict:
    made = []
    for place in range(draw(st.integers(0, 4))):
        pid = draw(st.sampled_from(PIDS))
        qualifiers = [draw(values(draw(st.sampled_from(("P580", "P582", "P585", "P1365", "P642")))))
                      for _ in range(draw(st.integers(0, 3)))]  # fmt: skip
        rank = draw(st.sampled_from(("normal", "preferred", "deprecated")))
        made.append(statement(f"q7${place}", draw(values(pid)), *qualifiers, rank=rank))
    one = entity(draw(numbers), *made)
    for found in made:
        found["qualifiers"] = found["qualifiers"] or draw(st.sampled_from(([], {})))
    return one


@given(entities(), st.booleans())
def test_generated_entities_read_the_same_by_both_readings(one: dict, escaped: bool) -> None:
    rows, broken = typed([json.dumps(one, ensure_ascii=escaped).encode()], PIDS)

    assert not broken
    assert rows.equals(reference([one], PIDS, EDIT))


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Paths to everything inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [deeper for key, one in inner for deeper in places(one, (*path, key))]


@settings(max_examples=300)
@given(entities(), st.data())
def test_a_wrong_value_anywhere_costs_at_most_its_statement(one: dict, data: st.DataObject) -> None:
    paths = [path for path in places(one["claims"], ("claims",)) if len(path) > 3]
    if not paths:
        return
    hurt, path = copy.deepcopy(one), data.draw(st.sampled_from(paths))
    inside = hurt
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = data.draw(st.sampled_from([None, 5, 1.5, "x", [], {}, [[]], {"value": 3}, True, "\ud800"]))

    rows, _ = typed([json.dumps(hurt).encode()], PIDS)

    others = copy.deepcopy(one)
    del others["claims"][path[1]][path[2]]
    untouched = reference([others], PIDS, EDIT)
    kept = [row for row in rows.to_pylist() if row in untouched.to_pylist()]
    assert len(kept) >= untouched.num_rows
    assert rows.num_rows <= untouched.num_rows + 1


def test_a_statement_that_no_reading_understands_is_named_and_the_others_are_kept() -> None:
    one = holder(42)
    one["claims"]["P39"].append({"id": "Q42$bad", "rank": "normal", "mainsnak": {"snaktype": "value"}})
    rows, reader = StatementRows(Origin("dump", NOW)), EntityReader(("P39", "P569"))

    edited, broken = reader.add(json.dumps(one).encode(), rows)

    assert len(rows) == 2
    assert [(fault.subject, fault.statement_id) for fault in broken] == [("Q42", "Q42$bad")]
    assert edited == EDIT


@pytest.mark.parametrize(
    "line", [b'{"id":"Q1","claims":{"P39":[{}', b'{"claims":{}}', b'{"id":5}', b"\xff{}", b"{" * 9000]
)
def test_a_line_that_is_no_json_is_broken_and_adds_nothing(line: bytes) -> None:
    rows, reader = StatementRows(Origin("dump", NOW)), EntityReader(("P39",))

    _, broken = reader.add(line, rows)

    assert len(broken) == 1
    assert not rows.table().num_rows


def test_properties_and_lexemes_add_nothing() -> None:
    rows, reader = StatementRows(Origin("dump", NOW)), EntityReader(("P39",))
    one = holder(42) | {"type": "property", "id": "P42"}

    assert reader.add(json.dumps(one).encode(), rows) == (None, [])
    assert not rows.table().num_rows


def names_of(one: dict, language: str = "de") -> list[dict]:
    rows, names, reader = StatementRows(Origin("dump", NOW)), NameRows(), EntityReader(("P31",), language)
    reader.add(json.dumps(one).encode(), rows, names)
    return names.table().drop_columns(["revision"]).to_pylist()


def test_a_name_falls_back_to_mul_and_then_to_english() -> None:
    def name(language: str) -> dict:
        return {"language": language, "value": f"in {language}"}

    one = entity(1)
    one["labels"] = {code: name(code) for code in ("en", "fr", "mul")}
    one["aliases"] = {"en": [name("en"), name("en-gb")], "fr": [name("fr")]}
    one["descriptions"] = {"en": {"language": "en", "value": "a thing"}}

    assert names_of(one) == [
        {
            "qid": "Q1", "label": "in mul", "label_language": "mul", "description": "a thing",
            "aliases": ["in en", "in en-gb"], "alias_languages": ["en", "en"], "sitelinks": 1,
        }
    ]  # fmt: skip


def test_an_entity_without_any_name_has_no_row_and_a_wrong_name_does_not_hurt_the_others() -> None:
    nameless = entity(1, label="Q1", aliases=[], sitelinks=[])
    nameless["labels"].pop("de")
    hurt = entity(2, labels={"en": 5, "de": {"language": "de", "value": "zwei"}}, aliases={"en": [None]})

    assert names_of(nameless) == []
    assert [(row["label"], row["aliases"]) for row in names_of(hurt)] == [("zwei", [])]
