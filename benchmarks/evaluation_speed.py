"""Scoring 256 probes against the habits of a common toolkit, in one run on one machine.

    python -m benchmarks.evaluation_speed [--device cuda]

The peer is a plain writing-down of what EasyEdit's evaluation was seen to do: one record at a time, tokenised anew,
padded on the left, logits of every position over the whole vocabulary brought to the host; free generation prompt by
prompt without a key-value cache. A Llama of 5.3 million random parameters, one thread; both sides take turns, the
fastest of three runs counts. On a GPU ours also in bfloat16, which the toolkit's LoRA does not offer. Prints the
machine, the sizes, both sides and the ratios; at last tokens per second, and their share of what plain matrix products
reach.
"""

from __future__ import annotations

import copy
import random
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.claims import claim
from benchmarks.editing_speed import WORDINGS, Fact, make_facts, make_model, take_turns
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.runs.cost import describe_machine
from chronofacts.editing.scoring import generate, teacher_force

PROBES, NEW_TOKENS, PREFIX, QUESTIONS = 256, 16, 300, 128
GENERATED = 4  # only every fourth prompt is continued: the peer takes its time
Turns = Callable[..., tuple[float, float]]


def main() -> None:
    torch.set_num_threads(1)
    device = sys.argv[sys.argv.index("--device") + 1] if "--device" in sys.argv else "cpu"
    clock = (
        time.process_time if device == "cpu" else time.perf_counter
    )  # others on the machine do not lengthen the first
    turns = partial(take_turns, warm_up=True, clock=clock)
    facts = [fact for several in make_facts(random.Random(0), PROBES // len(WORDINGS)) for fact in several]
    model, tokenizer = make_model([f"{prompt} {answer}" for prompt, answer in facts])
    tokenizer.padding_side, model = "left", model.to(device)
    kinds = {"float32": model} | ({"bfloat16": copy.deepcopy(model).to(torch.bfloat16)} if device != "cpu" else {})
    print(describe_machine())
    lengths = [len(ids) for ids in tokenizer([f"{prompt} {answer}" for prompt, answer in facts])["input_ids"]]
    print(f"{model.num_parameters():,} parameters; {len(facts)} probes of {min(lengths)} to {max(lengths)} tokens")
    compare_forcing(model, kinds, tokenizer, facts, turns)
    compare_generation(model, kinds, tokenizer, facts, turns)
    rows = compare_prefix(model, tokenizer, facts, turns)
    for name, one in kinds.items():
        throughput(name, one, rows, device, turns)


def compare_forcing(model: Any, kinds: dict[str, Any], tokenizer: Any, facts: list[Fact], turns: Turns) -> None:
    found = [peer_accuracy(model, tokenizer, facts), our_accuracy(model, tokenizer, facts)]
    gap = max(abs(one - other) for one, other in zip(*found, strict=True))
    for name, ours in kinds.items():
        theirs, mine = turns(
            lambda: peer_accuracy(model, tokenizer, facts), lambda ours=ours: our_accuracy(ours, tokenizer, facts)
        )
        if name == "float32":
            share = mine / theirs
            claim("256 probes, teacher-forced: share of the peer's time", "at most 0.25", f"{share:.2f}", share <= 0.25)
        print(f"teacher forcing, {name}: peer {theirs:.3f} s, ours {mine:.3f} s, ratio {mine / theirs:.3f}")
    print(f"  (in float32 the accuracies differ by {gap:.0e})")


def compare_generation(model: Any, kinds: dict[str, Any], tokenizer: Any, facts: list[Fact], turns: Turns) -> None:
    prompts = [tuple(ids) for ids in tokenizer([prompt for prompt, _ in facts[::GENERATED]])["input_ids"]]
    for name, ours in kinds.items():
        theirs, mine = turns(
            lambda: peer_generation(model, prompts),
            lambda ours=ours: generate(ours, tokenizer, prompts, NEW_TOKENS, to_the_end=True),
        )
        what = f"generation of {NEW_TOKENS} tokens from {len(prompts)} prompts, {name}"
        print(f"{what}: peer {theirs:.3f} s, ours {mine:.3f} s, {theirs / mine:.1f} times as fast")
        if name == "float32":
            faster = theirs / mine
            claim("16 tokens written for 64 prompts: times as fast as the peer", "12", f"{faster:.1f}", faster >= 12)


def compare_prefix(model: Any, tokenizer: Any, facts: list[Fact], turns: Turns) -> Any:
    chance = random.Random(1)
    start = tokenizer(" ".join(chance.choice(facts)[0] for _ in range(PREFIX)))["input_ids"][1 : PREFIX + 1]
    before = tokenizer.decode(start)
    rows = encode(
        tokenizer, [f"{before}\n{prompt}" for prompt, _ in facts[:QUESTIONS]], [a for _, a in facts[:QUESTIONS]]
    )
    whole, shared = turns(lambda: teacher_force(model, rows, 128, share=False), lambda: teacher_force(model, rows, 128))
    pairs = zip(teacher_force(model, rows, 128), teacher_force(model, rows, 128, share=False), strict=True)
    gap = max(abs(one.nll - other.nll) for one, other in pairs)
    print(
        f"{QUESTIONS} questions behind {PREFIX} tokens: each whole {whole:.3f} s, the start shared {shared:.3f} s, "
        f"{whole / shared:.1f} times as fast (likelihoods differ by {gap:.0e})"
    )
    return rows


def peer_accuracy(model: Any, tokenizer: Any, facts: list[Fact]) -> list[float]:
    """Share of the answer's tokens that come first, one record at a time."""
    shares = []
    for prompt, answer in facts:
        inputs = tokenizer([f"{prompt} {answer}"], padding=True, return_tensors="pt", return_token_type_ids=False)
        start = len(tokenizer(prompt)["input_ids"])
        with torch.no_grad():
            chosen = model(**inputs.to(model.device)).logits.argmax(-1).detach().cpu().numpy()
        labels = inputs["input_ids"].cpu().numpy()
        shares.append(float((chosen[0, start - 1 : -1] == labels[0, start:]).mean()))
    return shares


def our_accuracy(model: Any, tokenizer: Any, facts: list[Fact]) -> list[float]:
    rows = encode(tokenizer, [prompt for prompt, _ in facts], [answer for _, answer in facts])
    return [forced.accuracy for forced in teacher_force(model, rows, 128)]


@torch.no_grad()
def peer_generation(model: Any, prompts: list[tuple[int, ...]]) -> list[list[int]]:
    """Greedy, prompt by prompt, everything read again for each token."""
    texts = []
    for prompt in prompts:
        ids = torch.tensor([prompt], device=model.device)
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS,
            do_sample=False, use_cache=False, pad_token_id=0,
        )  # fmt: skip
        texts.append(written[0, len(prompt) :].tolist())
    return texts


def throughput(name: str, model: Any, rows: Any, device: str, turns: Turns) -> None:
    """Tokens per second through teacher forcing, and what share of a large matrix product's rate that is."""
    side = 8192 if device != "cpu" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=next(model.parameters()).dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(8):
            left @ right
        if device != "cpu":
            torch.cuda.synchronize()

    seconds, products = turns(lambda: teacher_force(model, rows, 128, 1 << 16, share=False), multiply)
    tokens, rate = sum(len(row.ids) for row in rows), 8 * 2 * side**3 / products
    body = model.num_parameters() - 2 * model.config.vocab_size * model.config.hidden_size
    used = 2 * body * tokens / seconds / rate
    print(
        f"{name}: {tokens / seconds:,.0f} tokens/s, {used:.0%} of {rate / 1e9:,.0f} GFLOP/s of a plain matrix product"
    )


if __name__ == "__main__":
    main()
