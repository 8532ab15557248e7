"""`in-context`: facts stand before the question in the prompt, and nothing is trained (ICE: Cohen et al. 2024; IKE:
Zheng et al. 2023, arXiv 2305.12740).

The facts are the edits whose subject the question names, by choice also those most alike in letters; the most fitting
comes last, next to the question. The context limits their number. A model that was never trained to read what stands
before a question gains nothing; the small world is, when this editor is in its run (`small_world.context_examples`).

A model that chats is told the facts as statements in the turn of the question, after worked examples of that as earlier
turns (IKE's demonstrations, of those the ones that copy). Without examples it answers in whole sentences, which no name
matches. `deck` contrasts what it says when told with what it says untold (DeCK: Bi et al. 2025, arXiv 2405.11613).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.prompted.rewritten_model import RewrittenModel, RewrittenPrompt, StoreEdit
from chronofacts.editing.editors.prompted.told_facts import (
    Choice,
    Context,
    FactChooser,
    FactForm,
    check_count,
    form_for,
    tell,
    worked_examples,
)
from chronofacts.editing.models.context_facts import SEPARATOR
from chronofacts.schemas.errors import BadInput

__all__ = ["InContext", "InContextSettings"]


@dataclass(frozen=True)
class InContextSettings:
    facts: int = 2
    """How many edits stand in a prompt at most."""
    choice: Choice = "subject-only"
    """`subject-only`: edits whose subject the question names; `subject`: then similar ones; `similar`: by letters
    alone. A fact that has nothing to do with the question misleads a small model."""
    form: FactForm = "auto"
    """How a fact is told: as a question with its answer, or as a statement; auto: a statement to a model that chats."""
    examples: int | None = None
    """Worked examples before the facts, at most four; none: all of them for a model that chats, and no others."""
    separator: str = SEPARATOR
    deck: bool = False
    """Whether the logits of a told prompt are contrasted with those of the untold one (`contrast`), at about twice the
    time: an answer that the model was sure of gives way."""
    deck_alpha: float = 0.1
    """With `deck`: tokens less likely than this share of the likeliest do not compete."""
    room: int = 48
    """Tokens of the context that are left for the answer, at least; more where an edit's answer is longer."""


class InContext:
    Settings = InContextSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: InContextSettings, cache: ModelCache | None = None
    ) -> StoreEdit:
        """The model behind prompts that carry the edits; with no edits every prompt stays as it is."""
        check_count("in-context", "facts", settings.facts)
        if not 0 < settings.deck_alpha <= 1:
            raise BadInput(f"editor in-context: deck_alpha = {settings.deck_alpha}; it must lie between 0 and 1")
        rows = batch.edits.to_pylist()
        form, chooser = form_for(tokenizer, settings.form), FactChooser(rows)
        context = Context.of(model, tokenizer, rows, settings.room, settings.separator)
        facts = [tell(row, form, tokenizer) for row in rows]
        shown = worked_examples(tokenizer, form, settings.examples)

        def rewrite(prompts: Sequence[str]) -> list[RewrittenPrompt]:
            return [RewrittenPrompt(context.put_before(prompt, shown, choose(prompt))) for prompt in prompts]

        def choose(prompt: str) -> list[str]:
            return [facts[index] for index in reversed(chooser.choose(prompt, settings.facts, settings.choice))]

        rewritten = RewrittenModel(
            model, tokenizer, rewrite, 0.0, settings.deck_alpha if settings.deck else None
        ).eval()
        return StoreEdit(rewritten, model, report={"facts": len(rows)}, edits=batch.edits)
