"""Sentences in which an edited fact is a step: what follows from it is trained beside it (the idea of CaKE, Yao et al.
2025, arXiv 2503.16356).

A model that learns that X now plays for C still names the old coach of "X's club", which it learnt as one fact. The
graph says what follows: C's coach, as a sentence has it or, where that changed as well, the edit of it. Its wording is
taken from the world's own composed sentences about other subjects (`Who is the head coach of …'s club?`).

What is measured is never trained. Every step of a use that is an edit is one of the train half, as in a question of
that half, so that no chain of the test half is trained in any wording; and no text of a probe is, of either half.
On the small world this carries over to no other edit: of 105 held-out questions over several facts lora answers 3
without uses and 1 with them, of 20 of the train half 1 and 2 (464 facts, 78 uses, one seed). So small a model memorises
what follows, and does not learn to compose.

Leaves out uses of sets, which have no single value to go on from, and chains that begin at a fact which did not change.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from chronofacts.editing.editors import EditBatch
from chronofacts.editing.editors.trained.examples import TrainingExample

__all__ = ["make_uses"]

SINGLE = ("modification", "injection", "update")
"""Kinds of edits that give a subject one value."""
GAP = "\0"
"""In a wording, where the subject's name stands."""


def make_uses(batch: EditBatch, most: int, seed: int) -> list[TrainingExample]:
    """At most `most` uses of each edit of the train half, a seeded choice, in the order of the edits."""
    edits = [row for row in batch.edits.to_pylist() if row["kind"] in SINGLE]
    wordings, facts = _composed_wordings(batch, edits), _facts_about(batch, edits)
    generator = np.random.default_rng(seed)
    uses: list[TrainingExample] = []
    for edit in edits:
        if edit["split"] != "train" or not edit["new_object"]:
            continue
        own = [
            TrainingExample(text, "question", answer)
            for relation, answer in facts.get(edit["new_object"], {}).items()
            for wording in wordings.get((edit["relation"], relation), ())
            if (text := wording.replace(GAP, edit["subject_label"])) not in batch.probes
        ]
        chosen = np.sort(generator.permutation(len(own))[:most])
        uses += [own[index] for index in chosen.tolist()]
    return list(dict.fromkeys(uses))


def _composed_wordings(batch: EditBatch, edits: list[dict[str, Any]]) -> dict[tuple[str, str], list[str]]:
    """(relation of the edited fact, of the fact behind it) -> wordings of the question, the commonest of each number.

    Of composed sentences whose subject is that of an edit, so that its name can be taken out.
    """
    by_id = {edit["edit_id"]: edit for edit in edits}
    counts: dict[tuple[str, str, int], Counter[str]] = {}
    columns = ["role", "subject", "relation", "phrasing", "form", "prompt", "edit_ids"]
    for row in batch.sentences.select(columns).to_pylist():
        if row["role"] != "composed" or row["form"] != "question":
            continue
        for edit_id in row["edit_ids"] or ():
            edit = by_id.get(batch.facts.get(edit_id, edit_id))
            if edit and edit["subject"] == row["subject"] and row["prompt"].count(edit["subject_label"]) == 1:
                key = (edit["relation"], row["relation"], row["phrasing"])
                counts.setdefault(key, Counter())[row["prompt"].replace(edit["subject_label"], GAP)] += 1
    found: dict[tuple[str, str], list[str]] = {}
    for (first, second, _), wordings in sorted(counts.items()):
        found.setdefault((first, second), []).append(max(sorted(wordings), key=lambda text: wordings[text]))
    return found


def _facts_about(batch: EditBatch, edits: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Subject -> relation -> its value after the edits; of relations that sentences give one answer."""
    said: dict[tuple[str, str], set[str]] = {}
    columns = ["role", "subject", "relation", "answer", "asked_on"]
    for row in batch.sentences.select(columns).to_pylist():
        if row["role"] in ("current", "stable") and row["asked_on"] is None:
            said.setdefault((row["subject"], row["relation"]), set()).add(row["answer"])
    facts: dict[str, dict[str, str]] = {}
    for (subject, relation), answers in said.items():
        if len(answers) == 1:
            facts.setdefault(subject, {})[relation] = next(iter(answers))
    whole = batch.edits if batch.whole is None else batch.whole
    for subject, relation in zip(whole["subject"].to_pylist(), whole["relation"].to_pylist(), strict=True):
        facts.get(subject, {}).pop(relation, None)  # a set, or a fact of another chunk: not what the sentences say
    for edit in edits:
        if edit["split"] == "train":
            facts.setdefault(edit["subject"], {})[edit["relation"]] = edit["target_new"]
    return facts
