"""Claim: from a source's statements to a snapshot in under 1.5 GiB, whatever their number.

Synthetic statements (`benchmarks.synthetic_bulk`: as many holders as statements) stand for a source that gives
them in batches, as a dump does; everything after it is what `refresh` runs: staged, built, written and verified. Each
size runs in a process of its own.
Usage: python -m benchmarks.refresh_memory [--millions 1 3] [--folder DIR]
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.claims import claim
from benchmarks.machine import peak_gib
from benchmarks.synthetic_bulk import measure_sizes
from chronofacts.pipeline.build import SnapshotSettings, build_files
from chronofacts.pipeline.snapshots.verify import require_valid
from chronofacts.pipeline.snapshots.write import fill_folder
from chronofacts.pipeline.sources import EntityBatch, Freshness, Source
from chronofacts.pipeline.sources.entities import LABELS
from chronofacts.pipeline.sources.staging import stage_source
from chronofacts.pipeline.storage.parquet_stream import read_batches
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.tables import ENTITIES, STATEMENTS

SINCE, AS_OF = datetime.date(2023, 1, 1), datetime.date(2025, 1, 1)
NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)


@dataclass
class BulkSource(Source):
    """The Parquet of `write_bulk` as a source."""

    folder: Path
    name: str = "synthetic"

    def freshness(self) -> Freshness:
        return Freshness(AS_OF, NOW, "synthetic")

    def statements(self, properties: Sequence[str]) -> Iterator[pa.Table]:
        return read_batches(self.folder / "statements", STATEMENTS)

    def entities(self, qids: Sequence[str], language: str) -> Iterator[EntityBatch]:
        for table in read_batches(self.folder / "entities", ENTITIES):
            dead = table.filter(pc.equal(table["ended_kind"], "known"))
            died = dead["ended_earliest"].cast(pa.string())
            yield EntityBatch(
                pa.concat_tables(
                    [
                        lifecycle(table["qid"], "P31", pc.list_flatten(table["types"]), "item"),
                        lifecycle(dead["qid"], "P570", pc.binary_join_element_wise(died, died, "/"), "time"),
                    ]
                ),
                table.select(LABELS.names).cast(LABELS),
            )


def lifecycle(qids: pa.ChunkedArray, pid: str, objects: pa.ChunkedArray, kind: str) -> pa.Table:
    """`STATEMENTS` with these values and nothing else."""
    size = len(qids)
    empty = pa.ListArray.from_arrays(pa.array([0] * (size + 1), pa.int32()), pa.array([], pa.string()))
    columns = {
        "statement_id": pc.binary_join_element_wise(qids, pid, "$"),
        "subject": qids,
        "property": pa.repeat(pid, size),
        "object": objects,
        "object_kind": pa.repeat(kind, size),
        "rank": pa.repeat("normal", size),
        "qualifiers": empty,
        "faults": empty,
        "retrieved_at": pa.repeat(int(NOW.timestamp()), size).cast(STATEMENTS.field("retrieved_at").type),
        "source": pa.repeat("synthetic", size),
        **{f"{date}_kind": pa.repeat("absent", size) for date in ("start", "end", "point_in_time")},
    }
    return pa.table([columns.get(f.name, pa.nulls(size, f.type)) for f in STATEMENTS], schema=STATEMENTS)


def measure(folder: Path) -> dict[str, object]:
    """Run all stages in this process; seconds and peak memory after each."""
    catalogue = load_catalogue().select(["office_holder", "officeholder", "head_of_government"])
    stages: dict[str, list[float]] = {}
    began = time.perf_counter()

    def note(stage: str) -> None:
        stages[stage] = [round(time.perf_counter() - began, 1), round(peak_gib(), 2)]

    note("start")
    staged = stage_source(BulkSource(folder), catalogue, "en", folder / "staged")
    note("staged")
    settings = SnapshotSettings(SINCE, AS_OF)
    tables = build_files(staged, catalogue, settings, AS_OF, folder / "work")
    note("built")
    manifest = SnapshotManifest(
        name="synthetic", since=SINCE, as_of=AS_OF, language="en", source="synthetic", source_day=AS_OF,
        source_detail="synthetic", retrieved_at=NOW, code_version="0", catalogue_hash=catalogue.hash,
        relations=tuple(relation.id for relation in catalogue.relations), seed=0,
    )  # fmt: skip
    manifest = fill_folder(folder / "snapshot", tables, manifest)
    note("written")
    require_valid(folder / "snapshot")
    note("verified")
    rows = {name: sum(e.rows for f, e in manifest.files.items() if f.startswith(f"{name}/")) for name in tables}
    return {"stages": stages, "rows": rows}


def main() -> None:
    for millions, found in measure_sizes("refresh_memory", __doc__, [1, 3], measure):
        print(f"{millions} million statements: {found['rows']}")
        for stage, (seconds, gib) in found["stages"].items():
            print(f"  {stage:9} after {seconds:6.1f} s, peak {gib:.2f} GiB")
        most = max(gib for _, gib in found["stages"].values())
        claim(f"statements to snapshot, {millions:g} million: GiB", "at most 1.5", f"{most:.2f}", most <= 1.5)


if __name__ == "__main__":
    main()
