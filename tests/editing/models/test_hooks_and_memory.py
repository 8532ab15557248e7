"""Hooks, gradient flags and halved work leave the model as it was, also after an error."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from chronofacts.editing.models.encoding import batches_by_length
from chronofacts.editing.models.gradients import gradient_flags, only_trained
from chronofacts.editing.models.hooks import hooked, with_hidden
from chronofacts.editing.models.out_of_memory import in_parts
from chronofacts.schemas.errors import BadInput


def test_hooks_change_what_enters_and_leaves_and_are_gone_after_an_error() -> None:
    layer, ones = nn.Linear(2, 2, bias=False), torch.ones(1, 2)
    plain = layer(ones)
    after = [(layer, lambda _module, _inputs, output: output + 1)]
    before = [(layer, lambda _module, inputs: (2 * inputs[0],))]
    with pytest.raises(KeyError), hooked(after, before):
        assert torch.allclose(layer(ones), 2 * plain + 1)
        raise KeyError
    assert torch.equal(layer(ones), plain)


def test_other_hidden_states_are_wrapped_as_the_ones_before() -> None:
    assert with_hidden((1, "weights"), 2) == (2, "weights")
    assert with_hidden(1, 2) == 2


def test_only_the_named_parameters_are_trained_and_the_flags_come_back() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].bias.requires_grad_(False)
    before = gradient_flags(model)
    with pytest.raises(KeyError), only_trained(model, {"1.bias"}):
        assert [name for name, wanted in gradient_flags(model).items() if wanted] == ["1.bias"]
        model(torch.ones(1, 2)).sum().backward()
        raise KeyError
    assert gradient_flags(model) == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_work_that_does_not_fit_is_halved_and_stays_halved_in_order() -> None:
    tried, said = [], []

    def run(part: list[int]) -> list[int]:
        tried.append(len(part))
        if len(part) > 3:
            raise torch.OutOfMemoryError("too much")
        return part

    assert list(in_parts(run, list(range(7)), 64, "fact", said.append)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert tried == [7, 3, 3, 1]
    assert said == ["out of memory: going on with 3 facts at once"]


def test_what_does_not_fit_alone_is_an_error_with_the_mend() -> None:
    def run(part: list[int]) -> None:
        raise torch.OutOfMemoryError("too much")

    with pytest.raises(BadInput, match="not even one fact fits the memory; take fewer layers"):
        list(in_parts(run, [1, 2], 2, "fact", lambda line: None))


def test_batches_hold_at_most_so_many_rows_and_tokens_and_lengths_that_are_near() -> None:
    lengths = [9, 2, 3, 2, 30]
    assert list(batches_by_length(lengths, 2)) == [[1, 3], [2, 0], [4]]
    assert list(batches_by_length(lengths, 9, tokens=9)) == [[1, 3, 2], [0], [4]]
    assert list(batches_by_length(lengths, 9, apart=7)) == [[1, 3, 2, 0], [4]]
    assert list(batches_by_length(lengths, 9, tokens=20, generated=[1] * 5)) == [[1, 3, 2], [0], [4]]
