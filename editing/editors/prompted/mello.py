"""`mello`: the model itself takes a question apart, and a memory of edits is asked at every hop (MeLLo: Zhong et al.
2023, arXiv 2305.14795, section 5).

Until the model says that nothing is left to ask, or `hops` is reached: (1) the model writes the next subquestion, after
worked examples; (2) the memory is asked for the nearest fact; (3) the model answers the subquestion, and where the fact
contradicts that answer, the fact's takes its place. In the paper the model says in words whether it contradicts. Ours
reads the fact and answers the subquestion once more: where it then gives the fact's answer, the fact decides the hop;
else its own answer stands. The model at last answers the last subquestion, the fact before it where one decides it.

A chain counts only when each subquestion is a question about names that the question or an earlier answer holds, and
the model ended it. Any other question is asked of the memory as a whole, as is one of a model whose context does not
hold the examples. Where no fact decides a hop the prompt stays as it was. All of it is greedy, in batches, and written
once for each text. The paper's models have 6 billion parameters and more; one of SmolLM2's size often takes a question
apart wrongly, so that little over hops is to be expected of it. The examples are English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.prompted.embedding import find_embedder, index_facts, load_embedder
from chronofacts.editing.editors.prompted.own_answers import open_own_answers
from chronofacts.editing.editors.prompted.rewritten_model import RewrittenModel, RewrittenPrompt, StoreEdit
from chronofacts.editing.editors.prompted.subject_index import SubjectIndex
from chronofacts.editing.editors.prompted.told_facts import (
    Context,
    FactForm,
    check_count,
    form_for,
    state,
    tell,
    worked_examples,
)
from chronofacts.editing.models.context_facts import SEPARATOR
from chronofacts.editing.models.encoding import prompt_length, render
from chronofacts.editing.scoring.answer_match import matches

__all__ = ["Mello", "MelloSettings"]

Row = dict[str, Any]
Say = Callable[[Sequence[str]], list[str]]
"""The model's own greedy continuations of prompts."""
QUESTION = re.compile(r"^Q: (.*) A:$", re.DOTALL)
"""A question as `render` writes it."""
NAME = re.compile(r"[^\W\d_a-z][\w'’-]*")
WRITTEN = 40
"""Tokens of a subquestion or of an answer to one, at most."""
NEAREST = 16
"""Facts of which the first that names a subject of the subquestion is taken."""
FIRST, NEXT, NOTHING = "What is to be asked first?", "What is to be asked next?", "Nothing"

CHAINS = (
    (
        "In which city was the author of Don Quixote born?",
        (
            ("Who is the author of Don Quixote?", "Miguel de Cervantes"),
            ("In which city was Miguel de Cervantes born?", "Alcalá de Henares"),
        ),
    ),
    ("What is the capital of Peru?", (("What is the capital of Peru?", "Lima"),)),
    (
        "Who is the head of state of the country that Mount Fuji is in?",
        (
            ("Which country is Mount Fuji in?", "Japan"),
            ("Who is the head of state of Japan?", "Naruhito"),
        ),
    ),
)
"""Worked examples: a question, its subquestions and their answers."""


@dataclass(frozen=True)
class MelloSettings:
    hops: int = 4
    """Subquestions of a question, at most; 0: none is taken apart."""
    check: bool = True
    """Whether a fact decides a hop only where the model, reading it, gives its answer; else the retrieved one does."""
    named: bool = True
    """Whether a fact decides a hop only where the subquestion names its subject; the paper takes the nearest."""
    embedder: str = "auto"
    """What finds the nearest fact, as for `rag`."""
    form: FactForm = "auto"
    """How a fact is told: as a question with its answer, or as a statement; auto: a statement to a model that chats."""
    separator: str = SEPARATOR
    room: int = 48
    """Tokens of the context that are left for the answer, at least; more where an edit's answer is longer."""
    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""


