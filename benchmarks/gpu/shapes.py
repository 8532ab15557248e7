"""A Llama of random weights, whose speed does not mind them: LoRA, single edits, evaluation, and a peer's loop.

Operations are counted as 4 per frozen parameter and token that the texts have (forward, and backward to what enters;
2 in evaluation) plus the vocabulary head where an answer is scored: the same count whether a shared beginning was read
once or many times. Layers below the lowest adapter count for nothing. Shares are of a bfloat16 product measured in the
same process.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.editing_peer import add_adapters, edit_all, scores_of, train_all
from benchmarks.gpu.facts import choose_questions, list_facts, make_tokenizer
from benchmarks.gpu.record import Recorder
from chronofacts.editing.editors.trained.lora_batched import LoraBatchSettings, edit_in_parallel
from chronofacts.editing.facts import drop_duplicates
from chronofacts.editing.models.blocks import find_blocks, find_linears
from chronofacts.editing.models.encoding import Encoded, encode
from chronofacts.editing.runs.cost import Cost
from chronofacts.editing.scoring import ScoringSettings, score, teacher_force
from chronofacts.editing.snapshot import Snapshot
from chronofacts.editing.training import TrainingSettings, train

__all__ = ["SHAPES", "measure_shape"]

RANK, RATE = 16, 2e-4


@dataclass(frozen=True)
class Shape:
    config: dict[str, Any]
    tokens: int = 8000
    """Of the tokenizer; the model's own vocabulary may be larger."""
    edits: int = 1000
    passes: int = 5
    """Over all wordings, five per fact."""
    batch: int = 100
    single: int = 64
    steps: int = 30
    """Of a single edit."""
    probes: int = 4096
    answered: int = 512
    """Questions that are also answered in the model's own words."""
    peer_batches: int = 4
    peer_single: int = 2
    peer_probes: int = 64
    longest: tuple[float, float] = (70.0, 30.0)
    """Seconds of LoRA on all layers, and on the top quarter; then the rate is that of the steps done."""


SHAPES = {
    "7b": Shape({"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
                 "num_attention_heads": 32}),
    "1b": Shape({"vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
                 "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": True},
                longest=(25.0, 10.0)),
    "tiny": Shape({"vocab_size": 1024, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4,
                   "num_attention_heads": 4}, 1000, 24, 2, 16, 4, 3, 48, 12, 2, 1, 4, (8.0, 4.0)),
}  # fmt: skip
"""Llama 2 7B, Llama 3.2 1B, and one for machines without a GPU."""


def measure_shape(shape: Shape, snapshot: Snapshot, record: Recorder, device: torch.device) -> None:
    """All figures of one shape, the most wanted first."""
    bench = _Bench(shape, snapshot, record, device)
    longest, top = shape.longest
    record.measure("matrix rate", lambda: {"tflops": round(bench.rate / 1e12, 2), "parameters": bench.parameters})
    record.measure("LoRA, all layers", lambda: bench.train_lora(1.0, min(longest, record.left / 2)))
    record.measure("LoRA, top quarter", lambda: bench.train_lora(0.25, min(top, record.left / 3)))
    record.measure("evaluation without generation", bench.force)
    record.measure("evaluation with generation", bench.answer)
    record.measure("single edits in one pass", bench.edit_alone)
    record.measure("peer: LoRA, all layers", bench.peer_lora)
    record.measure("peer: evaluation", bench.peer_force)
    record.measure("peer: single edits", bench.peer_alone)


