"""Many single edits in one pass: each fact with a LoRA adapter of its own, all trained side by side as rows of a batch.

The papers' main protocol edits one fact, scores it and starts over; one at a time that is bound by launching small
work. Here the frozen model reads all facts together, and each row's linear layers add their own low-rank term

    y[n] += scale * B[n] A[n] x[n]        A (facts, rank, in), B (facts, out, rank)

by forward hooks. A row holds all wordings of one fact (`packing`), is the same in every step, and enters the lowest
layer that has adapters as it left the frozen ones once. The loss is the sum of the facts' own means and Adam works
elementwise, so each fact's adapter is what it would have become alone, but for the order in which floats are added.
Leaves out DoRA, replay, and facts that share an adapter (`lora`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import torch
from torch.nn import functional

from chronofacts.editing.editors.trained.examples import Wording, encode_examples, make_examples
from chronofacts.editing.editors.trained.gradient import parse_layers
from chronofacts.editing.forward.block_range import lowest_block
from chronofacts.editing.forward.packing import PackedBatch, pack_groups, pad_rows
from chronofacts.editing.forward.partial import PartialForward, choose_trial, open_partial_forward
from chronofacts.editing.models.architecture import matrix_of
from chronofacts.editing.models.blocks import find_linears
from chronofacts.editing.models.encoding import Encoded
from chronofacts.editing.models.gradients import only_trained
from chronofacts.editing.models.hooks import AfterHook, hooked
from chronofacts.editing.models.out_of_memory import in_parts
from chronofacts.editing.training import TrainingFailed, frozen_in_bfloat16, gains_by_bfloat16, in_bfloat16
from chronofacts.schemas.errors import BadInput

__all__ = ["LoraBatchSettings", "SingleEdits", "edit_in_parallel", "train_side_by_side"]

Adapters = Mapping[str, tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class LoraBatchSettings:
    rank: int = 8
    alpha: float = 16.0
    targets: Literal["attention", "mlp", "all"] = "all"
    layers: str = "all"
    learning_rate: float = 5e-3
    steps: int = 30
    clip: float = 1.0
    """Of each fact's own gradient."""
    wordings: tuple[Wording, ...] = ("prompt", "paraphrases", "cloze")
    paraphrases: int = 2
    facts_at_once: int = 64
    """Halved, and said so, when the memory does not hold them."""
    seed: int = 0


@dataclass
class SingleEdits:
    """One adapter per edit. `adapters[module]` is (A, B): (edits, rank, in) and (edits, out, rank)."""

    model: Any
    adapters: Adapters
    scale: float
    losses: torch.Tensor
    """(edits,): the last loss of each."""

    @contextmanager
    def only(self, edit: int) -> Iterator[Any]:
        """While inside, the model carries this one edit, whatever it is asked."""
        chosen = {name: (a[edit : edit + 1], b[edit : edit + 1]) for name, (a, b) in self.adapters.items()}
        with _with_adapters(self.model, chosen, self.scale, _Rows(True)):
            yield self.model

    @contextmanager
    def one_per_row(self, edits: Sequence[int]) -> Iterator[Any]:
        """While inside, row n of a batch is answered by the model with edit `edits[n]`."""
        owners = torch.tensor(list(edits), device=next(self.model.parameters()).device)
        with _with_adapters(self.model, self.adapters, self.scale, _Rows(True, owners)):
            yield self.model


def edit_in_parallel(
    model: Any,
    tokenizer: Any,
    edits: pa.Table,
    settings: LoraBatchSettings,
    progress: Callable[[str], None] = lambda line: None,
) -> SingleEdits:
    """Train one adapter per edit, all in one pass; the model's own weights are never written.

    An adapter's first weights depend on the seed alone, and not on the edits beside it.
    Raises TrainingFailed at a loss that is not finite, BadInput for no edits or when not even one fits the memory.
    """
    if not edits.num_rows:
        raise BadInput("there are no edits; use a snapshot that has some")
    names = find_linears(model, settings.targets, parse_layers(settings.layers, "parallel"))
    examples = [_encode(model, tokenizer, edits.slice(n, 1), settings) for n in range(edits.num_rows)]
    return train_side_by_side(model, names, examples, settings, progress)


