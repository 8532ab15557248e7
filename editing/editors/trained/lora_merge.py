"""`lora-merge`: an adapter for each chunk of facts, merged into the weights by a share (WikiBigEdit, Thede et al. 2025,
arXiv 2503.05683; merging by interpolation as in WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).

    W' = (1 - a) W + a W_lora,    W_lora = W + s B A

A chunk is trained on the weights that the chunks before it left, and the model never grows. a < 1 keeps more of what
was there before, and learns less: a = 0.25 with rank 4 is the paper's (preset `wikibigedit-lora-merge`). All facts at
once are one chunk. What is kept is the changed matrices, which `undo` puts back bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from chronofacts.editing.editors import EditBatch, ModelCache, undo_on_error
from chronofacts.editing.editors.trained.gradient import WeightEdit, merge_edit
from chronofacts.editing.editors.trained.lora import Lora, LoraSettings
from chronofacts.schemas.errors import BadInput

__all__ = ["LoraMerge", "LoraMergeSettings"]


@dataclass(frozen=True)
class LoraMergeSettings(LoraSettings):
    merge: float = 0.75
    """a: the share of the adapted weights, above 0 and at most 1. Of 60 facts of a small world taught at once, 0.25,
    0.5, 0.75 and 1 recall 0.05, 0.43, 0.97 and 1.00, and of what no edit touches 1.00, 1.00, 0.99 and 0.92."""


class LoraMerge:
    Settings = LoraMergeSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: LoraMergeSettings, cache: ModelCache | None = None
    ) -> WeightEdit:
        """Train adapters on the edits, and move the weights towards theirs; no edits, no change. Raises as `Lora`."""
        if not 0 < settings.merge <= 1:
            raise BadInput(f"editor lora-merge: merge = {settings.merge}; it must be above 0 and at most 1")
        adapted = Lora().edit(model, tokenizer, batch, settings, cache)
        with undo_on_error(adapted):
            merged = merge_edit(adapted)
        assert isinstance(merged, WeightEdit)  # noqa: S101 - adapters are always merged
        with undo_on_error(merged):
            _interpolate(merged, settings.merge)
        merged.report = {**merged.report, "merge": settings.merge}
        return merged


@torch.no_grad()
def _interpolate(merged: WeightEdit, share: float) -> None:
    """W' from W (`before`) and W_lora (the weights now), in float32."""
    now = dict(merged.model.named_parameters())
    for name, before in merged.before.items():
        now[name].copy_(torch.lerp(before.float(), now[name].float(), share))
