"""What English questions say by their form: about the past, about a person, about another hop.

`Cue` is the table of all patterns. Each stands with a text in which it is found and one in which it is not, and a test
runs both.
"""

from __future__ import annotations

import re
from enum import Enum

__all__ = ["Cue", "asks_identity", "inner_phrases", "is_part_of_name", "make_question"]

CAPITALISED = r"[^\W\d_a-z][\w.'’-]*"
LINKS = r"(?: (?:of|the|and|for|in|on|de|la|da|del|al|von|van|bin))*?"
NAME = rf"(?:the )?{CAPITALISED}(?:{LINKS} {CAPITALISED})*"
NOUN = r"\bthe (?:(?!the\b)[a-z]+ ){1,4}?"


class Cue(Enum):
    """(pattern, a text with it, a text without it)"""

    PAST = (
        r"(?i)\b(was|were|did|before|after|former(ly)?|previous(ly)?|1\d{3}|20\d\d)\b",
        "Who was the mayor of Linz in 2016?",
        "Who is the mayor of Linz?",
    )
    PAST_OF_A_PERSON = (  # with these words a past tense is no question about another day
        r"(?i)\b(born|founded|die|died|buried|educated)\b",
        "Where was the mayor of Linz born?",
        "Who was the mayor of Linz?",
    )
    ANOTHER_HOP = (  # what is left of a question around the subject asks for more than a relation
        r"\bthe (?!name of|office of)(?:[a-z]+ ){1,4}(?:of|that) the (?:[a-z]+ ){1,4}(?:of|that) ",
        "Who leads the party of the mayor of {}?",
        "Who is the mayor of {}?",
    )
    ARTICLE_BEFORE = (r"(?i)\bthe (current )?$", "Where was the current ", "Where was ")
    HOLDER_OF_OFFICE = (
        r"\bthe (current )?holder of the office of ",
        "Who is the current holder of the office of mayor of Linz?",
        "Who is the mayor of Linz?",
    )
    ASKS_FOR_OFFICE = (r"(?i)^what is the office of\b", "What is the office of Ada Moor?", "Who is Ada Moor?")
    OFFICE_ITSELF = (  # an office's name stands for its holder, but not beside these
        r"(?i)\b(jurisdiction|seat|residence|salary|term)\b",
        "What is the salary of ",
        "Where was ",
    )
    NAME_BEFORE = (r"\W[A-Z]\w* $", "Who is the mayor of New ", "Who is the mayor of ")
    NAME_AFTER = (r"^ [A-Z]", " City today?", " today?")
    NAME_LINKED_AFTER = (r"^ (of|and) [A-Z]", " and Graz born?", " born?")
    LEADING_ARTICLE = (r"(?i)^(the|an?)\s+", "The current mayor of Linz", "current mayor of Linz")
    LEADING_CURRENT = (r"^current(ly)?\s+", "current mayor of Linz", "mayor of Linz")
    PERSON = (
        r"(?i)\b(spouse|husband|wife|head|leader|mayor|father|mother|child|holder|director|chair\w*|founder)\b",
        "the spouse of Max Hull",
        "the country of Max Hull",
    )
    WHERE_IT_LIES = (r"^the ([a-z ]+?) that (.+) is (in|on)\Z", "the country that Linz is in", "the head of Asa")
    PHRASE_OF_NAME = (
        rf"{NOUN}(?:of|in|at) {NAME}",
        "Who is the mayor of the birthplace of Max Hull?",
        "Who is the mayor of it?",
    )
    PHRASE_THAT_NAME = (
        rf"{NOUN}that {NAME} (?:is in|is on|belongs to|plays for|works for)",
        "Who leads the country that Linz is in?",
        "Who leads the country of Linz?",
    )
    PHRASE_OF_POSSESSIVE = (rf"{NAME}['’]s? (?:[a-z]+ ?){{1,3}}", "Where was Max Hull's wife born?", "Where was it?")

    def __init__(self, pattern: str, example: str, counterexample: str) -> None:
        self.regex = re.compile(pattern)
        self.example, self.counterexample = example, counterexample

    def is_in(self, text: str) -> bool:
        return bool(self.regex.search(text))

    def remove_from(self, text: str) -> str:
        return self.regex.sub("", text)


INNER = (Cue.PHRASE_OF_NAME, Cue.PHRASE_THAT_NAME, Cue.PHRASE_OF_POSSESSIVE)
EMPTY_WORDS = {
    *("who", "what", "which", "person", "politician", "name", "office", "time", "serves", "serve", "holds", "hold"),
    *("is", "are", "the", "of", "as", "at", "in", "by", "this", "current", "currently", "now", "today", "present"),
}


def asks_identity(around: str) -> bool:
    """'Who is [the mayor of Linz] today?' asks for the phrase itself: around it stands nothing else."""
    return not Cue.ASKS_FOR_OFFICE.is_in(around) and set(re.findall(r"[a-z]+", around.casefold())) <= EMPTY_WORDS


def is_part_of_name(text: str, begin: int, end: int) -> bool:
    """Is text[begin:end] a part of a longer name: 'Mexico' in 'of New Mexico'?"""
    return Cue.NAME_BEFORE.is_in(text[:begin]) or Cue.NAME_AFTER.is_in(text[end:])


def inner_phrases(text: str) -> list[str]:
    """Noun phrases of the question that name an entity: what a hop may ask for."""
    found = [match for cue in INNER for match in cue.regex.finditer(text) if match.start() > 0]
    return list(dict.fromkeys(match[0].strip() for match in found))


def make_question(phrase: str) -> str:
    """'the country that Linz is in' -> 'Which country is Linz in?'; 'the head of Asa' -> 'Who is the head of Asa?'"""
    placed = Cue.WHERE_IT_LIES.regex.match(phrase)
    if placed:
        return f"Which {placed[1]} is {placed[2]} {placed[3]}?"
    return f"{'Who' if Cue.PERSON.is_in(phrase) else 'What'} is {phrase}?"