def train_side_by_side(
    model: Any,
    names: Sequence[str],
    examples: Sequence[Sequence[Encoded]],
    settings: LoraBatchSettings,
    progress: Callable[[str], None] = lambda line: None,
) -> SingleEdits:
    """One adapter on the named modules per group of examples; see `edit_in_parallel`."""
    model.eval()
    done: list[tuple[Adapters, torch.Tensor]] = []
    with only_trained(model):
        for part in in_parts(
            lambda facts: _train(model, names, facts, settings), examples, settings.facts_at_once, "edit", progress
        ):
            done.append(part)
            finished = sum(len(losses) for _, losses in done)
            progress(f"{finished} of {len(examples)} single edits done")
    joined = {
        name: (torch.cat([part[name][0] for part, _ in done]), torch.cat([part[name][1] for part, _ in done]))
        for name in names
    }
    return SingleEdits(model, joined, settings.alpha / settings.rank, torch.cat([loss for _, loss in done]))


def _encode(model: Any, tokenizer: Any, edit: pa.Table, settings: LoraBatchSettings) -> list[Encoded]:
    return encode_examples(model, tokenizer, make_examples(edit, settings.wordings, settings.paraphrases))


def _train(
    model: Any, names: Sequence[str], examples: Sequence[Sequence[Encoded]], settings: LoraBatchSettings
) -> tuple[Adapters, torch.Tensor]:
    """Adapters and last losses of these facts: each step reads every wording of every fact."""
    device = next(model.parameters()).device
    adapters = _start(model, names, len(examples), settings)
    leaves = [side for pair in adapters.values() for side in pair]
    optimizer = torch.optim.Adam(leaves, lr=settings.learning_rate)
    with _open(model, adapters, examples, settings.alpha / settings.rank) as facts:
        for step in range(settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
            losses = facts.losses()
            if not bool(torch.isfinite(losses).all()):
                raise TrainingFailed(
                    f"the loss of {int((~torch.isfinite(losses)).sum())} edits is no number; lower learning_rate"
                )
            optimizer.zero_grad(set_to_none=True)
            losses.sum().backward()  # type: ignore[no-untyped-call]
            _clip_each(leaves, settings.clip)
            optimizer.step()
    last = losses.detach() if settings.steps else torch.zeros(len(examples), device=device)
    return {name: (a.detach(), b.detach()) for name, (a, b) in adapters.items()}, last


@dataclass(frozen=True)
class _Facts:
    """All facts as the model reads them in every step."""

    forward: PartialForward
    batch: PackedBatch
    states: torch.Tensor | None  # that enter the lowest block with adapters
    owners: torch.Tensor | None  # the fact of each scored token, where a fact has several rows
    count: int
    low_precision: bool

    def losses(self) -> torch.Tensor:
        """(facts,): mean over the scored tokens of each fact's own wordings."""
        with in_bfloat16(self.forward.device, self.low_precision, self.batch.ids.shape[1]):
            logits = self.forward.logits(self.batch, self.states, self.forward.lowest).float()
        labels = self.batch.labels
        if self.owners is None:
            each = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
            return each.view(labels.shape).sum(1) / (labels != -100).sum(1)
        if self.batch.logit_index is not None:
            logits = logits[:, self.batch.logit_index]
        each = functional.cross_entropy(logits[0], labels, reduction="none")
        tokens = torch.bincount(self.owners, minlength=self.count)
        return each.new_zeros(self.count).index_add(0, self.owners, each) / tokens


@contextmanager
def _open(model: Any, adapters: Adapters, examples: Sequence[Sequence[Encoded]], scale: float) -> Iterator[_Facts]:
    """The model with the adapters on it, ready to be read from the lowest block that has any."""
    device, count = next(model.parameters()).device, len(examples)
    low_precision, lowest = gains_by_bfloat16(model), lowest_block(model, adapters)
    flat = [text for texts in examples for text in texts]
    rows = _Rows()
    with (
        _with_adapters(model, adapters, scale, rows),  # before the hooks below, which then see what they add
        open_partial_forward(model, choose_trial(flat), True, lowest) as forward,
        frozen_in_bfloat16(model, low_precision),
    ):
        batch = pack_groups(examples, device) if forward.packs else None
        owners = None
        if batch is None:
            several = torch.tensor([fact for fact, texts in enumerate(examples) for _ in texts], device=device)
            batch = pad_rows(flat, True, device)
            owners = several.repeat_interleave(torch.tensor([len(t.ids) - t.start for t in flat], device=device))
            rows.owners, forward = several, PartialForward(model)  # rows that share an adapter are read whole
        with in_bfloat16(device, low_precision, batch.ids.shape[1]):  # as each step reads them
            states = forward.states(batch, forward.lowest) if forward.lowest else None
        rows.active = True
        yield _Facts(forward, batch, states, owners, count, low_precision)


def _start(model: Any, names: Sequence[str], count: int, settings: LoraBatchSettings) -> Adapters:
    """A uniform as in LoRA (Kaiming, a = √5), the same for every fact; B zero."""
    parts, device = dict(model.named_modules()), next(model.parameters()).device
    generator = torch.Generator().manual_seed(settings.seed)
    adapters = {}
    for name in names:
        out, width = matrix_of(parts[name]).shape
        drawn = (torch.rand((1, settings.rank, width), generator=generator) * 2 - 1) / math.sqrt(width)
        a = drawn.expand(count, -1, -1).contiguous().to(device).requires_grad_(True)
        b = torch.zeros((count, out, settings.rank), device=device, requires_grad=True)
        adapters[name] = (a, b)
    return adapters


@torch.no_grad()
def _clip_each(leaves: Sequence[torch.Tensor], most: float) -> None:
    """Each fact's gradient, over all its matrices, is shortened to `most`."""
    squares = sum(leaf.grad.square().sum((1, 2)) for leaf in leaves if leaf.grad is not None)
    factor = (most / (torch.as_tensor(squares).sqrt() + 1e-6)).clamp_max(1.0)
    for leaf in leaves:
        if leaf.grad is not None:
            leaf.grad.mul_(factor[:, None, None])


@dataclass
class _Rows:
    """Which adapter a row of the batch has."""

    active: bool = False
    owners: torch.Tensor | None = None
    """Row -> adapter; None: each its own, or all the only one."""


@contextmanager
def _with_adapters(model: Any, adapters: Adapters, scale: float, rows: _Rows) -> Iterator[None]:
    """While inside and active, every named layer adds each row's own low-rank term."""
    parts = dict(model.named_modules())

    def adding(a: torch.Tensor, b: torch.Tensor) -> AfterHook:
        def hook(_module: Any, entering: Any, leaving: torch.Tensor) -> Any:
            if not rows.active:
                return None
            mine_a, mine_b = (a, b) if rows.owners is None else (a[rows.owners], b[rows.owners])
            states = entering[0] if torch.is_autocast_enabled(leaving.device.type) else entering[0].to(mine_a.dtype)
            low = torch.matmul(states, mine_a.transpose(1, 2))  # (rows, length, rank)
            whole = mine_b.transpose(1, 2).expand(len(low), -1, -1)
            return torch.baddbmm(leaving.to(low.dtype), low, whole, alpha=scale).to(leaving.dtype)

        return hook

    with hooked((parts[name], adding(a, b)) for name, (a, b) in adapters.items()):
        yield
