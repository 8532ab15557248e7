"""`ultraedit`: closed-form edits from one forward and one backward pass (Gu et al. 2025, arXiv 2505.14679).

No subject, no covariance of text, no training. A turn takes some facts; at every position that predicts a token of an
answer, h enters a matrix W and g is the loss's gradient at what leaves it. Both are normalised, entry by entry, by the
mean and variance of all turns so far (ĥ, ĝ; "lifelong normalisation"), and with H the turn's h as rows

    v = -η |ĥ|² ĝ,    W' = W + Xᵀ,    (HᵀH + I) X = HᵀV

so that each h moves its output against the gradient, with the least change of W. |ĥ|² is about the width of h, so that
η is stated as a `step` divided by that width: the paper's 1e-6 at 14,336 is a step of 0.014. Positions are those from
which the model predicts the answer and its end. Leaves out sharing statistics between matrices of one shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional

from chronofacts.editing.editors import EditBatch, ModelCache, undo_on_error
from chronofacts.editing.editors.trained.examples import Wording, encode_examples, make_examples
from chronofacts.editing.editors.trained.gradient import WeightEdit, change_weights, parse_layers
from chronofacts.editing.models.architecture import matrix_of, output_matrices, share_of_depth
from chronofacts.editing.models.blocks import find_blocks, find_linears
from chronofacts.editing.models.encoding import Encoded, pad
from chronofacts.editing.models.gradients import only_trained
from chronofacts.editing.models.hooks import AfterHook, hooked, in_rows
from chronofacts.editing.models.load import answer_logits
from chronofacts.editing.models.out_of_memory import in_parts
from chronofacts.editing.training import TrainingFailed, find_recalled
from chronofacts.schemas.errors import BadInput

__all__ = ["FeatureStatistics", "UltraEdit", "UltraEditSettings", "solve_shift"]

TINY = 1e-12
"""Below this a variance is none: the entry says nothing, and becomes 0."""


@dataclass(frozen=True)
class UltraEditSettings:
    preset: str | None = None
    """Settings of a paper, by name (`presets`)."""
    targets: Literal["mlp", "mlp-out"] = "mlp"
    """`mlp`: every matrix of the feed-forward part; `mlp-out`: the one that ends it."""
    layers: str = "upper"
    """`upper`: from half to nine tenths of the depth (the papers' layers lie there), a shallow model's all; `all`, `3`
    or `0-1`."""
    wordings: tuple[Wording, ...] = ("prompt",)
    paraphrases: int = 2
    step: float = 0.1
    """η times the width of what enters the matrix. The paper's 0.014 is for models of billions; on one pass over a
    small model it writes next to nothing."""
    turn: int = 500
    """Texts that are solved for together; the paper's is 100."""
    batch: int = 10
    """Texts whose gradient is taken at once; halved when the memory does not hold them."""
    passes: int = 25
    """The paper edits each fact once; here, passes over all of them follow until the model says them all. A model of
    few layers needs a dozen. (A pass over those alone that are not said yet unlearns the others.)"""


@dataclass
class FeatureStatistics:
    """Mean and variance of every entry of [h; g] over all that was seen, updated as Chan et al. 1983."""

    count: int
    mean: torch.Tensor  # (width,) float64
    squares: torch.Tensor  # (width,) float64, summed squared distance from the mean

    @classmethod
    def empty(cls, width: int) -> FeatureStatistics:
        return cls(0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64))

    def add(self, rows: torch.Tensor) -> None:
        """rows: (n, width) float64."""
        total, mean = self.count + len(rows), rows.mean(0)
        apart = mean - self.mean
        self.squares = self.squares + ((rows - mean) ** 2).sum(0) + apart**2 * (self.count * len(rows) / total)
        self.mean = self.mean + apart * (len(rows) / total)
        self.count = total

    def normalise(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, width) with mean 0 and variance 1 over all that was added."""
        variance = self.squares / self.count
        return torch.where(variance > TINY, (rows - self.mean) / variance.clamp_min(TINY).sqrt(), 0.0)


class UltraEdit:
    Settings = UltraEditSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: UltraEditSettings, cache: ModelCache | None = None
    ) -> WeightEdit:
        """Write the facts into the chosen matrices; no edits, no change.

        Statistics of earlier chunks are read from the cache and go on there. Raises TrainingFailed, with the base model
        restored, when a gradient is no longer a number, and BadInput for layers that the model does not have.
        """
        if min(settings.turn, settings.batch, settings.passes) < 1:
            raise BadInput("editor ultraedit: turn, batch and passes must be at least 1")
        names = _choose_matrices(model, settings)
        examples = make_examples(batch.edits, settings.wordings, settings.paraphrases)
        prompts = frozenset(example.text for example in examples)
        edited = change_weights(model.eval(), [f"{name}.weight" for name in names], prompts)
        texts = encode_examples(model, tokenizer, examples)
        if not texts:
            return edited
        memory: dict[str, Any] = {} if cache is None or cache.earlier_chunks is None else cache.earlier_chunks
        statistics: dict[str, FeatureStatistics] = memory.setdefault("ultraedit", {})
        with undo_on_error(edited), only_trained(model):
            left = done = 0
            for done in range(1, settings.passes + 1):
                batch.progress(f"ultraedit: pass {done} of at most {settings.passes}")
                for begin in range(0, len(texts), settings.turn):
                    _write_turn(model, names, texts[begin : begin + settings.turn], settings, batch, statistics)
                left = len(texts) - sum(find_recalled(model, texts))
                if not left:
                    break
        edited.report = {"matrices": len(names), "texts": len(texts), "passes": done, "not_said": left}
        return edited


def solve_shift(keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """X of (HᵀH + I) X = HᵀV: (in, out). keys H (n, in), values V (n, out), float64.

    Solved over the keys where they are fewer than their width, since (HᵀH + I)⁻¹ Hᵀ = Hᵀ (HHᵀ + I)⁻¹.
    """
    count, width = keys.shape
    if count <= width:
        weights: torch.Tensor = torch.linalg.solve(keys @ keys.T + torch.eye(count).to(keys), values)
        return keys.T @ weights
    return torch.linalg.solve(keys.T @ keys + torch.eye(width).to(keys), keys.T @ values)  # type: ignore[no-any-return]


def _write_turn(
    model: Any,
    names: Sequence[str],
    texts: Sequence[Encoded],
    settings: UltraEditSettings,
    batch: EditBatch,
    statistics: dict[str, FeatureStatistics],
) -> None:
    """One turn: the gradients of these texts, and what every matrix gains by them."""
    parts = dict(model.named_modules())
    for name, (entering, gradients) in _find_features(model, names, texts, settings.batch, batch).items():
        matrix = matrix_of(parts[name])
        matrix.add_(_shift(name, entering, gradients, statistics, settings.step).T.to(matrix))


def _shift(
    name: str, entering: torch.Tensor, gradients: torch.Tensor, statistics: dict[str, FeatureStatistics], step: float
) -> torch.Tensor:
    """What the matrix gains, transposed: (in, out). Adds the features to the matrix's statistics first."""
    width, joined = entering.shape[1], torch.cat([entering, gradients], 1)
    if not bool(torch.isfinite(joined).all()):
        raise TrainingFailed("ultraedit: a gradient is no longer a number; lower step")
    known = statistics.setdefault(name, FeatureStatistics.empty(joined.shape[1]))
    known.add(joined)
    normal = known.normalise(joined)
    own, slope = normal[:, :width], normal[:, width:]
    return solve_shift(entering, -(step / width) * (own**2).sum(1, keepdim=True) * slope)


