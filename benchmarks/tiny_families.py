"""Tiny models of random weights, one of each family of causal language models, and one tokenizer for all of them.

Each has the parts that make its family what it is (experts, windows, states, norms), at a width at which an editor
takes a second. Made offline from configurations alone; families that only code of a repository can read are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as t
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

__all__ = ["CONTEXT", "FAMILIES", "WINDOW", "make_model", "make_tokenizer", "save_family"]

VOCABULARY = 320
SIZES = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
CONTEXT = 384
"""Tokens that a model of a family with a bound can read."""
WINDOW = 24
"""Tokens that a sliding window holds: fewer than a prompt of the benchmark has."""
HEADS = {"num_attention_heads": 4, "num_hidden_layers": 4, "hidden_size": 32}
LLAMA = {**HEADS, "intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT}
EQUAL_HEADS = {**LLAMA, "num_key_value_heads": 4}
GPT = {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": CONTEXT}
BERT = {**HEADS, "intermediate_size": 64, "max_position_embeddings": CONTEXT, "is_decoder": True}
MLA = {"kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16}
GROUPS = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
LINEAR = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
SSM = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 32}
VISION = {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 4, "image_size": 56, "patch_size": 14}


def _gemma3_with_vision(text_layers: int, vision_layers: int) -> Any:
    text = {**LLAMA, "num_hidden_layers": text_layers, "head_dim": 8, "sliding_window": WINDOW, **SIZES}
    return t.Gemma3Config(
        text_config=text,
        vision_config={"num_hidden_layers": vision_layers, **VISION},
        mm_tokens_per_image=4,
        image_token_index=3,
        boi_token_index=4,
        eoi_token_index=4,
    )


FAMILIES: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: t.GPT2Config(**GPT, **SIZES),
    "openai-gpt": lambda: t.OpenAIGPTConfig(**GPT, **SIZES),
    "gpt_neo": lambda: t.GPTNeoConfig(
        hidden_size=32, num_layers=4, num_heads=4, intermediate_size=64, max_position_embeddings=CONTEXT,
        attention_types=[[["global", "local"], 2]], window_size=WINDOW, **SIZES,
    ),
    "gptj": lambda: t.GPTJConfig(**GPT, rotary_dim=4, **SIZES),
    "gpt_neox": lambda: t.GPTNeoXConfig(**{**LLAMA, "intermediate_size": 128}, **SIZES),
    "gpt_bigcode": lambda: t.GPTBigCodeConfig(**GPT, **SIZES),
    "codegen": lambda: t.CodeGenConfig(**GPT, rotary_dim=4, **SIZES),
    "ctrl": lambda: t.CTRLConfig(**GPT, dff=64, **SIZES),
    "opt": lambda: t.OPTConfig(**HEADS, ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=CONTEXT, **SIZES),
    "bloom": lambda: t.BloomConfig(hidden_size=32, n_layer=4, n_head=4, **SIZES),
    "mpt": lambda: t.MptConfig(d_model=32, n_heads=4, n_layers=4, max_seq_len=CONTEXT, **SIZES),
    "falcon": lambda: t.FalconConfig(**HEADS, **SIZES),
    "falcon (40B)": lambda: t.FalconConfig(**HEADS, num_kv_heads=2, new_decoder_architecture=True, **SIZES),
    "falcon (alibi)": lambda: t.FalconConfig(**HEADS, alibi=True, multi_query=False, parallel_attn=False, **SIZES),
    "xglm": lambda: t.XGLMConfig(
        d_model=32, num_layers=4, attention_heads=4, ffn_dim=64, max_position_embeddings=CONTEXT, **SIZES
    ),
    "biogpt": lambda: t.BioGptConfig(**HEADS, intermediate_size=64, max_position_embeddings=CONTEXT, **SIZES),
    "bert (decoder)": lambda: t.BertConfig(**BERT, **SIZES),
    "roberta (decoder)": lambda: t.RobertaConfig(**BERT, **SIZES),
    "modernbert-decoder": lambda: t.ModernBertDecoderConfig(
        **HEADS, intermediate_size=64, max_position_embeddings=CONTEXT, local_attention=WINDOW,
        cls_token_id=1, sep_token_id=2, **SIZES,
    ),
    "llama": lambda: t.LlamaConfig(**LLAMA, **SIZES),
    "llama4_text": lambda: t.Llama4TextConfig(
        **LLAMA, head_dim=8, intermediate_size_mlp=64, num_local_experts=2, attention_chunk_size=32, **SIZES
    ),
    "mistral": lambda: t.MistralConfig(**LLAMA, sliding_window=WINDOW, **SIZES),
    "ministral": lambda: t.MinistralConfig(**LLAMA, head_dim=8, sliding_window=WINDOW, **SIZES),
    "mixtral": lambda: t.MixtralConfig(**LLAMA, num_local_experts=2, **SIZES),
    "qwen2": lambda: t.Qwen2Config(**LLAMA, **SIZES),
    "qwen2_moe": lambda: t.Qwen2MoeConfig(
        **LLAMA, **EXPERTS, moe_intermediate_size=16, shared_expert_intermediate_size=32, **SIZES
    ),
    "qwen3": lambda: t.Qwen3Config(**LLAMA, head_dim=16, **SIZES),
    "qwen3_moe": lambda: t.Qwen3MoeConfig(**LLAMA, **EXPERTS, head_dim=8, moe_intermediate_size=16, **SIZES),
    "qwen3_next": lambda: t.Qwen3NextConfig(
        **LLAMA, **EXPERTS, **LINEAR, head_dim=8, moe_intermediate_size=16, shared_expert_intermediate_size=32, **SIZES
    ),
    "qwen3_5_text": lambda: t.Qwen3_5TextConfig(**LLAMA, **LINEAR, head_dim=8, **SIZES),
    "gemma": lambda: t.GemmaConfig(**LLAMA, head_dim=8, **SIZES),
    "gemma2": lambda: t.Gemma2Config(**LLAMA, head_dim=8, sliding_window=WINDOW, **SIZES),
    "gemma3_text": lambda: t.Gemma3TextConfig(**LLAMA, head_dim=8, sliding_window=WINDOW, **SIZES),
    "gemma3 (small text, deep vision)": lambda: _gemma3_with_vision(4, 6),
    "gemma3 (deep text, small vision)": lambda: _gemma3_with_vision(6, 2),
    "gemma3n_text": lambda: t.Gemma3nTextConfig(
        **{**LLAMA, "num_hidden_layers": 5, "intermediate_size": 64}, head_dim=8, sliding_window=WINDOW,
        num_kv_shared_layers=2, hidden_size_per_layer_input=8, vocab_size_per_layer_input=VOCABULARY, laurel_rank=4,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"],
        activation_sparsity_pattern=[0.0] * 5, **SIZES,
    ),
    "gemma4_text": lambda: t.Gemma4TextConfig(
        **{**LLAMA, "num_hidden_layers": 6}, head_dim=8, global_head_dim=16, sliding_window=WINDOW,
        hidden_size_per_layer_input=8, vocab_size_per_layer_input=VOCABULARY, **SIZES,
    ),
    "phi": lambda: t.PhiConfig(**EQUAL_HEADS, **SIZES),
    "phi3": lambda: t.Phi3Config(**LLAMA, sliding_window=WINDOW, **SIZES),
    "phimoe": lambda: t.PhimoeConfig(**LLAMA, num_local_experts=2, sliding_window=WINDOW, **SIZES),
    "cohere": lambda: t.CohereConfig(**LLAMA, **SIZES),
    "cohere2": lambda: t.Cohere2Config(**LLAMA, sliding_window=WINDOW, **SIZES),
    "olmo": lambda: t.OlmoConfig(**LLAMA, **SIZES),
    "olmo2": lambda: t.Olmo2Config(**LLAMA, **SIZES),
    "olmo3": lambda: t.Olmo3Config(**LLAMA, sliding_window=WINDOW, **SIZES),
    "olmoe": lambda: t.OlmoeConfig(**LLAMA, **EXPERTS, **SIZES),
    "stablelm": lambda: t.StableLmConfig(**LLAMA, **SIZES),
    "starcoder2": lambda: t.Starcoder2Config(**LLAMA, sliding_window=WINDOW, **SIZES),
    "smollm3": lambda: t.SmolLM3Config(**LLAMA, **SIZES),
    "granite": lambda: t.GraniteConfig(**LLAMA, **SIZES),
    "granitemoe": lambda: t.GraniteMoeConfig(**LLAMA, **LOCAL_EXPERTS, **SIZES),
    "granitemoehybrid": lambda: t.GraniteMoeHybridConfig(
        **LLAMA, **SSM, layer_types=["mamba", "attention"] * 2, shared_intermediate_size=64, num_local_experts=0,
        **SIZES,
    ),
    "deepseek_v2": lambda: t.DeepseekV2Config(
        **EQUAL_HEADS, **MLA, **GROUPS, moe_intermediate_size=16, first_k_dense_replace=1, **SIZES
    ),
    "deepseek_v3": lambda: t.DeepseekV3Config(
        **EQUAL_HEADS, **MLA, **GROUPS, moe_intermediate_size=16, first_k_dense_replace=1, **SIZES
    ),
    "glm": lambda: t.GlmConfig(**LLAMA, head_dim=8, **SIZES),
    "glm4": lambda: t.Glm4Config(**LLAMA, head_dim=8, **SIZES),
    "glm4_moe": lambda: t.Glm4MoeConfig(
        **LLAMA, **GROUPS, head_dim=8, moe_intermediate_size=16, first_k_dense_replace=1, **SIZES
    ),
    "exaone4": lambda: t.Exaone4Config(**LLAMA, sliding_window=WINDOW, **SIZES),
    "ernie4_5": lambda: t.Ernie4_5Config(**LLAMA, head_dim=8, **SIZES),
    "ernie4_5_moe": lambda: t.Ernie4_5_MoeConfig(
        **LLAMA, moe_num_experts=4, moe_k=2, moe_intermediate_size=16, moe_num_shared_experts=1, **SIZES
    ),
    "helium": lambda: t.HeliumConfig(**LLAMA, head_dim=8, **SIZES),
    "hunyuan_v1_dense": lambda: t.HunYuanDenseV1Config(**LLAMA, head_dim=8, **SIZES),
    "persimmon": lambda: t.PersimmonConfig(**HEADS, intermediate_size=64, max_position_embeddings=CONTEXT, **SIZES),
    "nemotron": lambda: t.NemotronConfig(**LLAMA, **SIZES),
    "nemotron_h": lambda: t.NemotronHConfig(
        **LLAMA, hybrid_override_pattern="M*-M", head_dim=8, mamba_num_heads=8, mamba_head_dim=8, ssm_state_size=8,
        n_groups=1, chunk_size=32, **SIZES,
    ),
    "gpt_oss": lambda: t.GptOssConfig(**LLAMA, **LOCAL_EXPERTS, head_dim=8, sliding_window=WINDOW, **SIZES),
    "seed_oss": lambda: t.SeedOssConfig(**LLAMA, head_dim=8, **SIZES),
    "apertus": lambda: t.ApertusConfig(**LLAMA, **SIZES),
    "arcee": lambda: t.ArceeConfig(**LLAMA, **SIZES),
    "minimax": lambda: t.MiniMaxConfig(**LLAMA, **LOCAL_EXPERTS, head_dim=8, block_size=16, **SIZES),
    "jetmoe": lambda: t.JetMoeConfig(
        hidden_size=32, num_hidden_layers=4, num_key_value_heads=2, kv_channels=8, intermediate_size=64,
        num_local_experts=4, max_position_embeddings=CONTEXT, **SIZES,
    ),
    "bitnet": lambda: t.BitNetConfig(**LLAMA, **SIZES),
    "lfm2": lambda: t.Lfm2Config(
        **LLAMA, layer_types=["conv", "full_attention"] * 2, block_multiple_of=16, block_auto_adjust_ff_dim=False,
        **SIZES,
    ),
    "jamba": lambda: t.JambaConfig(
        **LLAMA, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, num_experts=2, mamba_d_state=8,
        use_mamba_kernels=False, **SIZES,
    ),
    "bamba": lambda: t.BambaConfig(**LLAMA, **SSM, attn_layer_indices=[1, 3], mamba_n_groups=1, **SIZES),
    "falcon_h1": lambda: t.FalconH1Config(
        **LLAMA, mamba_d_ssm=32, mamba_n_heads=4, mamba_d_head=8, mamba_d_state=8, mamba_chunk_size=32, **SIZES
    ),
    "zamba2": lambda: t.Zamba2Config(
        **EQUAL_HEADS, mamba_d_state=8, mamba_expand=2, n_mamba_heads=4, mamba_ngroups=1, adapter_rank=4,
        layers_block_type=["mamba", "hybrid", "mamba", "hybrid"], num_mem_blocks=1, chunk_size=32,
        use_mamba_kernels=False, **SIZES,
    ),
    "mamba": lambda: t.MambaConfig(hidden_size=32, num_hidden_layers=4, state_size=8, **SIZES),
    "mamba2": lambda: t.Mamba2Config(
        hidden_size=32, num_hidden_layers=4, state_size=8, num_heads=8, head_dim=8, n_groups=1, chunk_size=32, **SIZES
    ),
    "falcon_mamba": lambda: t.FalconMambaConfig(hidden_size=32, num_hidden_layers=4, state_size=8, **SIZES),
    "recurrent_gemma": lambda: t.RecurrentGemmaConfig(
        **{**LLAMA, "num_key_value_heads": 1}, lru_width=32, attention_window_size=WINDOW, head_dim=8, **SIZES
    ),
    "rwkv": lambda: t.RwkvConfig(
        hidden_size=32, num_hidden_layers=4, attention_hidden_size=32, context_length=CONTEXT, **SIZES
    ),
    "xlstm": lambda: t.xLSTMConfig(hidden_size=32, num_hidden_layers=4, num_heads=4, chunk_size=16, **SIZES),
}  # fmt: skip
"""Name of a family, as `model_type` spells it -> its smallest configuration."""


def make_model(family: str, seed: int = 0) -> Any:
    """A model of the family in eval mode, float32, whose far tokens matter: its matrices are four times as large."""
    torch.manual_seed(seed)
    model = t.AutoModelForCausalLM.from_config(FAMILIES[family]()).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and "embed" not in name:
                parameter.mul_(4)
    return model


def make_tokenizer() -> Any:
    """Byte-level BPE with BOS and EOS."""
    bpe = Tokenizer(BPE(unk_token=None))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["Who is the mayor of the town? The mayor of the town is. Q: A:"], trainer)
    return t.PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


def save_family(family: str, folder: Path, seed: int = 0) -> Path:
    """A model folder as those on the Hub."""
    make_model(family, seed).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