class _Bench:
    """One model with the facts as it reads them."""

    def __init__(self, shape: Shape, snapshot: Snapshot, record: Recorder, device: torch.device) -> None:
        self.shape, self.snapshot, self.device, self.found = shape, snapshot, device, record.found
        self.tokenizer = make_tokenizer(snapshot, shape.tokens)
        self.facts = list_facts(snapshot, shape.edits)
        self.pairs = [pair for wordings in self.facts for pair in wordings]
        self.texts = self._encode(self.pairs)
        self.model = make_model(shape.config, device)
        self.parameters = self.model.num_parameters()
        self.rate = matrix_rate(shape.config["hidden_size"], device)

    def train_lora(self, top: float, seconds: float) -> dict[str, Any]:
        """LoRA on all linear layers of the top share of the blocks, by the product's own training loop."""
        blocks = len(find_blocks(self.model)[1])
        layers = range(blocks - max(1, round(blocks * top)), blocks)
        targets = find_linears(self.model, "all", layers)
        wanted = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=targets, task_type="CAUSAL_LM")
        adapted = get_peft_model(self.model, wanted)
        steps = self.shape.passes * -(-len(self.texts) // self.shape.batch)
        settings = TrainingSettings(steps, self.shape.batch, RATE, weight_decay=0.0, check_every=1)
        try:
            train(adapted, self.texts, replace(settings, steps=2))  # the first launches load kernels
            with Cost() as cost:
                until = time.perf_counter() + seconds
                report = train(
                    adapted, self.texts, settings, lambda step, loss: time.perf_counter() > until, progress=_say
                )
        finally:
            adapted.unload()
        done, used = report.steps / steps, 4 * self._weights(len(layers), self.texts) * report.tokens_given
        return self._figures(cost, len(self.facts) * done, report.tokens_given, used) | {
            "texts_per_s": round(report.steps * self.shape.batch / cost.seconds, 1),
            "steps": f"{report.steps} of {steps}",
            "tokens_read": round(report.tokens / report.tokens_given, 3),
            "kept_layers": report.kept_layers,
            "loss": round(report.loss, 3),
        }

    def edit_alone(self) -> dict[str, Any]:
        """Each fact with an adapter of its own, all of them in one pass."""
        edits = drop_duplicates(self.snapshot.edits)
        settings = LoraBatchSettings(rank=8, steps=self.shape.steps, learning_rate=RATE)
        edit_in_parallel(self.model, self.tokenizer, edits.slice(0, 2), replace(settings, steps=1))
        told: list[str] = []
        with Cost() as cost:
            edit_in_parallel(self.model, self.tokenizer, edits.slice(0, self.shape.single), settings, told.append)
        texts = self._encode([p for fact in list_facts(self.snapshot, self.shape.single) for p in fact[:4]])
        tokens = sum(len(text.ids) for text in texts) * settings.steps
        used = 4 * self._weights(len(find_blocks(self.model)[1]), texts) * tokens
        note = [line for line in told if "memory" in line]
        return self._figures(cost, min(self.shape.single, edits.num_rows), tokens, used) | {"note": "; ".join(note)}

    def force(self) -> dict[str, Any]:
        """Likelihoods of the answers to questions of all kinds."""
        rows = choose_questions(self.snapshot, self.shape.probes).to_pylist()
        texts = self._encode([(f"Q: {row['question']} A:", row["answer"]) for row in rows if row["answer"]])
        teacher_force(self.model, texts[:64], 128)
        with Cost() as cost:
            teacher_force(self.model, texts, 128)
        tokens = sum(len(text.ids) for text in texts)
        used = 2 * self._weights(len(find_blocks(self.model)[1]), texts) * tokens
        return self._figures(cost, len(texts), tokens, used, "probes_per_s")

    def answer(self) -> dict[str, Any]:
        """The whole scoring of questions, by likelihood and in the model's own words."""
        questions = choose_questions(self.snapshot, self.shape.answered)
        score(self.model, self.tokenizer, questions.slice(0, 8), ScoringSettings())
        with Cost() as cost:
            scores = score(self.model, self.tokenizer, questions, ScoringSettings(), progress=_say)
        return self._figures(cost, scores.num_rows, None, None, "probes_per_s")

    def peer_lora(self) -> dict[str, Any]:
        """A common toolkit's loop, with the same adapters and batches: a few steps of it."""
        targets = find_linears(self.model, "all")
        adapted, batch = add_adapters(self.model, targets, RANK), self.shape.batch
        try:
            train_all(adapted, self.tokenizer, self.pairs[:batch], 1, batch, RATE)
            some = self.pairs[: batch * self.shape.peer_batches]
            with Cost() as cost:
                train_all(adapted, self.tokenizer, some, 1, batch, RATE)
        finally:
            self._without_peer(adapted)
        mine = self._figures(cost, len(some) * len(self.facts) / len(self.texts) / self.shape.passes, None, None)
        return mine | self._ratio("LoRA, all layers", "texts_per_s", len(some) / cost.seconds)

    def peer_force(self) -> dict[str, Any]:
        """One probe at a time, with the logits of all tokens."""
        some = self.pairs[: self.shape.peer_probes]
        scores_of(self.model, self.tokenizer, some[:2])
        with Cost() as cost:
            scores_of(self.model, self.tokenizer, some)
        mine = self._figures(cost, len(some), None, None, "probes_per_s")
        return mine | self._ratio("evaluation without generation", "probes_per_s", len(some) / cost.seconds)

    def peer_alone(self) -> dict[str, Any]:
        """Single edits one after the other, each with fresh adapters."""
        targets, some = find_linears(self.model, "all"), [wordings[0] for wordings in self.facts]
        with Cost() as cost:
            for pair in some[: self.shape.peer_single]:
                self._without_peer(edit_all(self.model, self.tokenizer, [pair], targets, self.shape.steps, 1, RATE))
        mine = self._figures(cost, self.shape.peer_single, None, None)
        return mine | self._ratio("single edits in one pass", "facts_per_s", self.shape.peer_single / cost.seconds)

    def _without_peer(self, adapted: Any) -> None:
        adapted.unload()
        self.model.disable_input_require_grads()
        self.model.eval()

    def _encode(self, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
        return encode(self.tokenizer, [prompt for prompt, _ in pairs], [answer for _, answer in pairs])

    def _weights(self, layers: int, texts: Sequence[Encoded]) -> float:
        """Frozen weights that a token meets on average: those of so many blocks, and of the head where it is scored."""
        block = find_blocks(self.model)[1][-1]
        frozen = sum(p.numel() for name, p in block.named_parameters() if p.dim() == 2 and "lora" not in name)
        scored = sum(len(text.ids) - text.start for text in texts) / sum(len(text.ids) for text in texts)
        return layers * frozen + scored * float(self.model.get_output_embeddings().weight.numel())

    def _figures(
        self, cost: Cost, facts: float, tokens: int | None, operations: float | None, what: str = "facts_per_s"
    ) -> dict[str, Any]:
        rates = {what: round(facts / cost.seconds, 2)}
        if tokens is not None and operations is not None:
            rates |= {
                "tokens_per_s": round(tokens / cost.seconds),
                "matrix_share": round(operations / cost.seconds / self.rate, 4),
            }
        return rates | {"seconds": cost.seconds, "peak_gb": round(cost.peak_mb / 1024, 2)}

    def _ratio(self, ours: str, what: str, theirs: float) -> dict[str, Any]:
        if ours not in self.found:
            return {}
        return {"ours_over_peer": round(self.found[ours][what] / theirs, 2)}


def make_model(config: dict[str, Any], device: torch.device) -> Any:
    """Random weights in bfloat16, made on the device."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            return LlamaForCausalLM(LlamaConfig(pad_token_id=0, bos_token_id=1, eos_token_id=2, **config)).eval()
    finally:
        torch.set_default_dtype(before)


def matrix_rate(width: int, device: torch.device) -> float:
    """Operations per second of a square bfloat16 product of at least the model's width: the best of several."""
    side = max(width, 8192) if device.type == "cuda" else 256
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    best = 0.0
    for _ in range(8):
        wait()
        begun = time.perf_counter()
        torch.mm(a, b)
        wait()
        best = max(best, 2 * side**3 / (time.perf_counter() - begun))
    return best


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