def _find_features(
    model: Any, names: Sequence[str], texts: Sequence[Encoded], size: int, batch: EditBatch
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Matrix -> what enters it, and the loss's gradient at what leaves it: (positions, width), float64, on the CPU."""
    found: dict[str, tuple[list[torch.Tensor], list[torch.Tensor]]] = {name: ([], []) for name in names}
    for part in in_parts(lambda few: [_read_texts(model, names, few)], texts, size, "text", batch.progress):
        for name, (entering, gradients) in part[0].items():
            found[name][0].append(entering)
            found[name][1].append(gradients)
    return {name: (torch.cat(entering), torch.cat(gradients)) for name, (entering, gradients) in found.items()}


def _read_texts(
    model: Any, names: Sequence[str], texts: Sequence[Encoded]
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """One forward and backward pass over a few texts."""
    rows = pad(texts, True, next(model.parameters()).device)
    labels = rows.labels[:, rows.first :]
    with torch.enable_grad(), _watch(model, names) as watched:
        logits = answer_logits(model, rows.ids, rows.first).float()
        loss = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="sum")
        gradients = torch.autograd.grad(loss, [leaf for _, leaf in watched.values()])
    scored = (rows.labels != -100).roll(-1, 1)  # the position before a token predicts it

    def at_scored(part: torch.Tensor) -> torch.Tensor:
        return in_rows(part, len(texts))[scored].double().cpu()

    return {
        name: (at_scored(entering), at_scored(gradient))
        for (name, (entering, _)), gradient in zip(watched.items(), gradients, strict=True)
    }


@contextmanager
def _watch(model: Any, names: Sequence[str]) -> Iterator[dict[str, tuple[torch.Tensor, torch.Tensor]]]:
    """What enters each matrix, and a leaf added to what leaves it, whose gradient is that of the output."""
    parts, seen = dict(model.named_modules()), dict[str, tuple[torch.Tensor, torch.Tensor]]()

    def watch(name: str) -> AfterHook:
        def hook(_module: Any, entering: Any, leaving: torch.Tensor) -> torch.Tensor:
            leaf = torch.zeros_like(leaving, requires_grad=True)
            seen[name] = entering[0].detach(), leaf
            return leaving + leaf

        return hook

    with hooked((parts[name], watch(name)) for name in names):
        yield seen


def _choose_matrices(model: Any, settings: UltraEditSettings) -> list[str]:
    chosen = _upper(model) if settings.layers == "upper" else parse_layers(settings.layers, "ultraedit")
    if settings.targets == "mlp-out":
        return list(output_matrices(model, chosen).values())
    return find_linears(model, "mlp", chosen)


def _upper(model: Any) -> range:
    """Layers from half to nine tenths of the depth; of a model that has fewer than six, all."""
    if len(find_blocks(model)[1]) < 6:
        return range(len(find_blocks(model)[1]))
    return range(share_of_depth(model, 0.5), share_of_depth(model, 0.9) + 1)
