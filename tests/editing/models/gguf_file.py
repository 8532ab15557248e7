"""A tiny Llama as a GGUF file, written by the gguf package, to be read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quants
from transformers.convert_slow_tokenizer import bytes_to_unicode

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(file: Path, model: Any, architecture: str = "llama", quantized: bool = False) -> Path:
    """A Llama model's weights, with a byte-level tokenizer and a chat template.

    quantized: matrices in eight bits, where their rows are whole blocks. An architecture of another name is one that
    no reader knows.
    """
    config, writer = model.config, GGUFWriter(file, architecture)
    writer.add_name(file.stem)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, config.vocab_size)
    for name, tensor in model.state_dict().items():
        values = _rotated(name, tensor.numpy(), config)
        kind = GGMLQuantizationType.Q8_0 if quantized and values.ndim == 2 and values.shape[1] % 32 == 0 else None
        writer.add_tensor(_named(name), quants.quantize(values, kind) if kind else values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_tokenizer(writer: GGUFWriter, size: int) -> None:
    tokens = ["<pad>", "<s>", "</s>", *bytes_to_unicode().values(), "th", "the"]
    tokens += [f"<extra{number}>" for number in range(size - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (size - 3))
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template("{% for m in messages %}<s>{{ m['content'] }}</s>{% endfor %}")


def _named(name: str) -> str:
    fixed = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in fixed or name == "lm_head.weight":
        return fixed.get(name, "output.weight")
    _, _, layer, *part, kind = name.split(".")
    return f"blk.{layer}.{NAMES['.'.join(part)]}.{kind}"


def _rotated(name: str, values: np.ndarray[Any, Any], config: Any) -> np.ndarray[Any, Any]:
    """Queries and keys in the order of pairs in which GGUF keeps what is rotated."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for part, number in heads.items():
        if part in name:
            pairs = values.reshape(number, 2, values.shape[0] // number // 2, *values.shape[1:])
            return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(values.shape))
    return values
