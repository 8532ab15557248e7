"""`p-tuning`: vectors before a prompt shift no position, with and without a cache, in both depths."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3TextConfig

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.trained.examples import encode_examples, make_examples
from chronofacts.editing.editors.trained.gradient import choose_texts
from chronofacts.editing.editors.trained.prompt_tuning import PromptTuningSettings
from chronofacts.editing.forward.packing import label_logits, pad_rows
from chronofacts.editing.forward.partial import open_partial_forward
from chronofacts.editing.models.encoding import Encoded
from chronofacts.editing.models.load import answer_logits, context_length
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.families import CONFIGS, LLAMA_LIKE, SIZES, tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


@pytest.fixture(params=[("llama", "input"), ("llama", "all"), ("gpt2", "input"), ("gpt2", "all"), ("qwen", "all")])
def prompted(request: pytest.FixtureRequest) -> Any:
    family, depth = request.param
    chosen = read_editor_settings("p-tuning", {"steps": "3", "vectors": "5", "depth": depth}, 0)
    return chosen.method.edit(tiny(family), TOKENIZER, made_batch(), chosen.settings).model


@torch.no_grad()
def test_some_logits_are_those_of_all(prompted: Any) -> None:
    ids = torch.tensor([[1, 20, 30, 40, 50], [1, 60, 70, 80, 90]])
    every = prompted(input_ids=ids).logits
    assert every.shape[:2] == (2, 5)
    assert torch.allclose(answer_logits(prompted, ids, 3), every[:, 2:4], atol=1e-5)


@torch.no_grad()
def test_a_cached_step_is_the_whole_prompts(prompted: Any) -> None:
    ids = torch.tensor([[1, 20, 30, 40], [1, 60, 70, 80]])
    first = prompted(input_ids=ids[:, :3], use_cache=True)
    second = prompted(input_ids=ids[:, 3:], cache=first.cache, use_cache=True)
    assert torch.allclose(second.logits[:, -1], prompted(input_ids=ids).logits[:, -1], atol=1e-5)


@torch.no_grad()
def test_a_score_does_not_depend_on_its_batch(prompted: Any) -> None:
    ids = torch.tensor([[1, 20, 30, 40], [1, 60, 70, 80]])
    assert torch.allclose(prompted(input_ids=ids).logits[:1], prompted(input_ids=ids[:1]).logits, atol=1e-5)


def test_packed_texts_behind_the_vectors_are_read_as_each_alone(prompted: Any) -> None:
    texts = [Encoded((1, 20, 30, 40, 50), 3, 4), Encoded((1, 20, 30, 60, 70), 3, 4), Encoded((1, 60, 70, 80), 2, 3)]
    plain = pad_rows(texts, True, "cpu")
    with open_partial_forward(prompted, texts[:2], shortcuts=False) as whole:
        expected = label_logits(plain, whole.logits(plain))
    with open_partial_forward(prompted, texts[:2]) as opened:
        assert opened.packs == (prompted.depth == "all")
        batch = opened.layout(texts, True, "cpu")
        assert torch.allclose(label_logits(batch, opened.logits(batch)), expected, atol=1e-5)


def test_the_vectors_take_their_room_from_the_context(prompted: Any) -> None:
    assert context_length(prompted) == 96 - 5


def test_the_model_itself_is_never_trained() -> None:
    chosen = read_editor_settings("p-tuning", {"steps": "3", "vectors": "5"}, 0)
    edited = chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)
    base = tiny("llama").state_dict()
    assert all(torch.equal(value, base[name]) for name, value in edited.base.state_dict().items())
    assert edited.report["kept_parameters"] == 5 * 3 * 2 * 2 * 8


def test_a_short_context_gives_half_of_itself_to_the_vectors() -> None:
    chosen = read_editor_settings("p-tuning", {"steps": "1"}, 0)
    edited = chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)
    assert context_length(edited.model) == 96 - 48


def test_an_encoder_may_make_the_vectors() -> None:
    chosen = read_editor_settings("p-tuning", {"steps": "2", "vectors": "5", "encoder": "16"}, 0)
    edited = chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)
    assert edited.report["kept_parameters"] == 5 * 3 * 2 * 2 * 8 < edited.report["trained_parameters"]


def test_more_vectors_than_context_are_refused() -> None:
    chosen = read_editor_settings("p-tuning", {"vectors": "200"}, 0)
    with pytest.raises(BadInput, match="vectors = 200"):
        chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)


@pytest.mark.parametrize("depth", ["input", "all"])
@pytest.mark.parametrize("family", CONFIGS)
def test_before_they_are_trained_the_vectors_say_what_the_facts_text_would(family: str, depth: str) -> None:
    model, batch = tiny(family), made_batch()
    chosen = read_editor_settings("p-tuning", {"steps": "1", "learning_rate": "0", "vectors": "40", "depth": depth}, 0)
    texts = choose_texts(model, TOKENIZER, batch, chosen.settings).edits
    first = [token for text in encode_examples(model, TOKENIZER, texts) for token in text.ids]
    ids = torch.tensor([[20, 30, 40, 50], [60, 70, 80, 90]])
    prompted = chosen.method.edit(model, TOKENIZER, batch, chosen.settings).model
    with torch.no_grad():
        after_text = model(input_ids=torch.cat([torch.tensor([first[:40]] * 2), ids], 1)).logits[:, 40:]
        assert torch.allclose(prompted(input_ids=ids).logits, after_text, atol=1e-4)
        assert not torch.allclose(model(input_ids=ids).logits, after_text, atol=1e-3)


def test_more_vectors_than_the_facts_text_has_tokens_begin_with_the_text_again() -> None:
    model, few = tiny("falcon"), made_batch().part(0, 1)
    chosen = read_editor_settings("p-tuning", {"steps": "1", "vectors": "300", "wordings": "prompt"}, 0)
    (text,) = encode_examples(model, TOKENIZER, make_examples(few.edits, ("prompt",), 0))
    assert len(text.ids) < 300
    assert chosen.method.edit(model, TOKENIZER, few, chosen.settings).model.vectors().shape[0] == 300


def test_vectors_are_found_where_a_layer_keeps_a_window_of_the_text_alone() -> None:
    sizes = LLAMA_LIKE | {"head_dim": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(Gemma3TextConfig(**sizes, sliding_window=8, **SIZES)).eval()
    chosen = read_editor_settings("p-tuning", {"steps": "2", "vectors": "30"}, 0)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    assert torch.isfinite(edited.model(input_ids=torch.tensor([[1, 20, 30]])).logits).all()


def test_a_wider_model_is_trained_at_a_lower_rate_unless_the_settings_say_one() -> None:
    rates = [PromptTuningSettings().rate_for(width) for width in (128, 512, 2048)]
    assert rates == pytest.approx([0.2, 0.1, 0.05])
    assert PromptTuningSettings(learning_rate=0.3).rate_for(512) == 0.3