class Mello:
    Settings = MelloSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: MelloSettings, cache: ModelCache | None = None
    ) -> StoreEdit:
        """The model behind its own decomposition of each question; with no edits every prompt stays as it is."""
        check_count("mello", "hops", settings.hops, 0)
        rows = batch.edits.to_pylist()
        context = Context.of(model, tokenizer, rows, max(settings.room, WRITTEN), settings.separator)
        say = open_own_answers(model, tokenizer, WRITTEN, batch.progress, "mello: the model takes questions apart")
        walker = _Walker(_Memory(rows, settings), context, tokenizer, settings, say)
        rewritten = RewrittenModel(model, tokenizer, walker.rewrite, weight=0.0).eval()
        return StoreEdit(rewritten, model, report={"facts": len(rows)}, edits=batch.edits)


class _Memory:
    """The edits, found by a subquestion."""

    def __init__(self, rows: Sequence[Row], settings: MelloSettings) -> None:
        self.rows = rows
        folder = find_embedder(settings.embedder)
        embedder = load_embedder(folder) if folder else None
        self._index = index_facts(embedder, [state(row) for row in rows], [row["prompt"] for row in rows])
        self._subjects = SubjectIndex([[row["subject_label"], *(row["subject_aliases"] or ())] for row in rows])
        self._named = settings.named

    def find(self, questions: Sequence[str]) -> list[int | None]:
        """Of each question the nearest fact; with `named`, the nearest whose subject the question names."""
        nearest = self._index.nearest(questions, NEAREST if self._named else 1)
        found: list[int | None] = []
        for question, several in zip(questions, nearest, strict=True):
            named = set(self._subjects.find_named(question))
            found.append(next((index for index, _ in several if not self._named or index in named), None))
        return found

    def names(self, fact: int | None) -> list[str]:
        """What the fact's new answer is called; first as it is told."""
        row = self.rows[fact] if fact is not None else {}
        names = (row.get("target_new"), row.get("new_label"), *(row.get("new_aliases") or ()))
        return [name for name in names if name]


@dataclass
class _Step:
    question: str
    answer: str
    fact: int | None
    """Which edit decided it."""


@dataclass
class _Chain:
    """A question, as far as it is taken apart."""

    question: str
    steps: list[_Step] = field(default_factory=list)
    ended: bool = False
    """The model said that nothing is left to ask."""

    def accepts(self, asked: str) -> bool:
        """Is this a new question about names that stand in the question or in an answer?"""
        known = _names(self.question) | {name for step in self.steps for name in NAME.findall(step.answer)}
        named = _names(asked)
        new = asked not in [step.question for step in self.steps]
        return asked.endswith("?") and new and named <= known and (bool(named) or not known)


