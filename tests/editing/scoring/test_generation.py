"""Free generation: the same in every batch, whatever the lengths of the prompts beside it."""

from __future__ import annotations

from typing import Any

import pytest

from chronofacts.editing.models.key_value_cache import cache_use
from chronofacts.editing.scoring import generate
from tests.editing.models.families import CONFIGS, tiny, tiny_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


def prompts_of(tokenizer: Any) -> list[tuple[int, ...]]:
    texts = [f"{'The mayor of ' * (1 + number % 3)}{'x' * number}" for number in range(14)]
    return [tuple(ids) for ids in tokenizer(texts)["input_ids"]]


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_prompts_of_unlike_length_in_one_batch_say_what_each_says_alone(family: str, tokenizer: Any) -> None:
    model, prompts = tiny(family), prompts_of(tokenizer)
    alone = [generate(model, tokenizer, [prompt], 10, to_the_end=True)[0] for prompt in prompts]
    assert generate(model, tokenizer, prompts, 10, to_the_end=True) == alone
    assert generate(model, tokenizer, prompts[::-1], 10, batch_size=5, to_the_end=True) == alone[::-1]


def test_generation_agrees_with_the_library_token_by_token(tokenizer: Any) -> None:
    model = tiny("llama")
    prompts = prompts_of(tokenizer)
    import torch

    for prompt, text in zip(prompts, generate(model, tokenizer, prompts, 9, to_the_end=True), strict=True):
        ids = torch.tensor([prompt])
        wanted = model.generate(ids, max_new_tokens=9, min_new_tokens=9, do_sample=False, attention_mask=ids * 0 + 1)
        written = wanted[0, len(prompt) :]
        assert text == tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def test_every_prompt_has_its_own_longest_answer(tokenizer: Any) -> None:
    model, prompts = tiny("llama"), prompts_of(tokenizer)[:3]
    texts = generate(model, tokenizer, prompts, [2, 5, 9], to_the_end=True)
    whole = generate(model, tokenizer, prompts, 9, to_the_end=True)
    assert all(long.startswith(short.rstrip("\ufffd")) for short, long in zip(texts, whole, strict=True))
    assert len({len(text) for text in texts}) > 1


def test_the_context_is_never_overrun(tokenizer: Any) -> None:
    model, prompt = tiny("llama"), tuple([5] * 90)
    assert len(generate(model, tokenizer, [prompt], 500, to_the_end=True)) == 1


def test_a_batch_holds_no_more_tokens_than_it_may(tokenizer: Any) -> None:
    model, prompts, seen = tiny("llama"), prompts_of(tokenizer), []
    watch = model.model.register_forward_pre_hook(
        lambda module, arguments, named: seen.append(len(named["input_ids"])), with_kwargs=True
    )
    generate(model, tokenizer, prompts, 4, batch_tokens=100)
    watch.remove()
    assert max(seen) * (4 + min(map(len, prompts))) <= 100 + max(map(len, prompts)) + 4


def test_long_texts_after_prompts_of_unlike_length_are_written_together(tokenizer: Any) -> None:
    """Another batch costs a step for every token that is written, and a longer prompt one for each of its own."""
    model, steps = tiny("llama"), list[int]()
    cache_use(model)  # its own trial is no step
    watch = model.model.register_forward_pre_hook(lambda *_: steps.append(1))
    generate(model, tokenizer, [(5,) * 4, (5,) * 20], 64, to_the_end=True)
    watch.remove()
    assert len(steps) == 64 + 16
