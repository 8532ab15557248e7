"""MQuAKE records read: multi-hop questions with the edits that move their answers.

Source: Zhong et al. 2023 (arXiv 2305.14795), the repository's README and datasets/*.json. A relation read backwards
is written as its property with `^` before it (`^P39`), so that no triple says what Wikidata does not.
`answer_extended` holds further answers of the world before the edits: MQuAKE-T's labels are of 2021, its models of
other years (issue 6 of its repository). They count as outdated answers: an untouched model scores too low without.
Leaves out: cases that contradict an earlier one, and writing (`pipeline.exchange.mquake_cases`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, Link, Question, plain
from chronofacts.pipeline.exchange.extra_columns import read_edit, take_set
from chronofacts.pipeline.exchange.records import Record, read_records, unread_fields
from chronofacts.pipeline.exchange.sentences import Sentence

__all__ = ["read_mquake"]


def read_mquake(file: Path) -> Benchmark:
    """MQuAKE-T, MQuAKE-CF and its subsets, or what `write_mquake` wrote.

    A case none of whose facts are edited otherwise by an earlier case is one multi-hop question; its edits, its
    chain and the single hops of the world before come with it. Raises BadInput naming the record and the field.
    """
    benchmark, records = Benchmark(), read_records(file)
    for record in records:
        record.leave_out("case_id")
        carried = record.record("chronofacts") if record.has("chronofacts") else None
        if carried:
            take_set(benchmark, carried)
        edits = []
        for rewrite in record.records("requested_rewrite"):
            edit, split = _read_edit(record, rewrite, carried)
            edits.append(edit)
            if benchmark.edit(edit, shared=True):
                benchmark.ask_directly(edit, split)
        _ask(benchmark, record, edits, carried)
        _add_sentences(benchmark, record, edits)
    benchmark.unread = unread_fields(records)
    return benchmark


def _read_edit(record: Record, rewrite: Record, carried: Record | None) -> tuple[Edit, str]:
    """The edit and the split of the questions that ask for it."""
    new, old = rewrite.record("target_new"), rewrite.record("target_true")
    subject, relation_id = rewrite.text("subject"), rewrite.text("relation_id")
    own_fields: dict[str, Any] = {
        "subject_label": subject,
        "prompt": rewrite.text("question"),
        "new_label": new.text("str"),
        "new_object": new.text("id"),
        "old_label": old.text("str"),
        "old_object": old.text("id"),
        "inverse": relation_id.startswith("^"),
    }
    pid = relation_id.removeprefix("^")
    qid = _subject_id(record, subject, relation_id, own_fields["new_object"])
    relation = _relation(record, qid, relation_id)
    for known in carried.record("edits").values.values() if carried else ():
        if isinstance(known, dict) and (known.get("subject"), known.get("relation")) == (qid, relation):
            columns = Record(record.file, record.number, known, "chronofacts.edits.")
            rewrite.leave_out("prompt")  # carried as the cloze, and the aliases of hops as those of the edit
            for hop in (*record.records("single_hops"), *record.records("new_single_hops")):
                hop.leave_out("answer_alias")
            return read_edit(columns, {**own_fields, "property": pid}), columns.text("split")
    edit = Edit(
        **own_fields,
        subject=qid,
        relation=relation,
        pid=pid,
        cloze=rewrite.text("prompt").replace("{}", subject, 1),
        new_aliases=_aliases(record, "new_single_hops", own_fields["new_label"]),
        old_aliases=_aliases(record, "single_hops", own_fields["old_label"]),
        object_kind="item",
    )
    return edit, "test"


def _subject_id(record: Record, subject: str, relation_id: str, new_id: str) -> str:
    """The subject's id, from the edit's triple; its name when no triple says it."""
    triples = record.record("orig").rows("edit_triples")
    return next((triple[0] for triple in triples if triple[1:] == [relation_id, new_id]), subject)


def _relation(record: Record, subject: str, relation_id: str) -> str:
    """What the labelled triples call a relation, as an id of ours; its property when they do not say."""
    orig = record.record("orig")
    for name in ("new_triples", "triples"):
        for triple, labelled in zip(orig.rows(name), orig.rows(f"{name}_labeled"), strict=False):
            if triple[:2] == [subject, relation_id]:
                return labelled[1].replace(" ", "_")
    return relation_id


def _aliases(record: Record, field: str, answer: str) -> list[str]:
    return next((hop.texts("answer_alias") for hop in record.records(field) if hop.text("answer") == answer), [])


def _ask(benchmark: Benchmark, record: Record, edits: list[Edit], carried: Record | None) -> None:
    chain = list(_chain(record, edits))
    if carried and carried.has("day") and (day := carried.text("day")):
        chain[0] = chain[0]._replace(day=datetime.date.fromisoformat(day))
    listed, old = record.texts("questions"), record.record("orig").rows("triples")
    questions = list(dict.fromkeys(listed))
    for _ in range(len(listed) - len(questions)):
        benchmark.note("repeated_record", "a wording within a case, word for word as another,")
    answer, new_answer = record.text("answer"), record.text("new_answer")
    old_names, new_names = record.texts("answer_alias"), record.texts("new_answer_alias")
    further_old = _further(benchmark, record, "answer_extended", [answer, *old_names], [new_answer, *new_names])
    further_new = _further(benchmark, record, "new_answer_extended", [new_answer, *new_names], [answer, *old_names])
    if not questions or not chain:
        raise record.wrong("questions", "at least one question with its new_triples", questions)
    benchmark.ask(
        Question(
            kind="multi_hop",
            edit_ids=tuple(edit.edit_id for edit in edits),
            question=questions[0],
            phrasings=questions[1:],
            answer=new_answer,
            answer_id=chain[-1].object,
            answer_aliases=[*new_names, *further_new],
            answer_before=answer,
            answer_before_id=old[-1][2] if old else None,
            answer_before_aliases=[*old_names, *further_old],
            relation=chain[-1].relation,
            subject=chain[0].subject,
            subject_label=chain[0].subject_label,
            hops=len(chain),
            edited_hops=sum(link.edit_id is not None for link in chain),
            chain=chain,
            split=carried.text("split") if carried else "test",
            sitelinks=carried.values.get("sitelinks") if carried else None,
            fallback_names=carried.texts("fallback_names") if carried and carried.has("fallback_names") else (),
            question_id=carried.text("question_id") if carried else "",
        )
    )


def _further(benchmark: Benchmark, record: Record, field: str, own: list[str], others: list[str]) -> list[str]:
    """Answers of a list of further ones that are new, without those that the other side of the change has."""
    known, against = {plain(name) for name in own}, {plain(name) for name in others}
    found = []
    for text in dict.fromkeys(record.answers(field)) if record.has(field) else ():
        if plain(text) in against:
            benchmark.note("answer_of_both", f"{field} has the answer of the other side")
        elif plain(text) not in known:
            found.append(text)
    return found


def _chain(record: Record, edits: list[Edit]) -> Iterator[Link]:
    """The walk after the edits; a fact that no edit of the case changes was the same before."""
    for triple, labelled, hop in _hops(record, "new_"):
        if len(triple) != 3 or len(labelled) != 3:
            raise record.wrong("orig.new_triples", "triples of three", triple)
        subject, relation_id, found = triple
        pid, relation = relation_id.removeprefix("^"), labelled[1].replace(" ", "_")
        edit = next((e for e in edits if (e.subject, e.relation, e.new_object) == (subject, relation, found)), None)
        yield Link(
            subject, relation, pid, relation_id.startswith("^"), found, labelled[0], labelled[2],
            edit.old_object if edit else found, edit.old_label if edit else labelled[2],
            edit.edit_id if edit else None, hop.text("question"), hop.text("cloze"),
        )  # fmt: skip


def _hops(record: Record, when: str) -> Iterator[tuple[list[str], list[str], Record]]:
    """(triple, its names, how it is asked) of a walk, the old one ("") or the new one ("new_")."""
    orig = record.record("orig")
    triples, labelled = orig.rows(f"{when}triples"), orig.rows(f"{when}triples_labeled")
    return zip(triples, labelled, record.records(f"{when}single_hops"), strict=False)


def _add_sentences(benchmark: Benchmark, record: Record, edits: list[Edit]) -> None:
    """The single hops of the world before the edits: the old walk, and what the new one walks over unedited."""
    edited = {(edit.subject, edit.relation) for edit in edits}
    for when in ("", "new_"):
        for triple, labelled, hop in _hops(record, when):
            relation = labelled[1].replace(" ", "_")
            if when and (triple[0], relation) in edited:
                continue
            for form in ("question", "cloze"):
                sentence = Sentence("current", triple[0], relation, form, hop.text(form), hop.text("answer"))
                benchmark.add_sentence(sentence)
