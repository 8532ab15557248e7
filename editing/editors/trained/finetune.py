"""`finetune`: plain fine-tuning of the model's own weights, free or within a box around them.

`constraint=norm` keeps every weight within `epsilon` of where it was, by projection after each step: FT-L of Zhu et al.
2020 (arXiv 2012.00363) and the baseline of the ROME and MEMIT papers. Unlike the FT-L of common toolkits, each answer
token is predicted from the tokens before it, and the end of the answer is learnt. Leaves out a KL term.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from chronofacts.editing.editors import Material
from chronofacts.editing.editors.trained.gradient import (
    TrainedOptions,
    WeightEdit,
    gather_lessons,
    parse_layers,
    train_weights,
    weight_names,
)
from chronofacts.editing.models.architecture import output_matrices
from chronofacts.editing.models.load import find_linears
from chronofacts.schemas.errors import BadInput

__all__ = ["Finetune", "FinetuneOptions", "chosen_weights"]

Targets = Literal["whole", "all", "attention", "mlp", "mlp-out"]


@dataclass(frozen=True)
class FinetuneOptions(TrainedOptions):
    learning_rate: float = 1e-3
    targets: Targets = "whole"
    """`whole`: every parameter, embeddings and norms too; the others: weight matrices inside the blocks."""
    layers: str = "all"
    constraint: Literal["none", "norm"] = "none"
    epsilon: float = 0.006
    """With `constraint=norm`: how far any single weight may move."""


class Finetune:
    Config = FinetuneOptions

    def edit(self, model: Any, tokenizer: Any, edits: Material, config: FinetuneOptions) -> WeightEdit:
        """Train the chosen weights on all edits at once.

        Raises TrainingFailed, with the base model restored, when the loss is no longer a number.
        """
        if config.constraint == "norm" and not config.epsilon > 0:
            raise BadInput(f"editor finetune: epsilon = {config.epsilon}; it must be above 0")
        names = chosen_weights(model, config.targets, config.layers, "finetune")
        lessons = gather_lessons(edits, config)

        @torch.no_grad()
        def project(before: Mapping[str, torch.Tensor]) -> None:
            parameters = dict(model.named_parameters())
            for name, value in before.items():
                parameters[name].clamp_(value - config.epsilon, value + config.epsilon)

        after_step = project if config.constraint == "norm" else None
        return train_weights(model, tokenizer, names, lessons, config, edits, after_step)


def chosen_weights(model: Any, targets: Targets, layers: str, editor: str) -> list[str]:
    """Names of the parameters that the options choose. Raises BadInput for layers that the model does not have."""
    if targets == "whole":
        if layers != "all":
            raise BadInput(f"editor {editor}: targets = whole has no layers; take all, attention, mlp or mlp-out")
        return [name for name, _ in model.named_parameters()]
    chosen = parse_layers(layers, editor)
    if targets == "mlp-out":
        return weight_names(model, list(output_matrices(model, chosen).values()))
    return weight_names(model, find_linears(model, targets, chosen))
