"""What stands before a question: the day it is asked on, worked examples, or examples that think aloud.

The examples are facts that no date changes, and they are in no catalogue relation. They follow MQuAKE's prompts (Zhong
et al. 2023) in kind, not in words. Leaves out chat templates.
"""

from __future__ import annotations

import datetime

__all__ = ["THINKING", "answer_of", "dated", "few_shot", "is_example", "thinking_aloud"]

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
THINKING = "T:"
"""After a question that is to be thought about aloud, in place of `A:`."""


def few_shot() -> str:
    """Questions with their answers, one a line."""
    return "".join(f"Q: {question} A: {answer}\n" for question, answer in EXAMPLES)


def dated(day: datetime.date) -> str:
    """The day of the question, as a line of its own."""
    return f"Today is {day.day} {day:%B %Y}.\n"


def thinking_aloud() -> str:
    """Questions, thoughts and answers, one a line."""
    return "".join(f"Q: {question} {THINKING} {thought} A: {answer}\n" for question, thought, answer in THOUGHTS)


def is_example(line: str) -> bool:
    """May the line be left out where there is no room? A day may not."""
    return line.startswith("Q: ")


def answer_of(thought: str) -> str:
    """What follows the last `A:`; all of it where the model answers without a thought."""
    return thought.rpartition("A:")[2].strip()
