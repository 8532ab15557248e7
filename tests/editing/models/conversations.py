"""A chat template, a tokenizer that has it, and small models that speak in turns."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import transformers as t
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from chronofacts.editing.models.chat import ChatTokenizer

TEMPLATE = (
    "{{ bos_token }}{% for turn in messages %}<|{{ turn.role }}|>\n{{ turn.content | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

SPECIAL = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>"]

QUESTION = "Q: Who is the mayor of Linz? A:"


def tuned(template: str = TEMPLATE) -> Any:
    """A tokenizer of 320 tokens whose turns end with a token that is not the end of a text."""
    bpe = Tokenizer(BPE(unk_token=None))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(["Who is the mayor of the town? The mayor of the town is"], trainer)
    made = t.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        additional_special_tokens=SPECIAL[3:],
    )  # fmt: skip
    made.chat_template = template
    return made


CHAT = ChatTokenizer(tuned())


def turns(*said: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in zip(cycle(("user", "assistant")), said, strict=False)]
