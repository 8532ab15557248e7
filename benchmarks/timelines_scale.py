"""Claim: 10 million statements become timelines and changes in 5 minutes and 4 GiB on 2 cores, in linear time.

Synthetic statements in Parquet (`benchmarks.synthetic_bulk`); each size runs in a process of its own, which reads
Parquet, writes the timelines to Parquet and finds the changes between two days. Seconds are told twice: by the
clock, and of the processor (user and system of both threads), which other work on the machine changes little.
Usage: python benchmarks/timelines_scale.py [--millions 1 3 10] [--folder DIR]
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.synthetic_bulk import write_bulk  # noqa: E402
from chronofacts.pipeline.changes import find_changes  # noqa: E402
from chronofacts.pipeline.timelines.agreement import check_agreement  # noqa: E402
from chronofacts.pipeline.timelines.build import values_at, write_timelines  # noqa: E402
from chronofacts.schemas.catalogue import load_catalogue  # noqa: E402

SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)
RELATIONS = ("office_holder", "officeholder", "head_of_government")
MOST_SECONDS, MOST_GIB = 300, 4.0


def measure(folder: Path, out: Path) -> dict:
    """Run all stages in this process; seconds and peak memory after each."""
    catalogue = load_catalogue().select(RELATIONS)
    stages: dict[str, list[float]] = {}
    began, used = time.perf_counter(), processor_seconds()

    def note(stage: str) -> None:
        stages[stage] = [time.perf_counter() - began, processor_seconds() - used, peak_gib()]

    write_timelines(folder / "statements", folder / "entities", catalogue, AS_OF, out)
    note("timelines")
    values = [check_agreement(values_at(out / "timelines", day), catalogue) for day in (SINCE, AS_OF)]
    note("values")
    changes, rejections = find_changes(
        out / "timelines", *values, folder / "statements", catalogue, SINCE, AS_OF, entities=folder / "entities"
    )
    note("changes")
    return {"stages": stages, "changes": changes.num_rows, "rejections": rejections.num_rows}


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--folder", type=Path, help="where the statements are made; needs 2 GB for 10 million")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.measure / "out")))
        return
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load:.0f}, Python {platform.python_version()}")
    print("| million statements | changes | seconds | of the processor | per million | peak GiB |")
    print("|---|---|---|---|---|---|")
    for millions in options.millions:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            write_bulk(Path(name), millions * 1_000_000)
            told = subprocess.run(
                [sys.executable, __file__, "--measure", name], check=True, stdout=subprocess.PIPE, cwd=name
            ).stdout
        found = json.loads(told)
        seconds, used, gib = found["stages"]["changes"]
        print(f"| {millions} | {found['changes']} | {seconds:.0f} | {used:.0f} | {used / millions:.1f} | {gib:.2f} |")
        shares = ", ".join(f"{stage} {cpu:.0f} s ({peak:.2f} GiB)" for stage, (_, cpu, peak) in found["stages"].items())
        print(f"  of the processor, up to the end of: {shares}", file=sys.stderr)
    print(f"Wanted for 10 million: {MOST_SECONDS} s on 2 cores and {MOST_GIB} GiB.")


if __name__ == "__main__":
    main()
