"""The matrix that ends a block's feed-forward part is found by structure in every family."""

from __future__ import annotations

import pytest
import torch
import transformers as t

from chronofacts.editing.models.architecture import (
    block_names,
    matrix_of,
    output_matrices,
    share_of_depth,
    writes_to_stream,
)
from chronofacts.schemas.errors import BadInput
from tests.editing.models.families import CONFIGS, ENDS, LLAMA_LIKE, SIZES, tiny


@pytest.mark.parametrize("family", CONFIGS)
def test_each_family_has_one_output_matrix_per_block(family: str) -> None:
    model = tiny(family)
    found = output_matrices(model)
    assert list(found) == [0, 1, 2]
    assert found[1] == ENDS[family]
    assert matrix_of(dict(model.named_modules())[found[1]]).shape[0] == 32
    assert writes_to_stream(model, 1)
    assert block_names(model)[1] == ENDS[family].rsplit(".", 2)[0]


def test_writing_to_a_transposed_matrix_changes_the_weights_themselves() -> None:
    module = dict(tiny("gpt2").named_modules())[ENDS["gpt2"]]
    matrix_of(module)[3, 7] = 5.0
    assert module.weight[7, 3] == 5.0


def test_a_norm_after_the_feed_forward_part_is_noticed() -> None:
    torch.manual_seed(0)
    model = t.Gemma2ForCausalLM(t.Gemma2Config(**LLAMA_LIKE, head_dim=8, **SIZES)).eval()
    assert output_matrices(model)[1] == "model.layers.1.mlp.down_proj"
    assert not writes_to_stream(model, 1)


def test_a_mixture_of_experts_is_refused_with_the_mend() -> None:
    config = t.MixtralConfig(**LLAMA_LIKE, num_local_experts=2, **SIZES)
    with pytest.raises(BadInput):
        output_matrices(t.MixtralForCausalLM(config))


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadInput, match="0-2"):
        output_matrices(tiny("llama"), [7])


def test_a_share_of_the_depth_is_the_papers_layer() -> None:
    model = t.LlamaForCausalLM(t.LlamaConfig(**{**LLAMA_LIKE, "num_hidden_layers": 32}, **SIZES))
    assert share_of_depth(model, 0.17) == 5
    assert (share_of_depth(model, 0.125), share_of_depth(model, 0.25)) == (4, 8)
