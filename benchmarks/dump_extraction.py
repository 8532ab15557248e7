"""Claim: a dump is read into Parquet nearly as fast as it is decompressed, many times faster than with `json`.

Peers: decompression alone (the limit), a plain `gzip` + `json.loads` loop, and qwikidata when it is installed.
Each runs in a process of its own and reads a dump of one entity first, so that its libraries are loaded before
the clock starts. Speeds are by processor time, which other work on the machine changes less than the wall's; that of
one .bz2 file on all cores, with `indexed_bzip2`, is by the wall.
Usage: python -m benchmarks.dump_extraction [--gigabytes 2] [--source FILE]
"""

from __future__ import annotations

import argparse
import bz2
import datetime
import gzip
import importlib.util
import json
import os
import random
import string
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from benchmarks.claims import claim
from benchmarks.machine import MACHINE, peak_gib, run_alone
from chronofacts.pipeline.sources.dump.lines import BLOCK, decompress
from chronofacts.pipeline.sources.dump.parts import PartSettings, extract_part

PIDS = ("P39", "P6", "P35", "P169", "P54", "P286", "P488", "P1308")
DIFFERENT = 64_000_000  # bytes of different entities, repeated until the size is reached
LANGUAGES = [a + b for a in "abcdefghij" for b in "klmno"]
DENSE = "dense"
ALL_CORES = "chronofacts on all cores"
PACKED = 100_000_000
"""Bytes of JSON in the .bz2 file, which is decompressed at a hundredth of the speed of others."""
WORDS = (
    "river", "council", "league", "museum", "village", "station", "academy", "bridge", "garden", "harbour", "island",
    "market",
)  # fmt: skip


def snak(pid: str, rng: random.Random) -> dict:
    kind = rng.choice(["wikibase-item"] * 6 + ["time", "external-id", "quantity"])
    value: object = {"amount": f"+{rng.randrange(10**6)}", "unit": "1"}
    type_ = "quantity"
    if kind == "wikibase-item":
        number = rng.randrange(1, 120_000_000)
        value, type_ = {"entity-type": "item", "numeric-id": number, "id": f"Q{number}"}, "wikibase-entityid"
    elif kind == "time":
        date = f"+{rng.randrange(1900, 2026)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 28):02d}T00:00:00Z"
        calendar = "http://www.wikidata.org/entity/Q1985727"
        value = {"time": date, "timezone": 0, "before": 0, "after": 0, "precision": 11, "calendarmodel": calendar}
        type_ = "time"
    elif kind == "external-id":
        value, type_ = "".join(rng.choices(string.hexdigits, k=14)), "string"
    return {
        "snaktype": "value", "property": pid, "hash": f"{rng.getrandbits(160):040x}",
        "datavalue": {"value": value, "type": type_}, "datatype": kind,
    }  # fmt: skip


def statement(pid: str, number: int, rng: random.Random) -> dict:
    made = {"mainsnak": snak(pid, rng), "type": "statement", "id": f"Q{number}${rng.getrandbits(64):016x}",
            "rank": "normal"}  # fmt: skip
    if rng.random() < 0.3:
        made |= {"qualifiers": {"P580": [snak("P580", rng)], "P582": [snak("P582", rng)]},
                 "qualifiers-order": ["P580", "P582"]}  # fmt: skip
    if rng.random() < 0.7:
        made["references"] = [{"hash": f"{rng.getrandbits(160):040x}", "snaks-order": ["P248", "P813"],
                               "snaks": {"P248": [snak("P248", rng)], "P813": [snak("P813", rng)]}}]  # fmt: skip
    return made


class Density(NamedTuple):
    """How much of a dump is wanted."""

    share: float
    """Of the entities."""
    most: int
    """Wanted statements of one of them; as many as not are each number below."""


PLAIN = Density(0.05, 5)
REAL = Density(0.37, 3)
"""As in an excerpt of Wikidata's dump: 37 % of the bytes are lines with wanted statements, one in every 48 KB."""


