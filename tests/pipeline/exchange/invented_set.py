"""A small set of edits and questions about an invented country, in the tables of a snapshot.

Veldor's premier was Ana Brill, who is married to Tom Ash, and is Bo Crane, who is married to Ida Dell.
"""

from __future__ import annotations

import datetime
from dataclasses import replace

import pyarrow as pa

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, Link, Question
from chronofacts.pipeline.exchange.snapshot_rows import Contents
from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.tables import TIMELINES

SINCE, AS_OF = datetime.date(2020, 1, 1), datetime.date(2024, 1, 1)
PREMIER = Edit(
    subject="Q1", subject_label="Veldor", subject_aliases=("Republic of Veldor",), relation="head_of_government",
    pid="P6", old_object="Q2", old_label="Ana Brill", old_aliases=("A. Brill",), new_object="Q3", new_label="Bo Crane",
    new_aliases=("Robert Crane",), object_kind="item", changed_on_earliest=datetime.date(2022, 5, 1),
    changed_on_latest=datetime.date(2022, 5, 31), changed_on_precision=10, prompt="Who is the premier of Veldor?",
    paraphrases=("Who leads the government of Veldor?", "Which person is premier of Veldor?"),
    cloze="The premier of Veldor is", sitelinks=7, confidence=2, statement_ids=("Q1$A", "Q1$B"),
)  # fmt: skip
CHAIR = Edit(
    subject="Q9", subject_label="Orlo Club", relation="chair", pid="P488", new_object="Q8", new_label="Fay Grim",
    object_kind="item", changed_on_earliest=datetime.date(2021, 1, 1), changed_on_latest=datetime.date(2021, 12, 31),
    changed_on_precision=9, prompt="Who chairs the Orlo Club?", paraphrases=("Who is the chair of the Orlo Club?",),
    cloze="The chair of the Orlo Club is", old_aliases=None,
)  # fmt: skip


def stable(subject: str, relation: str, pid: str, found: str, names: tuple[str, str], words: tuple[str, str]) -> Link:
    """A fact that is the same on both days. names: subject's, object's; words: question, cloze."""
    return Link(subject, relation, pid, False, found, names[0], names[1], found, names[1], None, *words)


def spouse(edit: Edit, number: str = "Q5", name: str = "Ida Dell") -> Link:
    words = (f"Who is the spouse of {edit.new_label}?", f"The spouse of {edit.new_label} is")
    return stable(edit.new_object, "spouse", "P26", number, (edit.new_label, name), words)


def probe(edit: Edit, kind: str, question: str, answer: str, **columns: object) -> Question:
    given: dict[str, object] = {
        "edit_ids": (edit.edit_id,), "relation": edit.relation, "subject": edit.subject,
        "subject_label": edit.subject_label, "edited_hops": 1, "answer_id": f"id of {answer}", **columns,
    }  # fmt: skip
    return Question(kind=kind, question=question, answer=answer, **given)  # type: ignore[arg-type]


def probes(edit: Edit) -> list[Question]:
    """One question of each kind that asks about an edit otherwise than directly."""
    unmoved = {"answer_before": "Sel", "answer_before_id": "id of Sel", "answer_before_aliases": [], "edited_hops": 0}
    asked_on = datetime.date(2018, 7, 1)
    questions = [
        probe(
            edit,
            "locality",
            f"What is the currency of {edit.subject_label}?",
            "Sel",
            locality_kind="subject",
            **unmoved,
        ),
        probe(edit, "reverse", f"Which country does {edit.new_label} lead?", edit.subject_label),
        probe(
            edit, "history", f"Who was premier of {edit.subject_label} in 2018?", "Sel", asked_on=asked_on, **unmoved
        ),
    ]
    if edit.old_label is not None:
        before = {
            "answer_before": edit.old_label,
            "answer_before_id": edit.old_object,
            "answer_before_aliases": edit.old_aliases,
        }
        questions += [
            probe(
                edit, "alias", "Who is the premier of the Republic?", edit.new_label, answer_aliases=edit.new_aliases,
                **before,
            ),
            probe(edit, "timeline", f"Who was premier before {edit.new_label}?", edit.old_label),
            multi_hop(edit),
        ]  # fmt: skip
    return questions


def multi_hop(edit: Edit) -> Question:
    """Two hops, three wordings, through the edited fact."""
    wordings = [f"{start} the premier of {edit.subject_label}{end}" for start, end in
                (("Who is the spouse of", "?"), ("Who is married to", "?"), ("To whom is", " married?"))]  # fmt: skip
    return probe(
        edit, "multi_hop", wordings[0], "Ida Dell", phrasings=wordings[1:], answer_id="Q5", answer_aliases=["I. Dell"],
        answer_before="Tom Ash", answer_before_id="Q4", answer_before_aliases=["T. Ash"], relation="spouse", hops=2,
        chain=[edit.link, spouse(edit)],
    )  # fmt: skip


def contents(*edits: Edit, asked: list[Question] | None = None) -> Contents:
    """A snapshot's tables as the exports read them; asked: instead of one question of each kind."""
    benchmark = Benchmark()
    for edit in edits:
        assert benchmark.edit(edit)
        benchmark.ask_directly(edit)
    for question in [question for edit in edits for question in probes(edit)] if asked is None else asked:
        benchmark.ask(question)
    tables = benchmark.tables(AS_OF)
    spans = [
        {
            "subject": edit.old_object, "relation": "spouse", "ordinal": 0, "object": "Q4", "object_kind": "item",
            "valid_from_earliest": datetime.date(2001, 1, 1), "valid_from_latest": datetime.date(2001, 1, 1),
            "valid_to_kind": "none", "end_inferred": False, "confidence": 1, "statement_ids": [],
        }
        for edit in edits if edit.old_object is not None
    ]  # fmt: skip
    entities = pa.concat_tables(
        [
            tables["entities"],
            pa.Table.from_pylist([{"qid": "Q4", "label": "Tom Ash"}], schema=tables["entities"].schema),
        ]
    )
    return Contents(
        tables["edits"].to_pylist(),
        tables["questions"].to_pylist(),
        pa.Table.from_pylist(spans, schema=TIMELINES),
        entities,
        MANIFEST,
    )


MANIFEST = SnapshotManifest(
    name="invented", since=SINCE, as_of=AS_OF, language="en", source="test", source_day=AS_OF, source_detail="test",
    retrieved_at=datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC), code_version="0", catalogue_hash="",
    relations=("head_of_government",), seed=0,
)  # fmt: skip


def renamed(edit: Edit, subject: str, old: str, new: str, aliases: list[str]) -> Edit:
    """The edit with other names in it and in its wordings."""
    return replace(
        edit, subject_label=subject, old_label=old, new_label=new, new_aliases=aliases,
        prompt=f"Who is the premier of {subject}?", cloze=f"The premier of {subject} is",
        paraphrases=[f"Who leads {subject}?"],
    )  # fmt: skip
