"""What stands before a question: the day it is asked on, worked examples, or examples of a chain of thought.

The examples are facts that no date changes, and they are in no catalogue relation. They follow MQuAKE's prompts (Zhong
et al. 2023) in kind, not in words.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from chronofacts.editing.models.encoding import prompt_length, render
from chronofacts.editing.models.load import context_length

__all__ = ["CHAIN_OF_THOUGHT", "FEW_SHOT", "THINKING", "PromptBuilder", "extract_answer", "write_day"]

ANSWER, THINKING = "A:", "T:"
"""What ends a question, and a question that is to be thought about first."""
EXAMPLES = (
    ("What is the chemical symbol of gold?", "Au"),
    ("Which planet is closest to the Sun?", "Mercury"),
    ("Who wrote Don Quixote?", "Miguel de Cervantes"),
    ("On which continent does the Nile flow?", "Africa"),
    ("Who painted the Mona Lisa?", "Leonardo da Vinci"),
    ("Which ocean lies between Europe and America?", "Atlantic Ocean"),
    ("Who discovered penicillin?", "Alexander Fleming"),
    ("In which city was Johann Sebastian Bach born?", "Eisenach"),
)
THOUGHTS = (
    (
        "In which city was the author of Don Quixote born?",
        "The author of Don Quixote is Miguel de Cervantes. Miguel de Cervantes was born in Alcalá de Henares.",
        "Alcalá de Henares",
    ),
    (
        "On which continent does the longest river of Egypt rise?",
        "The longest river of Egypt is the Nile. The Nile rises in Africa.",
        "Africa",
    ),
    (
        "What is the chemical symbol of the metal that the Tutankhamun mask is made of?",
        "The Tutankhamun mask is made of gold. The chemical symbol of gold is Au.",
        "Au",
    ),
    (
        "In which museum does the best-known portrait by the painter of The Last Supper hang?",
        "The painter of The Last Supper is Leonardo da Vinci. His best-known portrait is the Mona Lisa. "
        "The Mona Lisa hangs in the Louvre.",
        "Louvre",
    ),
)
FEW_SHOT = "".join(f"Q: {question} {ANSWER} {answer}\n" for question, answer in EXAMPLES)
CHAIN_OF_THOUGHT = "".join(
    f"Q: {question} {THINKING} {thought} {ANSWER} {answer}\n" for question, thought, answer in THOUGHTS
)


def write_day(day: datetime.date) -> str:
    """The day of the question, as a line of its own."""
    return f"Today is {day.day} {day:%B %Y}.\n"


def extract_answer(thought: str) -> str:
    """What follows the last `A:`; all of it where the model answers without a thought."""
    return thought.rpartition(ANSWER)[2].strip()


class PromptBuilder:
    """Whole prompts for one model: the prefix as far as there is room, the text, and what the editor makes of it."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._tokenizer, self._context = tokenizer, context_length(model)
        self._rewrite = getattr(model, "rewrite", None)
        self._lengths: dict[str, int] = {}

    def build(self, probes: Sequence[Mapping[str, Any]], room: Sequence[int], end: str = ANSWER) -> list[str]:
        """An editor that rewrites prompts (in-context, memory) sees what follows the prefix.

        probes: of `text`, `form` and `prefix`. room: tokens that the prefix leaves for each answer. end: what follows
        a question.
        """
        texts = [_end_with(render(probe["text"], probe["form"]), end) for probe in probes]
        prefixes = [probe["prefix"] for probe in probes]
        if any(prefixes):
            whole = self._rewrite(texts) if self._rewrite else texts
            prefixes = [self._fit(*one) for one in zip(prefixes, whole, room, strict=True)]
        if self._rewrite:
            return list(self._rewrite(texts, prefixes))
        return [prefix + text for prefix, text in zip(prefixes, texts, strict=True)]

    def _fit(self, prefix: str, text: str, room: int) -> str:
        """The prefix without as many of its first examples as the text and its answer need room; a day stays."""
        if not prefix or self._context is None:
            return prefix
        lines, left = prefix.splitlines(keepends=True), self._context - room - prompt_length(self._tokenizer, text)
        while sum(map(self._count, lines)) > left and (examples := [line for line in lines if line.startswith("Q: ")]):
            lines.remove(examples[0])
        return "".join(lines)

    def _count(self, text: str) -> int:
        """Tokens; a few more than inside a longer text, with the template around a turn."""
        if text not in self._lengths:
            turn = getattr(self._tokenizer, "turn_length", 0)
            self._lengths[text] = len(self._tokenizer(text)["input_ids"]) + turn
        return self._lengths[text]


def _end_with(prompt: str, end: str) -> str:
    return f"{prompt.removesuffix(ANSWER)}{end}" if prompt.endswith(ANSWER) else prompt
