"""`memit`: all facts at once, over a few feed-forward matrices (Meng et al. 2023, arXiv 2210.07229).

For each fact, z is what the last chosen layer should hand on at the lookup position (eq. 16). Then for each layer in
ascending order, with the keys K (in, facts) and what is still missing shared among the layers left, R = (z - h) / left:

    Δ = R Kᵀ (λ C + K_p K_pᵀ + K Kᵀ)⁻¹,   W ← W + Δ

(eq. 14; with K_p eq. 15 of AlphaEdit, arXiv 2410.02355), the normal equations of the least change that brings the
missing part. K_p are the keys of all chunks before, as the model looked them up when each was done: with `memory` a
chunk leaves the facts of earlier ones where they are. The papers' MEMIT has none, and forgets what came before. Facts
with one and the same key share their value (MEMIT-Merge, arXiv 2502.07322). A value is found for one fact while the
other facts are not yet written; those that the model then does not say are given another one on the edited model, and
the equations are solved again with nothing missing for all others (`passes`). The layers are an option: by the depth,
by a causal trace (`traced_layers`), or numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

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
from chronofacts.editing.editors.trained.examples import make_examples
from chronofacts.editing.editors.trained.gradient import WeightEdit, change_weights, parse_layers
from chronofacts.editing.models.architecture import block_names, matrix_of, output_matrices, writes_to_stream
from chronofacts.editing.models.out_of_memory import in_parts
from chronofacts.editing.models.subject_tokens import check_fast
from chronofacts.editing.tracing.layers import MEMIT_LAYERS
from chronofacts.editing.training import TrainingFailed
from chronofacts.schemas.errors import BadInput

RIDGE = 1e-6
"""Keeps the equations solvable where the text leaves directions unused."""

__all__ = ["FindSolvers", "LayersSettings", "Memit", "MemitSettings", "Report", "Solver", "edit_layers", "solve_update"]


Solver = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Keys (in, facts) and what is missing (out, facts) -> what a matrix gains (out, in)."""
Report = Mapping[str, Any]
FindSolvers = Callable[[Sequence[str], Mapping[str, torch.Tensor]], tuple[dict[str, Solver], Report]]
"""Matrices, and of each Σ k kᵀ over the keys of earlier chunks -> a solver of each, and what the report says of it."""


@dataclass(frozen=True)
class LayersSettings(LocatedSettings):
    """Each wording is a fact of its own, with its own key. The paper clamps at 0.75; a small model needs more room."""

    layers: str = "depth"
    """`depth`: an eighth to a quarter of it (4-8 of Llama 2's 32), a shallow model's last two; `auto`: those that end
    where a causal trace says that this model looks its old facts up; or `3`, `0-1`."""
    passes: int = 3
    """At most; the paper writes all facts once."""


@dataclass(frozen=True)
class MemitSettings(LayersSettings):
    covariance_weight: float = 300.0
    """λ: how many tokens of ordinary text the covariance stands for; the papers take 15,000 to 20,000 for models of
    billions, whose keys are far more and so stand in each other's way less."""
    memory: bool = False
    """In chunks: keep the facts of the chunks before where they are (K_p)."""


class Memit:
    Settings = MemitSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: MemitSettings, cache: ModelCache | None = None
    ) -> WeightEdit:
        """Write the facts into the layers' matrices; no edits, no change. Raises as `edit_layers`."""

        def find_solvers(names: Sequence[str], earlier: Mapping[str, torch.Tensor]) -> tuple[dict[str, Solver], Report]:
            found = find_covariances(model, tokenizer, names, batch, settings, cache)
            weighted = {name: settings.covariance_weight * regularise(found[name], RIDGE) for name in names}
            for name in earlier if settings.memory else ():
                weighted[name] = weighted[name] + earlier[name]
            return {name: partial(solve_update, weighted=weighted[name]) for name in names}, {}

        return edit_layers("memit", find_solvers, model, tokenizer, batch, settings, cache)


