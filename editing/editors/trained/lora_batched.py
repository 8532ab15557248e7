"""Many single edits in one pass: each fact with a LoRA adapter of its own, all trained side by side as rows of a batch.

The papers' main protocol edits one fact, scores it and starts over; one at a time that is bound by launching small
work. Here the frozen model reads all facts together, and each row's linear layers add their own low-rank term

    y[n] += scale * B[n] A[n] x[n]        A (facts, rank, in), B (facts, out, rank)

by forward hooks. A row holds all wordings of one fact (`packing`), is the same in every step, and enters the lowest
layer that has adapters as it left the frozen ones once. The loss is the sum of the facts' own means and Adam works
elementwise, so each fact's adapter is what it would have become alone, but for the order in which floats are added. A
fact that is learnt keeps the adapter that it has, and once half of those that are read are learnt, the rest alone is.
Leaves out DoRA, replay, and facts that share an adapter (`lora`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
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

Adapters = dict[str, tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class LoraBatchSettings:
    rank: int = 8
    alpha: float = 16.0
    targets: Literal["attention", "mlp", "all"] = "all"
    layers: str = "all"
    learning_rate: float = 5e-3
    steps: int = 30
    """At most."""
    stop_loss: float = 0.0
    """A fact is learnt once the mean loss of its wordings is below; 0: it takes all steps."""
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
    steps: torch.Tensor
    """(edits,) int64: that each took."""

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
    done: list[_Trained] = []
    with only_trained(model):
        for part in in_parts(
            lambda facts: _train(model, names, facts, settings), examples, settings.facts_at_once, "edit", progress
        ):
            done.append(part)
            progress(f"{sum(len(part.losses) for part in done)} of {len(examples)} single edits done")
    all_of_them = _join(done)
    return SingleEdits(
        model, all_of_them.adapters, settings.alpha / settings.rank, all_of_them.losses, all_of_them.steps
    )


def _encode(model: Any, tokenizer: Any, edit: pa.Table, settings: LoraBatchSettings) -> list[Encoded]:
    return encode_examples(model, tokenizer, make_examples(edit, settings.wordings, settings.paraphrases))


@dataclass(frozen=True)
class _Trained:
    """Some facts' adapters, as they stay."""

    adapters: Adapters
    losses: torch.Tensor
    steps: torch.Tensor

    def take(self, facts: torch.Tensor) -> _Trained:
        chosen = {name: (a[facts], b[facts]) for name, (a, b) in self.adapters.items()}
        return _Trained(chosen, self.losses[facts], self.steps[facts])


def _join(parts: Sequence[_Trained]) -> _Trained:
    def joined(side: int, name: str) -> torch.Tensor:
        return torch.cat([part.adapters[name][side] for part in parts])

    adapters = {name: (joined(0, name), joined(1, name)) for name in parts[0].adapters}
    return _Trained(adapters, torch.cat([one.losses for one in parts]), torch.cat([one.steps for one in parts]))


def _train(
    model: Any, names: Sequence[str], examples: Sequence[Sequence[Encoded]], settings: LoraBatchSettings
) -> _Trained:
    """These facts' adapters: each step reads every wording of every fact that is read."""
    read = torch.arange(len(examples), device=next(model.parameters()).device)
    learning = _Learning.begin(_start(model, names, len(examples), settings), settings)
    finished: list[tuple[torch.Tensor, _Trained]] = []
    with _open(model, learning.adapters, examples, settings.alpha / settings.rank) as facts:
        for step in range(settings.steps):
            learning.find_learnt(facts.losses())
            if not bool(learning.going.any()):
                break
            learning.step(settings.learning_rate * 0.5 * (1 + math.cos(math.pi * step / settings.steps)))
            if 2 * int(learning.going.sum()) <= len(read) and step + 1 < settings.steps:
                finished.append((read[~learning.going], learning.trained().take(~learning.going)))
                read = read[learning.going]
                learning = learning.of_those_going()
                facts.read_only([examples[fact] for fact in read.tolist()], learning.adapters)
    finished.append((read, learning.trained()))
    order = torch.cat([facts for facts, _ in finished]).argsort()
    return _join([trained for _, trained in finished]).take(order)


