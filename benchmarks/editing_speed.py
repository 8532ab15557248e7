"""Editing by LoRA against the habits of a common toolkit (`editing_peer`), in one run on one machine.

    python benchmarks/editing_speed.py

64 facts, rank 8 on queries and values, 20 passes in batches of 16, a Llama of 5.3 million random parameters: all layers,
then the top quarter of them; then each fact alone, 70 steps, scored before and after. One thread; of three runs of each
the fastest. Prints the machine, the sizes, both sides and the ratios. The peer trains every layer's adapters in the
first ratio and the top quarter's in the second: the same adapter on both sides.
"""

import random
import time
from collections.abc import Callable
from typing import Any

import torch
from editing_peer import edit_all, edit_each_alone, scores_of
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


from editing.encoding import encode
from editing.measuring import describe_machine

from editing.training import TrainingSettings, train

FACTS, RANK, EPOCHS, BATCH, STEPS, PROBES = 64, 8, 20, 16, 70, 4
WORDINGS = [
    "Who is the {r} of {s}?",
    "Which person holds the post of {r} in {s} at present?",
    "Name the {r} of {s}.",
    "In {s}, who has the office of {r} today?",
]
RELATIONS = ["mayor", "head of government", "coach", "chief executive officer", "minister of finance"]


def make_facts(chance: random.Random) -> list[list[tuple[str, str]]]:
    """Per fact its wordings with the answer; the first is the one that is trained."""
    facts = []
    for _ in range(FACTS):
        subject, answer, relation = _name(chance, 2), _name(chance, 2), chance.choice(RELATIONS)
        asked = [f"Q: {wording.format(r=relation, s=subject)} A:" for wording in WORDINGS[:PROBES]]
        facts.append([(prompt, answer) for prompt in asked])
    return facts


def make_model(texts: list[str]) -> tuple[Any, Any]:
    bpe = Tokenizer(BPE(unk_token=None))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet, special = pre_tokenizers.ByteLevel.alphabet(), ["<pad>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
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
    trained = [several[0] for several in facts]
    examples = encode(tokenizer, [prompt for prompt, _ in trained], [answer for _, answer in trained])
    lengths = [len(one.ids) for one in examples]
    print(describe_machine())
    print(f"{model.num_parameters():,} parameters; {FACTS} facts of {min(lengths)} to {max(lengths)} tokens")
    for title, layers in (("all layers", [0, 1, 2, 3]), ("top quarter of the layers", [3])):
        targets = [f"layers.{layer}.self_attn.{part}_proj" for layer in layers for part in "qv"]
        theirs = fastest(lambda targets=targets: edit_all(model, tokenizer, trained, targets, EPOCHS, BATCH, 5e-3).unload())
        ours = fastest(lambda targets=targets: edit_ours(model, examples, targets))
        print(f"{title}: peer {theirs:.3f} s, ours {ours:.3f} s, ratio {ours / theirs:.3f}")


def edit_ours(model: Any, examples: Any, targets: list[str]) -> None:
    model.requires_grad_(True)
    adapted = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM"))
    steps = EPOCHS * FACTS // BATCH
    print(train(adapted, examples, TrainingSettings(steps=steps, batch_size=BATCH, learning_rate=5e-3, weight_decay=0.0)))
    adapted.unload()


def fastest(work: Callable[[], Any], runs: int = 3) -> float:
    """Seconds of the fastest of several runs."""
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _name(chance: random.Random, words: int) -> str:
    syllables = ["ba", "den", "ki", "lo", "mar", "nu", "pel", "ro", "sin", "ta", "ver", "zo"]
    return " ".join("".join(chance.choices(syllables, k=chance.randint(2, 3))).title() for _ in range(words))


if __name__ == "__main__":
    main()
