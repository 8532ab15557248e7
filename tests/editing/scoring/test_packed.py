"""Many texts in one row score as each alone."""

from __future__ import annotations

from typing import Any

import pytest

from chronofacts.editing.forward.packing import pack
from chronofacts.editing.models.encoding import Encoded, encode
from chronofacts.editing.scoring import teacher_force
from chronofacts.editing.scoring.teacher_forcing import teacher_force_packed
from tests.editing.models.families import CONFIGS, tiny, tiny_tokenizer

PACKED = ("gemma", "gpt2", "gpt_neox", "gptj", "llama", "mistral", "qwen")
"""Families that are known to take packed texts; others are read in batches."""


@pytest.fixture(scope="module")
def rows() -> list[Encoded]:
    prompts = [f"Q: Who is the {role} of {'x' * n}? A:" for role in ("mayor", "town head") for n in range(1, 12)]
    both = [prompt for prompt in prompts for _ in range(2)]
    return encode(tiny_tokenizer(), both, ["Ann Lee", "Bo"] * len(prompts))


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_packed_texts_score_as_each_alone(family: str, rows: list[Encoded]) -> None:
    model = tiny(family)
    together = teacher_force(model, rows, 128)
    for one, row in zip(together, rows, strict=True):
        (alone,) = teacher_force(model, [row], 1, share=False)
        assert one.nll == pytest.approx(alone.nll, rel=1e-5, abs=1e-5)
        assert (one.accuracy, one.argmax, one.greedy_match) == (alone.accuracy, alone.argmax, alone.greedy_match)


@pytest.mark.parametrize("family", PACKED)
def test_these_families_take_packed_texts(family: str, rows: list[Encoded]) -> None:
    assert teacher_force_packed(tiny(family), rows, 128, 4096) is not None


@pytest.mark.parametrize("family", PACKED)
def test_packed_texts_score_the_same_after_a_beginning_that_all_share(family: str) -> None:
    day = "Today is the first of May. "
    prompts = [f"{day}Q: Who is the {role} of {'x' * n}? A:" for role in ("mayor", "head") for n in range(1, 12)]
    rows, model, read = encode(tiny_tokenizer(), prompts, ["Ann Lee"] * len(prompts)), tiny(family), list[int]()
    model.get_input_embeddings().register_forward_hook(lambda part, given, made: read.append(given[0].numel()))
    found = teacher_force(model, rows, 128)
    assert sum(read[-2:]) < pack(rows, True, "cpu").ids.numel()  # two rows, and neither reads the beginning again
    for one, row in zip(found[::5], rows[::5], strict=True):
        (alone,) = teacher_force(model, [row], 1, share=False)
        assert one.nll == pytest.approx(alone.nll, rel=1e-5, abs=1e-5)
        assert one.greedy_match == alone.greedy_match


def test_what_texts_share_is_read_once(rows: list[Encoded]) -> None:
    model, read = tiny("llama"), []
    watch = model.model.layers[0].mlp.register_forward_hook(lambda part, given, made: read.append(made.shape[1]))
    teacher_force_packed(model, rows, 128, 4096)
    watch.remove()
    assert sum(read) < 0.6 * sum(len(row.ids) for row in rows)


def test_a_row_holds_no_more_texts_and_tokens_than_it_may(rows: list[Encoded]) -> None:
    model, read = tiny("llama"), []
    watch = model.model.register_forward_pre_hook(
        lambda part, given, named: read.append(named["input_ids"].shape[1]), with_kwargs=True
    )
    teacher_force_packed(model, rows, 128, 100)
    watch.remove()
    assert max(read) <= 100


def test_the_model_is_left_as_it_was(rows: list[Encoded]) -> None:
    model: Any = tiny("llama")
    before = dict(vars(model.model.layers[0]))
    teacher_force_packed(model, rows, 128, 4096)
    assert dict(vars(model.model.layers[0])).keys() == before.keys()
    assert not model.lm_head._forward_pre_hooks and not model.model.layers[-1].mlp._forward_hooks
