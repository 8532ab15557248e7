"""A refresh from an older snapshot equals a full one, and asks little more than what changed."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyoxigraph
import pytest

from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.incremental import read_older, update_source
from chronofacts.pipeline.snapshots.write import fill_folder, read_table
from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings, EndpointSource, open_endpoint
from chronofacts.pipeline.sources.sparql.neighbourhood import days_of_change
from chronofacts.schemas.catalogue import Catalogue, load_catalogue
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES
from tests.pipeline.sources.rdf_world import RdfWorld, offices
from tests.pipeline.sources.sparql.endpoint_server import NOON, EndpointServer, FakeTime, serving
from tests.pipeline.whole_tables import StagedTables, describe_entities, stage

SINCE, AS_OF = datetime.date(2003, 6, 1), datetime.date(2005, 6, 1)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue().select(["office_holder", "birthplace", "country"])


class Reader:
    """Reads one server, fully or from a snapshot, each time as a new run."""

    def __init__(self, server: EndpointServer, catalogue: Catalogue, folder: Path, scope: str) -> None:
        self.server, self.catalogue, self.folder = server, catalogue, folder
        self.window = days_of_change(SINCE, AS_OF) if scope == "changes" else None

    def open(self) -> EndpointSource:
        return open_endpoint(self.server.url, EndpointSettings(raw=self.folder / "raw"), FakeTime().clock())

    def full(self) -> StagedTables:
        source = self.open()
        staged = stage(source, self.catalogue, window=self.window)
        source.finish()
        return staged

    def updated(self, old: Path) -> StagedTables:
        source = self.open()
        staged = stage(update_source(source, old, self.catalogue, "en"), self.catalogue, window=self.window)
        source.finish()
        return staged

    def snapshot(self) -> Path:
        """What was read, as a snapshot: only the tables that a later reading looks at."""
        staged = self.full()
        out = self.folder / "old"
        tables = {name: schema.empty_table() for name, schema in SNAPSHOT_TABLES.items()}
        statements = pa.concat_tables([staged.statements, staged.lifecycle])
        entities = describe_entities(staged.lifecycle, staged.labels)
        fill_folder(out, {**tables, "statements": statements, "entities": entities}, self.manifest())
        return out

    def manifest(self) -> SnapshotManifest:
        return SnapshotManifest(
            name="old", since=SINCE, as_of=AS_OF, language="en", source=self.server.url, source_day=NOON.date(),
            source_detail="", retrieved_at=NOON, code_version="0", catalogue_hash=self.catalogue.hash,
            relations=tuple(relation.id for relation in self.catalogue.relations), seed=0,
        )  # fmt: skip


@pytest.fixture(params=["whole", "changes"])
def world_and_reader(
    request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path: Path
) -> Iterator[tuple[RdfWorld, Reader]]:
    world = offices(80)
    for person in range(80):
        world.says(f"Q{100 + person}", "P19", f"Q{1000 + person % 20}")
    for town in range(20):
        world.item(f"Q{1000 + town}", f"Town {town}", revision=30 + town, types=("Q515",)).says(
            f"Q{1000 + town}", "P17", "Q7"
        )
    for office in range(10, 20):
        world.says(f"Q{office}", "P17", "Q7")
    world.item("Q7", "Country", revision=7, types=("Q6256",)).says("Q7", "P17", "Q7")
    with serving(world.store()) as server:
        yield world, Reader(server, catalogue, tmp_path, request.param)


def rows(staged: StagedTables) -> tuple[list, list, list]:
    tables = (staged.statements, staged.lifecycle.sort_by("statement_id"), staged.labels.sort_by("qid"))
    return tuple(table.to_pylist() for table in tables)


CHANGES: dict[str, Callable[[RdfWorld], object]] = {
    "nothing": lambda world: None,
    "a name": lambda world: world.item("Q141", "A new name", revision=9001),
    "a statement more": lambda world: world.says("Q141", "P39", "Q19", start="2004-05-01").item("Q141", revision=9001),
    "a new subject": lambda world: world.says("Q5000", "P39", "Q11", start="2004-09-01").item(
        "Q5000", "Somebody new", revision=9002, types=("Q5",)
    ),
    "a subject gone": lambda world: world.removed("Q141"),
    "an object merged": lambda world: world.merged("Q1001", "Q1002").item("Q1002", "Both towns", revision=9003),
    "a subject merged": lambda world: world.merged("Q141", "Q142").item("Q142", revision=9004),
    "an office that now has a change": lambda world: world.says(
        "Q139", "P39", "Q77", start="2004-02-01", end="2004-12-01"
    ).item("Q139", revision=9005).item("Q77", "Office 77", revision=9006),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_an_update_equals_a_full_reading(world_and_reader: tuple[RdfWorld, Reader], change: str) -> None:
    world, reader = world_and_reader
    old = reader.snapshot()
    CHANGES[change](world)
    assert rows(reader.updated(old)) == rows(reader.full())


def test_an_update_of_an_update_equals_a_full_reading(world_and_reader: tuple[RdfWorld, Reader]) -> None:
    world, reader = world_and_reader
    old = reader.snapshot()
    for change in CHANGES.values():
        change(world)
    told = rows(reader.full())
    assert rows(reader.updated(old)) == told


def test_a_replica_that_lags_behind_the_snapshot_changes_nothing(world_and_reader: tuple[RdfWorld, Reader]) -> None:
    world, reader = world_and_reader
    older = pyoxigraph.Store()
    older.extend(world.store())
    world.says("Q141", "P39", "Q19", start="2004-05-01").item("Q141", "A new name", revision=9001)
    old, told = reader.snapshot(), rows(reader.full())
    reader.server.older, reader.server.fault = older, lambda number, query: "lags"
    assert rows(reader.updated(old)) == told


def test_an_unchanged_world_costs_one_question_of_revisions_and_the_search_for_new_subjects(
    world_and_reader: tuple[RdfWorld, Reader],
) -> None:
    _, reader = world_and_reader
    old = reader.snapshot()
    reader.server.queries.clear()
    reader.updated(old)
    details = [query for query in reader.server.queries if "?amount" in query or "skos:altLabel" in query]
    assert details == []


def test_the_cost_grows_with_the_changes_and_not_with_the_world(
    world_and_reader: tuple[RdfWorld, Reader],
) -> None:
    world, reader = world_and_reader
    old = reader.snapshot()
    for person in range(4):
        world.item(f"Q{130 + person}", f"New name {person}", revision=9100 + person)
    reader.server.queries.clear()
    reader.updated(old)
    asked = [query for query in reader.server.queries if "?amount" in query]
    named = {word for query in asked for word in query.split() if word.startswith("wd:Q")}
    assert named == {f"wd:Q{130 + person}" for person in range(4)}


def test_an_update_from_another_source_language_or_relation_is_wrong_use(
    world_and_reader: tuple[RdfWorld, Reader],
) -> None:
    _, reader = world_and_reader
    old, address = reader.snapshot(), reader.server.url
    with pytest.raises(BadInput, match="was read from"):
        read_older(old, reader.catalogue, "en", "https://elsewhere.org/sparql")
    with pytest.raises(BadInput, match="is in en, not in fi"):
        read_older(old, reader.catalogue, "fi", address)
    with pytest.raises(BadInput, match="was read without P6"):
        read_older(old, load_catalogue().select(["head_of_government"]), "en", address)


def test_the_command_updates_a_snapshot_to_what_a_full_refresh_gives(tmp_path: Path) -> None:
    from chronofacts.flows.refresh import refresh
    from chronofacts.flows.settings import RefreshSettings

    world, days = offices(), SnapshotSettings(SINCE, AS_OF)
    with serving(world.store()) as server:

        def run(name: str, update: Path | None = None) -> Path:
            options = EndpointSettings(raw=tmp_path / "raw")
            relations = ("office_holder", "birthplace")
            return refresh(RefreshSettings(server.url, tmp_path / name, days, relations, update, options))

        old = run("old")
        world.says("Q5000", "P39", "Q11", start="2005-04-01").item("Q5000", "Somebody new", revision=9, types=("Q5",))
        full, updated = run("full"), run("updated", old)
    for name in SNAPSHOT_TABLES:
        if name != "questions":
            tables = [read_table(snapshot, name) for snapshot in (full, updated)]
            kept = [column for column in tables[0].column_names if column != "retrieved_at"]
            assert tables[0].select(kept).equals(tables[1].select(kept)), name
    with pytest.raises(BadInput, match="--update"):
        refresh(RefreshSettings("sample", tmp_path / "no", days, update=old))
