"""The one training loop: tokens made once, batches of like length, loss where it counts, nothing computed in vain.

Serves pretraining (loss on the whole text) and editing (loss on the answer and its EOS only). What a frozen model need
not compute again, or not at all, is left out (`forward.partial`, `forward.hidden_state_cache`); a batch that does not
fit the memory is done in parts whose gradients add up; several processes share each batch (`models.distributed`). The
model is in eval mode all along, so that no dropout makes two runs differ, and no clock says when to stop: a busy
machine comes to the same weights later.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from chronofacts.editing.forward.block_range import lowest_trained
from chronofacts.editing.forward.grouped_attention import grouped_attention
from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache
from chronofacts.editing.forward.packing import label_logits
from chronofacts.editing.forward.partial import PartialForward, choose_trial, open_partial_forward
from chronofacts.editing.models.distributed import ProcessGroup, join_processes
from chronofacts.editing.models.encoding import Encoded, batches_by_length, pad
from chronofacts.editing.models.load import answer_logits
from chronofacts.editing.models.out_of_memory import halve_until_fits
from chronofacts.editing.progress import Progress
from chronofacts.editing.threads import SMALL
from chronofacts.schemas.errors import ChronoFactsError

__all__ = [
    "Preference",
    "Rejected",
    "TrainingFailed",
    "TrainingReport",
    "TrainingSettings",
    "find_recalled",
    "frozen_in_bfloat16",
    "gains_by_bfloat16",
    "in_bfloat16",
    "log_likelihoods",
    "preference_losses",
    "share_recalled",
    "train",
]


SHORT_ROW = 128
"""Tokens up to which the CPU attends faster by torch's plain products than by its fused kernel, whose way back in
bfloat16 takes five times that of float32 (16 rows of 48 tokens: 24 ms against 12 by products; four of 200: 27 against
32): for families that `grouped_attention` does not reach."""


class TrainingFailed(ChronoFactsError):
    """The loss is no longer a number; what was trained must be thrown away."""


@dataclass(frozen=True)
class TrainingSettings:
    steps: int
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises; it then falls along a cosine."""
    final_rate: float = 0.1
    """The rate at the last step, as a share of the highest."""
    clip: float = 1.0
    """The gradients' norm is at most this; infinity: whatever it is."""
    answer_only: bool = True
    stop_loss: float = 0.0
    """Stop when the mean loss of the last pass over the examples is below; 0: never."""
    stop_said: float | None = None
    """Stop when this share of the examples of the last pass was said, token by token to their end, as they were read;
    None: whatever is said. What was missed early in a pass is mostly said by its end."""
    check_every: int = 50
    """Steps between two calls of `stop`."""
    autocast: bool = True
    """bfloat16 for arithmetic and frozen matrices, where the machine is fast at it; what is trained stays fp32."""
    rows_at_once: int | None = None
    """Examples that go through the model at once, their gradients added up to a batch's; None: the whole batch."""
    cache_bytes: int = 2 << 30
    """How much of what frozen blocks give is kept from one pass to the next; the rest is computed anew."""
    shortcuts: bool = True
    """Compute only what the loss needs (`forward.partial`); false: the same by the whole forward pass."""
    seed: int = 0


class Rejected(NamedTuple):
    """What is not to be answered any more."""

    example: Encoded
    """The same text with the old answer."""
    margin: float
    """log π₀(y_w | x) - log π₀(y_l | x) of the model before training."""


@dataclass(frozen=True)
class Preference:
    """Direct preference optimisation beside the loss (Rafailov et al. 2023, arXiv 2305.18290, equation 7).

    Of a text x with the new answer y_w and the old one y_l, π the model and π₀ the one before training,

        L_DPO = -log σ(β [(log π(y_w | x) - log π(y_l | x)) - (log π₀(y_w | x) - log π₀(y_l | x))])

    and what is trained is (1 - w) L + w L_DPO, each a mean over the batch: of tokens, and of pairs.
    """

    rejected: Mapping[Encoded, Rejected]
    """Text with the new answer -> with the old one; texts without one are trained by L alone."""
    weight: float
    """w"""
    beta: float


@dataclass(frozen=True)
class TrainingReport:
    steps: int
    seconds: float
    loss: float
    """Mean over the last pass."""
    tokens: int
    """That went through the model."""
    stopped: str
    """Why: steps, loss, said or target."""
    tokens_given: int = 0
    """Of the texts themselves: more than `tokens` where shared beginnings were read once."""
    kept_layers: int = 0
    """Frozen layers whose output was kept instead of computed each time."""


