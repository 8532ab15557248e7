"""What only a GPU can show: its own precision, its own memory, its own order of additions.

Skipped where torch sees none. `CHRONOFACTS_GPU_TESTS=cpu` rehearses on the CPU all that needs no GPU's memory.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.trained.lora_batched import LoraBatchSettings, edit_in_parallel
from chronofacts.editing.models.encoding import Encoded, encode
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.scoring import generate, teacher_force
from chronofacts.editing.scoring.teacher_forcing import teacher_force_packed
from chronofacts.editing.training import TrainingSettings, train
from tests.editing.editors.made_edits import FACTS, made_batch, made_edits
from tests.editing.models.families import tiny, tiny_tokenizer

HAS_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_GPU and os.environ.get("CHRONOFACTS_GPU_TESTS") != "cpu", reason="torch sees no GPU"),
]
TOKENIZER = tiny_tokenizer()
KINDS = [torch.float32, torch.bfloat16]
OPTIONS = {"rome": {"layer": "1", "value_steps": "3"}, "memit": {"layers": "1", "value_steps": "3"}}


def on_device(kind: torch.dtype = torch.float32, family: str = "llama") -> Any:
    return tiny(family).to(DEVICE, kind)


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    return model(input_ids=torch.tensor([[1, 20, 30, 40]], device=DEVICE)).logits


def probes() -> list[Encoded]:
    prompts = [f"Q: Who is the {role} of {'x' * n}? A:" for role in ("mayor", "town head") for n in range(1, 12)]
    return encode(TOKENIZER, prompts, ["Ann Lee"] * len(prompts))


def test_bfloat16_weights_are_taught_by_float32_adapters_and_come_back_bit_for_bit() -> None:
    losses = {}
    for kind in KINDS:
        model, chosen = on_device(kind), read_editor_settings("lora", {"steps": "40", "learning_rate": "1e-2"}, 0)
        before = model_hash(model)
        edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
        adapters = {p.dtype for name, p in edited.model.named_parameters() if "lora" in name}
        base = {p.dtype for name, p in edited.model.named_parameters() if "lora" not in name}
        assert adapters == {torch.float32} and base == {kind}
        losses[kind] = edited.report["loss"]
        assert model_hash(edited.undo()) == before
    untaught = -math.log(1 / model.config.vocab_size)
    assert losses[torch.bfloat16] == pytest.approx(losses[torch.float32], rel=3e-2)
    assert losses[torch.bfloat16] < 0.95 * untaught


@pytest.mark.parametrize("name", ["lora", "finetune", "freeze", "p-tuning", "rome", "memit"])
def test_an_edit_is_undone_bit_for_bit(name: str) -> None:
    model = on_device()
    before, chosen = model_hash(model), read_editor_settings(name, OPTIONS.get(name, {"steps": "3"}), 0)
    said = logits(model)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    assert name == "p-tuning" or not torch.equal(logits(edited.model), said)
    restored = edited.undo()
    assert torch.equal(logits(restored), said)
    assert model_hash(restored) == before


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("family", ["gemma", "gpt2", "llama", "qwen"])
def test_packed_texts_score_as_each_alone(family: str, kind: torch.dtype) -> None:
    model, rows = on_device(kind, family), probes()
    packed = teacher_force_packed(model, rows, 128, 4096)
    assert packed is not None, "the model reads no packed texts here"
    near = 1e-4 if kind == torch.float32 else 5e-2
    for one, row in zip(packed, rows, strict=True):
        (alone,) = teacher_force(model, [row], 1, share=False)
        assert one.nll == pytest.approx(alone.nll, rel=near, abs=near)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("layers", ["all", "2"])
def test_single_edits_in_one_pass_are_those_of_each_alone(layers: str, kind: torch.dtype) -> None:
    model, options = on_device(kind), LoraBatchSettings(rank=4, steps=8, learning_rate=5e-3, layers=layers)
    together = edit_in_parallel(model, TOKENIZER, made_edits(), options)
    for number in range(len(FACTS)):
        alone = edit_in_parallel(model, TOKENIZER, made_edits().slice(number, 1), options)
        assert float(together.losses[number]) == pytest.approx(float(alone.losses[0]), rel=3e-2)


def test_scores_and_texts_are_those_of_the_cpu() -> None:
    here, there, rows = on_device(), tiny("llama"), probes()
    pairs = zip(teacher_force(here, rows, 128), teacher_force(there, rows, 128), strict=True)
    assert all(one.nll == pytest.approx(other.nll, abs=1e-3) for one, other in pairs)
    asked = [row.prompt for row in rows]
    assert generate(here, TOKENIZER, asked, 8) == generate(there, TOKENIZER, asked, 8)


@pytest.mark.parametrize("top", [False, True])
def test_shortcuts_give_the_losses_of_the_whole_pass(top: bool) -> None:
    """In bfloat16, as a GPU trains; with the lower layers frozen also from kept hidden states."""
    losses = []
    for shortcuts in (False, True):
        model = on_device()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not top or ".layers.2." in name)
        settings = TrainingSettings(6, 8, 1e-3, shortcuts=shortcuts)
        losses.append(train(model, probes(), settings).loss)
    assert losses[0] == pytest.approx(losses[1], rel=2e-2)


@pytest.mark.skipif(not HAS_GPU, reason="the memory of a GPU")
def test_a_batch_that_the_gpu_cannot_hold_is_halved_and_trains_the_same() -> None:
    texts = long_texts(64)
    settings = TrainingSettings(2, len(texts), 1e-3, answer_only=False, autocast=False)
    roomy, peak = train_wide(texts, settings, None)
    told: list[str] = []
    tight, _ = train_wide(texts, settings, told, leave=peak * 0.6)
    assert told and told[0].startswith("out of memory: going on with ")
    assert tight == pytest.approx(roomy, rel=1e-2)


@pytest.mark.skipif(not HAS_GPU, reason="the memory of a GPU")
def test_single_edits_that_the_gpu_cannot_hold_are_made_in_halves() -> None:
    model = wide_model()
    edits = made_edits([(f"{town}{n}", name) for n in range(32) for town, name in FACTS])
    options = LoraBatchSettings(rank=16, steps=2, facts_at_once=128)
    roomy, peak = measured(lambda: edit_in_parallel(model, TOKENIZER, edits, options).losses)
    told: list[str] = []
    held = hold_all_but(peak * 0.6)
    tight = edit_in_parallel(model, TOKENIZER, edits, replace(options), told.append).losses
    del held
    assert told and told[0].startswith("out of memory: going on with ")
    assert torch.allclose(tight, roomy, rtol=3e-2)


def wide_model() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32000, hidden_size=1024, intermediate_size=2816, num_hidden_layers=4, num_attention_heads=16,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with DEVICE:
        return LlamaForCausalLM(config).eval()


def long_texts(count: int) -> list[Encoded]:
    """Of 256 tokens each, no two alike from the second on."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(3, 32000, (count, 256), generator=generator).tolist()
    return [Encoded((1, *row), 1, len(row) + 1) for row in rows]


def train_wide(
    texts: list[Encoded], settings: TrainingSettings, told: list[str] | None, leave: float | None = None
) -> tuple[float, float]:
    """The loss of training the last block, and the memory that it took beside the model's own."""
    model = wide_model()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".layers.3." in name)
    held = hold_all_but(leave) if leave is not None else None
    report, peak = measured(lambda: train(model, texts, settings, progress=(told if told is not None else []).append))
    del held
    return report.loss, peak


def measured(work: Any) -> tuple[Any, float]:
    """The result, and the bytes that it took at most beside what was there."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = work()
    return result, float(torch.cuda.max_memory_allocated() - before)


def hold_all_but(leave: float) -> torch.Tensor:
    """Takes the GPU's memory, but for so many bytes, until it is let go."""
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    return torch.empty(int(free - leave), dtype=torch.uint8, device=DEVICE)
