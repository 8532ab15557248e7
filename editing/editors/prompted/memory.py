"""`memory`: the edits stay in a store beside the model; questions are matched to it and, over hops, taken apart.

A question is *in scope* of an edit when it names its subject and, with the name taken out, is most alike to a wording
of its relation (a scope classifier as in SERAC, Mitchell et al. 2022, made of letters); a question about the past
never is. A question over hops is taken apart as in MeLLo (Zhong et al. 2023), without ever seeing the gold chain: a
noun phrase that an edit defines ("the mayor of Linz") is replaced by the new answer, and an inner noun phrase that no
edit defines ("the country that Linz is in") is asked of the model itself, as long as this ends at an edit. The cues
are English ones. Leaves out training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chronofacts.editing.editors import Material
from chronofacts.editing.editors.prompted.retrieval import Retriever
from chronofacts.editing.editors.prompted.rewritten_model import Asked, AskedModel, Reading
from chronofacts.editing.editors.prompted.subject_index import SubjectIndex
from chronofacts.editing.editors.trained.examples import Wording, edit_lessons
from chronofacts.editing.models.encoding import encode, render
from chronofacts.editing.scoring import generate
from chronofacts.schemas.errors import BadInput

__all__ = ["Memory", "MemoryOptions"]

MASK = "{}"
QUESTION = re.compile(r"^Q: (.*) A:$", re.DOTALL)
PAST = re.compile(r"\b(was|were|did|before|after|former(ly)?|previous(ly)?|1\d{3}|20\d\d)\b", re.I)
PERSON_PAST = re.compile(r"\b(born|founded|die|died|buried|educated)\b", re.I)
"""With these words a past tense is about the person, not about the day asked for."""
CAPITALISED = r"[^\W\d_a-z][\w.'’-]*"
LINKS = r"(?: (?:of|the|and|for|in|on|de|la|da|del|al|von|van|bin))*?"
NAME = rf"(?:the )?{CAPITALISED}(?:{LINKS} {CAPITALISED})*"
DEEPER = re.compile(r"\bthe (?!name of|office of)(?:[a-z]+ ){1,4}(?:of|that) the (?:[a-z]+ ){1,4}(?:of|that) ")
"""What is left of a question has another hop in it: the party of the mayor of {}."""
EMPTY_WORDS = {
    *("who", "what", "which", "person", "politician", "name", "office", "time", "serves", "serve", "holds", "hold"),
    *("is", "are", "the", "of", "as", "at", "in", "by", "this", "current", "currently", "now", "today", "present"),
}
ARTICLE = re.compile(r"\bthe (current )?$", re.I)
OFFICE = re.compile(r"\b(jurisdiction|seat|residence|salary|term)\b", re.I)
"""An office's name stands for its holder, but not where these are asked for."""
RIVAL = 0.75
"""A relation's wordings must be at least this alike, as a share of the best relation's."""
ITS_OFFICE = re.compile(r"what is the office of\b", re.I)
HOLDER = re.compile(r"\bthe (current )?holder of the office of ")
PEOPLE = re.compile(
    r"\b(spouse|husband|wife|head|leader|mayor|father|mother|child|holder|director|chair\w*|founder)\b", re.I
)
SEVERAL = ("addition", "removal")
"""Kinds of change whose new answer is a list."""
INNER = [
    re.compile(rf"\bthe (?:(?!the\b)[a-z]+ ){{1,4}}?(?:of|in|at) (?P<name>{NAME})"),
    re.compile(
        rf"\bthe (?:(?!the\b)[a-z]+ ){{1,4}}?that (?P<name>{NAME}) (?:is in|is on|belongs to|plays for|works for)"
    ),
    re.compile(rf"(?P<name>{NAME})['’]s? (?:[a-z]+ ?){{1,3}}"),
]


@dataclass(frozen=True)
class MemoryOptions:
    wordings: tuple[Wording, ...] = ("prompt", "paraphrases", "cloze")
    """Under which the edits are stored; at least one paraphrase never is."""
    paraphrases: int = 2
    alike: float = 0.3
    """Least likeness (cosine of letters, names taken out) to a stored wording."""
    hops: int = 4
    """How often a question is taken apart at most; 0: never."""
    reader: Literal["copy", "prompt"] = "copy"
    """`copy`: a stored answer is spoken as it is; `prompt`: the edit stands before the question, to be read."""
    weight: float = 0.95
    """With `copy`: the share of the store in the next token's probability."""


