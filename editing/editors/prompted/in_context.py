"""`in-context`: facts stand before the question in the prompt, and nothing is trained (ICE: Cohen et al. 2024; IKE:
Zheng et al. 2023, arXiv 2305.12740).

The facts are the edits whose subject the question names, by choice also those most alike in letters; the most fitting
comes last, next to the question. The context limits their number. A model that was never trained to read what stands
before a question gains nothing; the small world is, when this editor is in its run (`small_world.context_examples`).

A model that chats is told the facts as statements in the turn of the question, after worked examples of that as earlier
turns (IKE's demonstrations, of those the ones that copy). Without examples it answers in whole sentences, which no name
matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.prompted.retrieval import Retriever
from chronofacts.editing.editors.prompted.rewritten_model import RewrittenModel, RewrittenPrompt, StoreEdit
from chronofacts.editing.editors.prompted.subject_index import SubjectIndex
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.context_facts import SEPARATOR, prepend_facts, render_fact
from chronofacts.editing.models.encoding import form_of, prompt_length
from chronofacts.editing.models.load import context_length
from chronofacts.schemas.errors import BadInput

__all__ = ["InContext", "InContextSettings"]


DEMONSTRATIONS = (
    ("The capital of Kazakhstan is Astana.", "Which city is the capital of Kazakhstan?", "Astana"),
    ("The author of Don Quixote is Miguel de Cervantes.", "Who wrote Don Quixote?", "Miguel de Cervantes"),
    ("The headquarters of the International Olympic Committee is in Lausanne.",
     "In which city is the International Olympic Committee based?", "Lausanne"),
    ("The discoverer of penicillin is Alexander Fleming.", "Who discovered penicillin?", "Alexander Fleming"),
)  # fmt: skip
"""(a fact, a question in other words, its answer). Each is answered by its fact, which IKE's are not all. Which ones
stand here decides how often a small model copies (`benchmarks/editors_real_model.md`)."""


@dataclass(frozen=True)
class InContextSettings:
    facts: int = 2
    """How many edits stand in a prompt at most."""
    choice: Literal["subject", "similar", "subject-only"] = "subject-only"
    """`subject-only`: edits whose subject the question names; `subject`: then similar ones; `similar`: by letters
    alone. A fact that has nothing to do with the question misleads a small model."""
    form: Literal["auto", "question", "cloze"] = "auto"
    """How a fact is told: as a question with its answer, or as a statement; auto: a statement to a model that chats."""
    examples: int | None = None
    """Worked examples before the facts, at most four; none: all of them for a model that chats, and no others."""
    separator: str = SEPARATOR
    room: int = 48
    """Tokens of the context that are left for the answer, at least; more where an edit's answer is longer."""


class InContext:
    Settings = InContextSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: InContextSettings, cache: ModelCache | None = None
    ) -> StoreEdit:
        """The model behind prompts that carry the edits; with no edits every prompt stays as it is."""
        if settings.facts < 1:
            raise BadInput(f"editor in-context: facts = {settings.facts}; it must be at least 1")
        rows = batch.edits.to_pylist()
        room = max(settings.room, _longest_answer(tokenizer, rows))
        chats = isinstance(tokenizer, ChatTokenizer)
        form = settings.form if settings.form != "auto" else "cloze" if chats else "question"
        facts = [_tell(row, form, end="." if chats else "") for row in rows]
        count = settings.examples if settings.examples is not None else len(DEMONSTRATIONS) if chats else 0
        shown = [_demonstrate(*one, form) for one in DEMONSTRATIONS[:count]]
        subjects = SubjectIndex([[row["subject_label"], *(row["subject_aliases"] or ())] for row in rows])
        retriever, longest = Retriever([row["prompt"] for row in rows]), context_length(model)

        def rewrite(prompts: Sequence[str]) -> list[RewrittenPrompt]:
            return [RewrittenPrompt(put_before(prompt, choose(prompt))) for prompt in prompts]

        def choose(prompt: str) -> list[str]:
            likeness = retriever.likeness(prompt)
            named = [] if settings.choice == "similar" else subjects.find_named(prompt)
            named.sort(key=lambda index: -likeness[index])
            alike = [] if settings.choice == "subject-only" else retriever.nearest(prompt, settings.facts)
            order = list(dict.fromkeys([*named, *(index for index, _ in alike)]))[: settings.facts]
            return [facts[index] for index in reversed(order)]

        def put_before(prompt: str, chosen: list[str]) -> str:
            before = [*shown, *chosen]
            for begin in range(len(before) if chosen else 0):  # examples go before facts
                whole = prepend_facts(before[begin:], prompt, settings.separator)
                if longest is None or prompt_length(tokenizer, whole) + room <= longest:
                    return whole
            return prompt

        rewritten = RewrittenModel(model, tokenizer, rewrite, weight=0.0).eval()
        return StoreEdit(rewritten, model, report={"facts": len(rows)}, edits=batch.edits)


def _longest_answer(tokenizer: Any, rows: Sequence[dict[str, Any]]) -> int:
    """In tokens, of the new and the old answers, and the space and the end around them."""
    answers = sorted({answer for row in rows for answer in (row["target_new"], row["target_old"]) if answer})
    return max((len(ids) for ids in tokenizer(answers)["input_ids"]), default=0) + 2 if answers else 0


def _tell(row: dict[str, Any], form: str, end: str) -> str:
    if form == "cloze" and row["cloze"]:
        return f"{render_fact(row['cloze'], 'cloze', row['target_new']).removesuffix(end)}{end}"
    return render_fact(row["prompt"], form_of(row["prompt"]), row["target_new"])


def _demonstrate(fact: str, question: str, answer: str, form: str) -> str:
    """A worked example in lines: the fact in its form, and a question with its answer."""
    asked = render_fact(question, "question", answer)
    return f"{fact}\n{asked}" if form == "cloze" else asked
