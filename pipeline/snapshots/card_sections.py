"""The parts of a dataset card that explain rather than count: one edit with all that is asked of it, how the answers
were verified, what the set does not promise, and what to cite.

Leaves out: the card's frame and its counts (`pipeline.snapshots.card`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds

from chronofacts.pipeline.snapshots.markdown import escape, old_answer, table
from chronofacts.schemas.dates import tell_days
from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.names import is_name
from chronofacts.schemas.promises import PROMISES

__all__ = [
    "citation", "hop_counts", "kinds_of_change", "limits", "set_aside", "verification", "worked_example",
]  # fmt: skip

_KINDS = (
    "edit", "paraphrase", "cloze", "alias", "reverse", "multi_hop", "preservation", "locality", "history", "timeline",
)  # fmt: skip
_CHANGES_OF_OTHERS = {
    "modification": "one answer is to take the place of another, by the set's authors",
    "injection": "there was nobody or nothing before, by the set's authors",
    "update": "the new answer alone is told; what was there before is not known",
}
"""Of a set that was imported, whose facts nobody has looked up."""
_CHANGES = {
    "modification": "one value gave way to another, both certain on their day",
    "injection": "there was nobody or nothing before: the subject began later, or Wikidata says so",
    "update": "the new value is certain; what was there before is not known, for Wikidata has a hole",
    "addition": "one value joined a set of several; what stays must stay",
    "removal": "one value left a set of several; what stays must stay",
}


def worked_example(folder: Path, read: bool = True) -> list[str]:
    """One edit, the one with the most kinds of questions, and a question of each kind; nothing for an empty set.

    read: from Wikidata, and not from a set of others, who may not say what was right before.
    """
    questions = ds.dataset(folder / "questions")
    asked_about = questions.to_table(columns=["edit_ids", "kind"])
    kinds: dict[str, set[str]] = {}
    for ids, kind in zip(*(asked_about[name].to_pylist() for name in ("edit_ids", "kind")), strict=True):
        for edit_id in ids:
            kinds.setdefault(edit_id, set()).add(kind)
    if not kinds:
        return []
    chosen = min(kinds, key=lambda edit_id: (-len(kinds[edit_id]), edit_id))
    edit = ds.dataset(folder / "edits").to_table(filter=pc.field("edit_id") == chosen).to_pylist()[0]
    asked: dict[str, dict[str, Any]] = {}
    for batch in questions.to_batches():
        for row in batch.filter(pc.equal(pc.list_element(batch["edit_ids"], 0), chosen)).to_pylist():
            if row["kind"] not in asked or row["question_id"] < asked[row["kind"]]["question_id"]:
                asked[row["kind"]] = row
    shown = [(kind, asked[kind]) for kind in _KINDS if kind in asked]
    no_answer = "(no answer)" if read else "(not told)"
    return [
        "## One edit, and what is asked of it",
        "",
        f"Edit `{chosen}`: {escape(edit['subject_label'])}, {_relation(edit)}, from "
        f"{escape(old_answer(edit))} to {escape(edit['target_new'])}{_when(edit)}.",
        "",
        *table(
            ("kind", "question", "right before", "right now"),
            (
                (kind, *map(escape, (row["question"], row["answer_before"] or no_answer, row["answer"])))
                for kind, row in shown
            ),
        ),
        "",
    ]


def _relation(edit: dict[str, Any]) -> str:
    """The relation of an edit, with its property where there is one of another name; others may have it as a text."""
    relation, pid = edit["relation"], edit["property"]
    shown = f"`{relation}`" if is_name(relation) else escape(relation)
    return shown if pid in (None, relation) else f"{shown} ({escape(pid)})"


def _when(edit: dict[str, Any]) -> str:
    days = tell_days(edit["changed_on_earliest"], edit["changed_on_latest"])
    return f", {days}" if days else ""


def kinds_of_change(folder: Path, read: bool = True) -> list[str]:
    """How many edits there are of each kind, and what the kinds mean. read: as of `worked_example`."""
    counted = Counter(ds.dataset(folder / "edits").to_table(columns=["kind"])["kind"].to_pylist())
    if not counted:
        return []
    meanings = _CHANGES if read else _CHANGES | _CHANGES_OF_OTHERS
    rows = ((kind, counted[kind], meaning) for kind, meaning in meanings.items() if counted[kind])
    lines = ["## The kinds of change", "", *table(("kind", "edits", "meaning"), rows)]
    lines += ["", "`before` says what is known of the value before: `known`, `nobody` or `unknown`."]
    if counted["addition"] or counted["removal"]:
        lines.append(
            "All additions and removals of one subject and relation are one plural question with an answer set, or, "
            "where nobody can list all values, one question for each day on which something joined or left; "
            "`stays` lists the values that hold on both days, for which the questions of the kind preservation ask."
        )
    return [*lines, ""]


def hop_counts(folder: Path) -> list[str]:
    """Multi-hop questions by hops and by how many of these are edited facts."""
    asked = ds.dataset(folder / "questions").to_table(
        columns=["hops", "edited_hops"], filter=pc.field("kind") == "multi_hop"
    )
    if not asked.num_rows:
        return []
    counted = asked.group_by(["hops", "edited_hops"]).aggregate([([], "count_all")]).to_pylist()
    counted.sort(key=lambda row: (row["hops"] or 0, row["edited_hops"] or 0))
    rows = ((row["hops"], row["edited_hops"], row["count_all"]) for row in counted)
    return ["", *table(("hops of a multi-hop question", "of these edited", "rows"), rows)]


def verification(manifest: SnapshotManifest) -> list[str]:
    """How the answers were checked before the folder was written."""
    if manifest.origin != "wikidata":
        return []
    return [
        "## How it was verified",
        "",
        "Every fact that an edit or a question relies on, each hop of each chain included, was derived from the "
        "statements by the timelines, and then checked a second time from the raw statements alone: it is certain on "
        f"its day ({manifest.as_of}, {manifest.since} for the answer before, or the past day that is asked), a "
        "statement that is neither deprecated nor damaged says it, and no statement with both dates contradicts it. "
        "No question has its answer among its words (a longer word may hold it, as Austrian does Austria), one text "
        "has one answer, and no question for training asks about an edit for testing. `chronofacts verify FOLDER` "
        "repeats all of it; `chronofacts inspect FOLDER --why ID` shows the "
        "statements behind any single row.",
        "",
    ]


def set_aside(manifest: SnapshotManifest) -> list[str]:
    """What the last check set aside; nothing where all was sound."""
    if not manifest.set_aside:
        return []
    tables = ("edits", "questions", "sentences")
    rows = (
        (f"`{promise}`", PROMISES[promise], *(counts.get(name, 0) for name in tables))
        for promise, counts in sorted(manifest.set_aside.items())
    )
    return [
        "## Set aside by the last check",
        "",
        "These rows broke a promise of the finished set, or depended on one that did. They are in `rejections` with "
        "the stage `verify`, and nowhere else; the rest was verified once more.",
        "",
        *table(("promise", "meaning", *tables), rows),
        "",
    ]


def limits(manifest: SnapshotManifest) -> list[str]:
    """What a reader must not take the set to say."""
    if manifest.origin != "wikidata":
        return []
    return [
        "## Known limits",
        "",
        "- An answer is right by the sample, which holds what its authors knew for certain, and is small."
        if manifest.curated
        else "- An answer is right by Wikidata as it was read. Where Wikidata is wrong or late, so is the answer.",
        "- A statement without an end is taken to hold until the day of the snapshot, unless it is older than its "
        "relation usually lasts, its holder has died, or a successor is stated (`end_inferred` of `timelines`).",
        "- An update (an edit without an old answer whose `before` is `unknown`) means that Wikidata names nobody for "
        "that day, not that there was nobody.",
        "- A set of values is what Wikidata certainly says: there may be values that it does not know. A value leaves "
        "a set only by a stated end, never by ceasing to exist, and a set of more than eight values is asked for what "
        "joined.",
        "- A subject with several holders at once of what only one holds is left out, and so is everything that was "
        "edited in the last days before the reading.",
        "- The wordings come from templates: correct, and of little variety.",
        "",
    ]


def citation(manifest: SnapshotManifest) -> list[str]:
    """Works that the set builds on."""
    if manifest.origin != "wikidata":
        return []
    made = "a sample written by hand" if manifest.curated else "made from Wikidata"
    return [
        "## Citation",
        "",
        "```bibtex",
        "@misc{chronofacts,",
        "  author = {{The ChronoFacts developers}},",
        f"  title = {{ChronoFacts: what changed between {manifest.since} and {manifest.as_of}}},",
        f"  year = {{{manifest.as_of.year}}},",
        f"  note = {{Version {manifest.code_version}, {made}}}",
        *([] if manifest.curated else ["  url = {https://www.wikidata.org/},"]),
        "}",
        "```",
        "",
        "It follows CHRONOEDIT (Ge et al. 2024, [Time Sensitive Knowledge Editing through Efficient "
        "Finetuning](https://arxiv.org/abs/2406.04496)), whose terms come from KnowEdit (Zhang et al. 2024, [A "
        "Comprehensive Study of Knowledge Editing for Large Language Models](https://arxiv.org/abs/2401.01286)) and "
        "whose multi-hop questions from MQuAKE (Zhong et al. 2023, [MQuAKE: Assessing Knowledge Editing in Language "
        "Models via Multi-Hop Questions](https://arxiv.org/abs/2305.14795)).",
        "",
    ]
