"""QAEdit records, read only: questions of people that a model answered wrong, to be taught, with five that must stay.

Source: Yang et al. 2025 (ACL, arXiv 2502.11177), `QAEdit.json`: `prompt, target, subject, rephrase, locality`.
A record does not say what was answered before. Leaves out: `id`, `source` (which set of questions it is from).
"""

from __future__ import annotations

from pathlib import Path

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, guard_question
from chronofacts.pipeline.exchange.records import Record, read_records, unread_fields

__all__ = ["read_qaedit"]


def read_qaedit(file: Path) -> Benchmark:
    """All records of a file. Raises BadInput naming the record and the field."""
    benchmark, records = Benchmark(), read_records(file)
    for record in records:
        record.leave_out("id", "source")
        edit = _edit(record)
        if not benchmark.edit(edit):
            continue
        benchmark.ask_directly(edit)
        for probe in record.records("locality") if record.has("locality") else ():
            answers = probe.answers("loc_ans")
            if answers and probe.text("loc"):
                benchmark.ask(guard_question(edit, probe.text("loc"), answers))
    benchmark.unread = unread_fields(records)
    return benchmark


def _edit(record: Record) -> Edit:
    subject, prompt, target = record.text("subject"), record.text("prompt"), record.answers("target")
    others = record.texts("rephrase") if record.has("rephrase") else []
    return Edit(
        subject=subject,
        subject_label=subject,
        relation=prompt.replace(subject, "{}") if subject else prompt,
        prompt=prompt,
        paraphrases=tuple(dict.fromkeys(text for text in others if text != prompt)),
        new_object=target[0] if target else "",
        new_label=target[0] if target else "",
        new_aliases=tuple(target[1:]),
    )
