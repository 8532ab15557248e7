"""`memory`: the edits stay in a store beside the model; questions are matched to it and, over hops, taken apart.

A question is *in scope* of an edit when it names its subject and, without the name, is most alike to a wording of its
relation (a scope classifier as in SERAC, Mitchell et al. 2022, made of letters). A question about the past never is.
A question over hops is taken apart as in MeLLo (Zhong et al. 2023), without the gold chain: a noun phrase that an edit
defines ("the mayor of Linz") gives way to the new answer, and the model itself answers an inner noun phrase that no
edit defines ("the country that Linz is in"), as long as this ends at an edit. The cues are English ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.prompted.english_cues import (
    Cue,
    asks_identity,
    inner_phrases,
    is_part_of_name,
    make_question,
)
from chronofacts.editing.editors.prompted.own_answers import open_own_answers
from chronofacts.editing.editors.prompted.retrieval import Retriever
from chronofacts.editing.editors.prompted.rewritten_model import RewrittenModel, RewrittenPrompt, StoreEdit
from chronofacts.editing.editors.prompted.subject_index import SubjectIndex
from chronofacts.editing.editors.trained.examples import Wording, make_examples
from chronofacts.editing.models.encoding import render
from chronofacts.schemas.errors import BadInput

__all__ = ["Memory", "MemorySettings"]

MASK = "{}"
QUESTION = re.compile(r"^Q: (.*) A:$", re.DOTALL)
"""A question as `render` writes it."""
RIVAL = 0.75
"""A relation's wordings must be at least this alike, as a share of the best relation's."""
SEVERAL = ("addition", "removal")
"""Kinds of change whose new answer is a list."""
HOP_TOKENS = 24
"""Tokens of the model's own answer to a hop, at most."""


@dataclass(frozen=True)
class MemorySettings:
    wordings: tuple[Wording, ...] = ("prompt", "paraphrases", "cloze")
    """Under which the edits are stored; at least one paraphrase never is."""
    paraphrases: int = 2
    alike: float = 0.3
    """Least likeness (cosine of letters, names taken out) to a stored wording."""
    hops: int = 4
    """How often a question is taken apart at most; 0: never."""
    reader: Literal["copy", "prompt"] = "copy"
    """`copy`: the model speaks a stored answer as it is; `prompt`: it reads the edit before the question."""
    weight: float = 0.95
    """With `copy`: the share of the store in the next token's probability."""


class Memory:
    Settings = MemorySettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: MemorySettings, cache: ModelCache | None = None
    ) -> StoreEdit:
        """The model behind the store; with no edits it reads the prompts as before."""
        if not 0 < settings.weight < 1:
            raise BadInput(f"editor memory: weight = {settings.weight}; it must lie between 0 and 1")
        store = _store_of(batch, settings, cache)
        answer = open_own_answers(model, tokenizer, HOP_TOKENS, batch.progress, "memory: asking the model its hops")
        rewriter = _Rewriter(store, answer, settings)
        rewritten = RewrittenModel(model, tokenizer, rewriter.rewrite, settings.weight).eval()
        return StoreEdit(rewritten, model, frozenset(store.trained), {"facts": batch.edits.num_rows}, batch.edits)


def _store_of(batch: EditBatch, settings: MemorySettings, cache: ModelCache | None) -> _Store:
    """The store of the edits before, grown by the others, where edits come in chunks; else a new one."""
    kept: dict[str, Any] = {} if cache is None or cache.earlier_chunks is None else cache.earlier_chunks
    store: _Store = kept.setdefault("memory", _Store(batch.part(0, 0), settings))
    if not store.begins(batch.edits):
        return _Store(batch, settings)
    store.add(batch.edits.slice(len(store.rows)))
    return store


