"""Editing by LoRA against the habits of a common toolkit (`editing_peer`), in one run on one machine.

    python -m benchmarks.editing_speed [all top alone]

64 facts, rank 8 on queries and values, 20 passes in batches of 16, a Llama of 5.3 million parameters: all layers,
then the top quarter of them, the same adapter on both sides; then each fact alone, 70 steps, scored before and after.
One thread; both sides take turns, and of three runs of each the fastest counts, in seconds of the processor, which
other work on the machine disturbs least. Prints the machine, the sizes, both sides and the ratios.
"""

import math
import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.claims import claim
from benchmarks.editing_peer import Fact, edit_all, edit_each_alone, scores_of
from chronofacts.editing.editors.trained.lora_batched import LoraBatchSettings, SingleEdits, train_side_by_side
from chronofacts.editing.models.encoding import Encoded, batches_by_length, encode, pad
from chronofacts.editing.models.load import answer_logits
from chronofacts.editing.runs.cost import describe_machine
from chronofacts.editing.training import TrainingSettings, train

Facts = list[list[Fact]]
FACTS, RANK, EPOCHS, BATCH, STEPS, RATE = 64, 8, 20, 16, 70, 5e-3
PEER_FACTS = 12  # of the single edits: the peer takes them one by one, so that its rate does not depend on how many
WORDINGS = [
    "Who is the {r} of {s}?",
    "Which person holds the post of {r} in {s} at present?",
    "Name the {r} of {s}.",
    "In {s}, who has the office of {r} today?",
]
RELATIONS = ["mayor", "head of government", "coach", "chief executive officer", "minister of finance"]


def make_facts(chance: random.Random, count: int = FACTS) -> Facts:
    """Per fact its wordings with the answer; the first is the one that is trained."""
    facts = []
    for _ in range(count):
        subject, answer, relation = _name(chance, 2), _name(chance, 2), chance.choice(RELATIONS)
        prompts = [f"Q: {wording.format(r=relation, s=subject)} A:" for wording in WORDINGS]
        facts.append([(prompt, answer) for prompt in prompts])
    return facts


def make_tokenizer(texts: list[str]) -> Any:
    bpe = Tokenizer(BPE(unk_token=None))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet, special = pre_tokenizers.ByteLevel.alphabet(), ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def make_model(texts: list[str]) -> tuple[Any, Any]:
    tokenizer = make_tokenizer(texts)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096, hidden_size=256, intermediate_size=688, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), tokenizer


def main() -> None:
    torch.set_num_threads(1)
    facts = make_facts(random.Random(0))
    model, tokenizer = make_model([f"{prompt} {answer}" for several in facts for prompt, answer in several])
    examples = [
        [replace(one, ids=one.ids[: one.end]) for one in encode(tokenizer, *map(list, zip(*several, strict=True)))]
        for several in facts
    ]  # without the EOS that we learn and the peer does not, so that both learn the same
    lengths = [len(several[0].ids) for several in examples]
    print(describe_machine())
    print(f"{model.num_parameters():,} parameters; {FACTS} facts of {min(lengths)} to {max(lengths)} tokens")
    parts = sys.argv[1:] or ["all", "top", "alone"]
    if "all" in parts:
        compare_all_at_once("all layers", [0, 1, 2, 3], model, tokenizer, facts, examples)
    if "top" in parts:
        compare_all_at_once("top quarter of the layers", [3], model, tokenizer, facts, examples)
    if "alone" in parts:
        compare_single_edits(model, tokenizer, facts, examples)


def compare_all_at_once(
    title: str, layers: list[int], model: Any, tokenizer: Any, facts: Facts, examples: list[list[Encoded]]
) -> None:
    trained, texts = [several[0] for several in facts], [several[0] for several in examples]
    targets = queries_and_values(layers)

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
        accuracy = sum(scores_of(adapted, tokenizer, trained)) / FACTS
        print(f"  token accuracy afterwards {accuracy:.2f}")
        adapted.unload()
        model.disable_input_require_grads()

    them, us = take_turns(theirs, ours, undo)
    print(f"{title}: peer {them:.3f} s, ours {us:.3f} s, ratio {us / them:.3f}")


def compare_single_edits(model: Any, tokenizer: Any, facts: Facts, examples: list[list[Encoded]]) -> None:
    targets = queries_and_values([0, 1, 2, 3])
    few = facts[:PEER_FACTS]

    def theirs() -> None:
        edit_each_alone(model, tokenizer, [several[0] for several in few], few, targets, STEPS, RATE)

    def ours() -> None:
        before = first_choices(model, examples)
        options = LoraBatchSettings(rank=RANK, alpha=32, learning_rate=RATE, steps=STEPS)
        edited = train_side_by_side(
            model, [f"model.{name}" for name in targets], [several[:1] for several in examples], options
        )
        after = first_choices(model, examples, edited)
        print(f"answered word for word, of {len(after)} probes: {sum(before)} before, {sum(after)} after")

    them, us = take_turns(theirs, ours, lambda _: model.disable_input_require_grads())
    rates = PEER_FACTS / them, FACTS / us
    faster = rates[1] / rates[0]
    print(f"single edits: peer {rates[0]:.2f} facts/s, ours {rates[1]:.2f} facts/s, ratio {faster:.2f}")
    claim("single edits by LoRA: facts a second, times the peer's", "at least 3", f"{faster:.1f}", faster >= 3)


@torch.no_grad()
def first_choices(model: Any, examples: list[list[Encoded]], edited: SingleEdits | None = None) -> list[bool]:
    """Of every probe of every fact, whether its answer is the model's first choice; each under its own edit."""
    probes = [(fact, probe) for fact, several in enumerate(examples) for probe in several]
    right = []
    for indices in batches_by_length([len(probe.ids) for _, probe in probes], 64):
        batch = pad([probes[index][1] for index in indices], True, "cpu")
        with edited.one_per_row([probes[index][0] for index in indices]) if edited else nullcontext():
            chosen = answer_logits(model, batch.ids, batch.first).argmax(-1)
        labels = batch.labels[:, batch.first :]
        right += ((chosen == labels) | (labels == -100)).all(1).tolist()
    return right


def queries_and_values(layers: Sequence[int]) -> list[str]:
    return [f"layers.{layer}.self_attn.{part}_proj" for layer in layers for part in "qv"]


def take_turns(
    theirs: Callable[[], Any],
    ours: Callable[[], Any],
    after: Callable[[Any], None] = lambda result: None,
    runs: int = 3,
    warm_up: bool = False,
    clock: Callable[[], float] = time.process_time,
) -> tuple[float, float]:
    """Seconds of the fastest of several runs of each. after: called with what a run gives, not timed.

    warm_up: a run of each before, which does not count.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs + warm_up):
        for work, measured in zip((theirs, ours), seconds, strict=True):
            begun = clock()
            result = work()
            measured.append(clock() - begun)
            after(result)
    return min(seconds[0][warm_up:]), min(seconds[1][warm_up:])


def _name(chance: random.Random, words: int) -> str:
    syllables = ["ba", "den", "ki", "lo", "mar", "nu", "pel", "ro", "sin", "ta", "ver", "zo"]
    return " ".join("".join(chance.choices(syllables, k=chance.randint(2, 3))).title() for _ in range(words))


if __name__ == "__main__":
    main()
