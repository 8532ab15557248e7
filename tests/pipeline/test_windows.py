"""Any pair of days: a refresh of the sample and of a messy synthetic world ends sound, with nothing set aside.

The suite takes a few pairs of each; all of them (60 of the sample, 20 of the synthetic world) are taken by
`CHRONOFACTS_SWEEP=60 pytest tests/pipeline/test_windows.py` (CONTRIBUTING).
"""

from __future__ import annotations

import datetime
import gzip
import os
import random
from pathlib import Path

import pytest

from benchmarks.synthetic_forms import json_lines
from benchmarks.synthetic_world import WorldSettings, make_world
from chronofacts.pipeline.sources.sample import open_sample
from tests.snapshots import Reading, build_snapshot, gather, iterate_everything, read_dump

PAIRS = int(os.environ.get("CHRONOFACTS_SWEEP", "2"))
FIRST, LAST = datetime.date(2000, 1, 1), datetime.date(2025, 6, 30)
SYNTHETIC_AS_OF = datetime.date(2025, 1, 1)
Pair = tuple[datetime.date, datetime.date]


def pairs_of_days(count: int, seed: int, last: datetime.date) -> list[Pair]:
    """Seeded pairs between 2000 and a last day, from one month to twenty years apart."""
    chance = random.Random(seed)
    found = []
    while len(found) < count:
        since = FIRST + datetime.timedelta(chance.randrange((last - FIRST).days))
        as_of = since + datetime.timedelta(chance.randint(30, 20 * 365))
        if as_of <= last:
            found.append((since, as_of))
    return found


def checked(reading: Reading, days: Pair, tmp_path: Path) -> None:
    manifest = build_snapshot(reading, *days, tmp_path / "out")  # verified; what it set aside fails the test
    assert manifest.set_aside == {}
    assert iterate_everything(tmp_path / "out", manifest, tmp_path / "cache") > 0


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    return gather(open_sample(), tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    folder = tmp_path_factory.mktemp("synthetic")
    world = make_world(WorldSettings(seed=0, as_of=SYNTHETIC_AS_OF))
    lines = [line.encode() + b",\n" for line in json_lines(world)]
    dump = folder / "dump.json.gz"
    dump.write_bytes(gzip.compress(b"[\n" + b"".join(lines).removesuffix(b",\n") + b"\n]\n"))
    return read_dump(dump, folder, SYNTHETIC_AS_OF)


def told(days: Pair) -> str:
    return f"{days[0]}..{days[1]}"


@pytest.mark.parametrize("days", pairs_of_days(PAIRS, 1, LAST), ids=told)
def test_every_pair_of_days_of_the_sample_gives_a_sound_snapshot(sample: Reading, days: Pair, tmp_path: Path) -> None:
    checked(sample, days, tmp_path)


@pytest.mark.parametrize("days", pairs_of_days((PAIRS + 2) // 3, 2, SYNTHETIC_AS_OF), ids=told)
def test_every_pair_of_days_of_a_messy_world_gives_a_sound_snapshot(
    synthetic: Reading, days: Pair, tmp_path: Path
) -> None:
    checked(synthetic, days, tmp_path)
