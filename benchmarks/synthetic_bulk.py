"""Millions of synthetic statements, drawn column by column: `STATEMENTS` and `ENTITIES` as Parquet.

Offices with consecutive terms, half stated of the holders (P39), a quarter each by the office's list (P1308) and by
the country (P6), with Wikidata's mess in about its shares: coarse dates, absent and explicit ends, duplicates,
deprecated and preferred ranks, acting holders, damaged dates, "replaced by", deaths.
For measuring only; what must hold is tested on the small world of `benchmarks.synthetic_world`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.machine import MACHINE, run_alone
from chronofacts.schemas.tables import ENTITIES, STATEMENTS

__all__ = ["measure_sizes", "write_bulk"]

TERMS = 10  # statements of one office
CHUNK = 500_000
TODAY = 20_089  # 2025-01-01, in days from 1970-01-01
FIRST_OFFICE, FIRST_COUNTRY, FIRST_HOLDER = 10_000_000, 20_000_000, 100_000_000


def write_bulk(folder: Path, rows: int, seed: int = 0) -> None:
    """Write `folder/statements` with `rows` statements and `folder/entities` with all that they name.

    rows: a multiple of 10. One chunk is in memory at a time; the same seed gives the same rows.
    """
    for name in ("statements", "entities"):
        (folder / name).mkdir(parents=True)
    for part, first in enumerate(range(0, rows, CHUNK)):
        random = np.random.default_rng([seed, part])
        size = min(CHUNK, rows - first)
        statements, entities = _chunk(random, first, size)
        for name, table in (("statements", statements), ("entities", entities)):
            pq.write_table(table, folder / name / f"part-{part:04d}.parquet", compression="zstd")


def measure_sizes(
    benchmark: str, claim: str, sizes: Sequence[float], measure: Callable[[Path], Any], heading: str = ""
) -> Iterator[tuple[float, Any]]:
    """The command line of a benchmark over `write_bulk`: what `measure` gives for each size, in millions of statements.

    measure: takes the folder with the statements, and runs in a process of its own.
    """
    parser = argparse.ArgumentParser(description=claim, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=sizes)
    parser.add_argument("--folder", type=Path, help="where everything is made; needs 2 GB for a million")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    print(MACHINE, heading, sep="\n")
    for millions in options.millions:
        with TemporaryDirectory(dir=options.folder) as name:
            write_bulk(Path(name), round(millions * 100_000) * 10)
            yield millions, json.loads(run_alone(benchmark, "--measure", str(Path(name).resolve())))


def _chunk(random: np.random.Generator, first: int, size: int) -> tuple[pa.Table, pa.Table]:
    number = np.arange(first, first + size)
    office, term = number // TERMS, number % TERMS
    # Terms of an office follow each other; the last one holds it today.
    length = random.integers(300, 2200, size)
    length[term == 0] = 0
    upto = np.cumsum(length) - np.repeat(np.cumsum(length)[term == 0], TERMS)
    held = np.repeat(random.integers(30, 2500, size // TERMS), TERMS)  # days that the last one has held it
    start = TODAY - held - np.repeat(upto[term == TERMS - 1], TERMS) + upto
    last = term == TERMS - 1
    end = np.where(last, TODAY, np.append(start[1:], TODAY))
    vacancy = (random.random(size) < 0.1) & ~last
    end = np.where(vacancy, end - 60, end)

    repeated = (random.random(size) < 0.02) & (term > 0)  # the statement before, stated again
    source = np.where(repeated, np.arange(size) - 1, np.arange(size))
    holder = FIRST_HOLDER + first + source
    draw = random.random(size)[source]
    end_kind = np.where(
        last,
        np.where(draw < 0.4, "none", "absent"),
        np.where(draw < 0.72, "known", np.where(draw < 0.97, np.where(vacancy, "known", "absent"), "unknown")),
    )[source]
    precision = random.choice([11, 10, 9, 8], size, p=[0.6, 0.2, 0.198, 0.002])[source]
    end_precision = random.choice([11, 10, 9], size, p=[0.6, 0.2, 0.2])[source]
    dateless = random.random(size) < 0.01
    columns = {
        **_interval("start", start[source], precision, np.where(dateless, "absent", "known")),
        **_interval("end", end[source], end_precision, np.where(dateless, "absent", end_kind)),
        **_interval("point_in_time", start, precision, np.full(size, "absent")),
    }
    by = office % 4  # 0, 1: P39, stated of the holder; 2: P1308; 3: P6 of the country
    subject_id = np.where(by == 3, FIRST_COUNTRY, FIRST_OFFICE) + office
    page, value = np.where(by < 2, holder, subject_id), np.where(by < 2, subject_id, holder)
    follower = (random.random(size) < 0.2) & ~last
    columns |= {
        "statement_id": _ids(page, number),
        "subject": _qids(page),
        "property": pa.array(np.array(["P39", "P39", "P1308", "P6"])[by]),
        "object": _qids(value),
        "object_kind": pa.repeat("item", size),
        "object_unit": pa.nulls(size, pa.string()),
        "rank": pa.array(random.choice(["normal", "preferred", "deprecated"], size, p=[0.92, 0.05, 0.03])),
        "replaces": pa.nulls(size, pa.string()),
        "replaced_by": pc.if_else(pa.array(follower), _qids(holder + 1), None),
        "qualifiers": _lists(random.random(size) < 0.04, "P5102=Q4676846"),
        "faults": _lists(random.random(size) < 0.002, "malformed_time"),
        "revision": pa.array(number),
        "modified_at": pa.array(np.full(size, 1_700_000_000)).cast(pa.timestamp("s")).cast(pa.timestamp("s", "UTC")),
        "retrieved_at": pa.array(np.full(size, 1_735_689_600)).cast(pa.timestamp("s")).cast(pa.timestamp("s", "UTC")),
        "source": pa.repeat("synthetic", size),
    }
    statements = pa.table([columns[f.name] for f in STATEMENTS], schema=STATEMENTS)
    return statements, _entities(random, first, size, np.unique(subject_id), end)


def _interval(prefix: str, day: np.ndarray, precision: np.ndarray, kind: np.ndarray) -> dict[str, pa.Array]:
    """The four columns of a date: months of 30 and years of 360 days will do for measuring."""
    width = np.select([precision == 11, precision == 10], [1, 30], 360)
    earliest = day - day % width
    known, dated = kind == "known", (kind == "known") & (precision >= 9)
    return {
        f"{prefix}_earliest": pa.array(earliest.astype(np.int32), mask=~dated).view(pa.date32()),
        f"{prefix}_latest": pa.array((earliest + width - 1).astype(np.int32), mask=~dated).view(pa.date32()),
        f"{prefix}_precision": pa.array(precision.astype(np.int8), mask=~known),
        f"{prefix}_kind": pa.array(kind),
    }


def _entities(random: np.random.Generator, first: int, size: int, subjects: np.ndarray, end: np.ndarray) -> pa.Table:
    """Every holder (a human, a third of them dead since their term or later) and every subject."""
    holders = FIRST_HOLDER + first + np.arange(size)
    qids = np.concatenate([subjects, holders])
    human = np.concatenate([np.zeros(len(subjects), bool), np.ones(size, bool)])
    dead = np.concatenate([np.zeros(len(subjects), bool), (random.random(size) < 0.33) & (end < TODAY)])
    ended = np.concatenate([np.zeros(len(subjects)), end + random.integers(0, 9000, size)]).astype(np.int32)
    names = _qids(qids)
    ended_on = pa.array(ended, mask=~dead).view(pa.date32())
    columns = {
        "qid": names,
        "label": pc.binary_join_element_wise("name of", names, " "),
        "label_language": pa.repeat("en", len(qids)),
        "aliases": _lists(np.zeros(len(qids), bool), ""),
        "types": pa.ListArray.from_arrays(
            pa.array(np.arange(len(qids) + 1, dtype=np.int32)), pc.if_else(pa.array(human), "Q5", "Q4164871")
        ),
        "ended_earliest": ended_on,
        "ended_latest": ended_on,
        "ended_kind": pc.if_else(pa.array(dead), "known", "absent"),
    }
    return pa.table([columns.get(f.name, pa.nulls(len(qids), f.type)) for f in ENTITIES], schema=ENTITIES)


def _qids(numbers: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise("Q", pa.array(numbers).cast(pa.string()), "")


def _ids(page: np.ndarray, number: np.ndarray) -> pa.Array:
    """Ids as long as Wikidata's: `Q60$` and 36 characters."""
    digits = pc.utf8_lpad(pa.array(number).cast(pa.string()), 12, "0")
    scattered = pa.array((number * 2_654_435_761) % 10**8).cast(pa.string())
    tail = pc.binary_join_element_wise(pc.utf8_lpad(scattered, 8, "0"), "0000-4000-8000", digits, "-")
    return pc.binary_join_element_wise(_qids(page), tail, "$")


def _lists(filled: np.ndarray, text: str) -> pa.Array:
    """A list of one text where filled, an empty one elsewhere."""
    offsets = np.concatenate([[0], np.cumsum(filled)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.repeat(text, int(filled.sum())))
