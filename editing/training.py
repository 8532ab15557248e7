"""The one training loop: examples are tokenised once, batched by length and trained with AdamW.

Serves pretraining (loss on the whole text) and editing (loss on the answer and its EOS only). Where a batch does not
fit the memory, it is done in halves whose gradients add up. Leaves out several devices.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from editing.encoding import Encoded, batches_by_length, pad
from editing.models import answer_logits
from schemas.errors import BadInput, ChronoFactsError

__all__ = ["TrainingFailed", "TrainingReport", "TrainingSettings", "share_recalled", "train"]


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
    answer_only: bool = True
    stop_loss: float = 0.0
    """Stop when the mean loss of the last pass over the examples is below; 0: never."""
    deadline_s: float = math.inf
    check_every: int = 50
    """Steps between two calls of `stop`."""
    autocast: bool = True
    """bfloat16 arithmetic on fp32 weights, where the machine has instructions for it."""
    seed: int = 0


@dataclass(frozen=True)
class TrainingReport:
    steps: int
    seconds: float
    loss: float
    """Mean over the last pass."""
    tokens: int
    stopped: str
    """Why: steps, loss, deadline or target."""


def train(
    model: nn.Module,
    examples: Sequence[Encoded],
    settings: TrainingSettings,
    stop: Callable[[int, float], bool] | None = None,
    after_step: Callable[[], None] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> TrainingReport:
    """Train the parameters that require a gradient, and leave the model in eval mode.

    stop: asked every `check_every` steps with (steps, loss). after_step: called after each step, to hold the weights
    within bounds. The same seed, examples and machine give the same weights. No examples, no change.
    Raises TrainingFailed at the first loss that is not finite, before it reaches a weight, and BadInput when not even
    one example fits the memory.
    """
    begun, parameters = time.perf_counter(), [p for p in model.parameters() if p.requires_grad]
    if not examples or not parameters or settings.steps < 1:
        model.eval()
        return TrainingReport(0, 0.0, 0.0, 0, "steps")
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98), fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
    low_precision = settings.autocast and _has_bfloat16(parameters[0].device)
    losses: list[float] = []
    rows = settings.batch_size  # that go through the model at once
    tokens, stopped, one_pass = 0, "steps", max(1, math.ceil(len(examples) / settings.batch_size))
    model.train()
    for indices in _shuffled_batches(examples, settings):
        value, rows = _backward(model, [examples[index] for index in indices], settings, low_precision, rows, progress)
        if not math.isfinite(value):
            model.eval()
            raise TrainingFailed(f"the loss became {value} at step {len(losses) + 1}; lower learning_rate")
        nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if after_step:
            after_step()
        losses.append(value)
        tokens += len(indices) * max(len(examples[index].ids) for index in indices)
        recent = sum(losses[-one_pass:]) / len(losses[-one_pass:])
        if len(losses) >= one_pass and recent < settings.stop_loss:
            stopped = "loss"
        elif time.perf_counter() - begun > settings.deadline_s:
            stopped = "deadline"
        elif stop and len(losses) % settings.check_every == 0 and stop(len(losses), recent):
            stopped = "target"
        if stopped != "steps" or len(losses) == settings.steps:
            break
        model.train()
    model.eval()
    return TrainingReport(len(losses), time.perf_counter() - begun, recent, tokens, stopped)


@torch.inference_mode()
def share_recalled(model: nn.Module, examples: Sequence[Encoded], batch_size: int = 256) -> float:
    """Share of the examples whose whole answer and EOS are the model's first choice, token by token.

    This is exact match of greedy generation: as long as every choice agrees, the generated prefix is the answer's.
    """
    if not examples:
        return 0.0
    model.eval()
    device, right = next(model.parameters()).device, 0
    for indices in batches_by_length([len(example.ids) for example in examples], batch_size):
        batch = pad([examples[index] for index in indices], True, device)
        labels = batch.labels[:, batch.first :]
        chosen = answer_logits(model, batch.ids, batch.first).argmax(-1)
        right += int(((chosen == labels) | (labels == -100)).all(1).sum())
    return right / len(examples)


def _backward(
    model: nn.Module,
    examples: list[Encoded],
    settings: TrainingSettings,
    low_precision: bool,
    rows: int,
    progress: Callable[[str], None],
) -> tuple[float, int]:
    """Add the gradients of the mean loss over the batch's scored tokens. Returns the loss, and the rows that fitted.

    Out of memory, the batch starts again with half the rows at once. After a loss that is not finite, no gradient is
    worth anything.
    """
    device = next(model.parameters()).device
    while True:
        try:
            batch = pad(examples, settings.answer_only, device)
            scored, value = int((batch.labels != -100).sum()), 0.0
            for begin in range(0, len(examples), rows):
                ids, labels = batch.ids[begin : begin + rows], batch.labels[begin : begin + rows, batch.first :]
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=low_precision):
                    logits = answer_logits(model, ids, batch.first)
                loss = (
                    functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="sum") / scored
                )
                value += loss.item()
                if not math.isfinite(value):
                    return value, rows
                loss.backward()  # type: ignore[no-untyped-call]
            return value, rows
        except torch.OutOfMemoryError as error:
            if rows == 1:
                raise BadInput(
                    "not even one example fits the memory; take fewer layers, a smaller model or cpu"
                ) from error
            rows = min(rows, len(examples)) // 2 or 1
        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        progress(f"out of memory: going on with {rows} examples at once")


def _rate(step: int, settings: TrainingSettings) -> float:
    """Linear warm-up, then half a cosine down to `final_rate`."""
    warmup = max(1, round(settings.steps * settings.warmup))
    falling = 0.5 * (1 + math.cos(math.pi * min(1.0, step / settings.steps)))
    return min(1.0, (step + 1) / warmup) * (settings.final_rate + (1 - settings.final_rate) * falling)


def _shuffled_batches(examples: Sequence[Encoded], settings: TrainingSettings) -> Iterator[list[int]]:
    """Endless passes: shuffled, sorted by length within windows of eight batches, the batches shuffled again.

    Sorted by the prompt's length first when only answers count, so that they stand at the same positions.
    """

    def length(index: int) -> tuple[int, int]:
        return examples[index].start if settings.answer_only else 0, len(examples[index].ids)

    generator, size = np.random.default_rng(settings.seed), settings.batch_size
    while True:
        order = generator.permutation(len(examples)).tolist()
        batches = []
        for begin in range(0, len(order), size * 8):
            window = sorted(order[begin : begin + size * 8], key=length)
            batches += [window[offset : offset + size] for offset in range(0, len(window), size)]
        for index in generator.permutation(len(batches)).tolist():
            yield batches[index]


def _has_bfloat16(device: torch.device) -> bool:
    """Only where bfloat16 is faster: an emulated one is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, test, bool)() for test in tests)
