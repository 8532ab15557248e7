"""`freeze`: full-rank training of a few layers' matrices while everything else stays frozen.

The "freeze tuning" of CHRONOEDIT (Ge et al. 2024, arXiv 2406.04496); with `targets=mlp-out` and one layer it is LocFT
(arXiv 2509.22072), breadth-first mini-batches on one matrix. Norms and embeddings are never trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.trained.finetune import choose_weights
from chronofacts.editing.editors.trained.gradient import TrainedSettings, WeightEdit, train_weights
from chronofacts.editing.models.blocks import find_blocks

__all__ = ["Freeze", "FreezeSettings"]


@dataclass(frozen=True)
class FreezeSettings(TrainedSettings):
    base_rate: ClassVar[float] = 2e-3
    targets: Literal["all", "attention", "mlp", "mlp-out"] = "mlp"
    layers: str = "lower-half"
    """Which layers are trained: `lower-half`, `upper-half`, `all`, one (`3`) or a range (`0-1`)."""


class Freeze:
    Settings = FreezeSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: FreezeSettings, cache: ModelCache | None = None
    ) -> WeightEdit:
        """Train the chosen layers on all edits at once. Raises as `train_on_texts`."""
        layers = _name_layers(model, settings.layers)
        names = choose_weights(model, settings.targets, layers, "freeze")
        return train_weights(model, tokenizer, names, batch, settings, cache)


def _name_layers(model: Any, layers: str) -> str:
    """Halves of the model as ranges."""
    blocks = len(find_blocks(model)[1])
    half = (blocks + 1) // 2
    return {"lower-half": f"0-{half - 1}", "upper-half": f"{blocks - half}-{blocks - 1}"}.get(layers, layers)
