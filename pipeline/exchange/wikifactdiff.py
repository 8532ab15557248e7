"""WikiFactDiff records, read only: the objects of a subject and a relation that are new, obsolete or static.

Source: Ammar Khodja et al. 2024 (LREC-COLING), as JSON lines. A record with one new and one obsolete object replaces
this; with a new one alone it says what is true now, and not what was before. All prompts are clozes that end in `____`.
Neighbours are other subjects of the relation, whose objects must stay.
Leaves out: descriptions, popularities and distances. What ends without a successor, or several new objects at once, is
a rejection.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, guard_question
from chronofacts.pipeline.exchange.records import Record, read_records, unread_fields

__all__ = ["read_wikifactdiff"]


def read_wikifactdiff(file: Path) -> Benchmark:
    """All records of a file. Raises BadInput naming the record and the field."""
    benchmark, records = Benchmark(), read_records(file)
    for record in records:
        record.leave_out("case_id", "is_replace")
        objects = record.records("objects")
        new = [one for one in objects if one.text("decision") == "new"]
        old = [one for one in objects if one.text("decision") == "obsolete"]
        edit = _edit(record, new, old)
        if len(new) != 1 or len(old) > 1:
            benchmark.reject("not_single_valued", edit, f"{len(new)} objects are new, {len(old)} obsolete")
        elif benchmark.edit(edit):
            benchmark.ask_directly(edit)
            for neighbour in record.records("neighborhood") if record.has("neighborhood") else ():
                _ask_neighbour(benchmark, edit, neighbour)
    benchmark.unread = unread_fields(records)
    return benchmark


def _edit(record: Record, new: Sequence[Record], old: Sequence[Record]) -> Edit:
    subject, relation = record.record("subject"), record.record("relation")
    subject.leave_out(*(name for name in subject.values if name not in ("id", "label")))
    relation.leave_out(*(name for name in relation.values if name != "id"))
    for one in (*new, *old):
        one.leave_out("description")
    cloze = _cloze(record.text("update_prompt"))
    others = record.texts("generalization_prompts") if record.has("generalization_prompts") else []
    return Edit(
        subject=subject.text("id"),
        subject_label=subject.text("label"),
        relation=relation.text("id"),
        pid=relation.text("id"),
        prompt=cloze,
        cloze=cloze,
        paraphrases=tuple(dict.fromkeys(text for text in map(_cloze, others) if text != cloze)),
        new_object=_id(new[0]) if new else "",
        new_label=new[0].text("label") if new else "",
        old_object=_id(old[0]) if old else None,
        old_label=old[0].text("label") if old else None,
        old_aliases=() if old else None,
        object_kind="item" if new and new[0].has("id") else "string",
    )


def _ask_neighbour(benchmark: Benchmark, edit: Edit, neighbour: Record) -> None:
    neighbour.leave_out(*(name for name in neighbour.values if name not in ("prompt", "object", "objects")))
    objects = neighbour.records("objects") if neighbour.has("objects") else [neighbour.record("object")]
    names = [one.text("label") for one in objects if one.has("label")]
    for one in objects:
        one.leave_out(*(name for name in one.values if name != "label"))
    if names and neighbour.has("prompt"):
        benchmark.ask(guard_question(edit, _cloze(neighbour.text("prompt")), names, relation=edit.relation))


def _cloze(text: str) -> str:
    return text.rstrip(".").rstrip("_").rstrip()


def _id(one: Record) -> str:
    return one.text("id") if one.has("id") else one.text("label")
