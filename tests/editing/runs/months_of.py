"""Monthly snapshots of an invented world: some facts change each month, one of them twice."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.snapshot import Snapshot

__all__ = ["AGAIN", "write_months"]

AGAIN = "Zed Zebulon"
"""The second new answer of the first fact, in the last month."""


def write_months(folder: Path, snapshot: Snapshot, each: int = 2) -> list[Path]:
    """Three snapshot folders; the first fact of the first month changes again in the last."""
    edits = sorted(snapshot.edits.to_pylist(), key=lambda edit: str(edit["edit_id"]))
    first, second, third = (edits[begin : begin + each] for begin in (0, each, 2 * each))
    again = first[0] | {"edit_id": "f" * 16, "target_old": first[0]["target_new"], "target_new": AGAIN}
    third = [again | {"new_label": AGAIN, "new_object": AGAIN, "old_label": first[0]["target_new"]}, *third[1:]]
    days = [datetime.date(2024, month, 1) for month in (1, 2, 3, 4)]
    return [
        _write(folder / f"month-{number}", snapshot, month, days[number], days[number + 1])
        for number, month in enumerate((first, second, third))
    ]


def _write(
    folder: Path, snapshot: Snapshot, edits: list[dict[str, Any]], since: datetime.date, as_of: datetime.date
) -> Path:
    questions = []
    for edit in edits:
        for row in snapshot.questions.to_pylist():
            if row["question"] == edit["prompt"] and row["kind"] == "edit":
                answers = {"answer": edit["target_new"], "answer_id": edit["target_new"], "answer_aliases": []}
                before = {"answer_before": edit["target_old"], "answer_before_id": edit["target_old"]}
                ids = {"question_id": f"q{edit['edit_id']}{as_of}", "edit_ids": [edit["edit_id"]], "as_of": as_of}
                questions.append(row | answers | before | ids)
            if row["kind"] == "history" and row["edit_ids"] == [edit["edit_id"]]:
                questions.append(row)
    tables = {
        "edits": pa.Table.from_pylist(edits, schema=snapshot.edits.schema),
        "questions": pa.Table.from_pylist(questions, schema=snapshot.questions.schema),
        "sentences": snapshot.sentences,
    }
    for name, table in tables.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(table, folder / name / "part.parquet")
    manifest = replace(snapshot.manifest, since=since, as_of=as_of, files={})
    (folder / "manifest.json").write_text(manifest.as_json(), encoding="utf-8")
    assert json.loads(manifest.as_json())
    return folder
