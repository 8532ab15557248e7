"""`ike`: in-context knowledge editing with demonstrations (Zheng et al. 2023, arXiv 2305.12740, section 3).

Before a question stands the new fact f, and before that k demonstrations c_1 … c_k, each a fact with a question and its
answer (`demonstrations`): they show that a question within the fact's scope takes its answer, and any other keeps its
own. They are the k facts most like f, cos(c_1, f) < … < cos(c_k, f), so that the most alike stands next to it (section
3.3). Ours is likeness of letters in place of a sentence encoder's. In the paper each question is asked behind its one
edit; with many edits at hand `choice` finds the fact, and a question that names no edited subject is left as it is.

Nothing is trained. A model that does not read what stands before a question gains nothing, and the more demonstrations
a context holds, the better must it read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.prompted.demonstrations import (
    GENERAL,
    DemonstrationPool,
    sentence_demonstrations,
)
from chronofacts.editing.editors.prompted.rewritten_model import RewrittenModel, RewrittenPrompt, StoreEdit
from chronofacts.editing.editors.prompted.told_facts import (
    Choice,
    Context,
    FactChooser,
    FactForm,
    check_count,
    form_for,
    tell,
)
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.context_facts import SEPARATOR
from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.tables import conform

__all__ = ["Ike", "IkeSettings"]

FILE = "demonstrations.parquet"
IN_CHAT, ELSEWHERE = 8, 2
"""Demonstrations, where the settings name no number."""
SHOWN = pa.schema([pa.field("edit_id", pa.string()), pa.field("text", pa.string())])
"""Demonstrations of each edit in the order in which they stand."""


@dataclass(frozen=True)
class IkeSettings:
    demonstrations: int | None = None
    """How many stand before the new fact, as far as the context holds them; the paper: 32. None: 8 for a model that
    chats, 2 for any other: a small world, which read four facts at most, copies less behind more lines."""
    facts: int = 1
    """How many edits stand in a prompt at most."""
    choice: Choice = "subject-only"
    """Which edit: `subject-only`: one whose subject the question names; `subject`: else a similar one; `similar`: by
    letters alone."""
    form: FactForm = "auto"
    """How a fact is told: as a question with its answer, or as a statement; auto: a statement to a model that chats."""
    mark: str = ""
    """Before every fact; the paper: `New Fact: `."""
    own: bool = False
    """Whether the told fact itself is the last demonstration, as in the authors' code."""
    separator: str = SEPARATOR
    room: int = 48
    """Tokens of the context that are left for the answer, at least; more where an edit's answer is longer."""
    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""
    seed: int = 0
    """Of the invented answers and the neighbours."""


class Ike:
    Settings = IkeSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: IkeSettings, cache: ModelCache | None = None
    ) -> IkeEdit:
        """The model behind prompts with demonstrations and the edit; with no edits every prompt stays as it is."""
        chats, count = isinstance(tokenizer, ChatTokenizer), settings.demonstrations
        count = (IN_CHAT if chats else ELSEWHERE) if count is None else count
        check_count("ike", "demonstrations", count, 0)
        check_count("ike", "facts", settings.facts)
        form, end = form_for(tokenizer, settings.form), "." if chats else ""
        found = sentence_demonstrations(batch, settings.seed)
        pool = DemonstrationPool(found or GENERAL)
        shown = {}
        for edit_id, prompt in zip(*(batch.edits[name].to_pylist() for name in ("edit_id", "prompt")), strict=True):
            nearest = pool.nearest(prompt, count)
            shown[edit_id] = [one.write(kind, form, settings.mark, end) for one, kind in reversed(nearest)]
        edited = _put_before(model, tokenizer, batch, settings, shown)
        edited.report = {**edited.report, "demonstrations_from": len(found) or len(GENERAL), "general": not found}
        return edited

    def load(self, model: Any, tokenizer: Any, folder: Path, batch: EditBatch, settings: IkeSettings) -> IkeEdit:
        """A saved edit, with the demonstrations that it was made with. Raises CheckFailed where they are missing."""
        if not (folder / FILE).is_file():
            raise CheckFailed(f"{folder} has no {FILE}; copy the whole folder")
        shown: dict[str, list[str]] = {}
        for row in conform(pq.read_table(folder / FILE), SHOWN, "demonstrations").to_pylist():
            shown.setdefault(row["edit_id"], []).append(row["text"])
        return _put_before(model, tokenizer, batch, settings, shown)


@dataclass
class IkeEdit(StoreEdit):
    """A store of facts beside the model, with the demonstrations of each."""

    shown: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Also `demonstrations.parquet`, since a saved edit comes without the sentences that they are made of."""
        super().save(folder)
        rows = [{"edit_id": edit_id, "text": text} for edit_id, texts in self.shown.items() for text in texts]
        pq.write_table(pa.Table.from_pylist(rows, schema=SHOWN), folder / FILE)


def _put_before(
    model: Any, tokenizer: Any, batch: EditBatch, settings: IkeSettings, shown: Mapping[str, Sequence[str]]
) -> IkeEdit:
    """shown: the demonstrations of each edit by its id."""
    rows = batch.edits.to_pylist()
    form, chooser = form_for(tokenizer, settings.form), FactChooser(rows)
    context = Context.of(model, tokenizer, rows, settings.room, settings.separator)
    facts = [f"{settings.mark}{tell(row, form, tokenizer)}" for row in rows]
    copies = [f"{fact}\n{tell(row, 'question', tokenizer)}" for fact, row in zip(facts, rows, strict=True)]

    def rewrite(prompt: str) -> RewrittenPrompt:
        chosen = chooser.choose(prompt, settings.facts, settings.choice)
        if not chosen:
            return RewrittenPrompt(prompt)
        before = [*shown.get(rows[chosen[0]]["edit_id"], ()), *([copies[chosen[0]]] if settings.own else [])]
        return RewrittenPrompt(context.put_before(prompt, before, [facts[index] for index in reversed(chosen)]))

    rewritten = RewrittenModel(model, tokenizer, lambda prompts: [rewrite(one) for one in prompts], weight=0.0).eval()
    return IkeEdit(rewritten, model, report={"facts": len(rows)}, edits=batch.edits, shown=shown)
