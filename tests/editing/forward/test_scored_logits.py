"""The vocabulary head at single places: the same logits and gradients, of every family, and where it cannot be so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from chronofacts.editing.forward.scored_logits import logits_at
from tests.editing.models.families import CONFIGS, tiny

IDS = torch.tensor([[5, 17, 9, 200, 31, 4, 88], [6, 41, 77, 12, 19, 250, 3]])
ROWS, COLUMNS = torch.tensor([0, 1, 1, 0]), torch.tensor([2, 6, 2, 5])


@pytest.mark.parametrize("family", CONFIGS)
def test_the_logits_and_their_gradients_are_those_of_the_whole_model_and_the_head_reads_no_more(family: str) -> None:
    model, read = tiny(family), list[int]()
    logits_at(model, ROWS, COLUMNS, input_ids=IDS)  # the trial
    head = model.get_output_embeddings()
    watch = head.register_forward_hook(lambda _, given, found: read.append(given[0].shape[:-1].numel()))
    found = logits_at(model, ROWS, COLUMNS, input_ids=IDS, use_cache=False)
    watch.remove()
    expected = model(input_ids=IDS).logits[ROWS, COLUMNS]
    assert read == [len(ROWS)]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    weights = [model.get_input_embeddings().weight, head.weight]
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), weights),
        torch.autograd.grad(expected.square().sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


class Whole(nn.Module):
    """A model that puts its logits together in a way of its own."""

    def __init__(self, inner: Any, change: Callable[[torch.Tensor], torch.Tensor], has_head: bool) -> None:
        super().__init__()
        self.inner, self.change, self.has_head = inner, change, has_head

    def get_output_embeddings(self) -> Any:
        return self.inner.lm_head if self.has_head else None

    def forward(self, input_ids: torch.Tensor, **named: Any) -> Any:
        output = self.inner(input_ids=input_ids, **named)
        output.logits = self.change(output.logits)
        return output


def refuse_few(logits: torch.Tensor) -> torch.Tensor:
    if len(logits) == 1:
        raise RuntimeError("a family that counts its rows")
    return logits


@pytest.mark.parametrize(
    ("change", "has_head"),
    [(lambda logits: logits - logits.mean(1, keepdim=True), True), (refuse_few, True), (lambda logits: logits, False)],
    ids=["logits beside each other", "an error", "no head of its own"],
)
def test_a_model_whose_head_cannot_run_at_some_places_is_read_as_a_whole(
    change: Callable[[torch.Tensor], torch.Tensor], has_head: bool
) -> None:
    model = Whole(tiny("llama"), change, has_head)
    expected = model(input_ids=IDS).logits[ROWS, COLUMNS]
    torch.testing.assert_close(logits_at(model, ROWS, COLUMNS, input_ids=IDS), expected)


def test_a_want_of_memory_in_the_trial_is_no_property_of_the_model() -> None:
    model = tiny("llama")

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("no room")

    watch = model.register_forward_pre_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        logits_at(model, ROWS, COLUMNS, input_ids=IDS)
    watch.remove()
    assert logits_at(model, ROWS, COLUMNS, input_ids=IDS).shape == (4, 320)
