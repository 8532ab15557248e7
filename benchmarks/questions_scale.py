"""How long the question set of a large refresh takes, and how much memory.

Claim (issue 4): the questions of a million changes in at most 10 minutes and 6 GiB on 2 cores, linear in changes,
whatever hub entities there are. Run: python -m benchmarks.questions_scale [CHANGES]
The invented world: each change is a company's new chief executive; every person has a birthplace, a party and a
citizenship, and all citizens share 50 countries (hubs), whose head of state changes too.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.claims import claim
from benchmarks.machine import MACHINE, peak_gib, processor_seconds, run_alone
from chronofacts.pipeline.changes import CHANGES
from chronofacts.pipeline.questions.build import QuestionInputs, QuestionSettings, build_questions
from chronofacts.pipeline.timelines.build import values_at
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.tables import ENTITIES, STATEMENTS, TIMELINES

SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)
COUNTRIES, TOWNS, PARTIES = 50, 5_000, 300
SYLLABLES = np.char.add(list("bcdfghjklmnprstvwxyz"), list("aeiouaeiouaeiouaeiou"))


def names(numbers: np.ndarray, words: int) -> pa.Array:
    """Distinct pronounceable names: base-20 digits of the number as syllables, cut into words."""
    digits = [SYLLABLES[numbers // 20**index % 20] for index in range(3 * words)]
    text = digits[0]
    for index, digit in enumerate(digits[1:], 1):
        text = np.char.add(np.char.add(text, " " if index % 3 == 0 else ""), digit)
    return pa.array(np.char.title(text))


def qids(first: int, count: int) -> np.ndarray:
    return np.char.add("Q", np.arange(first, first + count).astype(str))


def spans(
    relation: str, subjects: np.ndarray, objects: np.ndarray, start: str, end: str | None, ordinal: int
) -> pa.Table:
    """One span per subject, all with the same dates."""
    count = len(subjects)
    columns: dict[str, object] = {
        "subject": subjects,
        "relation": [relation] * count,
        "ordinal": np.full(count, ordinal, np.int32),
        "object": objects,
        "object_kind": ["item"] * count,
        "valid_to_kind": ["known" if end else "open"] * count,
        "confidence": np.ones(count, np.int8),
        "statement_ids": [[f"{relation}{ordinal}"]] * count,
    }
    for field in ("valid_from_earliest", "valid_from_latest"):
        columns[field] = pa.array([datetime.date.fromisoformat(start)] * count)
    for field in ("valid_to_earliest", "valid_to_latest"):
        columns[field] = pa.array([datetime.date.fromisoformat(end) if end else None] * count, pa.date32())
    return fill(TIMELINES, columns, count)


def fill(schema: pa.Schema, columns: Mapping[str, object], rows: int) -> pa.Table:
    """A table of so many rows, null in the columns that are not given."""
    filled = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type) for f in schema]
    return pa.table(filled, schema=schema)


def invented(changes: int) -> QuestionInputs:
    firms, people = qids(10_000_000, changes), qids(20_000_000, 2 * changes)
    countries, towns, parties = qids(100, COUNTRIES), qids(1_000, TOWNS), qids(8_000, PARTIES)
    heads = qids(50_000, 2 * COUNTRIES)
    old, new = people[:changes], people[changes:]
    chance = np.random.default_rng(0)
    everybody = np.concatenate([people, heads])
    timelines = pa.concat_tables(
        [
            spans("ceo", firms, old, "2012-04-05", "2022-06-01", 0),
            spans("ceo", firms, new, "2022-06-01", None, 1),
            spans("head_of_state", countries, heads[:COUNTRIES], "2012-04-05", "2023-02-01", 0),
            spans("head_of_state", countries, heads[COUNTRIES:], "2023-02-01", None, 1),
            spans("birthplace", everybody, towns[chance.integers(0, TOWNS, len(everybody))], "0001-01-01", None, 0),
            spans(
                "citizenship",
                everybody,
                countries[chance.integers(0, COUNTRIES, len(everybody))],
                "2000-01-01",
                None,
                0,
            ),
            spans("party", everybody, parties[chance.integers(0, PARTIES, len(everybody))], "2000-01-01", None, 0),
            spans("country", towns, countries[chance.integers(0, COUNTRIES, TOWNS)], "2000-01-01", None, 0),
        ]
    )
    count = changes + COUNTRIES
    days = ["2022-06-01"] * changes + ["2023-02-01"] * COUNTRIES
    columns: dict[str, object] = {
        "subject": np.concatenate([firms, countries]),
        "relation": ["ceo"] * changes + ["head_of_state"] * COUNTRIES,
        "kind": ["modification"] * count,
        "before": ["known"] * count,
        "old_object": np.concatenate([old, heads[:COUNTRIES]]),
        "new_object": np.concatenate([new, heads[COUNTRIES:]]),
        "object_kind": ["item"] * count,
        "confidence": [1] * count,
        "statement_ids": [["S1"]] * count,
        "changed_on_precision": [11] * count,
    } | {f"changed_on_{end}": [datetime.date.fromisoformat(day) for day in days] for end in ("earliest", "latest")}
    return QuestionInputs(
        fill(CHANGES, columns, count),
        timelines,
        values_at(timelines, SINCE),
        values_at(timelines, AS_OF),
        entities(
            (firms, 2, False),
            (people, 2, True),
            (heads, 3, True),
            (countries, 1, False),
            (towns, 2, False),
            (parties, 3, False),
        ),
        pa.concat_tables([statements(firms, old, "2022-06-01"), statements(firms, new, None)]),
    )


def statements(firms: np.ndarray, heads: np.ndarray, end: str | None) -> pa.Table:
    """What the firms' chief executives are stated by."""
    count = len(firms)
    day = pa.array([datetime.date.fromisoformat(end) if end else None] * count, pa.date32())
    columns: dict[str, object] = {
        "statement_id": np.char.add(firms, f"${end}"),
        "subject": firms,
        "property": ["P169"] * count,
        "object": heads,
        "object_kind": ["item"] * count,
        "rank": ["normal"] * count,
        "end_earliest": day,
        "end_latest": day,
        "end_kind": ["known" if end else "absent"] * count,
        "faults": [[]] * count,
    }
    return fill(STATEMENTS, columns, count)


