"""Scoring 256 probes against the habits of a common toolkit, in one run on one machine.

    python benchmarks/evaluation_speed.py [--device cuda]

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
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from chronofacts.editing.models.encoding import encode
from chronofacts.editing.runs.cost import describe_machine
from chronofacts.editing.scoring import generate, teacher_force

PROBES, NEW_TOKENS, PREFIX, ASKED = 256, 16, 300, 128
GENERATED = 4  # only every fourth prompt is continued: the peer takes its time
WORDINGS = (
    "Who is the {r} of {s}?",
    "Which person holds the post of {r} in {s} at present?",
    "Name the {r} of {s}.",
    "In {s}, who has the office of {r} today?",
)
RELATIONS = ("mayor", "head of government", "coach", "chief executive officer", "minister of finance")
SYLLABLES = ("ba", "den", "ki", "lo", "mar", "nu", "pel", "ro", "sin", "ta", "ver", "zo")
Fact = tuple[str, str]


def main() -> None:
    torch.set_num_threads(1)
    device = sys.argv[sys.argv.index("--device") + 1] if "--device" in sys.argv else "cpu"
    facts = make_facts(random.Random(0))
    model, tokenizer = make_model([f"{prompt} {answer}" for prompt, answer in facts])
    model = model.to(device)
    kinds = {"float32": model} | ({"bfloat16": copy.deepcopy(model).to(torch.bfloat16)} if device != "cpu" else {})
    print(describe_machine())
    lengths = [len(ids) for ids in tokenizer([f"{prompt} {answer}" for prompt, answer in facts])["input_ids"]]
    print(f"{model.num_parameters():,} parameters; {len(facts)} probes of {min(lengths)} to {max(lengths)} tokens")
    compare_forcing(model, kinds, tokenizer, facts)
    compare_generation(model, kinds, tokenizer, facts)
    rows = compare_prefix(model, tokenizer, facts)
    for name, one in kinds.items():
        throughput(name, one, rows, device)


def compare_forcing(model: Any, kinds: dict[str, Any], tokenizer: Any, facts: list[Fact]) -> None:
    found = [peer_accuracy(model, tokenizer, facts), our_accuracy(model, tokenizer, facts)]
    gap = max(abs(one - other) for one, other in zip(*found, strict=True))
    for name, ours in kinds.items():
        theirs, mine = take_turns(
            lambda: peer_accuracy(model, tokenizer, facts), lambda ours=ours: our_accuracy(ours, tokenizer, facts)
        )
        print(f"teacher forcing, {name}: peer {theirs:.3f} s, ours {mine:.3f} s, ratio {mine / theirs:.3f}")
    print(f"  (in float32 the accuracies differ by {gap:.0e})")


def compare_generation(model: Any, kinds: dict[str, Any], tokenizer: Any, facts: list[Fact]) -> None:
    prompts = [tuple(ids) for ids in tokenizer([prompt for prompt, _ in facts[::GENERATED]])["input_ids"]]
    for name, ours in kinds.items():
        theirs, mine = take_turns(
            lambda: peer_generation(model, prompts),
            lambda ours=ours: generate(ours, tokenizer, prompts, NEW_TOKENS, to_the_end=True),
        )
        what = f"generation of {NEW_TOKENS} tokens from {len(prompts)} prompts, {name}"
        print(f"{what}: peer {theirs:.3f} s, ours {mine:.3f} s, {theirs / mine:.1f} times as fast")


def compare_prefix(model: Any, tokenizer: Any, facts: list[Fact]) -> Any:
    chance = random.Random(1)
    start = tokenizer(" ".join(chance.choice(facts)[0] for _ in range(PREFIX)))["input_ids"][1 : PREFIX + 1]
    before = tokenizer.decode(start)
    rows = encode(tokenizer, [f"{before}\n{prompt}" for prompt, _ in facts[:ASKED]], [a for _, a in facts[:ASKED]])
    whole, shared = take_turns(
        lambda: teacher_force(model, rows, 128, share=False), lambda: teacher_force(model, rows, 128)
    )
    pairs = zip(teacher_force(model, rows, 128), teacher_force(model, rows, 128, share=False), strict=True)
    gap = max(abs(one.nll - other.nll) for one, other in pairs)
    print(
        f"{ASKED} questions behind {PREFIX} tokens: each whole {whole:.3f} s, the start shared {shared:.3f} s, "
        f"{whole / shared:.1f} times as fast (likelihoods differ by {gap:.0e})"
    )
    return rows


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


def throughput(name: str, model: Any, rows: Any, device: str) -> None:
    """Tokens per second through teacher forcing, and what share of a large matrix product's rate that is."""
    side = 8192 if device != "cpu" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=next(model.parameters()).dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(8):
            left @ right
        if device != "cpu":
            torch.cuda.synchronize()

    seconds, products = take_turns(lambda: teacher_force(model, rows, 128, 1 << 16, share=False), multiply)
    tokens, rate = sum(len(row.ids) for row in rows), 8 * 2 * side**3 / products
    body = model.num_parameters() - 2 * model.config.vocab_size * model.config.hidden_size
    used = 2 * body * tokens / seconds / rate
    print(
        f"{name}: {tokens / seconds:,.0f} tokens/s, {used:.0%} of {rate / 1e9:,.0f} GFLOP/s of a plain matrix product"
    )


def take_turns(one: Callable[[], Any], other: Callable[[], Any], runs: int = 3) -> tuple[float, float]:
    """Seconds of the fastest run of each, one after the other, after a run of each that does not count.

    On a CPU those of the process's one thread, which others on the machine do not lengthen.
    """
    clock = time.perf_counter if "cuda" in sys.argv else time.process_time
    seconds: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for work, kept in zip((one, other), seconds, strict=True):
            begun = clock()
            work()
            if run:
                kept.append(clock() - begun)
    return min(seconds[0]), min(seconds[1])


def make_facts(chance: random.Random) -> list[Fact]:
    """Prompts with their answers, every fact in four wordings."""

    def name(words: int) -> str:
        return " ".join("".join(chance.choices(SYLLABLES, k=chance.randint(2, 3))).title() for _ in range(words))

    facts = []
    for _ in range(PROBES // len(WORDINGS)):
        subject, answer, relation = name(2), name(2), chance.choice(RELATIONS)
        facts += [(f"Q: {wording.format(r=relation, s=subject)} A:", answer) for wording in WORDINGS]
    return facts


def make_model(texts: list[str]) -> tuple[Any, Any]:
    """A Llama with random weights, and a tokenizer of the texts."""
    bpe = Tokenizer(BPE(unk_token=None))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special, alphabet = ["<pad>", "<s>", "</s>"], pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.padding_side = "left"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096, hidden_size=256, intermediate_size=688, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), tokenizer


if __name__ == "__main__":
    main()
