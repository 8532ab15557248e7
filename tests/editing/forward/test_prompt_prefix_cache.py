"""A start that many prompts have in common is read once, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from chronofacts.editing.forward.prompt_prefix_cache import group_by_prefix
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.key_value_cache import cache_use
from chronofacts.editing.scoring import generate, teacher_force
from chronofacts.editing.scoring.prompt_prefixes import FEW_SHOT
from chronofacts.editing.scoring.teacher_forcing import _force_batch
from tests.editing.models.families import CONFIGS, tiny, tiny_tokenizer

PREFIX = FEW_SHOT[:120] + "\n"
QUESTIONS = [f"Q: Who is the mayor of town {number * 'x'}? A:" for number in range(7)]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


@pytest.fixture
def rows(tokenizer: Any) -> Any:
    return encode(tokenizer, [PREFIX + text for text in QUESTIONS], ["Ann Lee", *(["Bo"] * 6)])


def roomy(family: str) -> Any:
    """A model of the family whose context has room for a prefix, large enough for its choices to be clear."""
    torch.manual_seed(0)
    config = CONFIGS[family]()
    for name in ("max_position_embeddings", "n_positions"):
        if hasattr(config, name):
            setattr(config, name, 512)
    import transformers

    return transformers.AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_scores_after_a_shared_start_are_those_of_the_whole_prompt(family: str, rows: Any) -> None:
    model = roomy(family)
    shared = teacher_force(model, rows, 4)
    whole = teacher_force(model, rows, 4, share=False)
    for one, other in zip(shared, whole, strict=True):
        assert one.nll == pytest.approx(other.nll, rel=1e-5, abs=1e-5)
        assert (one.accuracy, one.argmax) == (other.accuracy, other.argmax)


@torch.inference_mode()
def test_logits_after_a_shared_start_are_equal_to_1e_5(rows: Any) -> None:
    from chronofacts.editing.models.encoding import pad
    from chronofacts.editing.models.load import answer_logits

    model = roomy("llama")
    (start,) = group_by_prefix(model, [row.ids for row in rows], [row.start - 1 for row in rows])
    assert start.length >= len(rows[0].ids) - len(QUESTIONS[0]) - 12
    rests = pad([row.after(start.length) for row in rows], True, "cpu")
    whole = pad(rows, True, "cpu")
    after = answer_logits(model, rests.ids, rests.first, start.cache_for(len(rows)))
    plain = answer_logits(model, whole.ids, whole.first, None)
    for place, row in enumerate(rows):
        count = len(row.ids) - row.start
        one = after[place, row.start - start.length - rests.first :][:count]
        other = plain[place, row.start - whole.first :][:count]
        assert (one - other).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["gpt2", "llama", "falcon"])
def test_generation_after_a_shared_start_says_the_same(family: str, tokenizer: Any, rows: Any) -> None:
    model = roomy(family)
    prompts = [row.prompt for row in rows]
    assert generate(model, tokenizer, prompts, 12) == generate(model, tokenizer, prompts, 12, share=False)


def test_prompts_without_a_common_start_share_nothing(tokenizer: Any) -> None:
    rows = encode(tokenizer, [f"{number} mayors of many towns and what they said" for number in range(9)], ["x"] * 9)
    found = list(group_by_prefix(tiny("llama"), [row.ids for row in rows], [row.start - 1 for row in rows]))
    assert [(start.rows, start.length) for start in found] == [(list(range(9)), 0)]


@torch.inference_mode()
def test_what_is_written_after_a_shared_start_does_not_reach_the_next_batch(rows: Any) -> None:
    model = roomy("llama")
    (start,) = group_by_prefix(model, [row.ids for row in rows], [row.start - 1 for row in rows])
    before = start.cache.get_seq_length()
    _force_batch(rows, model, start, None)
    assert start.cache.get_seq_length() == before == start.length


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_one_prompt_with_two_answers_is_read_once_and_scores_the_same(family: str, tokenizer: Any) -> None:
    model, seen = roomy(family), []
    cache_use(model)  # tried once for each model
    prompts = [text for text in QUESTIONS for _ in range(2)]
    rows = encode(tokenizer, prompts, ["Ann Lee", "Bo"] * len(QUESTIONS))
    watch = model.register_forward_pre_hook(
        lambda module, arguments, named: seen.append(named["input_ids"].numel()), with_kwargs=True
    )
    shared = teacher_force(model, rows, 16)
    once, seen[:] = sum(seen), []
    whole = teacher_force(model, rows, 16, share=False)
    watch.remove()
    assert once < 0.75 * sum(seen)
    for one, other in zip(shared, whole, strict=True):
        assert one.nll == pytest.approx(other.nll, rel=1e-5, abs=1e-5) and one.argmax == other.argmax