@dataclass
class _Learning:
    """The adapters of the facts that are read, and how far each of them has come."""

    adapters: Adapters
    settings: LoraBatchSettings
    optimizer: torch.optim.Adam
    losses: torch.Tensor
    going: torch.Tensor
    """(facts,) bool: not learnt."""
    steps: torch.Tensor

    @classmethod
    def begin(cls, adapters: Adapters, settings: LoraBatchSettings) -> _Learning:
        leaves = _leaves(adapters)
        optimizer = torch.optim.Adam(leaves, lr=settings.learning_rate)
        going = torch.ones(len(leaves[0]), dtype=torch.bool, device=leaves[0].device)
        losses, steps = torch.zeros_like(going, dtype=torch.float32), torch.zeros_like(going, dtype=torch.int64)
        return cls(adapters, settings, optimizer, losses, going, steps)

    def find_learnt(self, losses: torch.Tensor) -> None:
        """losses: (facts,), of the adapters as they are. Raises TrainingFailed where one is no number."""
        if not bool(torch.isfinite(losses).all()):
            failed = int((~torch.isfinite(losses)).sum())
            raise TrainingFailed(f"the loss of {failed} edits is no number; lower learning_rate")
        learnt = self.going & (losses.detach() < self.settings.stop_loss)
        self.going, self.losses = self.going & ~learnt, losses
        if bool(learnt.any()):
            for state in self.optimizer.state.values():  # what it moved by before would move it on
                state["exp_avg"][learnt] = 0.0

    def step(self, rate: float) -> None:
        """One step of those that are going."""
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        self.losses[self.going].sum().backward()  # type: ignore[no-untyped-call]
        _clip_each(_leaves(self.adapters), self.settings.clip)
        self.optimizer.step()
        self.steps += self.going

    def trained(self) -> _Trained:
        adapters = {name: (a.detach(), b.detach()) for name, (a, b) in self.adapters.items()}
        return _Trained(adapters, self.losses.detach(), self.steps)

    def of_those_going(self) -> _Learning:
        """The facts that are not learnt, alone, where they are; after a step."""
        kept = self.trained().take(self.going)
        adapters = {name: (a.requires_grad_(True), b.requires_grad_(True)) for name, (a, b) in kept.adapters.items()}
        rest = _Learning.begin(adapters, self.settings)
        rest.losses, rest.steps = kept.losses, kept.steps
        for before, leaf in zip(_leaves(self.adapters), _leaves(adapters), strict=True):
            known = self.optimizer.state[before]
            rest.optimizer.state[leaf] = {
                name: value[self.going] if value.dim() else value for name, value in known.items()
            }
        return rest


@dataclass
class _Facts:
    """The facts that the model reads in every step."""

    forward: PartialForward
    adapters: Adapters
    """Those that the hooks on the model add."""
    rows: _Rows
    low_precision: bool
    batch: PackedBatch = field(init=False)
    states: torch.Tensor | None = field(init=False)
    """That enter the lowest block with adapters."""
    owners: torch.Tensor | None = field(init=False)
    """The fact of each scored token, where a fact has several rows."""
    count: int = field(init=False)

    def read_only(self, examples: Sequence[Sequence[Encoded]], adapters: Adapters) -> None:
        """Lay these facts out; each has its own of the adapters."""
        self.adapters.update(adapters)
        device, self.count = self.forward.device, len(examples)
        self.owners, self.rows.owners = None, None
        batch = pack_groups(examples, device) if self.forward.packs else None
        if batch is None:
            flat = [text for texts in examples for text in texts]
            several = torch.tensor([fact for fact, texts in enumerate(examples) for _ in texts], device=device)
            batch = pad_rows(flat, True, device)
            lengths = torch.tensor([len(text.ids) - text.start for text in flat], device=device)
            self.owners, self.rows.owners = several.repeat_interleave(lengths), several
            self.forward = PartialForward(self.forward.model)  # rows that share an adapter are read whole
        self.batch, self.states, self.rows.active = batch, None, False
        if self.forward.lowest:
            with in_bfloat16(device, self.low_precision, batch.ids.shape[1]):  # as each step reads them
                self.states = self.forward.states(batch, self.forward.lowest)
        self.rows.active = True

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
def _open(
    model: Any,
    adapters: Adapters,
    examples: Sequence[Sequence[Encoded]],
    scale: float,
) -> Iterator[_Facts]:
    """The model with the adapters on it, ready to be read from the lowest block that has any."""
    low_precision, on_model, rows = gains_by_bfloat16(model), dict(adapters), _Rows()
    flat = [text for texts in examples for text in texts]
    with (
        _with_adapters(model, on_model, scale, rows),  # before the hooks below, which then see what they add
        open_partial_forward(model, choose_trial(flat), True, lowest_block(model, adapters)) as forward,
        frozen_in_bfloat16(model, low_precision),
    ):
        facts = _Facts(forward, on_model, rows, low_precision)
        facts.read_only(examples, adapters)
        yield facts


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


def _leaves(adapters: Adapters) -> list[torch.Tensor]:
    return [side for pair in adapters.values() for side in pair]


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

    def adding(name: str) -> AfterHook:
        def hook(_module: Any, entering: Any, leaving: torch.Tensor) -> Any:
            if not rows.active:
                return None
            a, b = adapters[name]
            mine_a, mine_b = (a, b) if rows.owners is None else (a[rows.owners], b[rows.owners])
            states = entering[0] if torch.is_autocast_enabled(leaving.device.type) else entering[0].to(mine_a.dtype)
            low = torch.matmul(states, mine_a.transpose(1, 2))  # (rows, length, rank)
            whole = mine_b.transpose(1, 2).expand(len(low), -1, -1)
            return torch.baddbmm(leaving.to(low.dtype), low, whole, alpha=scale).to(leaving.dtype)

        return hook

    with hooked((parts[name], adding(name)) for name in adapters):
        yield
