"""`p-tuning`: vectors before a prompt shift no position, with and without a cache, in both depths."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.forward.packing import label_logits, pad_rows
from chronofacts.editing.forward.partial import open_partial_forward
from chronofacts.editing.models.encoding import Encoded
from chronofacts.editing.models.load import answer_logits, context_length
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.families import tiny, tiny_tokenizer

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
