"""Many single edits in one pass: each fact with a LoRA adapter of its own, all trained side by side as rows of a batch.

The papers' main protocol edits one fact, scores it and starts over; one at a time that is bound by launching small
work. Here the frozen model reads all facts together, and each row's linear layers add their own low-rank term

    y[n] += scale * B[n] A[n] x[n]        A (facts, rank, in), B (facts, out, rank)

by forward hooks. The loss is the sum of the facts' own means and Adam works elementwise, so each fact's adapter is
what it would have become alone, but for the order in which floats are added. Leaves out DoRA, replay, and facts that
share an adapter (`editors.lora`).
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

from editing.editors.trained import parse_layers
from editing.editors.wordings import Wording, edit_lessons
from editing.encoding import Batch, Encoded, encode, pad
from editing.models import answer_logits, context_length, find_linears
from editing.structure import matrix_of
from editing.training import TrainingFailed
from schemas.errors import BadInput

__all__ = ["ParallelOptions", "SingleEdits", "edit_in_parallel"]


@dataclass(frozen=True)
class ParallelOptions:
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
    adapters: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    scale: float
    losses: torch.Tensor
    """(edits,): the last loss of each."""

    @contextmanager
    def only(self, edit: int) -> Iterator[Any]:
        """While inside, the model carries this one edit, whatever it is asked."""
        chosen = {name: (a[edit : edit + 1], b[edit : edit + 1]) for name, (a, b) in self.adapters.items()}
        with _rows(self.model, chosen, self.scale, owners=None):
            yield self.model

    @contextmanager
    def one_per_row(self, edits: Sequence[int]) -> Iterator[Any]:
        """While inside, row n of a batch is answered by the model with edit `edits[n]`."""
        owners = torch.tensor(list(edits), device=next(self.model.parameters()).device)
        with _rows(self.model, self.adapters, self.scale, owners):
            yield self.model


def edit_in_parallel(
    model: Any,
    tokenizer: Any,
    edits: pa.Table,
    options: ParallelOptions,
    progress: Callable[[str], None] = lambda line: None,
) -> SingleEdits:
    """Train one adapter per edit, all in one pass; the model's own weights are never written.

    The start of an adapter depends on the seed alone, so that it is the same in whatever company an edit is trained.
    Raises TrainingFailed at a loss that is not finite, BadInput for no edits or when not even one fits the memory.
    """
    if not edits.num_rows:
        raise BadInput("there are no edits; use a snapshot that has some")
    names = find_linears(model, options.targets, parse_layers(options.layers, "parallel"))
    examples = [_encode(model, tokenizer, edits.slice(n, 1), options) for n in range(edits.num_rows)]
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.eval().requires_grad_(False)
    done: list[tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], torch.Tensor]] = []
    begin, most = 0, options.facts_at_once
    try:
        while begin < len(examples):
            try:
                done.append(_train(model, names, examples[begin : begin + most], options))
            except torch.OutOfMemoryError as error:
                if most == 1:
                    raise BadInput("not even one edit fits the memory; take fewer layers or a smaller model") from error
                most = min(most, len(examples) - begin) // 2 or 1
                progress(f"out of memory: going on with {most} edits at once")
                continue
            begin += most
            progress(f"{min(begin, len(examples))} of {len(examples)} single edits done")
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted[name])
    joined = {name: tuple(torch.cat([part[name][side] for part, _ in done]) for side in (0, 1)) for name in names}
    losses = torch.cat([loss for _, loss in done])
    return SingleEdits(model, joined, options.alpha / options.rank, losses)  # type: ignore[arg-type]


def _encode(model: Any, tokenizer: Any, edit: pa.Table, options: ParallelOptions) -> list[Encoded]:
    lessons = edit_lessons(edit, options.wordings, options.paraphrases)
    prompts, answers = [one.prompt for one in lessons], [one.answer for one in lessons]
    return encode(tokenizer, prompts, answers, context_length(model))


def _train(
    model: Any, names: Sequence[str], examples: Sequence[list[Encoded]], options: ParallelOptions
) -> tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
    """Adapters and last losses of these facts: each step reads every wording of every fact."""
    device, count = next(model.parameters()).device, len(examples)
    adapters = _start(model, names, count, options)
    leaves = [side for pair in adapters.values() for side in pair]
    optimizer = torch.optim.Adam(leaves, lr=options.learning_rate)
    batch = pad([one for several in examples for one in several], True, device)
    owners = torch.tensor([fact for fact, several in enumerate(examples) for _ in several], device=device)
    losses = torch.zeros(count, device=device)
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * 0.5 * (1 + math.cos(math.pi * step / options.steps))
        with _rows(model, adapters, options.alpha / options.rank, owners):
            losses = _fact_losses(model, batch, owners, count)
        if not bool(torch.isfinite(losses).all()):
            raise TrainingFailed(
                f"the loss of {int((~torch.isfinite(losses)).sum())} edits is no number; lower learning_rate"
            )
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        _clip_each(leaves, options.clip)
        optimizer.step()
    return {name: (a.detach(), b.detach()) for name, (a, b) in adapters.items()}, losses.detach()


def _fact_losses(model: Any, batch: Batch, owners: torch.Tensor, count: int) -> torch.Tensor:
    """(facts,): mean over the scored tokens of each fact's own wordings."""
    logits = answer_logits(model, batch.ids, batch.first).float()
    labels = batch.labels[:, batch.first :]
    losses = functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=-100, reduction="none").sum(1)
    tokens = (labels != -100).sum(1).to(losses.dtype)
    return torch.zeros_like(losses).new_zeros(count).index_add(0, owners, losses) / tokens.new_zeros(count).index_add(
        0, owners, tokens
    )


def _start(
    model: Any, names: Sequence[str], count: int, options: ParallelOptions
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A uniform as in LoRA (Kaiming, a = √5), the same for every fact; B zero."""
    parts, device = dict(model.named_modules()), next(model.parameters()).device
    generator = torch.Generator().manual_seed(options.seed)
    adapters = {}
    for name in names:
        out, width = matrix_of(parts[name]).shape
        drawn = (torch.rand((1, options.rank, width), generator=generator) * 2 - 1) / math.sqrt(width)
        a = drawn.expand(count, -1, -1).contiguous().to(device).requires_grad_(True)
        b = torch.zeros((count, out, options.rank), device=device, requires_grad=True)
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


@contextmanager
def _rows(
    model: Any,
    adapters: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    scale: float,
    owners: torch.Tensor | None,
) -> Iterator[None]:
    """While inside, every named layer adds each row's own low-rank term. owners: row -> adapter; None: one for all."""
    parts = dict(model.named_modules())

    def adding(a: torch.Tensor, b: torch.Tensor) -> Callable[[Any, Any, torch.Tensor], torch.Tensor]:
        def hook(_module: Any, entering: Any, leaving: torch.Tensor) -> torch.Tensor:
            read = entering[0]
            mine_a, mine_b = (a, b) if owners is None else (a[owners], b[owners])
            low = torch.matmul(read.to(mine_a.dtype), mine_a.transpose(1, 2))  # (rows, length, rank)
            return leaving + (scale * torch.matmul(low, mine_b.transpose(1, 2))).to(leaving.dtype)

        return hook

    hooks = [parts[name].register_forward_hook(adding(a, b)) for name, (a, b) in adapters.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
