"""`ultraedit`: closed-form edits from one forward and one backward pass (Gu et al. 2025, arXiv 2505.14679).

No subject, no covariance of text, no training. A turn takes some facts; at every position that predicts a token of an
answer, h enters a matrix W and g is the loss's gradient at what leaves it. Both are normalised, entry by entry, by the
mean and variance of all turns so far (ĥ, ĝ; "lifelong normalisation"), and with H the turn's h as rows

    v = -η |ĥ|² ĝ,    W' = W + Xᵀ,    (HᵀH + I) X = HᵀV

so that each h moves its output against the gradient, with the least change of W. Of texts that the model says already
v = 0, so that their outputs stay: their gradients are near nothing, which by the statistics of all turns is far from
the mean. |ĥ|² is about the width of h, so that η is stated as a `step` divided by that width: the paper's 1e-6 at
14,336 is a step of 0.014. Positions are those from which the model predicts the answer and its end. Leaves out sharing
statistics between matrices of one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch.nn import functional

from chronofacts.editing.editors import EditBatch, ModelCache, undo_on_error
from chronofacts.editing.editors.trained.examples import Wording, encode_examples, make_examples
from chronofacts.editing.editors.trained.gradient import BASE_WIDTH, WeightEdit, change_weights, parse_layers
from chronofacts.editing.forward.block_range import lowest_block
from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache
from chronofacts.editing.forward.packing import label_logits
from chronofacts.editing.forward.partial import PartialForward, choose_trial, open_partial_forward
from chronofacts.editing.models.architecture import matrix_of, output_matrices, share_of_depth
from chronofacts.editing.models.blocks import find_blocks, find_linears
from chronofacts.editing.models.encoding import Encoded
from chronofacts.editing.models.gradients import only_trained
from chronofacts.editing.models.hooks import AfterHook, hooked, in_rows
from chronofacts.editing.models.out_of_memory import in_parts
from chronofacts.editing.training import TrainingFailed, find_recalled
from chronofacts.schemas.errors import BadInput

__all__ = ["FeatureStatistics", "UltraEdit", "UltraEditSettings", "solve_shift"]

BASE_STEP = 0.06
"""At a width of `BASE_WIDTH`."""
KEPT_BYTES = 2 << 30
"""Of what frozen blocks below the chosen matrices give."""
Features = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""Matrix -> (what enters it, the loss's gradient at what leaves it), both (positions, width) in the texts' order."""
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
    step: float | None = None
    """η times the width of what enters the matrix; none: 0.06 at a width of the hidden states of 128, and less by the
    root of it in a wider model: 0.028 at 576, 0.011 at 4,096 (the paper's: 0.014). Longer steps overshoot."""
    turn: int = 500
    """Texts that are solved for together; the paper's is 100."""
    batch: int = 32
    """Texts whose gradient is taken at once; halved when the memory does not hold them."""
    passes: int = 25
    """The paper edits each fact once; here, passes over all of them follow until the model says them all, in which what
    is said already shall stay as it is. (A pass over the others alone would unlearn it.)"""

    def step_for(self, width: int) -> float:
        """width: of the hidden states."""
        return BASE_STEP * (BASE_WIDTH / width) ** 0.5 if self.step is None else self.step


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
            with _open_reader(model, names, texts, batch.progress) as reader:
                passes = _write_passes(reader, texts, settings, statistics)
            left = len(texts) - sum(find_recalled(model, texts)) if passes == settings.passes else 0
        edited.report = {"matrices": len(names), "texts": len(texts), "passes": passes, "not_said": left}
        return edited


def _write_passes(
    reader: _Reader,
    texts: Sequence[Encoded],
    settings: UltraEditSettings,
    statistics: dict[str, FeatureStatistics],
) -> int:
    """Turn after turn, pass after pass, until no turn has a text that is not said; how many passes wrote something."""
    parts = dict(reader.model.named_modules())
    step = settings.step_for(reader.model.get_input_embeddings().weight.shape[1])
    for done in range(settings.passes):
        reader.progress(f"ultraedit: pass {done + 1} of at most {settings.passes}")
        said, wrote = 0, False
        for begin in range(0, len(texts), settings.turn):
            together = texts[begin : begin + settings.turn]
            features, said_here = reader.read(together, settings.batch)
            said += sum(said_here)
            if all(said_here):
                continue
            wrote = True
            stays = torch.cat(
                [torch.full((_count_scored(text),), one) for text, one in zip(together, said_here, strict=True)]
            )
            for name, (entering, gradients) in features.items():
                matrix = matrix_of(parts[name])
                matrix.add_(_shift(name, entering, gradients, stays, statistics, step).T.to(matrix))
        reader.progress(f"ultraedit: {said} of {len(texts)} texts are said")
        if not wrote:
            return done
    return settings.passes


