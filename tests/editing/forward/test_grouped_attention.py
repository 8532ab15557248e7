"""Attention by plain products in bfloat16: what it gives and its gradients, and what is left to transformers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from chronofacts.editing.forward.grouped_attention import grouped_attention, grouped_attention_forward
from tests.editing.models.families import CONFIGS, tiny


def made(seed: int, rows: int, groups: int, shared: int, length: int, before: int, width: int) -> tuple[Any, ...]:
    torch.manual_seed(seed)
    query = torch.randn(rows, groups * shared, length, width, requires_grad=True)
    key, value = (torch.randn(rows, groups, before + length, width, requires_grad=True) for _ in range(2))
    return SimpleNamespace(num_key_value_groups=shared, is_causal=True), query, key, value


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99), rows=st.integers(1, 3), groups=st.integers(1, 3), shared=st.integers(1, 3),
    length=st.integers(1, 7), before=st.integers(0, 5), kind=st.sampled_from(["none", "bool", "added"]),
)  # fmt: skip
def test_it_gives_what_attention_in_float32_gives_to_the_precision_of_bfloat16(
    seed: int, rows: int, groups: int, shared: int, length: int, before: int, kind: str
) -> None:
    before = 0 if kind == "none" else before  # a cache has a mask
    module, query, key, value = made(seed, rows, groups, shared, length, before, 16)
    sees = torch.rand(rows, 1, length, before + length) > 0.4
    sees |= torch.ones(length, before + length).tril(before).bool() & (torch.arange(before + length) == before)
    added = torch.zeros(sees.shape).masked_fill(~sees, torch.finfo(torch.float32).min)
    mask = {"none": None, "bool": sees, "added": added}[kind]
    found, _ = grouped_attention_forward(module, query, key, value, mask, scaling=0.3)
    expected, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=0.3)
    assert found.shape == expected.shape
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
    leaves, weights = (query, key, value), torch.randn(expected.shape)
    for one, other in zip(
        torch.autograd.grad((found.float() * weights).sum(), leaves),
        torch.autograd.grad((expected * weights).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    "named", [{"position_bias": torch.zeros(1, 4, 3, 3)}, {"dropout": 1.0}], ids=lambda named: next(iter(named))
)
def test_what_these_products_do_not_know_is_left_to_transformers(named: dict[str, Any]) -> None:
    module, *states = made(0, 1, 2, 2, 3, 0, 8)
    expected, _ = sdpa_attention_forward(module, *states, None, **named)
    found, _ = grouped_attention_forward(module, *states, None, **named)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_rows_whose_scores_would_fill_the_memory_are_left_to_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronofacts.editing.forward.grouped_attention.MOST_SCORES", 2 * 4 * 5 * 5)
    module, *states = made(0, 2, 2, 2, 5, 0, 8)
    kept, _ = grouped_attention_forward(module, *states, None)
    monkeypatch.setattr("chronofacts.editing.forward.grouped_attention.MOST_SCORES", 2 * 4 * 5 * 5 - 1)
    left, _ = grouped_attention_forward(module, *states, None)
    expected, _ = sdpa_attention_forward(module, *states, None)
    assert torch.equal(left, expected) and not torch.equal(kept, expected)


def test_a_token_that_sees_nothing_is_a_number() -> None:
    module, *states = made(0, 1, 1, 2, 3, 0, 8)
    found, _ = grouped_attention_forward(module, *states, torch.zeros(1, 1, 3, 3, dtype=torch.bool))
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("family", CONFIGS)
def test_a_family_has_nearly_the_same_gradients_inside_and_its_own_attention_afterwards(family: str) -> None:
    model, ids = tiny(family), torch.tensor([[5, 17, 9, 200, 31, 4], [6, 41, 77, 12, 19, 0]])
    mask = torch.tensor([[1] * 6, [1] * 5 + [0]])
    weight = model.get_input_embeddings().weight

    def gradient() -> torch.Tensor:
        logits = model(input_ids=ids, attention_mask=mask).logits
        return torch.autograd.grad(logits[:, :5].square().sum(), weight)[0]

    before, expected = ALL_ATTENTION_FUNCTIONS["sdpa"], gradient()
    with grouped_attention():
        found = gradient()
        with torch.no_grad():
            unlearnt = model(input_ids=ids, attention_mask=mask).logits
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05 * float(expected.abs().max()))
    torch.testing.assert_close(unlearnt, model(input_ids=ids, attention_mask=mask).logits)


def test_an_error_inside_leaves_attention_as_it_was_also_one_inside_the_other() -> None:
    before = ALL_ATTENTION_FUNCTIONS["sdpa"]
    with grouped_attention():
        with pytest.raises(KeyError), grouped_attention():
            raise KeyError("x")
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is not before
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before


def test_threads_that_come_and_go_in_any_order_each_have_their_own_attention() -> None:
    """One trains in bfloat16 while another reads in float32, and begins and ends a context of its own meanwhile."""
    before, entered, left = ALL_ATTENTION_FUNCTIONS["sdpa"], threading.Event(), threading.Event()
    module, *states = made(0, 1, 2, 2, 3, 0, 8)

    def attend() -> torch.Tensor:
        return ALL_ATTENTION_FUNCTIONS["sdpa"](module, *states, None)[0]

    def stay() -> torch.Tensor:
        with grouped_attention():
            entered.set()
            assert left.wait(20)
            return attend()

    whole = attend()
    with ThreadPoolExecutor(1) as pool:
        with grouped_attention():
            other = pool.submit(stay)
            assert entered.wait(20)
            grouped = attend()
        assert torch.equal(attend(), whole) and not torch.equal(grouped, whole)
        left.set()
        assert torch.equal(other.result(), grouped)
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is before
