"""Facts told before a question: how they are written, and sentences from which a small world learns to read them.

The in-context editor tells edits in this form. A model that was only ever shown single sentences does not look at what
stands before a question; one that was also shown some of these does. They tell invented answers about known facts, so
that the answer can only be read and not remembered, and never the new answer of an edit. Leaves out the choice of what is
told (`editors.in_context`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from editing.encoding import render

__all__ = ["SEPARATOR", "invented_contexts", "tell", "with_facts"]

SEPARATOR = "\n"
OTHERS_TOLD = (0.55, 0.3, 0.1, 0.05)
"""How often none, one, two or three facts stand before the one that matters."""
MOST_TRIES = 20
"""Draws per context, so that a world in which everything is secret ends with fewer."""
READ_SHARE = 0.6
"""Of the invented contexts, so many hold the answer; the others tell what has nothing to do with the question."""

Row = Mapping[str, Any]
Fact = tuple[str, str]  # subject, relation


def tell(text: str, form: str, answer: str) -> str:
    """One fact in words: its question or cloze, rendered as a prompt, and the answer."""
    return f"{render(text, form)} {answer}"


def with_facts(facts: Sequence[str], prompt: str, separator: str = SEPARATOR) -> str:
    """The prompt with told facts before it."""
    return separator.join([*facts, prompt])


def invented_contexts(
    sentences: pa.Table, secret: Mapping[str, Collection[str]], count: int, seed: int
) -> list[tuple[str, str]]:
    """`count` pairs of (prompt with one to four told facts before it, answer).

    sentences: `tables.SENTENCES` without those held out. secret: of a subject, answers that are never told about it.
    A told fact's answer is another fact's of the same relation. Where the question is about a told fact, in whichever
    wording, its answer is the told one; a question about the past, or about anything else, keeps its own. Empty where
    no relation has two answers.
    """
    rows = sentences.select(["subject", "relation", "role", "form", "prompt", "answer"]).to_pylist()
    wordings: dict[Fact, list[Row]] = defaultdict(list)
    answers: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["role"] in ("current", "stable") and row["relation"] != "alias":
            wordings[row["subject"], row["relation"]].append(row)
            answers[row["relation"]].add(row["answer"])
    pools = {relation: sorted(several) for relation, several in answers.items() if len(several) > 1}
    facts = sorted(fact for fact in wordings if fact[1] in pools)
    if not facts:
        return []
    of_subject: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        of_subject[fact[0]].append(fact)
    chance = np.random.default_rng(seed)
    of_relation = Counter(relation for _, relation in facts)
    weights = np.array([of_relation[relation] ** -0.5 for _, relation in facts])
    weights /= weights.sum()  # rare relations are told more than once for each of their facts

    def drawn() -> Fact:
        return facts[int(chance.choice(len(facts), p=weights))]

    def told(fact: Fact) -> tuple[str, str] | None:
        """(line, invented answer); none when the answer drawn is secret."""
        pool, several = pools[fact[1]], wordings[fact]
        answer, row = pool[chance.integers(len(pool))], several[chance.integers(len(several))]
        return None if answer in secret.get(fact[0], ()) else (tell(row["prompt"], row["form"], answer), answer)

    made: list[tuple[str, str]] = []
    for _ in range(MOST_TRIES * count):
        if len(made) == count:
            break
        reads = chance.random() < READ_SHARE
        if reads:
            about = drawn()
            row = wordings[about][chance.integers(len(wordings[about]))]
        else:
            row = rows[chance.integers(len(rows))]
            near = [] if row["role"] == "composed" else of_subject[row["subject"]]
            near = [fact for fact in near if row["role"] == "history" or fact[1] != row["relation"]]
            about = near[chance.integers(len(near))] if near and chance.random() < 0.7 else drawn()
            if about[0] == row["subject"] and not near:
                continue  # what is asked over hops would change with what is told
        others = {fact for fact in (drawn() for _ in range(int(chance.choice(len(OTHERS_TOLD), p=OTHERS_TOLD)))) if fact[0] != row["subject"]}
        lines = [line for fact in [*sorted(others), about] if (line := told(fact))]
        if lines and (not reads or len(lines) == len(others) + 1):
            answer = lines[-1][1] if reads else row["answer"]
            made.append((with_facts([text for text, _ in lines], render(row["prompt"], row["form"])), answer))
    return made
