"""Compare the sample with an extract of Wikidata: `python data/sample/compare.py EXTRACT.json.gz`.

The extract has one entity a line, in Wikidata's JSON. For every (subject, property) that both speak of, each
term that began in 2000 or later is looked for on the other side: same object, and starts and ends that can be
the same day. Prints what differs, and counts. A difference is no error by itself: the extract has slips, too,
and a day that only one side knows. `--since` and `--until` bound the starts compared.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pyarrow as pa

from chronofacts.pipeline.sources.sample import open_sample
from chronofacts.pipeline.sources.statements import Origin, StatementRows, read_json_statement

PROPERTIES = ("P39", "P6", "P35", "P1308", "P488", "P1037", "P3975", "P169", "P286")
Row = dict[str, Any]


def read_extract(path: Path) -> tuple[pa.Table, dict[str, str]]:
    rows = StatementRows(Origin("extract", datetime.datetime.fromtimestamp(0, datetime.UTC)))
    names = {}
    with gzip.open(path) as lines:
        for line in lines:
            text = line.strip().rstrip(b",")
            if text in (b"[", b"]", b""):
                continue
            entity = json.loads(text)
            names[entity["id"]] = entity.get("labels", {}).get("en", {}).get("value", entity["id"])
            for pid in PROPERTIES:
                for statement in entity.get("claims", {}).get(pid, []):
                    read_json_statement(rows, entity["id"], pid, statement, None)
    return rows.table(), names


def by_timeline(table: pa.Table, since: datetime.date, until: datetime.date) -> dict[tuple[str, str], list[Row]]:
    """Statements that began in the window, by what they are about: a holder's office is looked at from the office."""
    timelines = defaultdict(list)
    for row in table.to_pylist():
        if row["rank"] == "deprecated" or row["object_kind"] != "item" or row["faults"]:
            continue
        start = row["start_earliest"]
        if start is None or not since <= start <= until:
            continue
        about, holder = (row["object"], row["subject"]) if row["property"] == "P39" else (row["subject"], row["object"])
        timelines[about, row["property"]].append({**row, "holder": holder})
    return timelines


def can_be_same(a: Row, b: Row, what: str) -> bool:
    first, second = (a[f"{what}_earliest"], a[f"{what}_latest"]), (b[f"{what}_earliest"], b[f"{what}_latest"])
    if None in first or None in second:
        return True
    return bool(first[0] <= second[1] and second[0] <= first[1])


def differences(
    ours: dict, theirs: dict, until: datetime.date
) -> Iterator[tuple[str, tuple[str, str], Row, Row | None]]:
    for key in sorted(ours.keys() & theirs.keys()):
        for mine in ours[key]:
            same = [row for row in theirs[key] if row["holder"] == mine["holder"]]
            match = [row for row in same if can_be_same(mine, row, "start")]
            if not same:
                yield "not in the extract", key, mine, None
            elif not match:
                yield "starts differ", key, mine, same[0]
            elif not any(can_be_same(mine, row, "end") for row in match) and (mine["end_latest"] or until) <= until:
                yield "ends differ", key, mine, match[0]
        held = {row["holder"] for row in ours[key]}
        yield from (("not in the sample", key, row, None) for row in theirs[key] if row["holder"] not in held)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extract", type=Path)
    parser.add_argument("--since", type=datetime.date.fromisoformat, default=datetime.date(2000, 1, 1))
    parser.add_argument("--until", type=datetime.date.fromisoformat, default=datetime.date(2022, 5, 31))
    options = parser.parse_args()
    theirs, names = read_extract(options.extract)
    source = open_sample()
    ours = pa.concat_tables(source.statements(PROPERTIES))
    for batch in source.entities(sorted({*ours["subject"].to_pylist(), *ours["object"].to_pylist()} - {None}), "en"):
        names.update({row["qid"]: row["label"] for row in batch.labels.to_pylist()})
    mine, other = (by_timeline(table, options.since, options.until) for table in (ours, theirs))
    compared = sum(len(mine[key]) for key in mine.keys() & other.keys())
    counts: dict[str, int] = defaultdict(int)
    for kind, (about, pid), row, against in differences(mine, other, options.until):
        counts[kind] += 1
        spell = f"{row['start_earliest']}/{row['end_earliest']}"
        than = f" (extract: {against['start_earliest']}/{against['end_earliest']})" if against else ""
        print(
            f"{kind}: {pid} {names.get(about, about)} ({about}): "
            f"{names.get(row['holder'])} ({row['holder']}) {spell}{than}"
        )
    print(
        f"{compared} terms of the sample compared; " + ", ".join(f"{kind}: {n}" for kind, n in sorted(counts.items()))
    )


if __name__ == "__main__":
    main()
