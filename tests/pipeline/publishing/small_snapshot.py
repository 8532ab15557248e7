"""A small snapshot, written as `refresh` writes one: an office, its holders, and the questions about them."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from chronofacts.pipeline.snapshots.write import write_valid
from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES

__all__ = ["AS_OF", "SINCE", "make_snapshot"]

SINCE, AS_OF = datetime.date(2021, 1, 1), datetime.date(2025, 1, 1)
RETRIEVED = datetime.datetime(2025, 1, 2, tzinfo=datetime.UTC)
TOOK_OVER = datetime.date(2023, 5, 1)


def make_snapshot(
    out: Path, as_of: datetime.date = AS_OF, holders: dict[int, int] | None = None, surname: str = "Younger"
) -> Path:
    """A snapshot folder with one edit per office.

    holders: number of an office -> number of who took it over in 2023; by default three offices.
    surname: a part of the names of the new holders.
    """
    taken_over = {1: 1, 2: 2, 3: 3} if holders is None else holders
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SNAPSHOT_TABLES}
    for office, holder in taken_over.items():
        _add_office(rows, as_of, office, holder, surname)
    tables = {
        name: pa.Table.from_pylist([{key: row.get(key) for key in schema.names} for row in rows[name]], schema=schema)
        for name, schema in SNAPSHOT_TABLES.items()
    }
    manifest = SnapshotManifest(
        name=f"sample {SINCE} to {as_of}",
        since=SINCE,
        as_of=as_of,
        language="en",
        source="sample",
        source_day=as_of,
        source_detail="three invented offices",
        retrieved_at=RETRIEVED,
        code_version="0.1.0",
        catalogue_hash="0" * 64,
        relations=("office_holder",),
        seed=0,
    )
    assert write_valid(tables, manifest, out).set_aside == {}
    return out


def _add_office(
    rows: dict[str, list[dict[str, Any]]], as_of: datetime.date, number: int, holder: int, surname: str
) -> None:
    office, old, new = f"Q{number}1", f"Q{number}2", f"Q{number}3{holder}"
    names = {office: f"Seat {number}", old: f"Ada Elder {number}", new: f"Bo {surname} {number} {holder}"}
    rows["entities"] += [
        {"qid": qid, "label": name, "label_language": "en", "aliases": [], "types": ["Q5"], "ended_kind": "absent"}
        for qid, name in names.items()
    ]
    spans = (
        (old, datetime.date(2015, 1, 1), TOOK_OVER, "known", f"{old}$A"),
        (new, TOOK_OVER, None, "none", f"{new}$B"),
    )
    for ordinal, (person, start, end, end_kind, statement) in enumerate(spans):
        rows["statements"].append(_statement(person, office, start, end, end_kind, statement))
        rows["timelines"].append(
            {
                "subject": office, "relation": "office_holder", "ordinal": ordinal, "object": person,
                "object_kind": "item", "valid_from_earliest": start, "valid_from_latest": start,
                "valid_from_precision": 11, "valid_to_earliest": end, "valid_to_latest": end,
                "valid_to_precision": 11 if end else None, "valid_to_kind": end_kind, "end_inferred": False,
                "end_reason": "stated" if end else "no_value", "rank": "normal", "confidence": 1,
                "statement_ids": [statement],
            }
        )  # fmt: skip
    prompt = f"Who holds {names[office]}?"
    edit_id = _hash("office_holder", office, old, new, str(TOOK_OVER))
    rows["edits"].append(
        {
            "edit_id": edit_id, "kind": "modification", "before": "known", "stays": [], "relation": "office_holder",
            "property": "P39", "inverse": True, "subject": office,
            "subject_label": names[office], "subject_aliases": [],
            "old_object": old, "old_label": names[old], "old_aliases": [], "new_object": new,
            "new_label": names[new], "new_aliases": [], "object_kind": "item", "changed_on_earliest": TOOK_OVER,
            "changed_on_latest": TOOK_OVER, "changed_on_precision": 11, "prompt": prompt,
            "target_new": names[new], "target_old": names[old],
            "paraphrases": [f"{prompt[:-1]} {word}?" for word in ("today", "now", "at present", "these days")],
            "cloze": f"{names[office]} is held by", "confidence": 1, "statement_ids": [f"{old}$A", f"{new}$B"],
            "split": "test" if number % 2 else "train",
        }
    )  # fmt: skip
    for kind in ("edit", "cloze"):
        question = prompt if kind == "edit" else f"{names[office]} is held by"
        rows["questions"].append(
            {
                "question_id": _question_id(kind, f"{office}\x1eoffice_holder\x1e{new}", question),
                "edit_ids": [edit_id], "kind": kind, "hops": 1, "edited_hops": 1,
                "relation": "office_holder", "subject": office, "subject_label": names[office],
                "question": question, "phrasings": [], "answer": names[new], "answer_id": new,
                "answer_aliases": [], "answer_before": names[old], "answer_before_id": old,
                "answer_before_aliases": [], "answer_set": [],
                "answer_before_set": [], "as_of": as_of, "split": "test" if number % 2 else "train",
                "chain": [
                    {
                        "subject": office, "relation": "office_holder", "property": "P39", "inverse": True,
                        "object": new, "subject_label": names[office], "object_label": names[new],
                        "object_before": old, "object_before_label": names[old], "edit_id": edit_id,
                        "question": prompt, "cloze": f"{names[office]} is held by",
                    }
                ],
            }
        )  # fmt: skip


def _statement(
    person: str, office: str, start: datetime.date, end: datetime.date | None, end_kind: str, statement: str
) -> dict[str, Any]:
    return {
        "statement_id": statement, "subject": person, "property": "P39", "object": office, "object_kind": "item",
        "rank": "normal", "start_earliest": start, "start_latest": start, "start_precision": 11,
        "start_kind": "known", "end_earliest": end, "end_latest": end, "end_precision": 11 if end else None,
        "end_kind": end_kind, "point_in_time_kind": "absent", "qualifiers": [], "faults": [],
        "retrieved_at": RETRIEVED, "source": "sample",
    }  # fmt: skip


def _hash(*content: str) -> str:
    text = json.dumps(list(content), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _question_id(*content: str) -> str:
    return hashlib.sha256("\x1f".join(content).encode()).hexdigest()[:16]