class _Store:
    """The edits, by subject and by how questions ask for their relations."""

    def __init__(self, batch: EditBatch, settings: MemorySettings) -> None:
        self.rows: list[dict[str, Any]] = []
        self.trained: set[str] = set()
        """The texts under which the edits are stored."""
        self._settings, self._ids = settings, batch.edits["edit_id"].slice(0, 0).combine_chunks()
        self._subjects, self._phrases = SubjectIndex([]), SubjectIndex([])
        self._known_phrases: set[str] = set()
        self._edit_of_phrase: list[int] = []
        self._masked: dict[tuple[str, str], None] = {}
        self._wordings_of: dict[str, list[int]] = {}
        self._wordings = Retriever([])
        self.add(batch.edits)

    def add(self, edits: pa.Table) -> None:
        """Further edits. What is known of the others stays, so that an edit costs little more after many."""
        before, known = len(self.rows), len(self._masked)
        self.rows += edits.to_pylist()
        self._ids = pa.concat_arrays([self._ids, *edits["edit_id"].chunks])
        for index, row in enumerate(self.rows[before:]):
            examples = make_examples(edits.slice(index, 1), self._settings.wordings, self._settings.paraphrases)
            self.trained |= {example.text for example in examples}
            for example in examples:
                self._masked.setdefault((_mask(example.text, row["subject_label"]), row["relation"]), None)
            phrase = (_noun_phrase(row) or "").casefold()
            if phrase and phrase not in self._known_phrases:
                self._known_phrases.add(phrase)
                self._phrases.add([[phrase]])
                self._edit_of_phrase.append(before + index)
        self._subjects.add([[row["subject_label"], *(row["subject_aliases"] or ())] for row in self.rows[before:]])
        for number, (_, relation) in enumerate(list(self._masked)[known:], known):
            self._wordings_of.setdefault(relation, []).append(number)
        if len(self._masked) > known:
            self._wordings = Retriever([text for text, _ in self._masked])

    def begins(self, edits: pa.Table) -> bool:
        """Are the stored edits the first of these?"""
        return bool(edits["edit_id"].slice(0, len(self.rows)).equals(pa.chunked_array([self._ids])))

    def find(self, text: str) -> int | None:
        """The edit in whose scope the question lies."""
        if self._is_about_the_past(text):
            return None
        for phrase, begin, end in self._phrases.positions_in(text):
            around = Cue.ARTICLE_BEFORE.remove_from(text[:begin]) + text[end:]
            if asks_identity(around) and not is_part_of_name(text, begin, end):
                return self._edit_of_phrase[phrase]
        likely: list[tuple[float, int]] = []
        for subject, begin, end in self._subjects.positions_in(text):
            masked = text[:begin] + MASK + text[end:]
            if not Cue.ANOTHER_HOP.is_in(masked) and not is_part_of_name(text, begin, end):
                likely.append((-self._likeness(masked, self.rows[subject]["relation"]), subject))
        return min(likely)[1] if likely and min(likely)[0] < 0 else None

    def replace(self, text: str) -> str | None:
        """The question with the new answer for a noun phrase that an edit defines; None where there is none."""
        if self._is_about_the_past(text):
            return None
        for phrase, begin, end in self._phrases.positions_in(text):
            row, tail = self.rows[self._edit_of_phrase[phrase]], text[end:]
            head = Cue.ARTICLE_BEFORE.remove_from(text[:begin])
            names_office = text[begin:end].casefold() == row["subject_label"].casefold()
            means_office = Cue.ASKS_FOR_OFFICE.is_in(head) or (names_office and Cue.OFFICE_ITSELF.is_in(head))
            if not means_office and not asks_identity(head + tail) and not Cue.NAME_LINKED_AFTER.is_in(tail):
                return f"{head.rstrip()} {row['target_new']}{tail}".strip()
        return None

    def _is_about_the_past(self, text: str) -> bool:
        """A year in a subject's own name ('2032 Summer Olympics') does not count."""
        for _, begin, end in sorted(self._subjects.positions_in(text), key=lambda position: -position[1]):
            text = text[:begin] + MASK + text[end:]
        return Cue.PAST.is_in(text) and not Cue.PAST_OF_A_PERSON.is_in(text)

    def _likeness(self, masked: str, relation: str) -> float:
        """How like this relation's wordings the question is, its subject taken out; 0 where others are more so."""
        likeness = self._wordings.likeness(masked)
        here = float(likeness[self._wordings_of[relation]].max())
        return here if here >= self._settings.alike and here >= RIVAL * float(likeness.max()) else 0.0


