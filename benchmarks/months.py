"""Claim: what a model keeps when it is taught month after month, by each editor.

Twelve monthly snapshots of the sample are made into a store (each of what changed since the month before), and
`chronofacts follow` takes a small world through them. The figures and what they show: `benchmarks/months.md`.
Run: python -m benchmarks.months OUT [--limit FACTS_A_MONTH] [--editors lora,memit]
"""

from __future__ import annotations

import argparse
import datetime
import time
from pathlib import Path

from benchmarks.claims import claim
from benchmarks.machine import MACHINE
from chronofacts.editing.editors import EDITORS
from chronofacts.editing.report.follow import follow_as_text, write_follow_page
from chronofacts.editing.runs.follow import run_follow
from chronofacts.editing.runs.settings import SMALL_WORLD, read_settings
from chronofacts.flows.months import fetch_snapshot
from chronofacts.flows.refresh import refresh
from chronofacts.flows.settings import RefreshSettings
from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.snapshots.store import SnapshotStore, open_store

FIRST, MONTHS = datetime.date(2023, 12, 31), 12
WANTED = ("lora", "lora+replay", "lora-merge", "memit", "alphaedit", "memory")
"""Editors; those that this version has not are left out."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", default=None, help="facts of each month; all by default")
    parser.add_argument("--editors", default=",".join(name for name in WANTED if name.partition("+")[0] in EDITORS))
    given = parser.parse_args()
    print(MACHINE, flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    store = open_store(str(given.out / "store"))
    make_months(store, given.out / "making")
    folders = [fetch_snapshot(store, day) for day in store.days()]
    words = {} if given.limit is None else {"limit": given.limit}
    began = time.perf_counter()
    settings = read_settings(given.editors.split(","), words)
    found = run_follow(folders, SMALL_WORLD, settings, given.out / "run", lambda line: print(line, flush=True))
    for row in found.figures.to_pylist():
        if row["metric"] == "at_end" and row["by"] == "all":
            claim(f"twelve months, {row['editor']}: right at the end", "", f"{row['value']:.2f} (n {row['n']})")
    print(f"\n{follow_as_text(found)}\n\n{time.perf_counter() - began:.0f} s; page: {write_follow_page(found)}")


def make_months(store: SnapshotStore, scratch: Path) -> None:
    """Those that the store lacks."""
    since = FIRST
    for _ in range(MONTHS):
        as_of = last_of_next_month(since)
        if as_of not in store.days():
            folder = refresh(RefreshSettings("sample", scratch / str(as_of), SnapshotSettings(since, as_of)))
            with store.lock("benchmark"):
                store.add(folder)
        since = as_of


def last_of_next_month(day: datetime.date) -> datetime.date:
    """day: the last of a month."""
    after = day + datetime.timedelta(days=32)
    return after.replace(day=1) - datetime.timedelta(days=1)


if __name__ == "__main__":
    main()
