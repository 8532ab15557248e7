"""Invented facts before a question, from which a small world learns to read what stands in its context.

The in-context editor puts edits before a question in this form. A model that was trained on single sentences alone does
not look at what stands before a question; one that was also trained on these does. Their answers are invented, so that
they can only be read and not remembered: names that the relation knows or will know, and words of several. An edit's
subject never gets its new answer. Misplaced names teach how a name goes on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from chronofacts.editing.models.context_facts import prepend_facts, render_fact
from chronofacts.editing.models.encoding import render
from chronofacts.editing.scoring.answer_sets import named

__all__ = ["invented_contexts", "misplaced_names"]

OTHERS_BEFORE = (0.55, 0.3, 0.1, 0.05)
"""How often none, one, two or three facts stand before the one that matters."""
MOST_TRIES = 20
"""Draws per context, so that a world in which everything is secret ends with fewer."""
READ_SHARE = 0.6
"""Of the invented contexts, so many hold the answer; the others state what has nothing to do with the question."""

MIXED_SHARE = 0.2
"""Of the stated answers, so many are made of several names' words: what is read word by word is not known as a whole.
The others are whole names, so that every name is one that may be read."""
EDITED = 3
"""How much more often facts of the relations that are edited are stated."""

NEAR_SHARE = 0.7
"""How often a question that keeps its answer comes after another fact about the same subject."""
NEAR_BEFORE = 0.3
"""How often such a fact also stands before the one that holds the answer."""
COMING_SHARE = 0.4
"""Of the stated names, so many are those that edits will bring: each of them is rare otherwise."""

OWN_RELATION = 0.67
"""Of the misplaced names, so many stand where one of their relation is asked for."""

T = TypeVar("T")
Row = Mapping[str, Any]
Fact = tuple[str, str]  # subject, relation
Pair = tuple[str, str]  # prompt, answer


def invented_contexts(
    sentences: pa.Table, edits: pa.Table, count: int, seed: int, reading_only: bool = False
) -> list[tuple[str, str]]:
    """`count` pairs of (prompt with one to four facts before it, answer).

    sentences: `tables.SENTENCES` without those held out. edits: `tables.EDITS`; their new answers are words to read,
    but are never stated of their own subjects. A stated answer is a name of its relation, or made of the words of
    several. Where the question is about a stated fact, in whichever wording, its answer is the stated one; a question
    about the past, or about anything else, keeps its own. reading_only: nothing but questions about the one fact in
    the context. Empty where no relation has two answers.
    """
    sampler = _Sampler(sentences, edits, seed)

    def draw() -> tuple[str, str] | None:
        reads = reading_only or sampler.chance.random() < READ_SHARE
        row, about = sampler.question(reads)
        if about is None:
            return None
        others = [] if reading_only else sampler.others(about, row["subject"], reads)
        lines = [line for fact in [*others, about] if (line := sampler.invented(fact))]
        if not lines or (reads and len(lines) <= len(others)):
            return None
        answer = lines[-1][1] if reads else row["answer"]
        return prepend_facts([text for text, _ in lines], render(row["prompt"], row["form"])), answer

    return sampler.draws(draw, count)


def misplaced_names(sentences: pa.Table, edits: pa.Table, count: int, seed: int) -> list[tuple[str, str]]:
    """`count` pairs of (prompt, a name that does not answer it), from which a name is learnt and no fact.

    The names are what the relations' subjects have or will have; tables as for `invented_contexts`. Two in three stand
    behind a question of their own relation. Empty where there is no name.
    """
    sampler = _Sampler(sentences, edits, seed)
    return sampler.draws(sampler.misplaced, count)


class _Sampler:
    """The facts of the sentences, how each is worded, and names that may answer; draws from them by chance."""

    def __init__(self, sentences: pa.Table, edits: pa.Table, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self._rows = sentences.select(["subject", "relation", "role", "form", "prompt", "answer"]).to_pylist()
        self._wordings: dict[Fact, list[Row]] = defaultdict(list)
        names: dict[str, set[str]] = defaultdict(set)
        for row in self._rows:
            if row["role"] in ("current", "stable") and row["relation"] != "alias":
                self._wordings[row["subject"], row["relation"]].append(row)
                names[row["relation"]].add(row["answer"])
        self._secret: dict[str, set[str]] = defaultdict(set)
        self._joined: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        coming: dict[str, set[str]] = defaultdict(set)
        for edit in edits.select(["subject", "relation", "target_new", "new_label", "new_aliases"]).to_pylist():
            names[edit["relation"]].add(edit["target_new"])
            coming[edit["relation"]].add(edit["target_new"])
            self._secret[edit["subject"]] |= {edit["target_new"], *(edit["new_aliases"] or ())}
            if edit["new_label"] not in (None, edit["target_new"]):  # one of several, which others may have too
                self._joined[edit["subject"]].append((edit["new_label"], *(edit["new_aliases"] or ())))
        self._names = {relation: sorted(several) for relation, several in names.items() if len(several) > 1}
        self._coming = defaultdict(list, {relation: sorted(several) for relation, several in coming.items()})
        self.facts = sorted(fact for fact in self._wordings if fact[1] in self._names)
        self._of_subject: dict[str, list[Fact]] = defaultdict(list)
        for fact in self.facts:
            self._of_subject[fact[0]].append(fact)
        edited, of_relation = set(edits["relation"].to_pylist()), Counter(relation for _, relation in self.facts)
        weights = [of_relation[name] ** -0.5 * (EDITED if name in edited else 1) for _, name in self.facts]
        self._so_far = np.cumsum(weights)  # a fact of a rare relation is stated more often

    def draws(self, draw: Callable[[], Pair | None], count: int) -> list[Pair]:
        """`count` pairs, or as many as so many tries give."""
        pairs = (draw() for _ in range(MOST_TRIES * count if self.facts else 0))
        return list(islice((pair for pair in pairs if pair is not None), count))

    def question(self, reads: bool) -> tuple[Row, Fact | None]:
        """(the question, the fact that is stated last); no fact where stating any would change the answer."""
        if reads:
            about = self._draw_fact()
            return self._choose(self._wordings[about]), about
        row = self._choose(self._rows)
        over_hops = row["role"] == "composed"
        near = [f for f in self._of_subject[row["subject"]] if row["role"] == "history" or f[1] != row["relation"]]
        about = (
            self._choose(near) if near and not over_hops and self.chance.random() < NEAR_SHARE else self._draw_fact()
        )
        return row, None if about[0] == row["subject"] and (over_hops or about not in near) else about

    def misplaced(self) -> tuple[str, str] | None:
        """(prompt, a name that is no answer to it); none where the name drawn is, or is secret."""
        about = self._draw_fact()
        row = self._choose(self._wordings[about]) if self.chance.random() < OWN_RELATION else self._choose(self._rows)
        name = self._choose(self._names[about[1]])
        wrong = name != row["answer"] and not self._is_secret(name, row["subject"])
        return (render(row["prompt"], row["form"]), name) if wrong else None

    def others(self, about: Fact, subject: str, reads: bool) -> list[Fact]:
        """Facts that stand before the one that matters, each once: about others, and about this one's subject."""
        count = int(np.searchsorted(np.cumsum(OTHERS_BEFORE), self.chance.random()))
        drawn = sorted({fact for _ in range(count) if (fact := self._draw_fact())[0] != subject})
        near = [fact for fact in self._of_subject[subject] if reads and fact[1] != about[1]]
        return [*drawn, self._choose(near)] if near and self.chance.random() < NEAR_BEFORE else drawn

    def invented(self, fact: Fact) -> tuple[str, str] | None:
        """(line, invented answer); none when the answer drawn is secret."""
        names, coming = self._names[fact[1]], self._coming[fact[1]]
        whole = coming if coming and self.chance.random() < COMING_SHARE else names
        answer, row = self._choose(whole), self._choose(self._wordings[fact])
        if self.chance.random() < MIXED_SHARE:
            words = " ".join([answer, self._choose(names), self._choose(names)]).split()
            answer = " ".join(self._choose(words) for _ in answer.split())
        return None if self._is_secret(answer, fact[0]) else (render_fact(row["prompt"], row["form"], answer), answer)

    def _is_secret(self, answer: str, subject: str) -> bool:
        """Is it the subject's new answer, or a list that names what joins the subject's own?"""
        joined = self._joined.get(subject)
        return answer in self._secret[subject] or (joined is not None and any(named(answer, joined)))

    def _draw_fact(self) -> Fact:
        return self.facts[int(np.searchsorted(self._so_far, self.chance.random() * self._so_far[-1]))]

    def _choose(self, several: Sequence[T]) -> T:
        return several[int(self.chance.random() * len(several))]