@dataclass
class _Rewriter:
    store: _Store
    answer: Callable[[Sequence[str]], list[str]]
    """The model's own answers to prompts."""
    settings: MemorySettings

    def rewrite(self, prompts: Sequence[str]) -> list[RewrittenPrompt]:
        """What the model reads instead of each prompt."""
        matches = [QUESTION.match(prompt) for prompt in prompts]
        forms = ["question" if match else "cloze" for match in matches]
        done: dict[int, RewrittenPrompt] = {}
        open_texts: dict[int, list[str]] = {}
        for index, (match, prompt) in enumerate(zip(matches, prompts, strict=True)):
            found, texts = self._look_up(match[1] if match else prompt, forms[index])
            if found:
                done[index] = found
            else:
                open_texts[index] = texts
        for _ in range(self.settings.hops):
            open_texts = self._hop(open_texts, forms, done)
        return [done.get(index, RewrittenPrompt(prompt)) for index, prompt in enumerate(prompts)]

    def _look_up(self, text: str, form: str) -> tuple[RewrittenPrompt | None, list[str]]:
        """The prompt if the store decides it, else the texts from which a hop may go on."""
        if self.settings.hops:
            text = Cue.HOLDER_OF_OFFICE.remove_from(text)
            replaced = self.store.replace(text)
            if replaced is not None:
                further, _ = self._look_up(replaced, form)
                return further or RewrittenPrompt(render(replaced, form)), []
        found = self.store.find(text)
        if found is not None:
            return self._tell(text, form, self.store.rows[found]), []
        return None, [text] if self.settings.hops else []

    def _hop(
        self, open_texts: dict[int, list[str]], forms: list[str], done: dict[int, RewrittenPrompt]
    ) -> dict[int, list[str]]:
        """Put the model's answers in place of the inner noun phrases of the open questions, and look again."""
        texts_of = [(index, text) for index, texts in open_texts.items() for text in texts]
        inner = [(index, text, phrase) for index, text in texts_of for phrase in inner_phrases(text)]
        phrases = sorted({phrase for _, _, phrase in inner})
        if not phrases:
            return {}
        answers = self.answer([render(make_question(phrase), "question") for phrase in phrases])
        answer_to = dict(zip(phrases, answers, strict=True))
        left: dict[int, list[str]] = {}
        for index, text, phrase in inner:
            if index in done or not answer_to[phrase]:
                continue
            found, texts = self._look_up(text.replace(phrase, answer_to[phrase], 1), forms[index])
            if found:
                done[index] = found
            else:
                left.setdefault(index, []).extend(texts)
        return {index: texts for index, texts in left.items() if index not in done}

    def _tell(self, text: str, form: str, edit: dict[str, Any]) -> RewrittenPrompt:
        if self.settings.reader == "copy":
            return RewrittenPrompt(render(text, form), edit["target_new"])
        return RewrittenPrompt(f"{render(edit['prompt'], 'question')} {edit['target_new']}\n{render(text, form)}")


def _mask(text: str, name: str) -> str:
    low, low_name = text.lower(), name.lower()
    if len(low) == len(text) and len(low_name) == len(name):
        begin = low.find(low_name)
        return text[:begin] + MASK + text[begin + len(name) :] if begin >= 0 else text
    found = re.search(re.escape(name), text, re.IGNORECASE)  # letters that are two as small ones move the places
    return text[: found.start()] + MASK + text[found.end() :] if found else text


def _noun_phrase(edit: dict[str, Any]) -> str | None:
    """Another name of the new answer, from the cloze: 'The current mayor of Linz is' -> 'mayor of Linz'.

    A list of several values stands for nothing in a question.
    """
    cloze = (edit["cloze"] or "").strip()
    if edit.get("kind") in SEVERAL or not cloze.endswith(" is"):
        return None
    return Cue.LEADING_CURRENT.remove_from(Cue.LEADING_ARTICLE.remove_from(cloze.removesuffix(" is")))
