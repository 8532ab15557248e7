"""`rome`: rank-one edits of one feed-forward matrix, one fact after the other (Meng et al. 2022, arXiv 2202.05262).

The matrix W is a store that takes keys to values, W k = v. For each fact the key k* is what enters W at the lookup
position, and the value v* what must come out so that the model speaks the answer and its end; then

    W' = W + v uᵀ,   u = C⁻¹ k*,   v = (v* - W k*) / (uᵀ k*)

so that W' k* = v* exactly, with the least change in the norm that C, the keys' covariance over text, gives. Facts that
are written one after the other into one matrix undo one another (Gupta et al. 2024, arXiv 2401.07453). With `memory`
the key of each written fact joins the text, C + m k kᵀ, so that later facts leave it as it is (a large m comes to the
equality constraints of EMMET, arXiv 2403.14236); the paper's ROME has none. The layer is an option: by the depth, by a
causal trace (`traced_layers`), or a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch

from chronofacts.editing.editors import EditBatch, ModelCache, undo_on_error
from chronofacts.editing.editors.located.key_covariance import find_covariances, regularise
from chronofacts.editing.editors.located.key_value import (
    Fact,
    LocatedSettings,
    are_said,
    capture,
    choose_layers,
    choose_position,
    find_facts,
    optimise_deltas,
    settings_of_pass,
)
from chronofacts.editing.editors.located.traced_layers import AUTO, trace_layers
from chronofacts.editing.editors.trained.examples import trained_prompts
from chronofacts.editing.editors.trained.gradient import WeightEdit, change_weights
from chronofacts.editing.models.architecture import matrix_of, output_matrices
from chronofacts.editing.models.out_of_memory import in_parts
from chronofacts.editing.models.subject_tokens import check_fast
from chronofacts.editing.progress import Progress
from chronofacts.editing.training import TrainingFailed

RIDGES = {"subject": 0.3, "prompt": 1e-5}
"""By the position at which keys are read."""

__all__ = ["Rome", "RomeSettings", "rank_one_update"]


@dataclass(frozen=True)
class RomeSettings(LocatedSettings):
    """A fact's key is the mean over its wordings, and its value serves them all."""

    layer: int | Literal["auto"] | None = None
    """None: at 0.17 of the depth, near the papers' choice (5 of Llama 2's 32), a shallow model's last; auto: where a
    causal trace says that this model looks its old facts up."""
    clamp: float = 2.0
    facts_at_once: int = 128
    """Values optimised together, each on the matrix as the facts before these left it; the papers: 1. The matrix takes
    one fact after the other all the same."""
    passes: int = 4
    """At most; the papers write each fact once. Every further pass finds another value for those that are not said, and
    writes it; one after which no fact more is said is taken back, and is the last."""
    memory: float = 0.003
    """m: the weight of a written fact's key beside C, which is a mean: as if three of a thousand tokens of the text
    were it; the paper: 0. A large one holds what was written to the last per cent, and moves other tokens the more."""
    ridge: float | None = None
    """Added to C's diagonal, relative to its mean, since what some thousand texts do not use would else move without
    end; none: 0.3 where keys are read at the subject, so that each fact disturbs the others less, and 1e-5 where they
    are read at the prompt's end, where the keys of all prompts are so alike that little but such directions tells them
    apart."""