def entity(number: int, rng: random.Random, density: Density = PLAIN) -> dict:
    """About 30 KB of JSON: 30 statements, 3 to 50 languages."""
    name = " ".join(rng.choices(WORDS, k=2)) + rng.choice(["", " é", " 駅", " мост"])
    codes = [*rng.sample(LANGUAGES, rng.choice([3, 10, 20, 49])), "en"]
    claims = {pid: [statement(pid, number, rng)] for pid in (f"P{rng.randrange(1310, 9999)}" for _ in range(30))}
    claims["P31"] = [statement("P31", number, rng)]
    if rng.random() < density.share:
        pid = rng.choice(PIDS)
        claims[pid] = [statement(pid, number, rng) for _ in range(rng.randrange(1, density.most + 1))]
    return {
        "type": "item", "id": f"Q{number}",
        "labels": {code: {"language": code, "value": name} for code in codes},
        "descriptions": {code: {"language": code, "value": " ".join(rng.choices(WORDS, k=5))} for code in codes},
        "aliases": {"en": [{"language": "en", "value": f"{name} too"}]}, "claims": claims,
        "sitelinks": {f"{code}wiki": {"site": f"{code}wiki", "title": name, "badges": []} for code in codes},
        "pageid": number, "ns": 0, "title": f"Q{number}", "lastrevid": 2 * 10**9 + number,
        "modified": "2025-03-04T05:06:07Z",
    }  # fmt: skip


def generate(folder: Path, size: int, density: Density = PLAIN, name: str = "dump") -> list[Path]:
    """The synthetic dump as .gz (level 6, as Wikidata's) and .zst."""
    rng, block, number = random.Random(7), bytearray(), 0
    while len(block) < min(DIFFERENT, size):
        number += 1
        block += json.dumps(entity(number, rng, density), separators=(",", ":")).encode() + b",\n"
    paths = [folder / f"{name}.json.gz", folder / f"{name}.json.zst"]
    with gzip.open(paths[0], "wb", 6) as one, pa.CompressedOutputStream(str(paths[1]), "zstd") as two:
        for stream in (one, two):
            stream.write(b"[\n")
            for _ in range(max(1, round(size / len(block)))):
                stream.write(bytes(block))
            stream.write(b"{}\n]\n")
    return paths


def pack(path: Path) -> Path:
    """The beginning of a .gz dump as .bz2."""
    packed = path.with_suffix(".bz2")
    with gzip.open(path) as lines, bz2.open(packed, "wb") as out:
        while (size := out.tell()) < PACKED and (line := lines.readline()):
            out.write(line)
        if size >= PACKED:
            out.write(b"{}\n]\n")
    return packed


def measure_decompression(path: Path) -> str:
    size = 0
    with path.open("rb", buffering=0) as raw:
        stream = decompress(raw, path)
        while data := stream.read(BLOCK):
            size += len(data)
    return str(size)


def ours(path: Path, threads: int = 1) -> str:
    with tempfile.TemporaryDirectory() as out:
        report = extract_part(path, PIDS, Path(out), PartSettings(datetime.date(2025, 3, 5), threads=threads))
    return f"{report.json_bytes} {report.rows}"


def plain_json(path: Path) -> str:
    size = rows = 0
    with gzip.open(path) as lines:
        for line in lines:
            size += len(line)
            if line.startswith(b"{"):
                claims = json.loads(line.rstrip(b",\n")).get("claims") or {}
                rows += sum(len(claims.get(pid, ())) for pid in PIDS)
    return f"{size} {rows}"


def qwikidata(path: Path) -> str:
    from qwikidata.entity import WikidataItem
    from qwikidata.json_dump import WikidataJsonDump

    rows = 0
    for one in WikidataJsonDump(str(path)):
        if one.get("type") == "item":
            groups = WikidataItem(one).get_claim_groups()
            rows += sum(len(groups[pid]) for pid in PIDS if pid in groups)
    return f"0 {rows}"


READERS: dict[str, Callable[[Path], str]] = {
    "decompression alone": measure_decompression,
    "chronofacts to Parquet": ours,
    ALL_CORES: lambda path: ours(path, os.cpu_count() or 1),
    "gzip + json loop": plain_json,
    "qwikidata": qwikidata,
}
SLOW = ("gzip + json loop", "qwikidata")  # timed once


