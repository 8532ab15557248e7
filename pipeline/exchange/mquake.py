"""MQuAKE records, in the shape of MQuAKE-T: a multi-hop question with the edits that move its answer.

Source: Zhong et al. 2023 (arXiv 2305.14795), the repository's README and datasets/*.json. A relation read backwards
is written as its property with `^` before it (`^P39`), so that no triple says what Wikidata does not.
What MQuAKE has no field for is carried under the extra key `chronofacts`.
Leaves out, on export: edits that no multi-hop question walks over, and questions whose walk before the edits is not
known fact by fact. On import: `answer_extended`, and cases that contradict an earlier one.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, Link, Question
from chronofacts.pipeline.exchange.extra_columns import carried_edit, read_edit
from chronofacts.pipeline.exchange.records import Record, read_records, write_records
from chronofacts.pipeline.exchange.sentences import Told
from chronofacts.pipeline.exchange.snapshot_rows import Contents
from chronofacts.pipeline.timelines.build import values_at

__all__ = ["read_mquake", "write_mquake"]

log = logging.getLogger("chronofacts.exchange")

FILE = "ChronoFacts-T.json"
_PLACED = {"subject_label", "prompt", "new_label", "new_object", "old_label", "old_object", "property", "inverse"}
_CASE_COLUMNS = ("question_id", "split", "sitelinks", "fallback_names")


class Hop(NamedTuple):
    """One fact of a walk: its triple, in ids and in names, and how it is asked."""

    subject: str
    relation_id: str
    object: str
    subject_label: str
    relation_label: str
    object_label: str
    question: str
    cloze: str


class Known(NamedTuple):
    """What the snapshot tells about the facts that a walk before the edits needs."""

    values: Mapping[tuple[str, str], str]
    """(subject, relation) -> object, certain at since."""
    names: Mapping[str, str]
    aliases: Mapping[str, Sequence[str]]
    wordings: Mapping[tuple[str, str], tuple[str, str]]
    """(subject, relation) -> question, cloze."""


def write_mquake(contents: Contents, folder: Path) -> list[Path]:
    """`ChronoFacts-T.json`, one case per multi-hop question."""
    known = _known(contents)
    splits = {q["edit_ids"][0]: q["split"] for q in contents.questions if q["kind"] == "edit"}
    edits = {edit["edit_id"]: {**edit, "split": splits.get(edit["edit_id"], "test")} for edit in contents.edits}
    cases: list[dict[str, Any]] = []
    asked = [question for question in contents.questions if question["kind"] == "multi_hop"]
    for question in asked:
        before = _walk_before(question, known)
        rewrites = [_rewrite(edits[edit_id]) for edit_id in question["edit_ids"]]
        if before is None or not all(rewrites):
            continue
        cases.append(_case(len(cases) + 1, question, edits, before, rewrites, known))
    walked = {edit_id for case in cases for edit_id in case["chronofacts"]["edits"]}
    if len(cases) < len(asked):
        log.info(
            "left out %d multi-hop questions whose facts before the edits are not all known", len(asked) - len(cases)
        )
    log.info("left out %d edits that no multi-hop question walks over", len(edits) - len(walked))
    return [write_records(cases, folder / FILE)]


def _case(
    case_id: int,
    question: dict[str, Any],
    edits: Mapping[str, dict[str, Any]],
    before: list[Hop],
    rewrites: Sequence[dict[str, Any] | None],
    known: Known,
) -> dict[str, Any]:
    after = [_hop_after(link) for link in question["chain"]]
    changed = [edits[edit_id] for edit_id in question["edit_ids"]]
    return {
        "case_id": case_id,
        "requested_rewrite": list(rewrites),
        "questions": [question["question"], *question["phrasings"]],
        "answer": question["answer_before"],
        "answer_alias": list(question["answer_before_aliases"] or ()),
        "new_answer": question["answer"],
        "new_answer_alias": list(question["answer_aliases"] or ()),
        "single_hops": [_single_hop(hop, known) for hop in before],
        "new_single_hops": [_single_hop(hop, known) for hop in after],
        "orig": {
            "triples": [[hop.subject, hop.relation_id, hop.object] for hop in before],
            "triples_labeled": [[hop.subject_label, hop.relation_label, hop.object_label] for hop in before],
            "new_triples": [[hop.subject, hop.relation_id, hop.object] for hop in after],
            "new_triples_labeled": [[hop.subject_label, hop.relation_label, hop.object_label] for hop in after],
            "edit_triples": [[edit["subject"], _relation_id(edit), edit["new_object"]] for edit in changed],
        },
        "chronofacts": {
            **{column: question[column] for column in _CASE_COLUMNS},
            "day": str(question["chain"][0]["day"] or ""),
            "edits": {edit["edit_id"]: {**carried_edit(edit, _PLACED), "split": edit["split"]} for edit in changed},
        },
    }


def _rewrite(edit: dict[str, Any]) -> dict[str, Any] | None:
    """The edit as MQuAKE requests it; None when its cloze does not name the subject as it is called, or when it has no
    old answer, which MQuAKE's rewrites always have."""
    template = _with_gap(edit["cloze"] or "", edit["subject_label"])
    if template is None or edit["target_old"] is None:
        return None
    return {
        "prompt": template,
        "relation_id": _relation_id(edit),
        "target_new": {"str": edit["target_new"], "id": edit["new_object"]},
        "target_true": {"str": edit["target_old"], "id": edit["old_object"]},
        "subject": edit["subject_label"],
        "question": edit["prompt"],
    }


