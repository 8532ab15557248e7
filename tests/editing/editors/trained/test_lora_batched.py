"""Many single edits in one pass are the same edits as one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from chronofacts.editing.editors.trained.lora_batched import LoraBatchSettings, edit_in_parallel
from chronofacts.editing.models.encoding import encode, pad
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.scoring import teacher_force
from chronofacts.editing.training import TrainingFailed
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import FACTS, made_edits
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
OPTIONS = LoraBatchSettings(rank=4, steps=12, learning_rate=1e-2)


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon"])
def test_edits_in_one_pass_equal_separate_runs(family: str) -> None:
    model, edits = tiny(family), made_edits()
    together = edit_in_parallel(model, TOKENIZER, edits, OPTIONS)
    for number in range(len(FACTS)):
        alone = edit_in_parallel(model, TOKENIZER, edits.slice(number, 1), OPTIONS)
        assert float(together.losses[number]) == pytest.approx(float(alone.losses[0]), rel=1e-3)
        for name, (_, b) in alone.adapters.items():
            theirs = together.adapters[name][1][number]
            assert torch.allclose(theirs, b[0], atol=2e-3 * float(b.abs().max()) + 1e-5), name
        prompt = torch.tensor([TOKENIZER(f"Q: Who runs {FACTS[number][0]}? A:")["input_ids"]])
        with torch.no_grad(), together.only(number):
            one = model(input_ids=prompt).logits
        with torch.no_grad(), alone.only(0):
            assert torch.allclose(one, model(input_ids=prompt).logits, atol=2e-3)


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon"])
def test_a_fact_that_is_learnt_keeps_its_adapter_while_the_others_go_on(family: str) -> None:
    model, edits, until = tiny(family), made_edits(), replace(OPTIONS, rank=8, steps=40, stop_loss=5.2)
    together = edit_in_parallel(model, TOKENIZER, edits, until)
    assert len(set(together.steps.tolist())) > 2, "each at a step of its own"
    for number, steps in enumerate(together.steps.tolist()):
        alone = edit_in_parallel(model, TOKENIZER, edits.slice(number, 1), until)
        assert alone.steps.tolist() == [steps]
        assert steps == until.steps or float(together.losses[number]) < until.stop_loss
        for name, (_, b) in alone.adapters.items():
            theirs = together.adapters[name][1][number]
            assert torch.allclose(theirs, b[0], atol=2e-2 * float(b.abs().max()) + 1e-5), name


@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon"])
def test_edits_of_the_top_layer_are_the_same_in_bfloat16_but_for_its_precision(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, top, losses = tiny(family), replace(OPTIONS, layers="2"), {}
    before = model_hash(model)
    for low_precision in (False, True):
        monkeypatch.setattr(
            "chronofacts.editing.editors.trained.lora_batched.gains_by_bfloat16", lambda model, low=low_precision: low
        )
        losses[low_precision] = edit_in_parallel(model, TOKENIZER, made_edits(), top).losses
    assert not torch.equal(losses[True], losses[False])
    assert torch.allclose(losses[True], losses[False], rtol=5e-3)
    assert model_hash(model) == before


def test_edits_differ_from_each_other_and_each_learns_its_own_fact() -> None:
    model = tiny("llama")
    trained = edit_in_parallel(model, TOKENIZER, made_edits(), replace(OPTIONS, steps=60, rank=8))
    encoded = encode(TOKENIZER, [f"Q: Who is the mayor of {town}? A:" for town, _ in FACTS], [new for _, new in FACTS])
    batch = pad(encoded, True, "cpu")
    with torch.no_grad(), trained.one_per_row(range(len(FACTS))):
        chosen = model(input_ids=batch.ids).logits[:, :-1].argmax(-1)
    labels = batch.labels[:, 1:]
    assert bool(((chosen == labels) | (labels == -100)).all())
    with trained.only(0):
        assert [one.greedy_match for one in teacher_force(model, encoded, 4)] == [True, False, False, False]


def test_the_model_is_as_before_outside_of_an_edit() -> None:
    model = tiny("llama")
    before, ids = model_hash(model), torch.tensor([[1, 20, 30]])
    trained = edit_in_parallel(model, TOKENIZER, made_edits(), OPTIONS)
    with torch.no_grad():
        said = tiny("llama")(input_ids=ids).logits
        with trained.only(2):
            assert not torch.equal(model(input_ids=ids).logits, said)
        assert torch.equal(model(input_ids=ids).logits, said)
    assert model_hash(model) == before
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_batches_of_edits_make_no_difference() -> None:
    model = tiny("llama")
    whole = edit_in_parallel(model, TOKENIZER, made_edits(), OPTIONS)
    split = edit_in_parallel(model, TOKENIZER, made_edits(), replace(OPTIONS, facts_at_once=3))
    assert torch.allclose(whole.losses, split.losses, rtol=1e-3)


def test_out_of_memory_halves_the_edits_at_once_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    model, lines = tiny("llama"), []
    plain = type(model).forward

    def tight(self: Any, input_ids: torch.Tensor, **given: Any) -> Any:
        if len(input_ids) > 2:  # one row per edit
            raise torch.OutOfMemoryError("too much")
        return plain(self, input_ids=input_ids, **given)

    whole = edit_in_parallel(model, TOKENIZER, made_edits(), OPTIONS)
    monkeypatch.setattr(type(model), "forward", tight)
    split = edit_in_parallel(model, TOKENIZER, made_edits(), OPTIONS, lines.append)
    assert lines[0] == "out of memory: going on with 2 edits at once"
    assert torch.allclose(whole.losses, split.losses, rtol=1e-3)


def test_no_edits_and_a_loss_that_is_no_number_are_told() -> None:
    with pytest.raises(BadInput, match="no edits"):
        edit_in_parallel(tiny("llama"), TOKENIZER, made_edits([]), OPTIONS)
    model = tiny("llama")
    with pytest.raises(TrainingFailed, match="learning_rate"):
        edit_in_parallel(model, TOKENIZER, made_edits(), replace(OPTIONS, learning_rate=1e30))
    assert all(parameter.requires_grad for parameter in model.parameters())
