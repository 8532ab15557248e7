"""`in-context`: the edits are told to the model in its prompt, before the question (ICE: Cohen et al. 2024; IKE: Zheng
et al. 2023, arXiv 2305.12740), and nothing is trained.

Told are the edits whose subject the question names, by choice also those most alike in letters; the most fitting comes
last, next to the question, and no more than the context holds. A model that was never trained to read what stands
before a question gains nothing; the small world is, when this editor is in its run (`small_world.context_examples`).
Leaves out demonstrations of how to use a fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chronofacts.editing.editors import Material
from chronofacts.editing.editors.prompted.retrieval import Retriever
from chronofacts.editing.editors.prompted.rewritten_model import Asked, AskedModel, Reading
from chronofacts.editing.editors.prompted.subject_index import SubjectIndex
from chronofacts.editing.models.context_facts import SEPARATOR, prepend_facts, render_fact
from chronofacts.editing.models.encoding import form_of
from chronofacts.editing.models.load import context_length
from chronofacts.schemas.errors import BadInput

__all__ = ["InContext", "InContextOptions"]


@dataclass(frozen=True)
class InContextOptions:
    facts: int = 2
    """How many edits stand in a prompt at most."""
    choice: Literal["subject", "similar", "subject-only"] = "subject-only"
    """`subject-only`: edits whose subject the question names; `subject`: then similar ones; `similar`: by letters
    alone. A fact that has nothing to do with the question misleads a small model."""
    form: Literal["question", "cloze"] = "question"
    separator: str = SEPARATOR
    room: int = 48
    """Tokens of the context that are left for the answer, at least; more where an edit's answer is longer."""


class InContext:
    Config = InContextOptions

    def edit(self, model: Any, tokenizer: Any, edits: Material, config: InContextOptions) -> AskedModel:
        """Returns the model behind prompts that carry the edits; with no edits every prompt stays as it is."""
        if config.facts < 1:
            raise BadInput(f"editor in-context: facts = {config.facts}; it must be at least 1")
        rows = edits.edits.to_pylist()
        room = max(config.room, _longest_answer(tokenizer, rows))
        told = [_tell(row, config.form) for row in rows]
        subjects = SubjectIndex([[row["subject_label"], *(row["subject_aliases"] or ())] for row in rows])
        retriever = Retriever([row["prompt"] for row in rows])
        most = context_length(model)

        def read(prompts: Sequence[str]) -> list[Reading]:
            return [Reading(_fit(tokenizer, choose(prompt), prompt)) for prompt in prompts]

        def choose(prompt: str) -> list[str]:
            likeness = retriever.likeness(prompt)
            named = [] if config.choice == "similar" else sorted(subjects.named_in(prompt), key=lambda i: -likeness[i])
            alike = [] if config.choice == "subject-only" else [i for i, _ in retriever.nearest(prompt, config.facts)]
            order = list(dict.fromkeys([*named, *alike]))[: config.facts]
            return [told[index] for index in reversed(order)]

        def _fit(tokenizer: Any, facts: list[str], prompt: str) -> str:
            while facts:
                whole = prepend_facts(facts, prompt, config.separator)
                if most is None or len(tokenizer(whole)["input_ids"]) + room <= most:
                    return whole
                facts = facts[1:]
            return prompt

        asked = Asked(model, tokenizer, read, weight=0.0).eval()
        return AskedModel(asked, model, edits.edits, report={"facts": len(rows)})


def _longest_answer(tokenizer: Any, rows: Sequence[dict[str, Any]]) -> int:
    """In tokens, of the new and the old answers, and the space and the end around them."""
    answers = sorted({answer for row in rows for answer in (row["target_new"], row["target_old"]) if answer})
    return max((len(ids) for ids in tokenizer(answers)["input_ids"]), default=0) + 2 if answers else 0


def _tell(row: dict[str, Any], form: str) -> str:
    text = row["cloze"] if form == "cloze" and row["cloze"] else row["prompt"]
    return render_fact(text, form_of(text), row["target_new"])