def _with_gap(text: str, name: str) -> str | None:
    """The text with `{}` where the name stands; None when it does not, or the text has braces of its own."""
    if name not in text or "{" in text or "}" in text:
        return None
    return text.replace(name, "{}", 1)


def _relation_id(fact: Mapping[str, Any]) -> str:
    pid = fact["property"] or fact["relation"]
    return f"^{pid}" if fact["inverse"] else str(pid)


def _relation_label(relation: str) -> str:
    return relation.replace("_", " ")


def _hop_after(link: dict[str, Any]) -> Hop:
    return Hop(
        link["subject"], _relation_id(link), link["object"], link["subject_label"], _relation_label(link["relation"]),
        link["object_label"], link["question"], link["cloze"],
    )  # fmt: skip


def _single_hop(hop: Hop, known: Known) -> dict[str, Any]:
    aliases = list(known.aliases.get(hop.object, ()))
    return {"question": hop.question, "cloze": hop.cloze, "answer": hop.object_label, "answer_alias": aliases}


def _known(contents: Contents) -> Known:
    values, wordings, names, aliases = {}, {}, {}, {}
    for row in values_at(contents.timelines, contents.manifest.since).to_pylist():
        if row["certainty"] == "certain":
            values[row["subject"], row["relation"]] = row["object"]
    for qid, label in zip(*(contents.entities[name].to_pylist() for name in ("qid", "label")), strict=True):
        names[qid] = label
    for question in contents.questions:
        aliases[question["answer_id"]] = question["answer_aliases"] or ()
        if question["asked_on"] is None:
            for link in question["chain"]:
                wordings[link["subject"], link["relation"]] = (link["question"], link["cloze"])
                if link["object_before"] is not None:
                    values[link["subject"], link["relation"]] = link["object_before"]
    for edit in contents.edits:
        aliases[edit["new_object"]] = edit["new_aliases"] or ()
        aliases[edit["old_object"]] = edit["old_aliases"] or ()
    return Known(values, names, aliases, wordings)


def _walk_before(question: dict[str, Any], known: Known) -> list[Hop] | None:
    """The walk by the same relations through the world before the edits; None when a fact of it is not known."""
    hops: list[Hop] = []
    chain = question["chain"]
    if not chain or question["answer_before"] is None:
        return None
    subject, label = chain[0]["subject"], chain[0]["subject_label"]
    for link in chain:
        found = link["object_before"] if subject == link["subject"] else known.values.get((subject, link["relation"]))
        wording = _wording(subject, label, link, known)
        if link is chain[-1]:
            found, name = question["answer_before_id"], question["answer_before"]
        else:
            name = link["object_before_label"] if subject == link["subject"] else known.names.get(found or "")
        if found is None or name is None or wording is None:
            return None
        hops.append(Hop(subject, _relation_id(link), found, label, _relation_label(link["relation"]), name, *wording))
        subject, label = found, name
    return hops


def _wording(subject: str, label: str, link: dict[str, Any], known: Known) -> tuple[str, str] | None:
    """Question and cloze about a subject: as asked elsewhere in the set, or as the link asks about its own."""
    texts = [link["question"] or "", link["cloze"] or ""]
    if subject == link["subject"] and all(texts):
        return texts[0], texts[1]
    if (told := known.wordings.get((subject, link["relation"]))) is not None:
        return told
    if not all(link["subject_label"] in text for text in texts):
        return None
    question, cloze = (text.replace(link["subject_label"], label, 1) for text in texts)
    return question, cloze


def read_mquake(file: Path) -> Benchmark:
    """MQuAKE-T, MQuAKE-CF and its subsets, or what `write_mquake` wrote.

    A case none of whose facts are edited otherwise by an earlier case is one multi-hop question; its edits, its
    chain and the single hops of the world before come with it. Raises BadInput naming the record and the field.
    """
    benchmark = Benchmark()
    for record in read_records(file):
        carried = record.record("chronofacts") if record.has("chronofacts") else None
        edits = []
        for rewrite in record.records("requested_rewrite"):
            edit, split = _read_edit(record, rewrite, carried)
            edits.append(edit)
            if benchmark.edit(edit):
                benchmark.ask_directly(edit, split)
        _ask(benchmark, record, edits, carried)
        _tell(benchmark, record, edits)
    return benchmark


