"""zsRE records, read only: a question with a false answer to teach, a rephrasing and an unrelated question.

Source: Levy et al. 2017, in the form of Mitchell et al. 2022 (MEND), as ROME and EasyEdit use it:
`zsre_mend_eval.json` and `zsre_mend_train.json`. `alt` is taught in place of the first of `answers`.
EasyEdit's copy has a question of two hops beside it, `portability`.
Leaves out: `pred` (what one particular model answered) and `cond`. A record without an answer to teach is a
rejection, as the published loaders skip it.
"""

from __future__ import annotations

from pathlib import Path

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, Question, consequence_question, guard_question
from chronofacts.pipeline.exchange.records import Record, read_records, unread_fields

__all__ = ["read_zsre"]

_PREFIX = "nq question:"  # the unrelated questions are from Natural Questions, without capital and question mark


def read_zsre(file: Path) -> Benchmark:
    """All records of a zsRE file. Raises BadInput naming the record and the field."""
    benchmark, records = Benchmark(), read_records(file)
    for record in records:
        record.leave_out("case_id", "pred", "cond")
        edit = _edit(record)
        if not benchmark.edit(edit):
            continue
        benchmark.ask_directly(edit)
        if record.has("loc") and record.has("loc_ans") and record.answers("loc_ans"):
            benchmark.ask(_unrelated(record, edit))
        if record.has("portability"):
            _ask_beyond(benchmark, record.record("portability"), edit)
    benchmark.unread = unread_fields(records)
    return benchmark


def _edit(record: Record) -> Edit:
    subject, prompt, new = record.text("subject"), record.text("src"), record.text("alt")
    true = record.answers("answers")
    if not true:
        raise record.wrong("answers", "a list with the true answer", true)
    rephrased = [text for text in record.texts("rephrase") if text != prompt] if record.has("rephrase") else []
    return Edit(
        subject=subject,
        subject_label=subject,
        relation=prompt.replace(subject, "{}") if subject else prompt,
        prompt=prompt,
        paraphrases=rephrased,
        new_object=new,
        new_label=new,
        old_object=true[0],
        old_label=true[0],
        old_aliases=true[1:],
    )


def _ask_beyond(benchmark: Benchmark, portability: Record, edit: Edit) -> None:
    """The question of two hops: from the subject to the new answer, and from that on."""
    portability.leave_out("Recalled Relation")
    if portability.has("New Question") and portability.has("New Answer"):
        answers = portability.answers("New Answer")
        if answers and portability.text("New Question"):
            benchmark.ask(consequence_question(edit, "multi_hop", portability.text("New Question"), answers, hops=2))


def _unrelated(record: Record, edit: Edit) -> Question:
    question = record.text("loc").removeprefix(_PREFIX).strip()
    question = question if question.endswith("?") else f"{question}?"
    answers = record.answers("loc_ans")
    return guard_question(edit, question, answers)
