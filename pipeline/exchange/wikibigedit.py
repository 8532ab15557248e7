"""WikiBigEdit rows, read only: what changed between two dumps of Wikidata, in questions.

Source: Thede et al. 2025 (ICML), rows `tag, subject, update, rephrase, personas, ans, loc, loc_ans, mhop, mhop_ans`.
A row has neither ids nor the answer before. Leaves out: `tag`.
"""

from __future__ import annotations

from pathlib import Path

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, consequence_question, guard_question
from chronofacts.pipeline.exchange.records import Record, read_records, unread_fields

__all__ = ["read_wikibigedit"]


def read_wikibigedit(file: Path) -> Benchmark:
    """All rows of a file. Raises BadInput naming the row and the field."""
    benchmark, records = Benchmark(), read_records(file)
    for record in records:
        record.leave_out("tag")
        edit = _edit(record)
        if not benchmark.edit(edit):
            continue
        benchmark.ask_directly(edit)
        for question, answer in (("loc", "loc_ans"), ("mhop", "mhop_ans")):
            if not (record.has(question) and record.has(answer) and record.answers(answer) and record.text(question)):
                continue
            text, answers = record.text(question), record.answers(answer)
            if question == "loc":
                benchmark.ask(guard_question(edit, text, answers))
            else:
                benchmark.ask(consequence_question(edit, "multi_hop", text, answers, hops=2))
    benchmark.unread = unread_fields(records)
    return benchmark


def _edit(record: Record) -> Edit:
    subject, prompt, answer = record.text("subject"), record.text("update"), record.text("ans")
    others = [text for name in ("rephrase", "personas") if record.has(name) for text in record.texts(name)]
    return Edit(
        subject=subject,
        subject_label=subject,
        relation=prompt.replace(subject, "{}") if subject else prompt,
        prompt=prompt,
        paraphrases=tuple(dict.fromkeys(text for text in others if text != prompt)),
        new_object=answer,
        new_label=answer,
    )