class Memory:
    Config = MemoryOptions

    def edit(self, model: Any, tokenizer: Any, edits: Material, config: MemoryOptions) -> AskedModel:
        """Returns the model behind the store; with no edits it is asked as before."""
        if not 0 < config.weight < 1:
            raise BadInput(f"editor memory: weight = {config.weight}; it must lie between 0 and 1")
        store = _Store(edits, config)

        def ask(prompts: Sequence[str]) -> list[str]:
            encoded = encode(tokenizer, prompts, ["x"] * len(prompts))
            return generate(model, tokenizer, [one.prompt for one in encoded], most=24)

        reader = _Reader(store, ask, config)
        asked = Asked(model, tokenizer, reader.read, config.weight).eval()
        trained = edit_lessons(edits.edits, config.wordings, config.paraphrases)
        return AskedModel(asked, model, edits.edits, frozenset(one.text for one in trained), {"facts": len(store.rows)})


class _Store:
    """The edits, by subject and by how their relations are asked for."""

    def __init__(self, material: Material, config: MemoryOptions) -> None:
        self.rows = material.edits.to_pylist()
        self._subjects = SubjectIndex([[row["subject_label"], *(row["subject_aliases"] or ())] for row in self.rows])
        self._alike = config.alike
        masked: dict[tuple[str, str], None] = {}
        for index, row in enumerate(self.rows):
            for lesson in edit_lessons(material.edits.slice(index, 1), config.wordings, config.paraphrases):
                masked.setdefault((_mask(lesson.text, row["subject_label"]), row["relation"]), None)
        self._wordings_of: dict[str, list[int]] = {}
        for place, (_, relation) in enumerate(masked):
            self._wordings_of.setdefault(relation, []).append(place)
        self._wordings = Retriever([text for text, _ in masked])
        self._phrases: dict[str, int] = {}
        for index, row in enumerate(self.rows):
            for phrase in _noun_phrases(row):
                self._phrases.setdefault(phrase.casefold(), index)
        self._inside = SubjectIndex([[phrase] for phrase in self._phrases])
        self._owners = list(self._phrases.values())

    def find(self, text: str) -> int | None:
        """The edit in whose scope the question lies."""
        if self.about_the_past(text):
            return None
        for phrase, begin, end in self._inside.places_in(text):
            if _asks_identity(ARTICLE.sub("", text[:begin]) + text[end:]) and not _goes_on(text, begin, end):
                return self._owners[phrase]
        likely: list[tuple[float, int]] = []
        for subject, begin, end in self._subjects.places_in(text):
            masked = text[:begin] + MASK + text[end:]
            if not DEEPER.search(masked) and not _goes_on(text, begin, end):
                likely.append((-self._asks_for(masked, self.rows[subject]["relation"]), subject))
        return min(likely)[1] if likely and min(likely)[0] < 0 else None

    def about_the_past(self, text: str) -> bool:
        """Does it ask for another day? A year in a subject's own name ('2032 Summer Olympics') is none."""
        for _, begin, end in sorted(self._subjects.places_in(text), key=lambda place: -place[1]):
            text = text[:begin] + MASK + text[end:]
        return bool(PAST.search(text)) and not PERSON_PAST.search(text)

    def _asks_for(self, masked: str, relation: str) -> float:
        """How like this relation's wordings the question is, its subject taken out; 0 where others are more so."""
        likeness = self._wordings.likeness(masked)
        here = float(likeness[self._wordings_of[relation]].max())
        return here if here >= self._alike and here >= RIVAL * float(likeness.max()) else 0.0

    def replace(self, text: str) -> str | None:
        """The question with a noun phrase that an edit defines replaced by its new answer; None where there is none."""
        if self.about_the_past(text):
            return None
        for phrase, begin, end in self._inside.places_in(text):
            row, head, tail = self.rows[self._owners[phrase]], ARTICLE.sub("", text[:begin]), text[end:]
            of_office = text[begin:end].casefold() == row["subject_label"].casefold() and OFFICE.search(head)
            of_office = of_office or ITS_OFFICE.match(head)
            if not of_office and not _asks_identity(head + tail) and not re.match(r" (of|and) [A-Z]", tail):
                return f"{head.rstrip()} {row['target_new']}{tail}".strip()
        return None


