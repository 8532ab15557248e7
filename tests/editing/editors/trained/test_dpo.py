"""The old answer rejected: the loss, its reference and its gradient against the formula, and what it does."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.trained.examples import encode_examples, make_examples
from chronofacts.editing.editors.trained.gradient import choose_texts
from chronofacts.editing.models.encoding import Encoded
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.runs.single_edits import batch_settings
from chronofacts.editing.training import Preference, Rejected, TrainingSettings, preference_losses, train
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
STEPS = {"lora": {"steps": "8"}, "freeze": {"steps": "8"}, "finetune": {"steps": "8"}, "p-tuning": {"steps": "8"}}


def log_probability(model: Any, one: Encoded) -> torch.Tensor:
    """log π(y | x), one token after the other."""
    rows = model(input_ids=torch.tensor([one.ids])).logits[0].log_softmax(-1)
    return sum(rows[place - 1, one.ids[place]] for place in range(one.start, len(one.ids)))


def pair(model: Any) -> tuple[Encoded, Encoded]:
    examples = make_examples(made_batch().edits.slice(0, 1), ("prompt",), 0)
    (new,) = encode_examples(model, TOKENIZER, examples)
    (old,) = encode_examples(model, TOKENIZER, [type(examples[0])(examples[0].text, examples[0].form, "Eve Zorn")])
    return new, old


def test_the_reference_is_the_base_model_and_the_old_answer_is_the_rejected_one() -> None:
    model = tiny("llama")
    settings = read_editor_settings("lora", {"dpo": "0.3", "wordings": "prompt"}, 0).settings
    new, old = pair(model)
    preference = choose_texts(model, TOKENIZER, made_batch(), settings).preference
    assert preference is not None and preference.rejected[new].example == old
    with torch.no_grad():
        margin = float(log_probability(model, new) - log_probability(model, old))
    assert preference.rejected[new].margin == pytest.approx(margin, abs=1e-4)
    assert choose_texts(model, TOKENIZER, made_batch(), read_editor_settings("lora", {}, 0).settings).preference is None


def test_the_loss_is_that_of_the_formula() -> None:
    found = preference_losses(torch.tensor([-2.0, -7.0]), torch.tensor([-3.5, -1.0]), torch.tensor([0.5, -4.0]), 0.2)
    wanted = [-math.log(1 / (1 + math.exp(-0.2 * x))) for x in ((-2.0 + 3.5) - 0.5, (-7.0 + 1.0) + 4.0)]
    assert found.tolist() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_the_gradient_of_a_step_is_that_of_the_whole_objective(weight: float) -> None:
    """(1 - w) L + w L_DPO by autograd over plain forward passes, against what reaches the parameters in training."""
    model, beta, margin = tiny("llama"), 0.3, 1.25
    new, old = pair(model)
    likely, unlikely = log_probability(model, new), log_probability(model, old)
    loss = -likely / (len(new.ids) - new.start)
    dpo = -torch.log(torch.sigmoid(beta * ((likely - unlikely) - margin)))
    weights = list(model.parameters())
    wanted = torch.autograd.grad((1 - weight) * loss + weight * dpo, weights)
    found: list[torch.Tensor] = [torch.zeros(())] * len(weights)
    for number, one in enumerate(weights):
        one.register_post_accumulate_grad_hook(lambda p, n=number: found.__setitem__(n, p.grad.clone()))
    settings = TrainingSettings(steps=1, clip=math.inf, weight_decay=0.0, autocast=False)
    report = train(model, [new], settings, preference=Preference({new: Rejected(old, margin)}, weight, beta))
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-6, rtol=1e-4)
    assert report.loss == pytest.approx(float(loss.detach()), rel=1e-4)  # of the answers alone


@pytest.mark.parametrize("editor", STEPS)
def test_the_old_answer_loses_more_than_without_it(editor: str) -> None:
    margins = {}
    for dpo in ("0", "0.9"):
        model = tiny("llama")
        before, (new, old) = model_hash(model), pair(model)
        chosen = read_editor_settings(editor, {**STEPS[editor], "dpo": dpo, "beta": "1"}, 0)
        edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
        with torch.no_grad():
            margins[dpo] = float(log_probability(edited.model, new) - log_probability(edited.model, old))
        assert ("rejected" in edited.report) == (dpo != "0")
        assert model_hash(edited.undo()) == before
    assert margins["0.9"] > margins["0"]


@pytest.mark.parametrize("words", [{"dpo": "1.5"}, {"dpo": "-1"}, {"dpo": "0.1", "beta": "0"}])
def test_a_share_or_beta_that_is_none_is_refused(words: dict[str, str]) -> None:
    chosen = read_editor_settings("lora", words, 0)
    with pytest.raises(BadInput, match="between 0 and 1"):
        chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)


def test_single_edits_with_it_are_made_one_after_the_other() -> None:
    assert batch_settings(read_editor_settings("lora", {"dpo": "0.1"}, 0).settings, tiny("llama")) is None
