"""A few texts, and small models with an adapter that learns them."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache
from chronofacts.editing.models.blocks import find_linears
from chronofacts.editing.models.encoding import Encoded, encode
from chronofacts.editing.training import TrainingSettings, train
from tests.editing.editors.made_edits import FACTS
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()

PROMPTS = ["Q: Who is the mayor of {}? A:", "The mayor of {} is", "Q: Who runs {}? A:"]

EXAMPLES = encode(
    TOKENIZER,
    [prompt.format(town) for prompt in PROMPTS for town, _ in FACTS],
    [name for _ in PROMPTS for _, name in FACTS],
)

SETTINGS = TrainingSettings(
    steps=6, batch_size=len(EXAMPLES), learning_rate=1e-2, weight_decay=0.0,
    autocast=False,  # what is the same but for the order of sums is so in float32; processors differ in bfloat16
)  # fmt: skip


def adapted(family: str = "llama", layers: range | None = None) -> Any:
    model = tiny(family)
    torch.manual_seed(0)
    wanted = LoraConfig(r=4, lora_alpha=8, target_modules=find_linears(model, "all", layers), task_type="CAUSAL_LM")
    return get_peft_model(model, wanted)


def trained(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for _, p in sorted(model.named_parameters()) if p.requires_grad])


def run(model: Any, examples: list[Encoded] = EXAMPLES, cache: HiddenStateCache | None = None, **changed: Any) -> Any:
    report = train(model, examples, TrainingSettings(**{**vars(SETTINGS), **changed}), cache=cache)
    return report, trained(model)
