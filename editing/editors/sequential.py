"""In which order edits are made: all at once, in chunks one upon the other, or each alone on the untouched model.

All at once is what every editor does by itself. In chunks, each starts from what the chunks before it left, as edits
arrive over time. Alone is the protocol of most papers: edit one fact, ask about it, start over. Leaves out the asking
(`single_edits`) and many single LoRA edits in one pass (`trained.lora_batched`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from chronofacts.editing.editors import EditedModel, Material, Plan
from chronofacts.editing.editors.trained.gradient import WeightEdit, merge_edit
from chronofacts.schemas.errors import BadInput

__all__ = ["Chunked", "edit_in_chunks", "edited_alone"]


@dataclass
class Chunked:
    """A model after several edits one upon the other."""

    model: Any
    parts: list[EditedModel]
    trained_prompts: frozenset[str] = frozenset()
    report: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """One change for all chunks: the weights as they are now, or the last store of edits."""
        first, last = self.parts[0], self.parts[-1]
        if not isinstance(first, WeightEdit):
            last.save(folder)
            return
        before: dict[str, Any] = {}
        for part in self.parts:
            if isinstance(part, WeightEdit):
                before = {**part.before, **before}  # of a weight changed twice, the older value
        WeightEdit(self.model, before).save(folder)

    def undo(self) -> Any:
        model = self.model
        for part in reversed(self.parts):
            model = part.undo()
        return model


def edit_in_chunks(
    plan: Plan,
    model: Any,
    tokenizer: Any,
    material: Material,
    size: int,
    after: Callable[[EditedModel, pa.Table], None] = lambda part, edits: None,
) -> Chunked:
    """Edit `size` facts at a time, each chunk on the model that the ones before it left.

    after: called with the edited model and the chunk's edits as soon as each chunk is edited.

    Adapters are merged into the weights between chunks (and taken out by `undo`, bit for bit); a store of edits grows.
    Raises BadInput for a size below 1 and for p-tuning, whose vectors cannot be laid one upon the other. At any error
    the model is restored.
    """
    if size < 1:
        raise BadInput(f"chunk = {size}; it must be at least 1")
    parts: list[EditedModel] = []
    trained: frozenset[str] = frozenset()
    try:
        for begin in range(0, max(1, material.edits.num_rows), size):
            part = _next_chunk(plan, model, tokenizer, material, begin, size)
            parts.append(part)
            trained |= part.trained_prompts
            after(part, material.edits.slice(begin, size))
            material.progress(f"{plan.name}: {min(begin + size, material.edits.num_rows)} facts edited")
    except BaseException:
        for part in reversed(parts):
            part.undo()
        raise
    return Chunked(parts[-1].model, parts, trained, {"chunks": len(parts), "chunk": size})


@contextmanager
def edited_alone(plan: Plan, model: Any, tokenizer: Any, material: Material, edit: int) -> Iterator[EditedModel]:
    """The model with one of the edits alone; restored at the end."""
    edited = plan.editor.edit(model, tokenizer, material.part(edit, 1), plan.config)
    try:
        yield edited
    finally:
        edited.undo()


def _next_chunk(plan: Plan, model: Any, tokenizer: Any, material: Material, begin: int, size: int) -> EditedModel:
    if plan.name.startswith("p-tuning"):
        raise BadInput("p-tuning cannot edit in chunks: its vectors stand before every prompt; edit all at once")
    chunk = material.part(begin, size)
    edited = plan.editor.edit(model, tokenizer, chunk, plan.config)
    if hasattr(edited.model, "merge_and_unload"):
        return merge_edit(edited)
    if edited.model is not model:  # a store: ask with everything told so far
        return plan.editor.edit(model, tokenizer, material.part(0, begin + size), plan.config)
    return edited
