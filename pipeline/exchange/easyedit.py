"""KnowEdit records, as EasyEdit's `KnowEditDataset` reads them: one edit each, with its portability and locality.

Written in the shape of `wiki_recent` (answers as lists of lists); read in the shapes of the four sets that hold facts:
wiki_recent, wiki_counterfact, ZsRE and WikiBio, not ConvSent (sentiments) and Sanitation (answers to forget). What
KnowEdit has no field for is carried under the extra key `chronofacts`, which EasyEdit does not look at.
Source: Zhang et al. 2024 (arXiv 2401.01286), EasyEdit `examples/KnowEdit.md` and `easyeditor/dataset/knowedit.py`.
KnowEdit has no answer sets: what joined and left one set is one record, whose target is the whole set as a text, in a
file of its own; what stays is asked under Forgetfulness, each value an answer. Read again it is one edit of texts.
Leaves out, on export: questions that need several edits (EasyEdit makes one at a time), and the phrasings beyond the
first.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, Question, consequence_question, guard_question
from chronofacts.pipeline.exchange.extra_columns import carry_edit, carry_set, read_edit, take_set
from chronofacts.pipeline.exchange.records import Record, read_records, unread_fields, write_records
from chronofacts.pipeline.exchange.snapshot_rows import Contents
from chronofacts.schemas.dates import parse_day

__all__ = ["read_knowedit", "write_knowedit"]

log = logging.getLogger("chronofacts.exchange")

# Where each of our kinds goes. Forgetfulness: what the subject's relation was must still be known.
PROBE_LISTS = {
    "alias": ("portability", "Subject_Aliasing"),
    "multi_hop": ("portability", "Reasoning"),
    "reverse": ("portability", "Logical_Generalization"),
    "timeline": ("portability", "Logical_Generalization"),
    "locality": ("locality", "Relation_Specificity"),
    "history": ("locality", "Forgetfulness"),
    "preservation": ("locality", "Forgetfulness"),
}
# What a foreign probe is to us: (kind, locality_kind, hops). Reasoning is one hop beyond the edited fact.
KINDS: dict[str, tuple[str, str | None, int | None]] = {
    "Subject_Aliasing": ("alias", None, 1),
    "Reasoning": ("multi_hop", None, 2),
    "Logical_Generalization": ("reverse", None, 1),
    "Relation_Specificity": ("locality", "subject", 1),
    "Forgetfulness": ("locality", "subject", 1),
}
# Columns of a question that a probe ({prompt, ground_truth}) has no field for.
PROBE_COLUMNS = (
    "question_id", "kind", "locality_kind", "hops", "edited_hops", "relation", "subject", "subject_label",
    "answer_id", "answer_before", "answer_before_id", "answer_before_aliases", "asked_on", "split", "sitelinks",
    "fallback_names",
)  # fmt: skip
_OWN_FIELDS = {"prompt", "new_label", "old_label", "subject_label"}
_OF_SETS = ("addition", "removal")


def write_knowedit(contents: Contents, folder: Path) -> list[Path]:
    """`test.json` and, if any edit is in that split, `train.json`; of sets of values `test-sets.json` and so on."""
    probes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    splits: dict[str, str] = {}
    several = 0
    for question in contents.questions:
        if question["kind"] == "edit":
            splits |= dict.fromkeys(question["edit_ids"], question["split"])
        if question["kind"] not in PROBE_LISTS:
            continue
        moves = PROBE_LISTS[question["kind"]][0] == "portability"
        if moves and len(question["edit_ids"]) > 1 and not question["answer_set"]:
            several += 1
            continue
        for edit_id in question["edit_ids"]:
            probes[edit_id].append(question)
    if several:
        log.info("left out %d questions that need several edits, which EasyEdit makes one at a time", several)
    files = []
    of_sets = {
        (edit["relation"], edit["subject"]): edit for edit in reversed(contents.edits) if edit["kind"] in _OF_SETS
    }
    single = [edit for edit in contents.edits if edit["kind"] not in _OF_SETS]
    for name, listed in (("", single), ("-sets", list(of_sets.values()))):
        for split in ("test", "train"):
            edits = [edit for edit in listed if splits.get(edit["edit_id"], "test") == split]
            if edits or (split == "test" and not name):
                own_set = carry_set(contents.manifest)
                records = [knowedit_record(edit, probes[edit["edit_id"]], split, own_set) for edit in edits]
                files.append(write_records(records, folder / f"{split}{name}.json"))
    return files


def knowedit_record(
    edit: dict[str, Any], probes: Iterable[dict[str, Any]], split: str, own_set: dict[str, Any]
) -> dict[str, Any]:
    """One edit and its questions; a list without probes is left out, as in KnowEdit, but `locality` is always there."""
    record: dict[str, Any] = {
        "subject": edit["subject_label"],
        "prompt": edit["prompt"],
        "target_new": edit["target_new"],
        "portability": {},
        "locality": {},
    }
    if edit["target_old"] is not None:
        record["ground_truth"] = edit["target_old"]
    if edit["paraphrases"]:
        record["rephrase_prompt"] = edit["paraphrases"][0]
    carried: dict[str, list[dict[str, Any]]] = {}
    for question in probes:
        family, name = PROBE_LISTS[question["kind"]]
        probe = {"prompt": question["question"], "ground_truth": _ground_truth(question)}
        record[family].setdefault(name, []).append(probe)
        carried.setdefault(name, []).append({column: question[column] for column in PROBE_COLUMNS})
    record["chronofacts"] = {"set": own_set}
    if edit["kind"] not in _OF_SETS:
        record["chronofacts"] |= {"edit": carry_edit(edit, _OWN_FIELDS), "split": split, "probes": carried}
    return record


def _ground_truth(question: dict[str, Any]) -> list[list[str]]:
    """The names of the answer; of a set those of each value, of what is preserved those of each value that stays."""
    if question["answer_set"]:
        asked = [v for v in question["answer_set"] if v["role"] == "stays" or question["kind"] != "preservation"]
        return [[value["label"], *value["aliases"]] for value in asked]
    return [[question["answer"], *question["answer_aliases"]]]


def read_knowedit(file: Path) -> Benchmark:
    """A set of KnowEdit with facts, or what `write_knowedit` wrote.

    Raises BadInput for a file that is none of them, naming the record and the field.
    """
    benchmark, records = Benchmark(), read_records(file)
    for record in records:
        _read_fact(benchmark, record)
    benchmark.unread = unread_fields(records)
    return benchmark


def _read_fact(benchmark: Benchmark, record: Record) -> None:
    own = record.record("chronofacts") if record.has("chronofacts") else None
    if own:
        take_set(benchmark, own)
    carried = own if own and not own.values.keys() <= {"set"} else None  # of what joined and left a set no columns
    split = carried.text("split") if carried else "test"
    edit = read_edit(carried.record("edit"), _own_fields(record)) if carried else _foreign_edit(record)
    if carried is None and edit.prompt and edit.subject_label not in edit.prompt:
        benchmark.note("subject_not_in_prompt", "a prompt that does not name its subject")
    if not benchmark.edit(edit):
        return
    benchmark.ask_directly(edit, split)
    record.leave_out("case_id", *(["rephrase_prompt"] if carried else []))  # carried among the paraphrases
    for field in ("locality", "portability"):
        _ask_flat(benchmark, edit, record, field)
    for family in ("portability", "locality"):
        if not record.has(family) or record.values[family] == []:
            continue
        lists = record.record(family)
        if carried is None:
            empty = [name for name, probes in lists.values.items() if not probes]
            lists.leave_out(*empty)
            for name in empty:
                benchmark.note("no_probe", f"an empty list {name[:200]}")
        for name in KINDS:
            if not lists.has(name) or not lists.values[name]:
                continue
            known = carried.record("probes").records(name) if carried else []
            for position, probe in enumerate(lists.records(name)):
                _ask(benchmark, edit, name, probe, known[position] if position < len(known) else None)


def _ask_flat(benchmark: Benchmark, edit: Edit, record: Record, family: str) -> None:
    """The one probe of a family as the sets before KnowEdit have it: `locality_prompt`, `locality_ground_truth`."""
    if not (record.has(f"{family}_prompt") and record.has(f"{family}_ground_truth")):
        return
    prompts, answers = record.texts(f"{family}_prompt"), record.answers(f"{family}_ground_truth")
    if not prompts or not answers:
        benchmark.reject("no_probe", edit, f"{family} without a prompt or an answer")
    elif family == "locality":
        benchmark.ask(guard_question(edit, prompts[0], answers))
    else:
        benchmark.ask(consequence_question(edit, "multi_hop", prompts[0], answers, hops=2))


def _own_fields(record: Record) -> dict[str, Any]:
    return {
        "subject_label": record.text("subject"),
        "prompt": record.text("prompt"),
        "new_label": record.text("target_new"),
        "old_label": record.text("ground_truth") if record.has("ground_truth") else None,
    }


def _foreign_edit(record: Record) -> Edit:
    """An edit without ids: entities go by their names, the relation by the prompt without its subject."""
    biography = record.has("concept")
    subject = record.text("concept" if biography else "subject")
    prompt = record.text("text" if biography else "prompt")
    new = record.text("labels" if biography else "target_new")
    old = record.answers("ground_truth") if record.has("ground_truth") else []
    rephrased = [text for field in ("rephrase_prompt", "rephrase") if record.has(field) for text in record.texts(field)]
    return Edit(
        subject=subject,
        subject_label=subject,
        relation=prompt.replace(subject, "{}") if subject else prompt,
        prompt=prompt,
        new_object=new,
        new_label=new,
        old_object=_first(old),
        old_label=_first(old),
        old_aliases=old[1:] if old else None,
        paraphrases=tuple(dict.fromkeys(text for text in rephrased if text != prompt)),
        cloze=None if prompt.endswith("?") else prompt,
    )


def _ask(benchmark: Benchmark, edit: Edit, name: str, probe: Record, known: Record | None) -> None:
    """One probe; `ground_truth` is a text, a list of answers, or a list of lists (the first is shown, all count)."""
    prompts = probe.texts("prompt") if probe.has("prompt") else []
    answers = probe.answers("ground_truth") if probe.has("ground_truth") else []
    if known is None:
        columns = _foreign_columns(name, edit, answers)
    else:
        columns = {column: known.values.get(column) for column in PROBE_COLUMNS}
        if columns["asked_on"] is not None:
            columns["asked_on"] = parse_day(known.text("asked_on"), f"{known.file}: asked_on")
        columns["fallback_names"] = columns["fallback_names"] or ()
    question = Question(
        **columns,
        edit_ids=(edit.edit_id,),
        question=prompts[0] if prompts else "",
        phrasings=prompts[1:],
        answer=answers[0] if answers else "",
        answer_aliases=answers[1:],
    )
    if not prompts or not answers:
        benchmark.reject("no_probe", question, f"{name} without a prompt or an answer")
        return
    benchmark.ask(question)


def _foreign_columns(name: str, edit: Edit, answers: list[str]) -> dict[str, Any]:
    """What the list of a probe says about it; the answer before where that follows."""
    kind, locality_kind, hops = KINDS[name]
    columns = {
        "kind": kind,
        "locality_kind": locality_kind,
        "hops": hops,
        "edited_hops": 0 if kind == "locality" else 1,
        "relation": edit.relation,
        "subject": edit.subject,
        "subject_label": edit.subject_label,
    }
    if kind == "locality":
        return columns | {"answer_before": _first(answers), "answer_before_aliases": answers[1:]}
    if kind == "alias":
        return columns | {"answer_before": edit.old_label, "answer_before_aliases": edit.old_aliases}
    return columns


def _first(answers: list[str]) -> str | None:
    return answers[0] if answers else None
