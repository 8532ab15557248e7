"""In which order edits are made: in chunks, each on the model that the ones before it left, or a single edit alone.

In chunks is how edits arrive over time. A single edit is the protocol of most papers: edit one fact, ask about it,
start over; `runs.single_edits` asks, and `trained.lora_batched` trains many single LoRA edits in one pass. All edits at
once is what every editor does by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from chronofacts.editing.editors import EditBatch, EditedModel, EditorSettings, ModelCache, undo_on_error
from chronofacts.editing.editors.trained.gradient import WeightEdit, merge_edit
from chronofacts.schemas.errors import BadInput

__all__ = ["SequentialEdits", "edit_in_chunks", "edit_next", "edit_singly"]


@dataclass
class SequentialEdits(EditedModel):
    """A model after several edits, each on what the one before it left."""

    parts: list[EditedModel] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    """Weights of which a part holds the oldest values."""

    def add(self, part: EditedModel) -> None:
        """The next edit. Its copies of what an earlier one changed are let go (weights, a codebook, a side memory):
        undoing takes the oldest, and a thousand edits would keep it a thousand times. A store before the model answers
        with all edits so far, and takes the place of the one before it."""
        stores_all = part.model is not part.base
        if stores_all:
            self.parts.clear()
        elif self.parts:
            part.forget_before()
        if isinstance(part, WeightEdit):
            for name in self.kept & part.before.keys():
                del part.before[name]
            self.kept |= part.before.keys()
        self.parts.append(part)
        self.model = part.model
        self.trained_prompts = part.trained_prompts | (frozenset() if stores_all else self.trained_prompts)

    def save(self, folder: Path) -> None:
        """One change for all chunks: the weights as they are now, or the last store of edits."""
        if not isinstance(self.parts[0], WeightEdit):
            self.parts[-1].save(folder)
            return
        before: dict[str, Any] = {}
        for part in self.parts:
            if isinstance(part, WeightEdit):
                before |= part.before
        WeightEdit(self.model, self.model, before=before).save(folder)

    def undo(self) -> Any:
        model = self.base
        for part in reversed(self.parts):
            model = part.undo()
        return model


def edit_in_chunks(
    editor: EditorSettings,
    model: Any,
    tokenizer: Any,
    batch: EditBatch,
    size: int,
    after: Callable[[EditedModel, pa.Table], None] = lambda part, edits: None,
    cache: ModelCache | None = None,
) -> SequentialEdits:
    """Edit `size` facts at a time, each chunk on the model that the ones before it left.

    after: called with the edited model and the chunk's edits after each chunk. Adapters are merged into the weights
    between chunks (`undo` takes them out bit for bit); a store of edits grows. cache: what is known of the base model;
    keys are counted on it once, before the first chunk. Raises BadInput for a size below what the editor bears and
    for p-tuning, whose vectors stand before every prompt. At any error the model is restored.
    """
    if size < 1:
        raise BadInput(f"chunk = {size}; it must be at least 1")
    if size < batch.edits.num_rows and hasattr(editor.method, "check_chunk"):
        editor.method.check_chunk(size, editor.settings)
    edited, total = SequentialEdits(model, model), batch.edits.num_rows
    cache = replace(cache or ModelCache(covariances={}), earlier_chunks={})
    with undo_on_error(edited):
        for begin in range(0, max(1, total), size):
            chunk, so_far = batch.part(begin, size), batch.part(0, begin + size)
            part = edit_next(editor, model, tokenizer, chunk, so_far, cache)
            edited.add(part)
            after(part, batch.edits.slice(begin, size))
            batch.progress(f"{editor.name}: {min(begin + size, total)} facts edited")
    edited.report = {"chunks": len(range(0, max(1, total), size)), "chunk": size}
    return edited


@contextmanager
def edit_singly(
    editor: EditorSettings, model: Any, tokenizer: Any, batch: EditBatch, edit: int, cache: ModelCache | None = None
) -> Iterator[EditedModel]:
    """The model with one of the edits alone; restored at the end. edit: its number in the batch."""
    edited = editor.method.edit(model, tokenizer, batch.part(edit, 1), editor.settings, cache)
    try:
        yield edited
    finally:
        edited.undo()


def edit_next(
    editor: EditorSettings, model: Any, tokenizer: Any, part: EditBatch, so_far: EditBatch, cache: ModelCache
) -> EditedModel:
    """The next edits on a model that earlier ones left.

    so_far: all edits up to now that still hold, which a store of edits answers with. cache: with `earlier_chunks`, the
    same for all parts. Adapters are merged into the weights. Raises BadInput for p-tuning.
    """
    if editor.name.startswith("p-tuning"):
        raise BadInput("p-tuning cannot edit in chunks: its vectors stand before every prompt; edit all at once")
    edited = editor.method.edit(model, tokenizer, part, editor.settings, cache)
    if hasattr(edited.model, "merge_and_unload"):
        return merge_edit(edited)
    if edited.model is not model:  # a store: the model answers with all edits so far
        return editor.method.edit(model, tokenizer, so_far, editor.settings, cache)
    return edited
