"""Demonstrations of in-context editing: an invented new fact, a question, and the answer that is right after it.

Zheng et al. 2023 (IKE, arXiv 2305.12740) show a model three kinds: *copy* asks for the fact in its own words, *update*
in others, *retain* asks for something else, whose answer stays. Theirs come from the training half of CounterFact; ours
from the sentences of the snapshot that no edit touches and that are no probe, with the answer of another subject in
place of the true one. Without sentences some general facts serve.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chronofacts.editing.editors import EditBatch
from chronofacts.editing.editors.prompted.retrieval import Retriever
from chronofacts.editing.models.context_facts import render_fact

__all__ = ["GENERAL", "Demonstration", "DemonstrationPool", "Kind", "sentence_demonstrations"]

Kind = Literal["copy", "update", "retain"]
KINDS: tuple[Kind, ...] = ("retain", "update", "retain", "copy", "retain", "update", "retain", "update")
"""In turn, from the demonstration that is most alike: one copy to three updates to four retains, the paper's ratio."""


@dataclass(frozen=True)
class Demonstration:
    """One invented fact, and what to ask after it."""

    question: str
    other: str
    """The same in other words."""
    answer: str
    """What the fact says; invented."""
    neighbour: str
    """A question that the fact does not answer."""
    neighbour_answer: str
    cloze: str | None = None

    def write(self, kind: Kind, form: str, mark: str = "", end: str = "") -> str:
        """Two lines: the fact, told as a question or as a statement, and a question with its answer.

        mark: before the fact. end: after a statement.
        """
        fact = render_fact(self.question, "question", self.answer)
        if form == "cloze" and self.cloze:
            fact = f"{render_fact(self.cloze, 'cloze', self.answer)}{end}"
        asked, answer = {
            "copy": (self.question, self.answer),
            "update": (self.other, self.answer),
            "retain": (self.neighbour, self.neighbour_answer),
        }[kind]
        return f"{mark}{fact}\n{render_fact(asked, 'question', answer)}"


GENERAL = tuple(
    Demonstration(question, other, answer, neighbour, neighbour_answer, cloze)
    for cloze, question, other, answer, neighbour, neighbour_answer in (
        ("The capital of Kazakhstan is", "What is the capital of Kazakhstan?",
         "Which city is the seat of Kazakhstan's government?", "Almaty", "What is the capital of Portugal?", "Lisbon"),
        ("The author of Don Quixote is", "Who is the author of Don Quixote?", "Who wrote Don Quixote?",
         "Lope de Vega", "Who wrote Hamlet?", "William Shakespeare"),
        ("The director of the film Jaws is", "Who is the director of the film Jaws?", "Who directed the film Jaws?",
         "George Lucas", "Who directed the film Psycho?", "Alfred Hitchcock"),
        ("The official language of Brazil is", "What is the official language of Brazil?",
         "Which language is official in Brazil?", "Spanish", "What is the official language of Egypt?", "Arabic"),
        ("The discoverer of penicillin is", "Who is the discoverer of penicillin?", "Who discovered penicillin?",
         "Louis Pasteur", "Who discovered radium?", "Marie Curie"),
        ("The head coach of the club Ajax is", "Who is the head coach of the club Ajax?", "Who trains the club Ajax?",
         "Johan Cruyff", "In which city does the club Ajax play?", "Amsterdam"),
        ("The headquarters of Nokia is in", "In which city is the headquarters of Nokia?", "Where is Nokia based?",
         "Tampere", "In which city is the headquarters of Siemens?", "Munich"),
        ("The currency of Japan is", "What is the currency of Japan?", "With what money does one pay in Japan?",
         "Won", "What is the currency of Mexico?", "Mexican peso"),
    )
)  # fmt: skip
"""For facts that come without sentences."""


def sentence_demonstrations(batch: EditBatch, seed: int) -> tuple[Demonstration, ...]:
    """One demonstration of every fact in the sentences that no edit touches, asked in no probe.

    The invented answer is another subject's; the neighbour is another subject of the same relation, with its own
    answer. Both are a choice by the fact and the seed alone, whatever else is in the batch. Empty where no relation has
    two answers.
    """
    wordings: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in batch.sentences.to_pylist():
        known = row["role"] in ("current", "stable") and row["relation"] != "alias"
        if known and not row["held_out"] and not row["edit_ids"] and row["prompt"] not in batch.probes:
            wordings[row["subject"], row["relation"]].append(row)
    asked = {fact: questions for fact, rows in wordings.items() if (questions := _in_form(rows, "question"))}
    of_relation: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for fact in sorted(asked):
        of_relation[fact[1]].append(fact)
    found = []
    for (subject, relation), questions in sorted(asked.items()):
        chance = random.Random(f"{seed} {subject} {relation}")  # noqa: S311 - no secret
        own = {row["answer"] for row in questions}
        others = [fact for fact in of_relation[relation] if not own & {row["answer"] for row in asked[fact]}]
        if others:
            neighbour = asked[chance.choice(others)][0]
            clozes = _in_form(wordings[subject, relation], "cloze")
            found.append(
                Demonstration(
                    questions[0]["prompt"],
                    questions[min(1, len(questions) - 1)]["prompt"],
                    asked[chance.choice(others)][0]["answer"],
                    neighbour["prompt"],
                    neighbour["answer"],
                    clozes[0]["prompt"] if clozes else None,
                )
            )
    return tuple(found)


def _in_form(rows: Sequence[dict[str, Any]], form: str) -> list[dict[str, Any]]:
    return sorted((row for row in rows if row["form"] == form), key=lambda row: (row["phrasing"] or 0, row["prompt"]))


class DemonstrationPool:
    """Demonstrations, found by likeness of their facts to a new fact."""

    def __init__(self, several: Sequence[Demonstration]) -> None:
        self._several = several
        self._retriever = Retriever([one.question for one in several])

    def nearest(self, fact: str, count: int) -> list[tuple[Demonstration, Kind]]:
        """The `count` most alike, the most alike first, each with its kind; the paper's N(f), section 3.3."""
        found = [self._several[index] for index, _ in self._retriever.nearest(fact, count)]
        return [(one, KINDS[number % len(KINDS)]) for number, one in enumerate(found)]
