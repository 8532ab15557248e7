"""What a trained editor reads: the edits in some of their wordings, and what it must not forget.

Of every edit the last paraphrases are never trained, so that the paraphrase metric measures generalization: with
`paraphrases=n` the first n are trained, and at least one is always left out. Replay follows recipe D of
`reference/ecosystem.md` (history at 0.97): past facts of the edited subjects, and facts that no edit touches; a
sentence that is word for word a probe is never replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from chronofacts.editing.editors import Material
from chronofacts.editing.models.encoding import form_of, render
from chronofacts.schemas.errors import BadInput

__all__ = ["Lesson", "edit_lessons", "replay_lessons"]

Wording = Literal["prompt", "paraphrases", "cloze"]


@dataclass(frozen=True)
class Lesson:
    """One text to train: the wording, its form, the answer."""

    text: str
    form: str
    answer: str

    @property
    def prompt(self) -> str:
        return render(self.text, self.form)


def edit_lessons(edits: pa.Table, wordings: Sequence[Wording], paraphrases: int) -> list[Lesson]:
    """The new answers under the chosen wordings, in the order of the edits.

    Raises BadInput when no wording is chosen.
    """
    if not wordings:
        raise BadInput("wordings is empty; take some of prompt, paraphrases, cloze")
    lessons = []
    for edit in edits.select(["prompt", "paraphrases", "cloze", "target_new"]).to_pylist():
        answer, others = edit["target_new"], edit["paraphrases"] or []
        if "prompt" in wordings:
            lessons.append(Lesson(edit["prompt"], form_of(edit["prompt"]), answer))
        if "paraphrases" in wordings:
            lessons += [Lesson(text, form_of(text), answer) for text in others[: min(paraphrases, len(others) - 1)]]
        if "cloze" in wordings and edit["cloze"]:
            lessons.append(Lesson(edit["cloze"], "cloze", answer))
    return lessons


def replay_lessons(material: Material, history: int, neighbours: int, seed: int) -> list[Lesson]:
    """At most `history` sentences of the edited subjects' past, and `neighbours` that no edit touches.

    Both are a seeded choice among the sentences that are trained in the small world (not held out) and are no probe.
    """
    subjects = set(material.edits["subject"].to_pylist())
    past: list[Lesson] = []
    others: list[Lesson] = []
    for row in material.sentences.select(
        ["role", "subject", "form", "held_out", "prompt", "answer", "edit_ids"]
    ).to_pylist():
        if row["held_out"] or row["prompt"] in material.probes:
            continue
        if row["role"] == "history":
            (past if row["subject"] in subjects else others).append(_lesson(row))
        elif not row["edit_ids"]:
            others.append(_lesson(row))
    generator = np.random.default_rng(seed)
    return _choose(past, history, generator) + _choose(others, neighbours, generator)


def _lesson(row: dict[str, Any]) -> Lesson:
    return Lesson(row["prompt"], row["form"], row["answer"])


def _choose(lessons: list[Lesson], most: int, generator: np.random.Generator) -> list[Lesson]:
    order = generator.permutation(len(lessons))[:most]
    return [lessons[index] for index in np.sort(order).tolist()]