def solve_shift(keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """X of (HᵀH + I) X = HᵀV: (in, out). keys H (n, in), values V (n, out), float64.

    Solved over the keys where they are fewer than their width, since (HᵀH + I)⁻¹ Hᵀ = Hᵀ (HHᵀ + I)⁻¹.
    """
    count, width = keys.shape
    if count <= width:
        weights: torch.Tensor = torch.linalg.solve(keys @ keys.T + torch.eye(count).to(keys), values)
        return keys.T @ weights
    return torch.linalg.solve(keys.T @ keys + torch.eye(width).to(keys), keys.T @ values)  # type: ignore[no-any-return]


@dataclass
class _Reader:
    """What enters the chosen matrices and the loss's gradient at what leaves them, at the positions that are scored."""

    model: Any
    names: Sequence[str]
    forward: PartialForward
    progress: Callable[[str], None]
    states: HiddenStateCache = field(default_factory=lambda: HiddenStateCache(KEPT_BYTES))
    """What blocks below the chosen ones give, which no turn changes."""

    def read(self, texts: Sequence[Encoded], size: int) -> tuple[Features, list[bool]]:
        """The features, float64 on the CPU; and of each text, whether the model says the answer to its end.

        size: texts at once. Leaves out matrices that a layer reads past their module, as those of state-space layers.
        Raises BadInput where none is left.
        """
        found: dict[str, tuple[list[torch.Tensor], list[torch.Tensor]]] = {name: ([], []) for name in self.names}
        said = list[bool]()
        for parts in in_parts(self._read_few, texts, size, "text", self.progress):
            for features, said_here in parts:
                said += said_here
                for name, (entering, gradient) in features.items():
                    found[name][0].append(entering)
                    found[name][1].append(gradient)
        seen = {name: (torch.cat(all_in), torch.cat(slopes)) for name, (all_in, slopes) in found.items() if all_in}
        if not seen:
            kind = type(self.model).__name__
            raise BadInput(f"ultraedit: {kind} reads none of the chosen matrices by itself; take freeze")
        return seen, said

    def _read_few(self, texts: Sequence[Encoded]) -> list[tuple[Features, list[bool]]]:
        """One forward and backward pass over a few texts; more where two of them are scored at one token."""
        layout, start = self.forward.layout, self.forward.lowest
        batch = layout(texts, True, self.forward.device)
        if batch.logit_index is not None:
            half = len(texts) // 2
            return self._read_few(texts[:half]) + self._read_few(texts[half:])
        states = self.states.lookup(self.forward, start, batch, texts, layout) if start else None
        with torch.enable_grad(), _watch(self.model, self.names) as watched:
            logits = label_logits(batch, self.forward.logits(batch, states, start)).float()
            loss = functional.cross_entropy(logits, batch.labels, reduction="sum")
            gradients = torch.autograd.grad(loss, [leaf for _, leaf in watched.values()])

        def at_scored(part: torch.Tensor) -> torch.Tensor:
            in_order = in_rows(part, len(batch.ids)).flatten(0, 1)
            return in_order.index_select(0, batch.scored_positions.flatten()).double().cpu()

        features = {
            name: (at_scored(entering), at_scored(gradient))
            for (name, (entering, _)), gradient in zip(watched.items(), gradients, strict=True)
        }
        right = (logits.argmax(-1) == batch.labels).split([_count_scored(text) for text in texts])
        return [(features, [bool(of_text.all()) for of_text in right])]


@contextmanager
def _open_reader(
    model: Any, names: Sequence[str], texts: Sequence[Encoded], progress: Callable[[str], None]
) -> Iterator[_Reader]:
    """The model made ready to be read: texts packed, and blocks below the chosen matrices read once."""
    # by answers alone, parts of the last block would be read at their positions only, and not where they are watched
    with open_partial_forward(model, choose_trial(texts), False, lowest_block(model, names)) as forward:
        yield _Reader(model, names, forward, progress)


def _count_scored(text: Encoded) -> int:
    """Of its answer and end."""
    return len(text.ids) - text.start


def _shift(
    name: str,
    entering: torch.Tensor,
    gradients: torch.Tensor,
    stays: torch.Tensor,
    statistics: dict[str, FeatureStatistics],
    step: float,
) -> torch.Tensor:
    """What the matrix gains, transposed: (in, out). Adds the features to the matrix's statistics first.

    stays: (positions,) bool, where nothing is to change.
    """
    width, joined = entering.shape[1], torch.cat([entering, gradients], 1)
    if not bool(torch.isfinite(joined).all()):
        raise TrainingFailed("ultraedit: a gradient is no longer a number; lower step")
    known = statistics.setdefault(name, FeatureStatistics.empty(joined.shape[1]))
    known.add(joined)
    normal = known.normalise(joined)
    own, slope = normal[:, :width], normal[:, width:]
    wanted = -(step / width) * (own**2).sum(1, keepdim=True) * slope
    return solve_shift(entering, wanted.masked_fill(stays[:, None], 0.0))


@contextmanager
def _watch(model: Any, names: Sequence[str]) -> Iterator[Features]:
    """What enters each matrix, and a leaf added to what leaves it, whose gradient is that of the output."""
    parts, seen = dict(model.named_modules()), Features()

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
