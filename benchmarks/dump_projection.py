"""Claim: how long a whole dump takes follows from one core's speed, the parts and the cores; checked by two points.

Both passes over a folder of parts are timed on one core, and then, over twice as many parts, by two worker processes
and by a Dask cluster of two workers: what the first says of these is compared with what they took. The projection is
the same arithmetic for 1.5 TB of JSON.
Usage: python -m benchmarks.dump_projection [--megabytes 1000] [--parts 8]
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.claims import claim
from benchmarks.dump_extraction import PIDS, generate
from benchmarks.machine import MACHINE
from chronofacts.flows.dump import part_runner
from chronofacts.pipeline.sources.dump.source import DumpSettings, Runner, open_dump, run_one_by_one

DAY = datetime.date(2025, 3, 5)
PASSES = 2
WHOLE_GB = 1500
"""Of JSON in one dump of Wikidata."""
PACKED = 10
"""Times that gzip makes it smaller."""


class Machine(NamedTuple):
    """What the projection is of."""

    what: str
    cores: int
    parts: int


MACHINES = (
    Machine("one .gz as it is published, any number of cores", 1, 1),
    Machine("64 parts, 2 cores", 2, 64),
    Machine("64 parts, 16 cores", 16, 64),
    Machine("64 parts, 64 cores", 64, 64),
    Machine("64 parts, a Dask cluster of 4 machines of 16 cores", 64, 64),
)


def name_often(part: Path, folder: Path, count: int) -> None:
    """The same part under so many names."""
    folder.mkdir()
    for number in range(count):
        os.link(part, folder / f"part-{number:02}.json.gz")


def read_both_passes(folder: Path, run: Runner) -> tuple[float, float]:
    """(seconds by the clock, GB of JSON of one pass)."""
    began = time.perf_counter()
    dump = open_dump(str(folder), PIDS, DumpSettings(day=DAY, scope="whole"), run, show=lambda progress: None)
    rows = sum(table.num_rows for table in dump.statements(PIDS))
    names = sum(len(batch.labels) for batch in dump.entities(dump.subjects(PIDS), "en"))
    seconds, size = time.perf_counter() - began, sum(report.json_bytes for report in dump.reports) / PASSES
    dump.finish()
    print(
        f"  {rows} statements, {names} entities named, {size / 1e9:.2f} GB of JSON twice in {seconds:.1f} s", flush=True
    )
    return seconds, size / 1e9


def project(gigabytes: float, speed: float, cores: int, parts: int) -> float:
    """Seconds of both passes; speed: GB of JSON a second and core. Parts are whole: the last ones may leave cores idle.

    The start of the workers is left out: it is of seconds.
    """
    rounds = -(-parts // min(cores, parts))
    return PASSES * gigabytes / parts * rounds / speed


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--megabytes", type=int, default=1000, help="of JSON in each part")
    asked.add_argument("--parts", type=int, default=8)
    given = asked.parse_args()
    print(MACHINE)
    with tempfile.TemporaryDirectory() as work:
        part = generate(Path(work), given.megabytes * 1_000_000)[0]
        small, large = Path(work) / "small", Path(work) / "large"
        for folder, count in ((small, given.parts), (large, 2 * given.parts)):
            name_often(part, folder, count)
        print(f"one core, {given.parts} parts")
        seconds, size = read_both_passes(small, run_one_by_one)
        speed = PASSES * size / seconds
        for choice in ("processes", "dask"):
            if choice == "dask" and importlib.util.find_spec("distributed") is None:
                print("Dask is left out; install it with: pip install 'chronofacts[scale]'")
                continue
            print(f"two workers ({choice}), {2 * given.parts} parts")
            took, whole = read_both_passes(large, part_runner(choice))
            told = project(whole, speed, 2, 2 * given.parts)
            near = 0.8 <= took / told <= 1.25
            claim(
                f"dump by two workers ({choice}): seconds, of those projected",
                "0.8 to 1.25",
                f"{took / told:.2f}",
                near,
            )
    print(f"\n{speed * 1000:.0f} MB of JSON a second and core, both passes; {WHOLE_GB / 1000} TB of JSON:\n")
    print("| files and machine | hours | the disks must give, MB/s |\n|---|---|---|")
    for machine in MACHINES:
        hours = project(WHOLE_GB, speed, machine.cores, machine.parts) / 3600
        print(f"| {machine.what} | {hours:.2f} | {speed * 1000 * min(machine.cores, machine.parts) / PACKED:.0f} |")


if __name__ == "__main__":
    main()
