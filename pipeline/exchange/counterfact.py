"""CounterFact records, read only: a counterfactual edit with paraphrases and neighbours.

Source: Meng et al. 2022 (arXiv 2202.05262), `counterfact.json` and `multi_counterfact.json`. All its prompts are
clozes. Neighbourhood prompts ask about other subjects whose answer is the old one; attribute prompts about others
whose answer is the new one already: both must not move.
Leaves out: `generation_prompts`, which have no answer. A record that edits a fact a second time is a rejection.
"""

from __future__ import annotations

from pathlib import Path

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, Question
from chronofacts.pipeline.exchange.records import Record, read_records, unread_fields

__all__ = ["read_counterfact"]


def read_counterfact(file: Path) -> Benchmark:
    """All records of a CounterFact file. Raises BadInput naming the record and the field."""
    benchmark, records = Benchmark(), read_records(file)
    for record in records:
        record.leave_out("case_id", "pararel_idx", "generation_prompts")
        edit = _edit(record)
        if not benchmark.edit(edit):
            continue
        benchmark.ask_directly(edit)
        for field, kind, answer, answer_id in (
            ("neighborhood_prompts", "relation", edit.old_label or "", edit.old_object or ""),
            ("attribute_prompts", "object", edit.new_label, edit.new_object),
        ):
            for text in record.texts(field) if record.has(field) else ():
                benchmark.ask(_neighbour(edit, kind, text, answer, answer_id))
    benchmark.unread = unread_fields(records)
    return benchmark


def _edit(record: Record) -> Edit:
    rewrite = record.record("requested_rewrite")
    new, old = rewrite.record("target_new"), rewrite.record("target_true")
    subject, relation = rewrite.text("subject"), rewrite.text("relation_id")
    cloze = rewrite.text("prompt").replace("{}", subject, 1)
    return Edit(
        subject=subject,
        subject_label=subject,
        relation=relation,
        pid=relation,
        prompt=cloze,
        cloze=cloze,
        paraphrases=tuple(dict.fromkeys(record.texts("paraphrase_prompts"))),
        new_label=new.text("str"),
        new_object=new.text("id") if new.has("id") else new.text("str"),
        old_label=old.text("str"),
        old_object=old.text("id") if old.has("id") else old.text("str"),
        object_kind="item" if new.has("id") and old.has("id") else "string",
    )


def _neighbour(edit: Edit, kind: str, text: str, answer: str, answer_id: str) -> Question:
    """A prompt about some other subject, whose name the record does not give: the prompt stands for it."""
    return Question(
        kind="locality", locality_kind=kind, edit_ids=(edit.edit_id,), question=text, answer=answer,
        answer_id=answer_id, answer_before=answer, answer_before_id=answer_id, relation=edit.relation, subject=text,
        subject_label=text, edited_hops=0,
    )  # fmt: skip
