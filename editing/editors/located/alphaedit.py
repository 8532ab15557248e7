"""`alphaedit`: MEMIT in the null space of the keys of other text (Fang et al. 2025, arXiv 2410.02355).

Keys and values are MEMIT's. Of each matrix the directions U₀ that keys of other text hardly use are found once, by the
eigenvectors of their covariance C (eq. 8); P = U₀ U₀ᵀ projects onto them (eq. 9), and whatever is written is projected,
so that (W + Δ P) k = W k for a key k of that text (eq. 10). With K the keys, R what is missing, and K_p the keys of all
chunks before (eq. 14, with β where it has 1, as the authors' code has 10):

    Δ P = R Kᵀ P ((K_p K_pᵀ + K Kᵀ) P + β I)⁻¹ = R Kᵀ U₀ (U₀ᵀ (K_p K_pᵀ + K Kᵀ) U₀ + β I)⁻¹ U₀ᵀ

of which the right side is solved, a symmetric system as wide as the null space. The paper takes the directions in which
C is below 0.02. In a small model, or one of another scale, that leaves next to nothing, in which no fact can be
written, or everything, which keeps nothing: there the directions that carry a share of C's trace are left out, and the
rest is the null space (`null_space`). The snapshot's own sentences name the edited subjects, whose keys would so be
kept as they are: C is counted on those that name none (`unnamed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch

from chronofacts.editing.editors import EditBatch, ModelCache
from chronofacts.editing.editors.located.key_covariance import covariance_key, find_covariances
from chronofacts.editing.editors.located.memit import LayersSettings, Report, Solver, edit_layers
from chronofacts.editing.editors.trained.gradient import WeightEdit
from chronofacts.editing.training import TrainingFailed
from chronofacts.schemas.errors import BadInput

__all__ = ["AlphaEdit", "AlphaEditSettings", "NullSpace", "choose_null_space", "find_null_spaces", "solve_projected"]

HALF = 0.5
FEWEST, MOST = 0.1, 0.99
"""Shares of the directions between which the published threshold leaves a null space to work in."""


@dataclass(frozen=True)
class AlphaEditSettings(LayersSettings):
    null_space: Literal["auto", "threshold", "trace"] = "auto"
    """`threshold`: the directions in which C is below `threshold`; `trace`: all but those that carry `trace_share` of
    it; `auto`: the paper's threshold where it leaves a tenth to 99 % of the directions, else the trace."""
    threshold: float = 0.02
    trace_share: float = 0.5
    """Of a small model whose null space has to hold hundreds of facts; with 0.9 half of the directions are left."""
    beta: float | None = None
    """β, which holds the change small; the authors' code has 10, EasyEdit's 1. none: half of what a key of other text
    has in the null space, squared, since keys of another model have another scale."""
    value_rate: float = 0.1
    """Shorter vectors than with MEMIT's 0.5: what is written disturbs other keys as much less."""
    value_steps: int = 100
    unnamed: bool = True
    """Count keys on texts that name no edited subject."""

    def __post_init__(self) -> None:
        if not 0 < self.trace_share < 1 or min(self.threshold, 1.0 if self.beta is None else self.beta) <= 0:
            raise BadInput("editor alphaedit: threshold and beta must be above 0, trace_share between 0 and 1")


@dataclass(frozen=True)
class NullSpace:
    basis: torch.Tensor  # (in, directions) float64, orthonormal
    rule: str
    """By which it was found: threshold or trace."""
    inside: float
    """The mean of |U₀ᵀ k|² over the keys of other text."""


