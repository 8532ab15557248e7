"""`none`: the model as it is, the measure of everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chronofacts.editing.editors import EditBatch, EditedModel, ModelCache

__all__ = ["Unedited", "UneditedSettings"]


@dataclass(frozen=True)
class UneditedSettings:
    """There is nothing to set."""


class Unedited:
    Settings = UneditedSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: UneditedSettings, cache: ModelCache | None = None
    ) -> EditedModel:
        """The model itself, in eval mode."""
        return EditedModel(model.eval(), model)