def _read_edit(record: Record, rewrite: Record, carried: Record | None) -> tuple[Edit, str]:
    """The edit and the split of the questions that ask for it."""
    new, old = rewrite.record("target_new"), rewrite.record("target_true")
    subject, relation_id = rewrite.text("subject"), rewrite.text("relation_id")
    template = rewrite.text("prompt")
    placed: dict[str, Any] = {
        "subject_label": subject,
        "prompt": rewrite.text("question"),
        "new_label": new.text("str"),
        "new_object": new.text("id"),
        "old_label": old.text("str"),
        "old_object": old.text("id"),
        "property": relation_id.removeprefix("^"),
        "inverse": relation_id.startswith("^"),
    }
    qid = _subject_id(record, subject, relation_id, new.text("id"))
    relation = _relation(record, qid, relation_id)
    for known in carried.record("edits").values.values() if carried else ():
        if isinstance(known, dict) and (known.get("subject"), known.get("relation")) == (qid, relation):
            columns = Record(record.file, record.number, known, "chronofacts.edits.")
            return read_edit(columns, placed), columns.text("split")
    edit = Edit(
        subject=qid,
        subject_label=subject,
        relation=relation,
        pid=placed["property"],
        inverse=placed["inverse"],
        prompt=placed["prompt"],
        cloze=template.replace("{}", subject, 1),
        new_label=placed["new_label"],
        new_object=placed["new_object"],
        new_aliases=_aliases(record, "new_single_hops", placed["new_label"]),
        old_label=placed["old_label"],
        old_object=placed["old_object"],
        old_aliases=_aliases(record, "single_hops", placed["old_label"]),
        object_kind="item",
    )
    return edit, "test"


def _subject_id(record: Record, subject: str, relation_id: str, new_id: str) -> str:
    """The subject's id, from the edit's triple; its name when no triple says it."""
    for triple in record.record("orig").rows("edit_triples"):
        if triple[1:] == [relation_id, new_id]:
            return triple[0]
    return subject


def _relation(record: Record, subject: str, relation_id: str) -> str:
    """What the labelled triples call a relation, as an id of ours; its property when they do not say."""
    orig = record.record("orig")
    for name in ("new_triples", "triples"):
        for triple, labelled in zip(orig.rows(name), orig.rows(f"{name}_labeled"), strict=False):
            if triple[:2] == [subject, relation_id]:
                return labelled[1].replace(" ", "_")
    return relation_id


def _aliases(record: Record, field: str, answer: str) -> list[str]:
    for hop in record.records(field):
        if hop.text("answer") == answer:
            return hop.texts("answer_alias")
    return []


def _ask(benchmark: Benchmark, record: Record, edits: list[Edit], carried: Record | None) -> None:
    chain = list(_chain(record, edits))
    if carried and carried.has("day") and (day := carried.text("day")):
        chain[0] = chain[0]._replace(day=datetime.date.fromisoformat(day))
    questions, old = record.texts("questions"), record.record("orig").rows("triples")
    if not questions or not chain:
        raise record.wrong("questions", "at least one question with its new_triples", questions)
    benchmark.ask(
        Question(
            kind="multi_hop",
            edit_ids=tuple(edit.edit_id for edit in edits),
            question=questions[0],
            phrasings=questions[1:],
            answer=record.text("new_answer"),
            answer_id=chain[-1].object,
            answer_aliases=record.texts("new_answer_alias"),
            answer_before=record.text("answer"),
            answer_before_id=old[-1][2] if old else None,
            answer_before_aliases=record.texts("answer_alias"),
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


def _chain(record: Record, edits: list[Edit]) -> Iterator[Link]:
    """The walk after the edits; a fact that no edit of the case changes was the same before."""
    orig = record.record("orig")
    told = zip(
        orig.rows("new_triples"), orig.rows("new_triples_labeled"), record.records("new_single_hops"), strict=False
    )
    for triple, labelled, hop in told:
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


def _tell(benchmark: Benchmark, record: Record, edits: list[Edit]) -> None:
    """The single hops of the world before the edits: the old walk, and what the new one walks over unedited."""
    orig = record.record("orig")
    edited = {(edit.subject, edit.relation) for edit in edits}
    for field, name in (("single_hops", "triples"), ("new_single_hops", "new_triples")):
        told = zip(orig.rows(name), orig.rows(f"{name}_labeled"), record.records(field), strict=False)
        for triple, labelled, hop in told:
            relation = labelled[1].replace(" ", "_")
            if field == "new_single_hops" and (triple[0], relation) in edited:
                continue
            for form in ("question", "cloze"):
                benchmark.tell(Told("current", triple[0], relation, form, hop.text(form), hop.text("answer")))
