"""`memit`: all facts at once, spread over a few feed-forward matrices (Meng et al. 2023, arXiv 2210.07229).

For each fact, z is what the last chosen layer should hand on at the subject's last token. Then for each layer in
ascending order, with the keys K (in, facts) and what is still missing shared among the layers left, R = (z - h) / left:

    Δ = R Kᵀ (λ C + K Kᵀ)⁻¹,   W ← W + Δ

which are the normal equations of the least change that brings the missing part. Facts with one and the same key share
their value (MEMIT-Merge, arXiv 2502.07322). The layers are an option: by the depth, by a causal trace
(`traced_layers`), or numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from chronofacts.editing.editors import Material
from chronofacts.editing.editors.located.key_covariance import regularised
from chronofacts.editing.editors.located.key_value import (
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
from chronofacts.editing.editors.trained.gradient import WeightEdit, parse_layers
from chronofacts.editing.models.architecture import block_names, matrix_of, output_matrices, writes_to_stream
from chronofacts.editing.models.subject_tokens import check_fast
from chronofacts.editing.tracing.trace import MEMIT_LAYERS
from chronofacts.editing.training import TrainingFailed
from chronofacts.schemas.errors import BadInput

RIDGE = 1e-6
"""Keeps the equations solvable where the text leaves directions unused."""

__all__ = ["Memit", "MemitOptions", "normal_update"]


@dataclass(frozen=True)
class MemitOptions:
    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""
    layers: str = "depth"
    """`depth`: an eighth to a quarter of it (4-8 of Llama 2's 32), a shallow model's last two; `auto`: those that end
    where a causal trace says that this model looks its old facts up; or `3`, `0-1`."""
    site: Site = "auto"
    wordings: tuple[Wording, ...] = ("prompt",)
    """Each is a fact of its own, with its own key; a small model has no room for several."""
    paraphrases: int = 2
    value_steps: int = 25
    value_rate: float = 0.5
    kl_factor: float = 0.0625
    decay: float = 0.0
    clamp: float = 4.0
    """The paper's 0.75 is for models of billions; a small one needs more room."""
    facts_at_once: int = 128
    """Values optimised together."""
    covariance_weight: float = 300.0
    """λ: how many tokens of ordinary text the covariance stands for; the papers take 15,000 to 20,000 for models of
    billions, whose keys are far more and so stand in each other's way less."""
    statistics_texts: int = 4000
    statistics_text: str | None = None
    """A text file, one text per line, instead of the snapshot's sentences."""
    statistics_cache: str | None = None


class Memit:
    Config = MemitOptions

    def edit(self, model: Any, tokenizer: Any, edits: Material, config: MemitOptions) -> WeightEdit:
        """Write the facts into the layers' matrices; no edits, no change.

        Raises TrainingFailed, with the base model restored, when a value is no longer a number, and BadInput for
        layers or an architecture that it cannot edit.
        """
        check_fast(tokenizer)
        layers, how = _choose(model, tokenizer, edits, config)
        names, parts = output_matrices(model, layers), dict(model.named_modules())
        if not writes_to_stream(model, layers[-1]):
            raise BadInput(
                f"memit needs layers that add their feed-forward output as it is; {type(model).__name__} norms it"
            )
        edited = WeightEdit(model, {f"{name}.weight": parts[name].weight.detach().clone() for name in names.values()})
        lessons = edit_lessons(edits.edits, config.wordings, config.paraphrases)
        edited.trained_prompts = frozenset(lesson.text for lesson in lessons)
        model.eval()
        site = choose_site(model, config.site, layers[-1])
        facts = find_facts(model, tokenizer, edits.edits, config.wordings, config.paraphrases, apart=True, site=site)
        if not facts:
            return edited
        statistics = key_covariances(model, tokenizer, list(names.values()), edits, config)
        block = parts[block_names(model)[layers[-1]]]
        try:
            wanted = self._wanted(model, block, facts, config, edits)
            for place, layer in enumerate(layers):
                module = parts[names[layer]]
                keys = capture(model, module, facts, inputs=True).T  # (in, facts)
                missing = (wanted - capture(model, block, facts, inputs=False)).T / (len(layers) - place)
                weighted = config.covariance_weight * regularised(statistics[names[layer]], RIDGE)
                matrix_of(module).add_(normal_update(keys, missing, weighted).to(module.weight.dtype))
                edits.progress(f"memit: layer {layer} written")
        except BaseException:
            edited.undo()
            raise
        merged, unnamed = len(lessons) - len(facts), sum(not fact.named for fact in facts)
        edited.report = {
            "layers": list(layers),
            "site": site,
            "facts": len(facts),
            "merged": merged,
            "subject_not_named": unnamed,
            **how,
        }
        return edited

    def _wanted(self, model: Any, block: Any, facts: list[Any], config: MemitOptions, edits: Material) -> torch.Tensor:
        """z of every fact: (facts, hidden), float64."""
        settings = ValueSettings(config.value_steps, config.value_rate, config.kl_factor, config.decay, config.clamp)
        deltas = optimise_in_parts(
            model,
            block,
            facts,
            settings,
            config.facts_at_once,
            lambda done: edits.progress(f"memit: value {done + 1} of {len(facts)}"),
            edits.progress,
        )
        wanted = capture(model, block, facts, inputs=False) + deltas.double()
        if not bool(torch.isfinite(wanted).all()):
            raise TrainingFailed("memit: a value is no longer a number; lower value_rate")
        return wanted


def normal_update(keys: torch.Tensor, missing: torch.Tensor, weighted: torch.Tensor) -> torch.Tensor:
    """Δ = R Kᵀ (λ C + K Kᵀ)⁻¹ (MEMIT, eq. 14). keys (in, facts), missing (out, facts), weighted λ C (in, in)."""
    solved: torch.Tensor = torch.linalg.solve(weighted + keys @ keys.T, keys @ missing.T)
    return solved.T


def _choose(model: Any, tokenizer: Any, edits: Material, config: MemitOptions) -> tuple[list[int], dict[str, Any]]:
    """The layers, and how a trace found them."""
    if config.layers == AUTO and edits.edits.num_rows:
        return traced_layers(model, tokenizer, edits, config.site, MEMIT_LAYERS, "memit: layers")
    if config.layers in (AUTO, "depth"):
        return choose_layers(model, 0.125, 0.25, shallow=2), {}
    chosen = parse_layers(config.layers, "memit")
    return list(output_matrices(model, chosen)), {}