def train(
    model: nn.Module,
    examples: Sequence[Encoded],
    settings: TrainingSettings,
    stop: Callable[[int, float], bool] | None = None,
    after_step: Callable[[], None] | None = None,
    progress: Callable[[str], None] = lambda line: None,
    cache: HiddenStateCache | None = None,
    known: int = 0,
    preference: Preference | None = None,
) -> TrainingReport:
    """Train the parameters that require a gradient, and leave the model in eval mode.

    stop: asked every `check_every` steps with (steps, loss). after_step: called after each step, to hold the weights
    within bounds. cache: what frozen blocks gave for these texts before, when several trainings of one base model share
    it. known: so many of the last examples are trained but do not count in the loss that is reported and ends the
    training, since nothing waits for the model to learn them. preference: the answers that are to become less likely;
    the loss that is reported stays that of the answers. The same seed, examples and machine give the same weights. No
    examples, no change. Raises TrainingFailed at the first loss that is not finite, before it reaches a weight, and
    BadInput when not even one example fits the memory.
    """
    begun, parameters = time.perf_counter(), [p for p in model.parameters() if p.requires_grad]
    model.eval()
    if not examples or not parameters or settings.steps < 1:
        return TrainingReport(0, 0.0, 0.0, 0, "steps")
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98), fused=True
    )
    losses: list[float | None] = []
    missed: list[int] = []
    steps_done = Progress(progress, "training: step", settings.steps)
    stopped, one_pass = "steps", max(1, math.ceil(len(examples) / settings.batch_size))
    learnt = len(examples) - known
    with _open_reader(model, examples, settings, cache, progress, preference) as reader:
        for indices in _shuffled_batches(examples, settings, by_length=not reader.forward.packs):
            indices.sort(key=learnt.__le__)  # the examples to be learnt first
            counted = sum(index < learnt for index in indices)
            value = reader.set_gradients([examples[index] for index in indices], counted)
            if not math.isfinite(value):
                raise TrainingFailed(f"the loss became {value} at step {len(losses) + 1}; lower learning_rate")
            if settings.clip < math.inf:
                nn.utils.clip_grad_norm_(parameters, settings.clip)
            optimizer.param_groups[0]["lr"] = settings.learning_rate * _rate(len(losses), settings)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if after_step:
                after_step()
            losses.append(reader.learnt_loss)
            missed.append(reader.missed)
            last = [loss for loss in losses[-one_pass:] if loss is not None]
            recent = sum(last) / len(last) if last else math.inf
            steps_done.update(len(losses), f", loss {recent:.2f}")
            if len(losses) >= one_pass and recent < settings.stop_loss:
                stopped = "loss"
            elif (
                settings.stop_said is not None
                and len(losses) >= one_pass
                and learnt - sum(missed[-one_pass:]) >= settings.stop_said * learnt
            ):
                stopped = "said"
            elif stop and len(losses) % settings.check_every == 0 and stop(len(losses), recent):
                stopped = "target"
            if stopped != "steps" or len(losses) == settings.steps:
                break
    seconds, kept = time.perf_counter() - begun, reader.forward.lowest
    return TrainingReport(len(losses), seconds, recent, reader.tokens, stopped, reader.tokens_given, kept)


def share_recalled(model: nn.Module, examples: Sequence[Encoded], batch_size: int = 64) -> float:
    """Share of the examples that `find_recalled` finds; 0 without any."""
    return sum(find_recalled(model, examples, batch_size)) / max(1, len(examples))


@torch.inference_mode()
def find_recalled(model: nn.Module, examples: Sequence[Encoded], batch_size: int = 64) -> list[bool]:
    """Of each example, whether the whole answer and EOS are the model's first choice, token by token.

    This is exact match of greedy generation: as long as every choice agrees, the generated prefix is the answer's.
    """
    model.eval()
    device, right = next(model.parameters()).device, [False] * len(examples)
    for indices in batches_by_length([len(example.ids) for example in examples], batch_size):
        batch = pad([examples[index] for index in indices], True, device)
        labels = batch.labels[:, batch.first :]
        chosen = answer_logits(model, batch.ids, batch.first).argmax(-1)
        for index, same in zip(indices, ((chosen == labels) | (labels == -100)).all(1).tolist(), strict=True):
            right[index] = same
    return right


@torch.inference_mode()
def log_likelihoods(model: nn.Module, examples: Sequence[Encoded], batch_size: int = 256) -> list[float]:
    """Of each example, the log-probability of the answer and EOS, in nats, summed over its tokens."""
    model.eval()
    device, found = next(model.parameters()).device, [0.0] * len(examples)
    for indices in batches_by_length([len(example.ids) for example in examples], batch_size):
        batch = pad([examples[index] for index in indices], True, device)
        labels = batch.labels[:, batch.first :]
        logits = answer_logits(model, batch.ids, batch.first).float()
        losses = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
        for index, loss in zip(indices, losses.sum(1).tolist(), strict=True):
            found[index] = -loss
    return found