def edit_layers(
    editor: str,
    find_solvers: FindSolvers,
    model: Any,
    tokenizer: Any,
    batch: EditBatch,
    settings: LayersSettings,
    cache: ModelCache | None,
) -> WeightEdit:
    """Values found at the last layer and written layer after layer, by what `find_solvers` gives for each matrix.

    Remembers the keys, for the chunks after this one. Raises TrainingFailed, with the base model restored, when a value
    is no longer a number, and BadInput for layers or an architecture that it cannot edit.
    """
    check_fast(tokenizer)
    layers, how = _choose_layers(editor, model, tokenizer, batch, settings, cache)
    names, parts = output_matrices(model, layers), dict(model.named_modules())
    if not writes_to_stream(model, layers[-1]):
        raise BadInput(
            f"{editor} needs layers that add their feed-forward output as it is; {type(model).__name__} norms it"
        )
    examples = make_examples(batch.edits, settings.wordings, settings.paraphrases)
    prompts = frozenset(example.text for example in examples)
    edited = change_weights(model.eval(), [f"{name}.weight" for name in names.values()], prompts)
    position = choose_position(model, settings.site, layers[-1])
    facts = find_facts(model, tokenizer, batch.edits, settings, apart=True, position=position)
    if not facts:
        return edited
    memory: dict[str, Any] = {} if cache is None or cache.earlier_chunks is None else cache.earlier_chunks
    earlier: dict[str, torch.Tensor] = memory.setdefault(editor, {})
    solvers, found = find_solvers(list(names.values()), earlier)
    block = parts[block_names(model)[layers[-1]]]
    with undo_on_error(edited):
        left = list(range(len(facts)))
        for number in range(settings.passes):
            z, chosen = capture(model, block, facts, inputs=False), settings_of_pass(settings, number)
            z[left] += compute_deltas(editor, model, block, [facts[index] for index in left], chosen, batch)
            for done, layer in enumerate(layers):
                module = parts[names[layer]]
                keys = capture(model, module, facts, inputs=True).T  # (in, facts)
                missing = (z - capture(model, block, facts, inputs=False)).T / (len(layers) - done)
                matrix_of(module).add_(solvers[names[layer]](keys, missing).to(module.weight.dtype))
                batch.progress(f"{editor}: layer {layer} written")
            left = [index for index, said in enumerate(are_said(model, facts)) if not said]
            if not left:
                break
        for name in names.values():
            keys = capture(model, parts[name], facts, inputs=True).T
            earlier[name] = earlier.get(name, 0.0) + keys @ keys.T
    edited.report = {
        "layers": list(layers),
        "site": position,
        "facts": len(facts),
        "merged": len(examples) - len(facts),
        "not_said": len(left),
        "subject_not_named": sum(not fact.named for fact in facts),
        **how,
        **found,
    }
    return edited


def compute_deltas(
    editor: str, model: Any, block: Any, facts: Sequence[Fact], settings: LayersSettings, batch: EditBatch
) -> torch.Tensor:
    """What each fact lacks: (facts, hidden), float64. Raises TrainingFailed when one is no longer a number."""
    optimise = partial(optimise_deltas, model, block, settings=settings, progress=batch.progress)
    found: list[torch.Tensor] = []
    for part in in_parts(optimise, facts, settings.facts_at_once, "fact", batch.progress):
        found.append(part)
        batch.progress(f"{editor}: {sum(map(len, found))} of {len(facts)} values found")
    deltas = torch.cat(found).double()
    if not bool(torch.isfinite(deltas).all()):
        raise TrainingFailed(f"{editor}: a value is no longer a number; lower value_rate")
    return deltas


def solve_update(keys: torch.Tensor, missing: torch.Tensor, weighted: torch.Tensor) -> torch.Tensor:
    """Δ = R Kᵀ (λ C + K Kᵀ)⁻¹ (MEMIT, eq. 14). keys (in, facts), missing (out, facts), weighted λ C (in, in).

    Raises TrainingFailed where the keys have no answer, such as those of a model that gives nothing but zeros.
    """
    try:
        solved: torch.Tensor = torch.linalg.solve(weighted + keys @ keys.T, keys @ missing.T)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise TrainingFailed("memit: the keys' equations have no solution; take other layers, or lora") from error
    return solved.T


def _choose_layers(
    editor: str, model: Any, tokenizer: Any, batch: EditBatch, settings: LayersSettings, cache: ModelCache | None
) -> tuple[list[int], dict[str, Any]]:
    """The layers, and how a trace found them."""
    if settings.layers == AUTO and batch.edits.num_rows:
        return trace_layers(model, tokenizer, batch, settings.site, MEMIT_LAYERS, f"{editor}: layers", cache)
    if settings.layers in (AUTO, "depth"):
        return choose_layers(model, 0.125, 0.25, shallow=2), {}
    return list(output_matrices(model, parse_layers(settings.layers, editor))), {}
