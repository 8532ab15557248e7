"""Claim: 10 million statements become timelines and changes in 5 minutes and 4 GiB on 2 cores, in linear time.

Synthetic statements in Parquet (`benchmarks.synthetic_bulk`); each size runs in a process of its own, which reads
Parquet, writes the timelines to Parquet and finds the changes between two days. Seconds are given twice: by the
clock, and of the processor (user and system of both threads), which other work on the machine changes little.
Usage: python -m benchmarks.timelines_scale [--millions 1 3 10] [--folder DIR]
"""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path

from benchmarks.claims import claim
from benchmarks.machine import peak_gib, processor_seconds
from benchmarks.synthetic_bulk import measure_sizes
from chronofacts.pipeline.changes import find_changes
from chronofacts.pipeline.timelines.agreement import check_agreement
from chronofacts.pipeline.timelines.build import values_at, write_timelines
from chronofacts.schemas.catalogue import load_catalogue

SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)
RELATIONS = ("office_holder", "officeholder", "head_of_government")


def measure(folder: Path) -> dict:
    """Run all stages in this process; seconds and peak memory after each."""
    catalogue, out = load_catalogue().select(RELATIONS), folder / "out"
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


def main() -> None:
    heading = """| million statements | changes | seconds | of the processor | per million | peak GiB |
|---|---|---|---|---|---|"""
    for millions, found in measure_sizes("timelines_scale", __doc__, [1, 3, 10], measure, heading):
        seconds, used, gib = found["stages"]["changes"]
        print(f"| {millions} | {found['changes']} | {seconds:.0f} | {used:.0f} | {used / millions:.1f} | {gib:.2f} |")
        if millions == 10:
            claim("timelines of 10 million statements: seconds", "at most 300", f"{seconds:.0f}", seconds <= 300)
            claim("timelines of 10 million statements: GiB", "at most 4", f"{gib:.2f}", gib <= 4)
        shares = ", ".join(f"{stage} {cpu:.0f} s ({peak:.2f} GiB)" for stage, (_, cpu, peak) in found["stages"].items())
        print(f"  of the processor, up to the end of: {shares}", file=sys.stderr)


if __name__ == "__main__":
    main()