@dataclass
class _Walker:
    memory: _Memory
    context: Context
    tokenizer: Any
    settings: MelloSettings
    say: Say

    def rewrite(self, prompts: Sequence[str]) -> list[RewrittenPrompt]:
        """What the model reads instead of each prompt."""
        if not self.memory.rows:
            return [RewrittenPrompt(prompt) for prompt in prompts]
        questions = [match[1] if (match := QUESTION.match(prompt)) else None for prompt in prompts]
        chains = self._take_apart([question for question in questions if question is not None])
        whole = [
            (prompt if question is None else question, prompt)
            for prompt, question in zip(prompts, questions, strict=True)
            if question is None or question not in chains
        ]
        last = {prompt: step for (_, prompt), step in zip(whole, self._ask_memory(whole), strict=True)}
        found = []
        for prompt, question in zip(prompts, questions, strict=True):
            chain = chains.get(question) if question is not None else None
            if chain is None:
                found.append(self._tell(prompt, last[prompt]))
            elif any(step.fact is not None for step in chain.steps):
                found.append(self._tell(render(chain.steps[-1].question, "question"), chain.steps[-1]))
            else:
                found.append(RewrittenPrompt(prompt))
        return found

    def _take_apart(self, questions: Sequence[str]) -> dict[str, _Chain]:
        """The chains that the model ended, by their question."""
        chains = [_Chain(question) for question in dict.fromkeys(questions)] if self.settings.hops else []
        going = chains
        for hop in range(self.settings.hops + 1):
            prompts = {id(chain): prompt for chain in going if (prompt := self._ask_next(chain)) is not None}
            going = [chain for chain in going if id(chain) in prompts]
            said = self.say([prompts[id(chain)] for chain in going])
            accepted = []
            for chain, text in zip(going, said, strict=True):
                chain.ended = bool(chain.steps) and text.startswith(NOTHING)
                if not chain.ended and hop < self.settings.hops and chain.accepts(text):
                    accepted.append((chain, text))
            steps = self._ask_memory([(text, render(text, "question")) for _, text in accepted])
            for (chain, _), step in zip(accepted, steps, strict=True):
                chain.steps.append(step)
            going = [chain for chain, _ in accepted if chain.steps[-1].answer]
        return {chain.question: chain for chain in chains if chain.ended}

    def _ask_next(self, chain: _Chain) -> str | None:
        """The prompt that asks for the next subquestion; None where the context does not hold it."""
        answered = [(step.question, step.answer) for step in chain.steps]
        prompt = "".join(_EXAMPLES) + f"{_write(chain.question, answered)} A:"
        length = self.context.length
        fits = length is None or prompt_length(self.tokenizer, prompt) + WRITTEN <= length
        return prompt if fits else None

    def _ask_memory(self, asked: Sequence[tuple[str, str]]) -> list[_Step]:
        """Each subquestion answered: by the fact that the model reads in it, else by the model alone.

        asked: (subquestion, its prompt).
        """
        facts = self.memory.find([question for question, _ in asked])
        told = [index for index, fact in enumerate(facts) if fact is not None]
        decided = set(told)
        if self.settings.check:
            read = self.say([self._put_fact(asked[index][1], facts[index]) for index in told])
            answers = dict(zip(told, read, strict=True))
            decided = {index for index in told if matches(answers[index], self.memory.names(facts[index]))}
        alone = [index for index in range(len(asked)) if index not in decided]
        own = dict(zip(alone, self.say([self._put_fact(asked[index][1], None) for index in alone]), strict=True))
        return [
            _Step(question, self.memory.names(facts[index])[0], facts[index])
            if index in decided
            else _Step(question, own[index], None)
            for index, (question, _) in enumerate(asked)
        ]

    def _tell(self, prompt: str, step: _Step) -> RewrittenPrompt:
        return RewrittenPrompt(prompt if step.fact is None else self._put_fact(prompt, step.fact))

    def _put_fact(self, prompt: str, fact: int | None) -> str:
        """The prompt behind worked examples and the fact. None: behind examples without facts, for a short answer."""
        if fact is None:
            return self.context.put_before(prompt, (), worked_examples(self.tokenizer, "question"))
        form = form_for(self.tokenizer, self.settings.form)
        line = tell(self.memory.rows[fact], form, self.tokenizer)
        return self.context.put_before(prompt, worked_examples(self.tokenizer, form), [line])


def _write(question: str, answered: Sequence[tuple[str, str]]) -> str:
    """What was asked and answered so far, in lines, and the question for the next."""
    lines = [f"Question: {question}", *(f"{asked} {answer}" for asked, answer in answered)]
    return "\n".join([*lines, f"Q: {NEXT if answered else FIRST}"])


def _worked_steps() -> list[str]:
    """Every step of the worked examples, each a question with its answer."""
    return [
        f"{_write(question, steps[:done])} A: {steps[done][0] if done < len(steps) else NOTHING}\n"
        for question, steps in CHAINS
        for done in range(len(steps) + 1)
    ]


_EXAMPLES = _worked_steps()


def _names(text: str) -> set[str]:
    """Capitalised words of a question, but for its first."""
    return set(NAME.findall(text.partition(" ")[2]))