@dataclass
class _Reader:
    store: _Store
    ask: Any
    config: MemoryOptions

    def read(self, prompts: Sequence[str]) -> list[Reading]:
        """What is asked of the model instead of each prompt."""
        texts = [match.group(1) if (match := QUESTION.match(prompt)) else prompt for prompt in prompts]
        forms = ["question" if QUESTION.match(prompt) else "cloze" for prompt in prompts]
        done: dict[int, Reading] = {}
        waiting: dict[int, list[str]] = {}
        for index, text in enumerate(texts):
            reading, candidates = self._settle(text, forms[index])
            if reading:
                done[index] = reading
            else:
                waiting[index] = candidates
        for _ in range(self.config.hops):
            waiting = self._hop(waiting, forms, done)
        return [done.get(index, Reading(prompt)) for index, prompt in enumerate(prompts)]

    def _settle(self, text: str, form: str) -> tuple[Reading | None, list[str]]:
        """The reading if the store decides it, else the texts from which a hop may go on."""
        text = HOLDER.sub("", text) if self.config.hops else text
        replaced = self.store.replace(text) if self.config.hops else None
        if replaced is not None:
            further, _ = self._settle(replaced, form)
            return further or Reading(render(replaced, form)), []
        found = self.store.find(text)
        if found is not None:
            return self._answer(text, form, found), []
        return None, [text] if self.config.hops else []

    def _hop(self, waiting: dict[int, list[str]], forms: list[str], done: dict[int, Reading]) -> dict[int, list[str]]:
        """Ask the model for the inner noun phrases of the waiting questions, put its answers in, and look again."""
        inner = [(index, text, phrase) for index, texts in waiting.items() for text in texts for phrase in _inner(text)]
        asked = sorted({phrase for _, _, phrase in inner})
        if not asked:
            return {}
        said = dict(zip(asked, self.ask([render(_ask_for(phrase), "question") for phrase in asked]), strict=True))
        left: dict[int, list[str]] = {}
        for index, text, phrase in inner:
            if index in done or not said[phrase]:
                continue
            reading, more = self._settle(text.replace(phrase, said[phrase], 1), forms[index])
            if reading:
                done[index] = reading
                left.pop(index, None)
            else:
                left.setdefault(index, []).extend(more)
        return {index: texts for index, texts in left.items() if index not in done}

    def _answer(self, text: str, form: str, edit: int) -> Reading:
        row = self.store.rows[edit]
        if self.config.reader == "copy":
            return Reading(render(text, form), row["target_new"])
        return Reading(f"{render(row['prompt'], 'question')} {row['target_new']}\n{render(text, form)}")


def _mask(text: str, name: str) -> str:
    begin = text.casefold().find(name.casefold())
    return text if begin < 0 else text[:begin] + MASK + text[begin + len(name) :]


def _goes_on(text: str, begin: int, end: int) -> bool:
    """Is the name a part of a longer one: 'Mexico' in 'of New Mexico'?"""
    return bool(re.search(r"\W[A-Z]\w* $", text[:begin])) or bool(re.match(r" [A-Z]", text[end:]))


def _noun_phrases(row: dict[str, Any]) -> list[str]:
    """Other names of the new answer, from the cloze: 'The current mayor of Linz is' -> 'mayor of Linz'.

    A list of several values stands for nothing in a question.
    """
    if row.get("kind") in SEVERAL:
        return []
    cloze = (row["cloze"] or "").strip()
    if not cloze.endswith(" is"):
        return []
    phrase = re.sub(r"^(the|an?)\s+", "", cloze.removesuffix(" is"), flags=re.I)
    return [re.sub(r"^current(ly)?\s+", "", phrase)]


def _asks_identity(around: str) -> bool:
    """'Who is [the mayor of Linz] today?' asks for the phrase itself: nothing else is said around it."""
    return not ITS_OFFICE.match(around) and set(re.findall(r"[a-z]+", around.casefold())) <= EMPTY_WORDS


def _ask_for(phrase: str) -> str:
    """'the country that Linz is in' -> 'Which country is Linz in?'; 'the head of Asa' -> 'Who is the head of Asa?'"""
    placed = re.fullmatch(r"the ([a-z ]+?) that (.+) is (in|on)", phrase)
    if placed:
        return f"Which {placed[1]} is {placed[2]} {placed[3]}?"
    return f"{'Who' if PEOPLE.search(phrase) else 'What'} is {phrase}?"


def _inner(text: str) -> list[str]:
    """Noun phrases of the question that name an entity: what a hop may ask for."""
    found = []
    for pattern in INNER:
        for match in pattern.finditer(text):
            phrase = match.group(0).strip()
            if match.start() > 0 and phrase not in found:
                found.append(phrase)
    return found