class AlphaEdit:
    Settings = AlphaEditSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: AlphaEditSettings, cache: ModelCache | None = None
    ) -> WeightEdit:
        """Write the facts into the layers' matrices; no edits, no change.

        Raises as MEMIT, and BadInput where the rule leaves a matrix no direction.
        """

        def find_solvers(names: Sequence[str], earlier: Mapping[str, torch.Tensor]) -> tuple[dict[str, Solver], Report]:
            spaces = find_null_spaces(model, tokenizer, names, batch, settings, cache)
            solvers, betas = dict[str, Solver](), list[float]()
            for name, space in spaces.items():
                if not space.basis.shape[1]:
                    raise BadInput(
                        f"alphaedit: {name} has no direction below {settings.threshold}; take null_space=auto"
                    )
                beta = HALF * space.inside if settings.beta is None else settings.beta
                solvers[name] = partial(solve_projected, basis=space.basis, beta=beta, earlier=earlier.get(name))
                betas.append(round(beta, 4))
            found = {
                "null_space": [space.basis.shape[1] for space in spaces.values()],
                "of_directions": [len(space.basis) for space in spaces.values()],
                "rule": [space.rule for space in spaces.values()],
                "beta": betas,
            }
            return solvers, found

        return edit_layers("alphaedit", find_solvers, model, tokenizer, batch, settings, cache)


def find_null_spaces(
    model: Any,
    tokenizer: Any,
    names: Sequence[str],
    batch: EditBatch,
    settings: AlphaEditSettings,
    cache: ModelCache | None = None,
) -> dict[str, NullSpace]:
    """Of each named matrix, from the cache where it is there: once per model, by its hash."""
    cache = ModelCache() if cache is None else cache
    known: dict[str, Any] = {} if cache.covariances is None else cache.covariances
    rule = f"{settings.null_space} {settings.threshold} {settings.trace_share}"
    keys = {
        name: f"null space {rule} {covariance_key(model, name, batch, settings, cache, settings.unnamed)}"
        for name in names
    }
    missing = [name for name in names if keys[name] not in known]
    covariances = find_covariances(model, tokenizer, missing, batch, settings, cache, settings.unnamed)
    for name, covariance in covariances.items():
        batch.progress(f"alphaedit: finding the null space of {name}")
        space = choose_null_space(covariance, settings)
        known[keys[name]] = replace(space, basis=space.basis.cpu())
    device = next(model.parameters()).device
    found = {name: known[keys[name]] for name in names}
    return {name: replace(space, basis=space.basis.to(device)) for name, space in found.items()}


def choose_null_space(covariance: torch.Tensor, settings: AlphaEditSettings) -> NullSpace:
    """The directions that keys hardly use. covariance C (in, in), float64."""
    values, vectors = torch.linalg.eigh(covariance)  # ascending
    if settings.null_space != "trace":
        below = int((values < settings.threshold).sum())
        if settings.null_space == "threshold" or FEWEST <= below / len(values) <= MOST:
            return NullSpace(vectors[:, :below], "threshold", float(values[:below].sum()))
    carried = values.flip(0).clamp_min(0.0).cumsum(0)  # by the largest, the two largest, …
    left_out = int((carried < settings.trace_share * carried[-1]).sum()) + 1
    kept = len(values) - left_out
    return NullSpace(vectors[:, :kept], "trace", float(values[:kept].sum()))


def solve_projected(
    keys: torch.Tensor, missing: torch.Tensor, basis: torch.Tensor, beta: float, earlier: torch.Tensor | None = None
) -> torch.Tensor:
    """Δ P (eq. 14): (out, in). keys (in, facts), missing (out, facts), earlier Σ k kᵀ of other chunks (in, in).

    Raises TrainingFailed where the keys have no answer, such as those of a model that gives nothing but zeros.
    """
    inside = basis.T @ keys  # (directions, facts)
    system = inside @ inside.T + beta * torch.eye(len(inside)).to(inside)
    if earlier is not None:
        system = system + basis.T @ earlier @ basis
    try:
        solved: torch.Tensor = torch.linalg.solve(system, inside @ missing.T)  # (directions, out)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise TrainingFailed("alphaedit: the keys' equations have no solution; take other layers, or lora") from error
    return (basis @ solved).T