def entities(*groups: tuple[np.ndarray, int, bool]) -> pa.Table:
    tables, first = [], 400
    for ids, words, human in groups:
        count = len(ids)
        label = names(np.arange(first, first + count) * 7919 % 20 ** (3 * words), words)
        columns: dict[str, object] = {
            "qid": ids,
            "label": label,
            "aliases": [[]] * count,
            "types": [["Q5"] if human else []] * count,
            "sitelinks": np.full(count, 5, np.int32),
            "ended_kind": ["absent"] * count,
        }
        tables.append(fill(ENTITIES, columns, count))
        first += count
    return pa.concat_tables(tables)


def write(folder: Path, changes: int) -> None:
    """The invented inputs as folders of Parquet, made in a process of their own so that they do not count as ours."""
    inputs = invented(changes)
    for field in dataclasses.fields(inputs):
        (folder / field.name).mkdir()
        pq.write_table(getattr(inputs, field.name), folder / field.name / "part.parquet")


def main(changes: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        run_alone("questions_scale", "--write", made, str(changes))
        (folder / "spill").mkdir()
        measure(changes, folder)


def measure(changes: int, folder: Path) -> None:
    inputs = QuestionInputs(**{field.name: folder / field.name for field in dataclasses.fields(QuestionInputs)})
    print(f"{MACHINE}; {changes:,} changes, 2 threads")
    before, began, edits, questions, kinds = processor_seconds(), time.perf_counter(), 0, 0, {}
    settings = QuestionSettings(SINCE, AS_OF, train_share=0.1, spill=folder / "spill")
    for part in build_questions(inputs, load_catalogue(), settings):
        edits += part.edits.num_rows
        questions += part.questions.num_rows
        for row in part.questions["kind"].value_counts().to_pylist():
            kinds[row["values"]] = kinds.get(row["values"], 0) + row["counts"]
        if part.questions.num_rows:
            print(f"  {time.perf_counter() - began:7.1f} s  {edits:,} edits, {questions:,} questions", flush=True)
        del part  # as a stage that has written it: the next one is made without it in memory
    seconds = time.perf_counter() - began
    print(f"{processor_seconds() - before:.0f} s of processor time, ", end="")
    print(f"{seconds:.1f} s ({seconds / changes * 1e5:.1f} s per 100,000 changes), peak {peak_gib():.2f} GiB, {kinds}")
    if changes == 1_000_000:
        claim("questions for a million changes: seconds", "at most 300", f"{seconds:.0f}", seconds <= 300)
        claim("questions for a million changes: GiB", "at most 4", f"{peak_gib():.2f}", peak_gib() <= 4)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
