"""Tiny models with random weights, one of each family that the editors promise to know, and a tokenizer for them."""

from __future__ import annotations

from typing import Any

import torch
import transformers as t
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

SIZES = {"vocab_size": 320, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LLAMA_LIKE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
}
CONFIGS: dict[str, Any] = {
    "gpt2": lambda: t.GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=96, **SIZES),
    "gpt_neox": lambda: t.GPTNeoXConfig(**{**LLAMA_LIKE, "intermediate_size": 128}, **SIZES),
    "gptj": lambda: t.GPTJConfig(n_embd=32, n_layer=3, n_head=4, n_positions=96, rotary_dim=4, **SIZES),
    "llama": lambda: t.LlamaConfig(**LLAMA_LIKE, **SIZES),
    "mistral": lambda: t.MistralConfig(**LLAMA_LIKE, **SIZES),
    "qwen": lambda: t.Qwen2Config(**LLAMA_LIKE, **SIZES),
    "gemma": lambda: t.GemmaConfig(**LLAMA_LIKE, head_dim=8, **SIZES),
    "falcon": lambda: t.FalconConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, **SIZES),
}
ENDS = {
    "gpt2": "transformer.h.1.mlp.c_proj",
    "gpt_neox": "gpt_neox.layers.1.mlp.dense_4h_to_h",
    "gptj": "transformer.h.1.mlp.fc_out",
    "llama": "model.layers.1.mlp.down_proj",
    "mistral": "model.layers.1.mlp.down_proj",
    "qwen": "model.layers.1.mlp.down_proj",
    "gemma": "model.layers.1.mlp.down_proj",
    "falcon": "transformer.h.1.mlp.dense_4h_to_h",
}


def tiny(family: str, seed: int = 0) -> Any:
    """A model of the family in eval mode, float32."""
    torch.manual_seed(seed)
    return t.AutoModelForCausalLM.from_config(CONFIGS[family]()).eval()


def tiny_tokenizer() -> Any:
    """Byte-level BPE of 320 tokens with BOS and EOS."""
    bpe = Tokenizer(BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(["Who is the mayor of the town? The mayor of the town is"], trainer)
    return t.PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