class Rome:
    Settings = RomeSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: RomeSettings, cache: ModelCache | None = None
    ) -> WeightEdit:
        """Write the facts into one matrix; no edits, no change.

        Raises TrainingFailed, with the base model restored, when a value is no longer a number, and BadInput for a
        layer or architecture that it cannot edit.
        """
        check_fast(tokenizer)
        layer, how = _choose_layer(model, tokenizer, batch, settings, cache)
        name = output_matrices(model, [layer])[layer]
        module = dict(model.named_modules())[name]
        edited = change_weights(model.eval(), [f"{name}.weight"], trained_prompts(batch.edits, settings))
        position = choose_position(model, settings.site, layer)
        facts = left = find_facts(model, tokenizer, batch.edits, settings, apart=False, position=position)
        if not facts:
            return edited
        found = find_covariances(model, tokenizer, [name], batch, settings, cache)
        ridge = RIDGES[position] if settings.ridge is None else settings.ridge
        covariance = regularise(found[name], ridge)
        with undo_on_error(edited):
            for number in range(settings.passes):
                chosen = settings_of_pass(settings, number)
                written, before = Progress(batch.progress, "rome: facts written,", len(left)), matrix_of(module).clone()
                for begin in range(0, len(left), settings.facts_at_once):
                    written.update(begin)
                    together = left[begin : begin + settings.facts_at_once]
                    covariance = _write_facts(model, module, together, covariance, chosen, batch)
                missing = [fact for fact, said in zip(facts, are_said(model, facts), strict=True) if not said]
                if len(missing) >= len(left) < len(facts):  # what a further pass wrote cost more than it brought
                    matrix_of(module).copy_(before)
                    break
                left = missing
                if not left:
                    break
        edited.report = {
            "layer": layer,
            "matrix": name,
            "site": position,
            "facts": len(facts),
            "overwritten": len(left),
            "subject_not_named": sum(not fact.named for fact in facts),
            **how,
        }
        return edited


def _write_facts(
    model: Any, module: Any, facts: Sequence[Fact], covariance: torch.Tensor, settings: RomeSettings, batch: EditBatch
) -> torch.Tensor:
    """The covariance with the facts' keys in it."""
    optimise = partial(optimise_deltas, model, module, settings=settings, progress=batch.progress)
    deltas = torch.cat([*in_parts(optimise, facts, settings.facts_at_once, "fact", batch.progress)]).double()
    keys, outputs = capture(model, module, facts, inputs=True), capture(model, module, facts, inputs=False)
    if not bool(torch.isfinite(deltas).all()):
        raise TrainingFailed("rome: a value is no longer a number; lower value_rate")
    bias = module.bias.double() if getattr(module, "bias", None) is not None else 0.0
    matrix = matrix_of(module)
    for key, value in zip(keys, outputs + deltas - bias, strict=True):
        matrix.add_(rank_one_update(matrix.double(), key, value, covariance).to(matrix.dtype))
        covariance = covariance + settings.memory * torch.outer(key, key)
    return covariance


def _choose_layer(
    model: Any, tokenizer: Any, batch: EditBatch, settings: RomeSettings, cache: ModelCache | None
) -> tuple[int, dict[str, Any]]:
    """The layer, and how a trace found it."""
    if settings.layer == AUTO and batch.edits.num_rows:
        layers, how = trace_layers(model, tokenizer, batch, settings.site, 1, "rome: layer", cache)
        return layers[0], how
    if isinstance(settings.layer, int):
        return settings.layer, {}
    return choose_layers(model, 0.17, 0.17, shallow=1)[0], {}


def compute_u(key: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """u = C⁻¹ k*: the direction of keys that the edit answers to. Raises TrainingFailed where there is none."""
    try:
        return torch.linalg.solve(covariance, key)  # type: ignore[no-any-return]
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise TrainingFailed("rome: the keys' equations have no solution; take another layer, or lora") from error


def compute_v(matrix: torch.Tensor, key: torch.Tensor, value: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """v = (v* - W k*) / (uᵀ k*): what the matrix lacks to take `key` to `value`."""
    return (value - matrix @ key) / (u @ key)


def rank_one_update(
    matrix: torch.Tensor, key: torch.Tensor, value: torch.Tensor, covariance: torch.Tensor
) -> torch.Tensor:
    """What `matrix` (out, in) lacks to take `key` (in,) to `value` (out,): ROME, eq. 2. All float64."""
    u = compute_u(key, covariance)
    return torch.outer(compute_v(matrix, key, value, u), u)