class Measured(NamedTuple):
    """Of one reader: seconds of the processor and of the wall, peak MiB."""

    seconds: float
    wall: float
    peak: int
    counted: str
    """Bytes of JSON, and rows."""


def measure(name: str, path: Path) -> Measured:
    """One reader in a process of its own."""
    found = run_alone("dump_extraction", "--reader", name, "--source", str(path.resolve()))
    seconds, wall, peak, counted = found.strip().split(" ", 3)
    return Measured(float(seconds), float(wall), round(float(peak) * 1024), counted)


def run_reader(name: str, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        READERS[name](generate(Path(folder), 1)[0])
    before, began = time.process_time(), time.perf_counter()
    counted = READERS[name](path)
    print(f"{time.process_time() - before:.3f} {time.perf_counter() - began:.3f} {peak_gib():.4f} {counted}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=0.5)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--reader", choices=READERS)
    options = parser.parse_args()
    if options.reader:
        run_reader(options.reader, options.source)
        return
    print(MACHINE)
    with tempfile.TemporaryDirectory() as folder:
        size = int(options.gigabytes * 1e9)
        paths = [options.source] if options.source else generate(Path(folder), size)
        if not options.source:
            paths += [*generate(Path(folder), size, REAL, DENSE)[:1], pack(paths[0])]
        for path in paths:
            report(path)


def report(path: Path) -> None:
    names = ["decompression alone", "chronofacts to Parquet"]
    if path.suffix == ".gz":
        names.append("gzip + json loop")
        if importlib.util.find_spec("qwikidata"):
            names.append("qwikidata")
    if path.suffix == ".bz2":
        names.append(ALL_CORES)
    found = {}
    for name in names:
        try:
            found[name] = min(measure(name, path) for _ in range(1 if name in SLOW else 3))
        except subprocess.CalledProcessError as failed:
            if name not in SLOW:
                raise
            print(f"{name} does not read {path.name}: {failed}")
    size = int(found[names[0]].counted.split()[0])
    limit, own = found[names[0]].seconds, found[names[1]].seconds
    print(f"\n{path.name}: {size / 1e9:.2f} GB of JSON in {path.stat().st_size / 1e9:.2f} GB")
    print(
        "| reader | MB/s of JSON, one core | times decompression | times as long as ours | s | s (wall) | MiB | rows |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, (seconds, wall, peak, counted) in found.items():
        rows = counted.split()[1] if " " in counted else ""
        print(
            f"| {name} | {size / 1e6 / seconds:.0f} | {seconds / limit:.2f} | {seconds / own:.2f} "
            f"| {seconds:.2f} | {wall:.2f} | {peak} | {rows} |"
        )
    kind, speed = path.suffix, size / 1e6 / own
    if path.name.startswith(DENSE):
        claim("dump, .gz, as dense as Wikidata's: MB/s of JSON a core", "600", f"{speed:.0f}", speed >= 600)
    elif kind == ".gz":
        claim("dump, .gz: MB/s of JSON a core", "600", f"{speed:.0f}", speed >= 600)
        claim("dump, .gz: times decompression alone", "at most 1.7", f"{own / limit:.2f}", own / limit <= 1.7)
        for name, times in (("gzip + json loop", 3), ("qwikidata", 10)):
            if name in found:
                faster = found[name].seconds / own
                claim(f"dump, .gz: times as fast as {name}", str(times), f"{faster:.1f}", faster >= times)
    else:
        claim(f"dump, {kind}: times decompression alone", "", f"{own / limit:.2f}")
    if ALL_CORES in found:
        cores, faster = os.cpu_count() or 1, found[names[1]].wall / found[ALL_CORES].wall
        name = f"dump, .bz2 on {cores} cores: times as fast as on one"
        claim(name, f"at least {0.8 * cores:.1f}", f"{faster:.2f}", faster >= 0.8 * cores)


if __name__ == "__main__":
    main()
