"""Claim: from a source's statements to a snapshot in under 1.5 GiB, whatever their number.

Synthetic statements (`benchmarks.synthetic_bulk`: as many holders as statements) stand for a source that tells them
in pieces, as a dump does; everything after it is what `refresh` runs: gathered, built, written and verified. Each size
runs in a process of its own.
Usage: python benchmarks/refresh_memory.py [--millions 1 3] [--folder DIR]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.synthetic_bulk import write_bulk  # noqa: E402
from chronofacts.pipeline.build import SnapshotSettings, build_files  # noqa: E402
from chronofacts.pipeline.snapshots.verify import require_valid  # noqa: E402
from chronofacts.pipeline.snapshots.write import fill_folder  # noqa: E402
from chronofacts.pipeline.sources import EntityBatch, Freshness, Source  # noqa: E402
from chronofacts.pipeline.sources.entities import LABELS  # noqa: E402
from chronofacts.pipeline.sources.staging import stage_source  # noqa: E402
from chronofacts.pipeline.storage.parquet_stream import read_batches  # noqa: E402
from chronofacts.schemas.catalogue import load_catalogue  # noqa: E402
from chronofacts.schemas.manifest import SnapshotManifest  # noqa: E402
from chronofacts.schemas.tables import ENTITIES, STATEMENTS  # noqa: E402

SINCE, AS_OF = datetime.date(2023, 1, 1), datetime.date(2025, 1, 1)
NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
MOST_GIB = 1.5


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
    told = stage_source(BulkSource(folder), catalogue, "en", folder / "told")
    note("gathered")
    settings = SnapshotSettings(SINCE, AS_OF)
    tables = build_files(told, catalogue, settings, AS_OF, folder / "work")
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


def peak_gib() -> float:
    """Of this program alone: what `getrusage` tells begins with the memory of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 3])
    parser.add_argument("--folder", type=Path, help="where everything is made; needs 2 GB for a million")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load:.0f}, Python {platform.python_version()}")
    for millions in options.millions:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            write_bulk(Path(name), round(millions * 1_000_000))
            told = subprocess.run(
                [sys.executable, __file__, "--measure", name], check=True, stdout=subprocess.PIPE, cwd=name
            ).stdout
        found = json.loads(told)
        print(f"{millions} million statements: {found['rows']}")
        for stage, (seconds, gib) in found["stages"].items():
            print(f"  {stage:9} after {seconds:6.1f} s, peak {gib:.2f} GiB")
    print(f"Wanted: at most {MOST_GIB} GiB.")


if __name__ == "__main__":
    main()
