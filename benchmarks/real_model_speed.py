"""Editing and scoring of a real model in a chat, against the habits of a common toolkit, in one run on one machine.

    python -m benchmarks.real_model_speed [--model smollm2] [--runs 3] [all alone forcing writing]

The model, the facts, their tokens behind the chat template, the adapters and the numbers of passes are the same on both
sides; the peer is `editing_peer`, and `evaluation_speed` for its scoring. all: LoRA of rank 8 on queries and values of
all layers, 16 facts, five passes in batches of eight. alone: each fact by itself, ten steps, four probes scored before
and after. forcing: 256 probes. writing: eight tokens for 16 prompts, the peer without a cache of keys and values, as
the toolkit, and with one. The parts also print how many tokens the model read of those that it was asked to read. One
thread; both sides take turns, the fastest run counts, in seconds of the processor.
"""

from __future__ import annotations

import argparse
import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from peft import LoraConfig, get_peft_model

from benchmarks.claims import claim
from benchmarks.editing_peer import edit_all, edit_each_alone
from benchmarks.editing_speed import Facts, first_choices, make_facts, queries_and_values, take_turns
from benchmarks.evaluation_speed import peer_accuracy
from chronofacts.editing.editors.trained.lora_batched import LoraBatchSettings, train_side_by_side
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.encoding import Encoded
from chronofacts.editing.models.load import load_model
from chronofacts.editing.runs.cost import describe_machine
from chronofacts.editing.scoring import generate, teacher_force
from chronofacts.editing.training import TrainingSettings, train