def preference_losses(chosen: torch.Tensor, rejected: torch.Tensor, margins: torch.Tensor, beta: float) -> torch.Tensor:
    """(pairs,): L_DPO of each. chosen, rejected: log-likelihoods by the model. margins: of the model before."""
    return -functional.logsigmoid(beta * (chosen - rejected - margins))


@dataclass
class _Reader:
    """Batches in, gradients out."""

    trained: list[nn.Parameter]
    forward: PartialForward
    cache: HiddenStateCache
    settings: TrainingSettings
    group: ProcessGroup
    low_precision: bool
    rows: int
    """That go through the model at once: halved when they do not fit."""
    progress: Callable[[str], None]
    tokens: int = 0
    tokens_given: int = 0
    preference: Preference | None = None
    learnt_loss: float | None = None
    """Of the last batch's examples that are to be learnt; None: it had none."""
    missed: int = 0
    """Examples of the last batch that are to be learnt and were not said to their end; 0 where nobody asks."""

    def set_gradients(self, batch: Sequence[Encoded], counted: int | None = None) -> float:
        """Leave the gradients of the mean loss over the batch's scored tokens, and return that loss.

        counted: so many of the first examples are to be learnt (`learnt_loss`); None: all. After a loss that is not
        finite, no gradient is worth anything.
        """
        counted = len(batch) if counted is None else counted
        lengths = [len(one.ids) - (one.start if self.settings.answer_only else 1) for one in batch]
        scored, learnt = sum(lengths), sum(lengths[:counted])
        mine = self.group.share(range(len(batch)))
        examples, kept = [batch[index] for index in mine], sum(index < counted for index in mine)
        pairs = sum(one in self.preference.rejected for one in batch) if self.preference else 0
        totals, self.rows = halve_until_fits(
            lambda rows: self._backward(examples, kept, scored, pairs, rows),
            self.rows,
            len(mine),
            "example",
            self.progress,
        )
        totals = self.group.all_reduce_sum(totals)
        self.group.all_reduce_gradients(self.trained)
        whole, of_learnt, missed = totals.tolist()
        self.missed = round(missed)
        self.learnt_loss = whole if counted == len(batch) else of_learnt * scored / learnt if learnt else None
        return float(whole)

    def _backward(self, mine: list[Encoded], counted: int, scored: int, pairs: int, rows: int) -> torch.Tensor:
        """The summed loss by `scored` of the examples and of the first `counted`, with the gradients of the former; and
        how many of the first `counted` are not said to their end.

        In parts of so many rows. pairs: how many examples of the whole batch have a rejected answer.
        """
        for parameter in self.trained:
            parameter.grad = None  # of a try that did not fit the memory
        totals = torch.zeros(3, device=self.forward.device)
        for begin in range(0, len(mine), rows):
            learnt = max(0, counted - begin)
            losses, said, objective = self._objective(mine[begin : begin + rows], scored, pairs)
            objective.backward()  # type: ignore[no-untyped-call]
            totals += torch.stack([losses.sum(), losses[:learnt].sum(), (~said[:learnt]).sum()]).detach()
        return totals

    def _objective(
        self, part: list[Encoded], scored: int, pairs: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(examples,): of each, its loss by `scored`, and whether it is said to its end; and what is trained, the sum
        of the losses or that with `Preference`."""
        wanted = self.preference
        if wanted is None:
            each, said = self._losses(part, self.forward.device)
            losses = each / scored
            return losses, said, losses.sum()
        having = [index for index, one in enumerate(part) if one in wanted.rejected]
        others = [wanted.rejected[part[index]] for index in having]
        both, said = self._losses([*part, *(one.example for one in others)], self.forward.device)
        losses = both[: len(part)]
        margins = both.new_tensor([one.margin for one in others])
        preferred = preference_losses(-losses[having], -both[len(part) :], margins, wanted.beta)
        whole = (1 - wanted.weight) * losses.sum() / scored + wanted.weight * preferred.sum() / max(1, pairs)
        return losses / scored, said[: len(part)], whole

    def _losses(self, examples: list[Encoded], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """(examples,): of each, summed over its scored tokens; and whether each of these is the likeliest, which is
        found where it ends a training, and true else."""
        layout, start = self.forward.layout, self.forward.lowest
        batch = layout(examples, self.settings.answer_only, device)
        self.tokens += batch.ids.numel()
        self.tokens_given += sum(len(one.ids) for one in examples)
        with in_bfloat16(device, self.low_precision, batch.ids.shape[1]):
            states = self.cache.lookup(self.forward, start, batch, examples, layout) if start else None
            logits = label_logits(batch, self.forward.logits(batch, states, start))
        losses = functional.cross_entropy(logits.float(), batch.labels, reduction="none")
        lengths = [len(one.ids) - (one.start if self.settings.answer_only else 1) for one in examples]
        summed = torch.stack([part.sum() for part in losses.split(lengths)])
        if self.settings.stop_said is None:
            return summed, torch.ones_like(summed, dtype=torch.bool)
        right = logits.detach().argmax(-1) == batch.labels
        return summed, torch.stack([part.all() for part in right.split(lengths)])


@contextmanager
def _open_reader(
    model: nn.Module,
    examples: Sequence[Encoded],
    settings: TrainingSettings,
    cache: HiddenStateCache | None,
    progress: Callable[[str], None],
    preference: Preference | None = None,
) -> Iterator[_Reader]:
    """The model made ready to be trained on these examples; at the end as it was, but for what was trained."""
    low_precision = settings.autocast and gains_by_bfloat16(model)
    rejected = [one.example for one in preference.rejected.values()] if preference else []
    sample = choose_trial([*examples, *rejected])
    lowest = lowest_trained(model)
    with (
        open_partial_forward(model, sample, settings.answer_only, lowest, settings.shortcuts) as forward,
        frozen_in_bfloat16(model, low_precision),
    ):
        states = HiddenStateCache(settings.cache_bytes) if cache is None else cache
        rows = settings.rows_at_once or settings.batch_size
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        yield _Reader(
            trained, forward, states, settings, join_processes(), low_precision, rows, progress, preference=preference
        )


@contextmanager
def in_bfloat16(device: torch.device, wanted: bool, length: int) -> Iterator[None]:
    """Arithmetic in bfloat16, where that is wanted. length: of the rows, in tokens."""
    with ExitStack() as stack:
        if wanted:
            stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16))
            if device.type == "cpu":
                stack.enter_context(grouped_attention())
                if length <= SHORT_ROW:  # of families that attend in a way of their own
                    stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


@contextmanager
def frozen_in_bfloat16(model: nn.Module, wanted: bool) -> Iterator[None]:
    """While inside, frozen matrices are bfloat16, so that no step has to convert them; afterwards the very same fp32.

    An embedding stays as it is, and with it the type of the hidden states; a head that shares its matrix has its own.
    """
    kept: list[tuple[nn.Parameter, torch.Tensor]] = []
    embedded = {id(p) for part in model.modules() if isinstance(part, nn.Embedding) for p in part.parameters()}
    heads = [
        part
        for part in model.modules()
        if isinstance(part, nn.Linear) and id(part.weight) in embedded and _is_halved(part.weight)
    ]
    shared = [head.weight for head in heads]
    if wanted:
        for parameter in model.parameters():
            if _is_halved(parameter) and id(parameter) not in embedded:
                kept.append((parameter, parameter.data))
                parameter.data = parameter.data.to(torch.bfloat16)
        for head in heads:
            head.weight = nn.Parameter(head.weight.data.to(torch.bfloat16), requires_grad=False)
    try:
        yield
    finally:
        for parameter, before in kept:
            parameter.data = before
        for head, weight in zip(heads, shared, strict=True):
            head.weight = weight


def _is_halved(parameter: torch.Tensor) -> bool:
    return parameter.dim() == 2 and parameter.dtype == torch.float32 and not parameter.requires_grad


def _rate(step: int, settings: TrainingSettings) -> float:
    """Linear warm-up, then half a cosine down to `final_rate`."""
    warmup = max(1, round(settings.steps * settings.warmup))
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps)))
    return min(1.0, (step + 1) / warmup) * (settings.final_rate + (1 - settings.final_rate) * falling)


def _shuffled_batches(examples: Sequence[Encoded], settings: TrainingSettings, by_length: bool) -> Iterator[list[int]]:
    """Endless passes in shuffled batches.

    by_length: sorted by length within windows of eight batches, the batches shuffled again, so that little is padded.
    """
    generator, size = np.random.default_rng(settings.seed), settings.batch_size
    while True:
        order = generator.permutation(len(examples)).tolist()
        if not by_length:
            yield from (order[begin : begin + size] for begin in range(0, len(order), size))
            continue
        batches = []
        for begin in range(0, len(order), size * 8):
            window = sorted(order[begin : begin + size * 8], key=lambda index: len(examples[index].ids))
            batches += [window[offset : offset + size] for offset in range(0, len(window), size)]
        for index in generator.permutation(len(batches)).tolist():
            yield batches[index]


def gains_by_bfloat16(model: nn.Module) -> bool:
    """Only where bfloat16 is faster: an emulated one is slower than float32, and so is, on a CPU, that of a model as
    small as the small world (`SMALL`), whose figures then do not depend on whether the CPU has bfloat16."""
    device, parameters = next(model.parameters()).device, sum(one.numel() for one in model.parameters())
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if parameters < SMALL:
        return False
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, test, bool)() for test in tests)
