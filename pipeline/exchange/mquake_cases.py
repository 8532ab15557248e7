"""MQuAKE cases from a snapshot, in the shape of MQuAKE-T: a multi-hop question with the edits that move its answer.

What MQuAKE has no field for goes under the extra key `chronofacts` (`pipeline.exchange.mquake` reads it back).
Leaves out: edits that no multi-hop question walks over, and questions whose walk before the edits is not known fact by
fact.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chronofacts.pipeline.exchange.extra_columns import carry_edit, carry_set
from chronofacts.pipeline.exchange.records import write_records
from chronofacts.pipeline.exchange.snapshot_rows import Contents
from chronofacts.pipeline.timelines.build import values_at

__all__ = ["write_mquake"]

log = logging.getLogger("chronofacts.exchange")

FILE = "ChronoFacts-T.json"
_OWN_FIELDS = {"subject_label", "prompt", "new_label", "new_object", "old_label", "old_object", "property", "inverse"}
_CASE_COLUMNS = ("question_id", "split", "sitelinks", "fallback_names")


class Hop(NamedTuple):
    """One fact of a walk: its triple, in ids and in names, and how it is asked."""

    triple: list[str]
    labels: list[str]
    question: str
    cloze: str


class Known(NamedTuple):
    """What the snapshot has of the facts that a walk before the edits needs."""

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
        cases.append(_case(len(cases) + 1, question, edits, before, rewrites, known, carry_set(contents.manifest)))
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
    own_set: dict[str, Any],
) -> dict[str, Any]:
    after = [
        _hop(link, link["subject"], link["subject_label"], link["object"], link["object_label"],
             (link["question"], link["cloze"]))
        for link in question["chain"]
    ]  # fmt: skip
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
            "triples": [hop.triple for hop in before],
            "triples_labeled": [hop.labels for hop in before],
            "new_triples": [hop.triple for hop in after],
            "new_triples_labeled": [hop.labels for hop in after],
            "edit_triples": [[edit["subject"], _relation_id(edit), edit["new_object"]] for edit in changed],
        },
        "chronofacts": {
            "set": own_set,
            **{column: question[column] for column in _CASE_COLUMNS},
            "day": str(question["chain"][0]["day"] or ""),
            "edits": {edit["edit_id"]: {**carry_edit(edit, _OWN_FIELDS), "split": edit["split"]} for edit in changed},
        },
    }


def _rewrite(edit: dict[str, Any]) -> dict[str, Any] | None:
    """The edit as MQuAKE requests it; None when its cloze does not name the subject as it is called or has braces of
    its own, or when the edit has no old answer, which MQuAKE's rewrites always have."""
    cloze, name = edit["cloze"] or "", edit["subject_label"]
    if name not in cloze or "{" in cloze or "}" in cloze or edit["target_old"] is None:
        return None
    return {
        "prompt": cloze.replace(name, "{}", 1),
        "relation_id": _relation_id(edit),
        "target_new": {"str": edit["target_new"], "id": edit["new_object"]},
        "target_true": {"str": edit["target_old"], "id": edit["old_object"]},
        "subject": name,
        "question": edit["prompt"],
    }


def _relation_id(fact: Mapping[str, Any]) -> str:
    pid = fact["property"] or fact["relation"]
    return f"^{pid}" if fact["inverse"] else str(pid)


def _hop(
    link: dict[str, Any], subject: str, subject_label: str, found: str, found_label: str, wording: tuple[str, str]
) -> Hop:
    """A fact by the relation of a link of the chain, of the same subject or another."""
    labels = [subject_label, link["relation"].replace("_", " "), found_label]
    return Hop([subject, _relation_id(link), found], labels, *wording)


def _single_hop(hop: Hop, known: Known) -> dict[str, Any]:
    aliases = list(known.aliases.get(hop.triple[2], ()))
    return {"question": hop.question, "cloze": hop.cloze, "answer": hop.labels[2], "answer_alias": aliases}


def _known(contents: Contents) -> Known:
    values, wordings, aliases = {}, {}, {}
    for row in values_at(contents.timelines, contents.manifest.since).to_pylist():
        if row["certainty"] == "certain":
            values[row["subject"], row["relation"]] = row["object"]
    names = dict(zip(*(contents.entities[name].to_pylist() for name in ("qid", "label")), strict=True))
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
        hops.append(_hop(link, subject, label, found, name, wording))
        subject, label = found, name
    return hops


def _wording(subject: str, label: str, link: dict[str, Any], known: Known) -> tuple[str, str] | None:
    """Question and cloze about a subject: as asked elsewhere in the set, or as the link asks about its own."""
    texts = [link["question"] or "", link["cloze"] or ""]
    if subject == link["subject"] and all(texts):
        return texts[0], texts[1]
    if (wording := known.wordings.get((subject, link["relation"]))) is not None:
        return wording
    if not all(link["subject_label"] in text for text in texts):
        return None
    question, cloze = (text.replace(link["subject_label"], label, 1) for text in texts)
    return question, cloze
