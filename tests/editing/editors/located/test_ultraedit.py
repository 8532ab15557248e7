"""UltraEdit writes what its equations say: gradients, lifelong statistics and the solution against our own in numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing.editors import ModelCache, read_editor_settings
from chronofacts.editing.editors.located import ultraedit
from chronofacts.editing.editors.located.ultraedit import (
    FeatureStatistics,
    UltraEdit,
    UltraEditSettings,
    solve_shift,
)
from chronofacts.editing.editors.sequential import edit_in_chunks
from chronofacts.editing.editors.trained.examples import encode_examples, make_examples
from chronofacts.editing.models.architecture import matrix_of, output_matrices
from chronofacts.editing.models.encoding import pad
from chronofacts.editing.models.gradients import only_trained
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.training import TrainingFailed, find_recalled
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.families import CONFIGS, tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SETTINGS = UltraEditSettings(targets="mlp-out", turn=2, batch=2)


def read(model: Any, names: list[str], texts: Any, size: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    with only_trained(model), ultraedit._open_reader(model, names, texts, lambda line: None) as reader:
        return reader.read(texts, size)[0]


def texts_of(batch: Any, model: Any) -> Any:
    return encode_examples(model, TOKENIZER, make_examples(batch.edits, SETTINGS.wordings, SETTINGS.paraphrases))


@pytest.mark.parametrize("count", [3, 6, 11])
def test_the_shift_solves_the_published_equation_whatever_is_longer(count: int) -> None:
    chance = np.random.default_rng(count)
    keys, values = chance.normal(size=(count, 6)), chance.normal(size=(count, 4))
    shift = solve_shift(torch.tensor(keys), torch.tensor(values)).numpy()
    assert np.allclose((keys.T @ keys + np.eye(6)) @ shift, keys.T @ values, atol=1e-10)


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5), min_size=1, max_size=6))
def test_statistics_in_parts_are_those_of_all_rows_at_once(parts: list[list[float]]) -> None:
    known = FeatureStatistics.empty(1)
    for part in parts:
        known.add(torch.tensor(part, dtype=torch.float64)[:, None])
    flat = np.array([value for part in parts for value in part])
    assert known.count == len(flat)
    assert np.allclose(known.mean.numpy(), flat.mean(), atol=1e-8)
    assert np.allclose(known.squares.numpy() / known.count, flat.var(), atol=1e-6)


def test_an_entry_that_never_differs_says_nothing() -> None:
    known, rows = FeatureStatistics.empty(2), torch.tensor([[1.0, 5.0], [3.0, 5.0]], dtype=torch.float64)
    known.add(rows)
    assert torch.equal(known.normalise(rows), torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64))


@pytest.mark.parametrize("family", CONFIGS)
def test_features_make_up_the_weight_gradient_of_the_last_matrix(family: str) -> None:
    model, batch = tiny(family), made_batch()
    name = list(output_matrices(model).values())[-1]
    texts = texts_of(batch, model)
    entering, gradients = read(model, [name], texts, 2)[name]
    rows = pad(texts, True, "cpu")
    weight = dict(model.named_parameters())[f"{name}.weight"]
    logits = model(input_ids=rows.ids).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), rows.labels[:, 1:], reduction="sum")
    (expected,) = torch.autograd.grad(loss, [weight])
    module = dict(model.named_modules())[name]
    expected = expected if expected.shape == matrix_of(module).shape else expected.T
    assert torch.allclose((gradients.T @ entering).float(), expected, atol=1e-4)


def test_features_do_not_depend_on_the_batch() -> None:
    model, batch = tiny("llama"), made_batch()
    names, texts = list(output_matrices(model).values()), texts_of(batch, tiny("llama"))
    together, alone = (read(model, names, texts, size) for size in (len(texts), 1))
    for name in names:
        for one, other in zip(together[name], alone[name], strict=True):
            assert torch.allclose(one, other, atol=1e-5)


def test_a_matrix_moves_as_one_computes_it_from_its_features() -> None:
    model, batch = tiny("llama"), made_batch()
    settings = UltraEditSettings(targets="mlp-out", layers="1", turn=100, passes=1)
    name = output_matrices(model, [1])[1]
    entering, gradients = (part.numpy() for part in read(model, [name], texts_of(batch, model), 10)[name])
    joined = np.concatenate([entering, gradients], 1)
    spread = joined.std(0)
    normal = np.divide(joined - joined.mean(0), spread, out=np.zeros_like(joined), where=spread > 1e-6)
    width = entering.shape[1]
    values = -(settings.step_for(32) / width) * (normal[:, :width] ** 2).sum(1, keepdims=True) * normal[:, width:]
    expected = np.linalg.solve(entering.T @ entering + np.eye(width), entering.T @ values).T
    before = dict(model.named_parameters())[f"{name}.weight"].detach().clone()
    UltraEdit().edit(model, TOKENIZER, batch, settings)
    moved = dict(model.named_parameters())[f"{name}.weight"].detach() - before
    assert np.allclose(moved.numpy(), expected, atol=1e-6)


def test_texts_that_differ_in_their_first_answered_token_alone_have_their_own_gradients() -> None:
    model = tiny("llama")
    name = list(output_matrices(model).values())[-1]
    text = texts_of(made_batch(), model)[0]
    other = replace(text, ids=(*text.ids[: text.start], text.ids[text.start] + 1, *text.ids[text.start + 1 :]))
    together = read(model, [name], [text, other], 2)[name]
    alone = [
        torch.cat(parts) for parts in zip(*(read(model, [name], [one], 1)[name] for one in (text, other)), strict=True)
    ]
    for one, expected in zip(together, alone, strict=True):
        assert torch.allclose(one, expected, atol=1e-6)


def test_what_is_said_already_is_not_written_again() -> None:
    model, batch = tiny("llama"), made_batch().part(0, 1)
    settings = UltraEditSettings(passes=60)
    edited = UltraEdit().edit(model, TOKENIZER, batch, settings)
    assert edited.report["not_said"] == 0
    assert find_recalled(model, texts_of(batch, model)) == [True] * len(texts_of(batch, model))
    before = model_hash(model)
    assert UltraEdit().edit(model, TOKENIZER, batch, settings).report["passes"] == 0
    assert model_hash(model) == before


def test_chunks_go_on_with_the_statistics_of_the_chunks_before() -> None:
    chosen = read_editor_settings("ultraedit", {"targets": "mlp-out", "turn": "1", "passes": "1"}, 0)
    chunked, at_once, forgetful = tiny("llama"), tiny("llama"), tiny("llama")
    edit_in_chunks(chosen, chunked, TOKENIZER, made_batch(), 1)
    chosen.method.edit(at_once, TOKENIZER, made_batch(), chosen.settings)
    for number in range(made_batch().edits.num_rows):
        chosen.method.edit(forgetful, TOKENIZER, made_batch().part(number, 1), chosen.settings, ModelCache())
    assert model_hash(chunked) == model_hash(at_once) != model_hash(forgetful)


def test_a_gradient_that_is_no_number_restores_the_model() -> None:
    model = tiny("llama")
    before = model_hash(model)
    with pytest.raises(TrainingFailed, match="lower step"):
        UltraEdit().edit(model, TOKENIZER, made_batch(), UltraEditSettings(step=1e308, turn=1, passes=3))
    assert model_hash(model) == before


def test_settings_that_mean_nothing_are_told() -> None:
    with pytest.raises(BadInput, match="turn, batch and passes"):
        UltraEdit().edit(tiny("llama"), TOKENIZER, made_batch(), UltraEditSettings(turn=0))