FACTS, RANK, EPOCHS, BATCH, RATE = 16, 8, 5, 8, 1e-3
ALONE, STEPS = 2, 10
"""Single edits of the peer, one by one, so that its rate does not depend on how many; ours takes all the facts."""
SCORED, NEW_TOKENS = 64, 8
"""Facts whose wordings are scored, and tokens of each answer that is written."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["all", "alone", "forcing", "writing"])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model, chat = load_model(chosen.model, device="cpu")
    tokenizer = chat.plain if isinstance(chat, ChatTokenizer) else chat
    tokenizer.padding_side = "left"
    facts = [
        [(_open_turn(chat, prompt), answer) for prompt, answer in fact] for fact in make_facts(random.Random(0), SCORED)
    ]
    examples = [[_encode(tokenizer, *probe) for probe in fact] for fact in facts]
    lengths = [len(one.ids) for fact in examples for one in fact]
    print(describe_machine())
    print(
        f"{model.num_parameters():,} parameters; {len(examples)} facts; texts of {min(lengths)}-{max(lengths)} tokens"
    )
    comparisons = {
        "all": compare_editing,
        "alone": compare_single_edits,
        "forcing": compare_forcing,
        "writing": compare_writing,
    }
    for part in chosen.parts:
        count = FACTS if part in ("all", "alone", "writing") else SCORED
        comparisons[part](model, tokenizer, facts[:count], examples[:count], chosen.runs)


def compare_editing(model: Any, tokenizer: Any, facts: Facts, examples: list[list[Encoded]], runs: int) -> None:
    trained, texts = [fact[0] for fact in facts], [fact[0] for fact in examples]
    targets = queries_and_values(range(model.config.num_hidden_layers))

    def theirs() -> Any:
        return edit_all(model, tokenizer, trained, targets, EPOCHS, BATCH, RATE)

    def ours() -> Any:
        wanted = LoraConfig(r=RANK, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM")
        adapted, steps = get_peft_model(model, wanted), EPOCHS * FACTS // BATCH
        steady = TrainingSettings(steps, BATCH, RATE, weight_decay=0.0, warmup=0.0, final_rate=1.0, clip=math.inf)
        report = train(adapted, texts, steady)
        print(f"  {report.steps} steps, {report.tokens:,} tokens read of {report.tokens_given:,}")
        return adapted

    def undo(adapted: Any) -> None:
        adapted.eval()
        print(f"  said afterwards, of {len(texts)} answers: {sum(first_choices(adapted, [[one] for one in texts]))}")
        adapted.unload()
        model.disable_input_require_grads()

    them, us = take_turns(theirs, ours, undo, runs)
    print(f"editing by LoRA: peer {them:.1f} s, ours {us:.1f} s, ratio {us / them:.2f}", flush=True)
    claim("SmolLM2, LoRA: share of the peer's time", "at most 0.4", f"{us / them:.2f}", us / them <= 0.4)


def compare_single_edits(model: Any, tokenizer: Any, facts: Facts, examples: list[list[Encoded]], runs: int) -> None:
    targets = queries_and_values(range(model.config.num_hidden_layers))
    few = facts[:ALONE]

    def theirs() -> None:
        edit_each_alone(model, tokenizer, [fact[0] for fact in few], few, targets, STEPS, RATE)

    def ours() -> None:
        teacher_force(model, [probe for fact in examples for probe in fact], 128)
        options = LoraBatchSettings(rank=RANK, alpha=32, learning_rate=RATE, steps=STEPS)
        edited = train_side_by_side(
            model, [f"model.{name}" for name in targets], [fact[:1] for fact in examples], options
        )
        said = []
        for number, probes in enumerate(examples):
            with edited.only(number):
                said += [one.argmax for one in teacher_force(model, probes, 128)]
        print(f"  said after the edits, of {len(said)} probes: {sum(said)}")

    them, us = take_turns(theirs, ours, lambda _: model.disable_input_require_grads(), runs)
    rates = ALONE / them, FACTS / us
    print(
        f"single edits: peer {rates[0]:.3f} facts/s, ours {rates[1]:.3f}, {rates[1] / rates[0]:.1f} times", flush=True
    )


def compare_forcing(model: Any, tokenizer: Any, facts: Facts, examples: list[list[Encoded]], runs: int) -> None:
    probes, rows = [probe for fact in facts for probe in fact], [one for fact in examples for one in fact]
    theirs = peer_accuracy(model, tokenizer, probes)
    gap = max(abs(one - other.accuracy) for one, other in zip(theirs, teacher_force(model, rows, 128), strict=True))
    _tell_tokens(model, sum(len(row.ids) for row in rows), lambda: teacher_force(model, rows, 128))
    them, us = take_turns(
        lambda: peer_accuracy(model, tokenizer, probes), lambda: teacher_force(model, rows, 128), runs=runs
    )
    what = f"{len(rows)} probes (accuracies differ by {gap:.0e})"
    print(f"{what}: peer {them:.1f} s, ours {us:.1f} s, ratio {us / them:.2f}", flush=True)


def compare_writing(model: Any, tokenizer: Any, facts: Facts, examples: list[list[Encoded]], runs: int) -> None:
    prompts = [fact[0].prompt for fact in examples]

    def ours() -> list[str]:
        return generate(model, tokenizer, prompts, NEW_TOKENS, to_the_end=True)

    asked = sum(len(prompt) + NEW_TOKENS - 1 for prompt in prompts)  # the last token is written and not read
    _tell_tokens(model, asked, ours)
    for cached in (False, True):
        them, us = take_turns(lambda cached=cached: peer_writing(model, prompts, cached), ours, runs=runs)
        what = f"{NEW_TOKENS} tokens for {len(prompts)} prompts, the peer with{'' if cached else 'out'} a cache"
        print(f"{what}: peer {them:.1f} s, ours {us:.1f} s, ratio {us / them:.2f}", flush=True)


@torch.no_grad()
def peer_writing(model: Any, prompts: Sequence[tuple[int, ...]], cached: bool) -> None:
    """Greedy, prompt by prompt."""
    for prompt in prompts:
        ids = torch.tensor([prompt])
        model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS,
            do_sample=False, use_cache=cached, pad_token_id=0,
        )  # fmt: skip


def _tell_tokens(model: Any, asked: int, work: Callable[[], object]) -> None:
    with _count_tokens(model) as read:
        work()
    print(f"  {sum(read):,} tokens read of {asked:,} asked")


@contextmanager
def _count_tokens(model: Any) -> Iterator[list[int]]:
    """A list that grows by the number of tokens of every reading."""
    read: list[int] = []
    handle = model.get_input_embeddings().register_forward_hook(lambda _, given, found: read.append(given[0].numel()))
    try:
        yield read
    finally:
        handle.remove()


def _open_turn(tokenizer: Any, prompt: str) -> str:
    """The prompt as text, up to where the model answers."""
    if not isinstance(tokenizer, ChatTokenizer):
        return prompt
    return str(tokenizer.marks(prompt).text)


def _encode(tokenizer: Any, prompt: str, answer: str) -> Encoded:
    """The very tokens that the peer reads, without EOS, which it does not teach."""
    ids, start = tokenizer(f"{prompt} {answer}")["input_ids"], len(tokenizer(prompt)["input_ids"])
    return Encoded(tuple(ids), start, len(ids))


if __name__ == "__main__":
    main()
