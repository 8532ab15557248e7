"""`finetune`: plain fine-tuning of the model's own weights, free or within a box around them.

`constraint=norm` keeps every weight within `epsilon` of where it was, by projection after each step: FT-L of Zhu et al.
2020 (arXiv 2012.00363) and the baseline of the ROME and MEMIT papers. Unlike in the FT-L of common toolkits, the model
predicts each answer token from the tokens before it, and learns the end of the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.trained.gradient import TrainedSettings, WeightEdit, parse_layers, train_weights
from chronofacts.editing.models.architecture import output_matrices
from chronofacts.editing.models.blocks import find_linears
from chronofacts.schemas.errors import BadInput

__all__ = ["Finetune", "FinetuneSettings", "choose_weights"]

Targets = Literal["whole", "all", "attention", "mlp", "mlp-out"]


@dataclass(frozen=True)
class FinetuneSettings(TrainedSettings):
    targets: Targets = "whole"
    """`whole`: every parameter, embeddings and norms too; the others: weight matrices inside the blocks."""
    layers: str = "all"
    constraint: Literal["none", "norm"] = "none"
    epsilon: float = 0.006
    """With `constraint=norm`: how far any single weight may move."""


class Finetune:
    Settings = FinetuneSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: FinetuneSettings, cache: ModelCache | None = None
    ) -> WeightEdit:
        """Train the chosen weights on all edits at once. Raises as `train_on_texts`."""
        if settings.constraint == "norm" and not settings.epsilon > 0:
            raise BadInput(f"editor finetune: epsilon = {settings.epsilon}; it must be above 0")
        names = choose_weights(model, settings.targets, settings.layers, "finetune")

        @torch.no_grad()
        def project(before: Mapping[str, torch.Tensor]) -> None:
            parameters = dict(model.named_parameters())
            for name, value in before.items():
                parameters[name].clamp_(value - settings.epsilon, value + settings.epsilon)

        after_step = project if settings.constraint == "norm" else None
        return train_weights(model, tokenizer, names, batch, settings, cache, after_step)


def choose_weights(model: Any, targets: Targets, layers: str, editor: str) -> list[str]:
    """Names of the parameters that the options choose. Raises BadInput for layers that the model does not have."""
    if targets == "whole":
        if layers != "all":
            raise BadInput(f"editor {editor}: targets = whole has no layers; take all, attention, mlp or mlp-out")
        return [name for name, _ in model.named_parameters()]
    chosen, parts = parse_layers(layers, editor), dict(model.named_modules())
    modules = output_matrices(model, chosen).values() if targets == "mlp-out" else find_linears(model, targets, chosen)
    return [f"{module}.{name}" for module in modules for name, _ in parts[module].named_parameters(recurse=False)]
