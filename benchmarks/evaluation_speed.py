"""Scoring 256 probes against the habits of a common toolkit, in one run on one machine.

    python benchmarks/evaluation_speed.py [--device cuda]

The peer is a plain writing-down of what EasyEdit's evaluation was seen to do: one record at a time, tokenised anew,
padded on the left, logits of every position over the whole vocabulary brought to the host; free generation prompt by
prompt without a key-value cache. A Llama of 5.3 million random parameters, one thread, the fastest of three runs, each
preceded by one that does not count. Prints the machine, the sizes, both sides and the ratios; at last tokens per
second, and their share of what the machine's matrix products reach.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import torch
from editing_speed import fastest, make_facts, make_model

from editing.encoding import encode
from editing.measuring import describe_machine
from editing.scoring import generate, teacher_force

PROBES, NEW_TOKENS, PREFIX, ASKED = 256, 16, 300, 128
Fact = tuple[str, str]


def main() -> None:
    torch.set_num_threads(1)
    device = sys.argv[sys.argv.index("--device") + 1] if "--device" in sys.argv else "cpu"
    facts = [probe for several in make_facts(random.Random(0)) for probe in several][:PROBES]
    model, tokenizer = make_model([f"{prompt} {answer}" for prompt, answer in facts])
    model = model.to(device)
    tokenizer.padding_side = "left"
    print(describe_machine())
    lengths = [len(ids) for ids in tokenizer([f"{prompt} {answer}" for prompt, answer in facts])["input_ids"]]
    print(f"{model.num_parameters():,} parameters; {len(facts)} probes of {min(lengths)} to {max(lengths)} tokens")

    theirs = warm(lambda: peer_accuracy(model, tokenizer, facts))
    ours = warm(lambda: our_accuracy(model, tokenizer, facts))
    agree = max(
        abs(a - b)
        for a, b in zip(peer_accuracy(model, tokenizer, facts), our_accuracy(model, tokenizer, facts), strict=True)
    )
    print(
        f"teacher forcing: peer {theirs:.3f} s, ours {ours:.3f} s, ratio {ours / theirs:.3f} (differing by {agree:.0e})"
    )

    prompts = [tuple(ids) for ids in tokenizer([prompt for prompt, _ in facts])["input_ids"]]
    theirs = warm(lambda: peer_generation(model, prompts))
    ours = warm(lambda: generate(model, tokenizer, prompts, NEW_TOKENS, to_the_end=True))
    print(
        f"generation of {NEW_TOKENS} tokens: peer {theirs:.3f} s, ours {ours:.3f} s, {theirs / ours:.1f} times as fast"
    )

    chance = random.Random(1)
    prefix = " ".join(chance.choice(facts)[0] for _ in range(PREFIX))
    start = tokenizer(prefix)["input_ids"][:PREFIX]
    rows = encode(
        tokenizer,
        [f"{tokenizer.decode(start[1:])}\n{prompt}" for prompt, _ in facts[:ASKED]],
        [a for _, a in facts[:ASKED]],
    )
    whole = warm(lambda: teacher_force(model, rows, 128, share=False))
    shared = warm(lambda: teacher_force(model, rows, 128))
    pairs = zip(teacher_force(model, rows, 128), teacher_force(model, rows, 128, share=False), strict=True)
    gap = max(abs(one.nll - other.nll) for one, other in pairs)
    print(
        f"{ASKED} questions behind {PREFIX} tokens: each whole {whole:.3f} s, the start shared {shared:.3f} s, "
        f"{whole / shared:.1f} times as fast (likelihoods differ by {gap:.0e})"
    )
    throughput(model, rows, device)


def peer_accuracy(model: Any, tokenizer: Any, facts: list[Fact]) -> list[float]:
    """Share of the answer's tokens that come first, one record at a time."""
    shares = []
    for prompt, answer in facts:
        inputs = tokenizer([f"{prompt} {answer}"], padding=True, return_tensors="pt", return_token_type_ids=False)
        asked = len(tokenizer(prompt)["input_ids"])
        with torch.no_grad():
            chosen = model(**inputs.to(model.device)).logits.argmax(-1).detach().cpu().numpy()
        labels = inputs["input_ids"].cpu().numpy()
        shares.append(float((chosen[0, asked - 1 : -1] == labels[0, asked:]).mean()))
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


def throughput(model: Any, rows: Any, device: str) -> None:
    """Tokens per second through teacher forcing, and what share of a large matrix product's rate that is."""
    tokens = sum(len(row.ids) for row in rows)
    seconds = warm(lambda: teacher_force(model, rows, 128, 1 << 16, share=False))
    side = 4096 if device != "cpu" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=next(model.parameters()).dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(8):
            left @ right
        if device != "cpu":
            torch.cuda.synchronize()

    rate = 8 * 2 * side**3 / warm(multiply)
    body = model.num_parameters() - 2 * model.config.vocab_size * model.config.hidden_size
    used = 2 * body * tokens / seconds
    print(f"{tokens / seconds:,.0f} tokens/s, {used / rate:.0%} of {rate / 1e9:,.0f} GFLOP/s of a plain matrix product")


def warm(work: Callable[[], Any]) -> float:
    work()
    return fastest(work)


if __name__ == "__main__":
    main()
