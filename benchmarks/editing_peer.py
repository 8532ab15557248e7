"""How a common toolkit edits by LoRA, written down plainly: the other side of `editing_speed` and of `gpu`.

Its habits are those measured of EasyEdit: prompts and answers tokenised again in every step, padded to the longest in
the order given, logits of every position over the whole vocabulary, an embedding output that wants a gradient (so that
no layer below the adapters is spared), dropout of 0.1 in the adapters, the loss read out after every step; single
edits one after the other, each with fresh adapters; probes scored one by one. Leaves out what it prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

__all__ = ["Fact", "add_adapters", "edit_all", "edit_each_alone", "scores_of", "train_all"]

Fact = tuple[str, str]


def edit_all(
    model: Any, tokenizer: Any, facts: Sequence[Fact], targets: Sequence[str], epochs: int, batch: int, rate: float
) -> Any:
    """The model with rank-8 adapters on the named modules, after `epochs` passes over the facts in their order."""
    adapted = add_adapters(model, targets)
    train_all(adapted, tokenizer, facts, epochs, batch, rate)
    return adapted


def add_adapters(model: Any, targets: Sequence[str], rank: int = 8) -> Any:
    model.enable_input_require_grads()
    settings = LoraConfig(r=rank, lora_alpha=32, lora_dropout=0.1, target_modules=list(targets), task_type="CAUSAL_LM")
    return get_peft_model(model, settings)


def train_all(adapted: Any, tokenizer: Any, facts: Sequence[Fact], epochs: int, batch: int, rate: float) -> None:
    """Passes over the facts in their order."""
    optimizer = torch.optim.Adam(adapted.parameters(), lr=rate)
    for _ in range(epochs):
        for begin in range(0, len(facts), batch):
            optimizer.zero_grad()
            loss = adapted(**_tokenise(tokenizer, facts[begin : begin + batch]).to(adapted.device)).loss
            loss.item()
            loss.backward()
            optimizer.step()


def edit_each_alone(
    model: Any,
    tokenizer: Any,
    facts: Sequence[Fact],
    probes: Sequence[Sequence[Fact]],
    targets: Sequence[str],
    steps: int,
    rate: float,
) -> list[list[float]]:
    """Token accuracy of each fact's own probes after each single edit; scored before it as well."""
    before = [scores_of(model, tokenizer, own) for own in probes]
    after = []
    for fact, own in zip(facts, probes, strict=True):
        adapted = edit_all(model, tokenizer, [fact], targets, steps, 1, rate)
        after.append(scores_of(adapted, tokenizer, own))
        model = adapted.unload()
    assert len(before) == len(after)
    return after


@torch.no_grad()
def scores_of(model: Any, tokenizer: Any, probes: Sequence[Fact]) -> list[float]:
    """Share of the answer's tokens that are the model's first choice, one probe at a time, all logits computed."""
    shares = []
    for probe in probes:
        inputs = _tokenise(tokenizer, [probe]).to(model.device)
        labels = inputs.pop("labels")[:, 1:].cpu()
        chosen = model(**inputs).logits.argmax(-1)[:, :-1].cpu()
        shares.append(float((chosen == labels)[labels != -100].float().mean()))
    return shares


def _tokenise(tokenizer: Any, facts: Sequence[Fact]) -> Any:
    prompts, texts = [prompt for prompt, _ in facts], [f"{prompt} {answer}" for prompt, answer in facts]
    lengths = [len(ids) for ids in tokenizer(prompts)["input_ids"]]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, return_token_type_ids=False)
    labels = inputs["input_ids"].clone()
    for row, length in enumerate(lengths):
        labels[row, :length] = -100
    labels[inputs["attention_mask"] == 0] = -100
    inputs["labels"] = labels
    return inputs
