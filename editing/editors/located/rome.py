"""`rome`: rank-one edits of one feed-forward matrix, one fact after the other (Meng et al. 2022, arXiv 2202.05262).

The matrix W is read as a store W k = v. For each fact the key k* is what enters W at the subject's last token, and v*
what must come out so that the model speaks the answer; then

    W' = W + Λ (C⁻¹ k*)ᵀ,   Λ = (v* - W k*) / ((C⁻¹ k*)ᵀ k*)

so that W' k* = v* exactly, with the least change in the norm that C, the keys' covariance over text, gives. The end of
the answer is learnt too. The layer is an option: by the depth, by a causal trace (`traced_layers`), or a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from chronofacts.editing.editors import Material
from chronofacts.editing.editors.located.key_covariance import regularised
from chronofacts.editing.editors.located.key_value import (
    Fact,
    Site,
    ValueSettings,
    capture,
    choose_layers,
    choose_site,
    find_facts,
    key_covariances,
    optimise_in_parts,
)
from chronofacts.editing.editors.located.traced_layers import AUTO, traced_layers
from chronofacts.editing.editors.trained.examples import Wording, edit_lessons
from chronofacts.editing.editors.trained.gradient import WeightEdit
from chronofacts.editing.models.architecture import matrix_of, output_matrices
from chronofacts.editing.models.subject_tokens import check_fast
from chronofacts.editing.scoring import teacher_force
from chronofacts.editing.training import TrainingFailed
from chronofacts.schemas.errors import BadInput

__all__ = ["Rome", "RomeOptions", "rank_one_update"]


@dataclass(frozen=True)
class RomeOptions:
    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""
    layer: int | Literal["auto"] | None = None
    """None: at 0.17 of the depth, near the papers' choice (5 of Llama 2's 32), a shallow model's last; auto: where a
    causal trace says that this model looks its old facts up."""
    site: Site = "auto"
    wordings: tuple[Wording, ...] = ("prompt",)
    """A fact's key is the mean over these, and its value serves them all."""
    paraphrases: int = 2
    value_steps: int = 25
    value_rate: float = 0.5
    kl_factor: float = 0.0625
    decay: float = 0.0
    """The papers' toolkits use 0.5 for models of billions; a small one needs its whole width."""
    clamp: float = 2.0
    facts_at_once: int = 16
    """Values optimised together, each on the matrix as the facts before these left it; the papers: 1. Written is one
    fact after the other all the same."""
    passes: int = 2
    """The papers write each fact once; a second pass writes again those that later facts overwrote."""
    statistics_texts: int = 4000
    statistics_text: str | None = None
    """A text file, one text per line, instead of the snapshot's sentences."""
    statistics_cache: str | None = None
    ridge: float = 1e-5
    """Added to C's diagonal, relative to its mean: directions that no text uses would else move without end."""


class Rome:
    Config = RomeOptions

    def edit(self, model: Any, tokenizer: Any, edits: Material, config: RomeOptions) -> WeightEdit:
        """Write the facts into one matrix; no edits, no change.

        Raises TrainingFailed, with the base model restored, when a value is no longer a number, and BadInput for a
        layer or architecture that it cannot edit.
        """
        check_fast(tokenizer)
        layer, how = _choose(model, tokenizer, edits, config)
        name = output_matrices(model, [layer])[layer]
        parameter, module = f"{name}.weight", dict(model.named_modules())[name]
        edited = WeightEdit(model, {parameter: module.weight.detach().clone()})
        model.eval()
        site = choose_site(model, config.site, layer)
        facts = find_facts(model, tokenizer, edits.edits, config.wordings, config.paraphrases, apart=False, site=site)
        edited.trained_prompts = _trained(edits, config.wordings, config.paraphrases)
        if not facts:
            return edited
        counted = key_covariances(model, tokenizer, [name], edits, config)
        covariance = regularised(counted[name], config.ridge)
        settings = ValueSettings(config.value_steps, config.value_rate, config.kl_factor, config.decay, config.clamp)
        left = facts
        try:
            for _ in range(config.passes):
                for begin in range(0, len(left), config.facts_at_once):
                    edits.progress(f"rome: fact {begin + 1} of {len(left)}")
                    together = left[begin : begin + config.facts_at_once]
                    self._write(model, module, together, covariance, settings, edits)
                left = [fact for fact in facts if not _spoken(model, fact)]
        except BaseException:
            edited.undo()
            raise
        unnamed = sum(not fact.named for fact in facts)
        edited.report = {
            "layer": layer,
            "matrix": name,
            "site": site,
            "facts": len(facts),
            "overwritten": len(left),
            "subject_not_named": unnamed,
            **how,
        }
        return edited

    def _write(
        self,
        model: Any,
        module: Any,
        facts: list[Fact],
        covariance: torch.Tensor,
        settings: ValueSettings,
        edits: Material,
    ) -> None:
        deltas = optimise_in_parts(model, module, facts, settings, len(facts), tell=edits.progress).double()
        keys, before = capture(model, module, facts, inputs=True), capture(model, module, facts, inputs=False)
        if not bool(torch.isfinite(deltas).all()):
            raise TrainingFailed("rome: a value is no longer a number; lower value_rate")
        bias = module.bias.double() if getattr(module, "bias", None) is not None else 0.0
        matrix = matrix_of(module)
        for key, value in zip(keys, before + deltas - bias, strict=True):
            matrix.add_(rank_one_update(matrix.double(), key, value, covariance).to(matrix.dtype))


def _choose(model: Any, tokenizer: Any, edits: Material, config: RomeOptions) -> tuple[int, dict[str, Any]]:
    """The layer, and how a trace found it."""
    if config.layer == AUTO and edits.edits.num_rows:
        layers, how = traced_layers(model, tokenizer, edits, config.site, 1, "rome: layer")
        return layers[0], how
    if isinstance(config.layer, int):
        return config.layer, {}
    return choose_layers(model, 0.17, 0.17, shallow=1)[0], {}


def _spoken(model: Any, fact: Fact) -> bool:
    return all(forced.spoken for forced in teacher_force(model, fact.contexts, len(fact.contexts)))


def rank_one_update(
    matrix: torch.Tensor, key: torch.Tensor, value: torch.Tensor, covariance: torch.Tensor
) -> torch.Tensor:
    """What is added to `matrix` (out, in) so that it takes `key` (in,) to `value` (out,): ROME, eq. 2. All float64."""
    direction = torch.linalg.solve(covariance, key)  # C⁻¹ k*
    return torch.outer((value - matrix @ key) / (direction @ key), direction)


def _trained(material: Material, wordings: tuple[Wording, ...], paraphrases: int) -> frozenset[str]:
    if not wordings:
        raise BadInput("wordings is empty; take some of prompt, paraphrases, cloze")
    return frozenset(lesson.text for lesson in edit_lessons(material.edits, wordings, paraphrases))
