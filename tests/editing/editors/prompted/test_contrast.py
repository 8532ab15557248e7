"""`in-context.deck=true`: told against untold, as two passes by hand give it, with a cache and in any batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.scoring import generate, teacher_force
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
ASKED = ["Q: Who is the mayor of Linz? A:", "Q: Who runs Graz today? A:", "Q: Where was the mayor of Wels born? A:"]
ELSEWHERE = "Q: Who is the baker of Bonn? A:"


def edited(family: str = "llama", alpha: float = 0.1, deck: str = "true") -> Any:
    model = tiny(family)
    if family != "gpt2":
        model.config.max_position_embeddings = 512
    chosen = read_editor_settings("in-context", {"deck": deck, "deck_alpha": str(alpha), "facts": "1", "room": "4"}, 0)
    return chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings).model


def ids(prompt: str) -> list[int]:
    return list(encode(TOKENIZER, [prompt], ["x"])[0].prompt)


def by_hand(model: Any, told: list[int], untold: list[int], written: list[int], alpha: float) -> list[float]:
    """The scores of the next token, one by one."""
    with torch.no_grad():
        now = model(input_ids=torch.tensor([told + written])).logits[0, -1].double().log_softmax(-1).tolist()
        before = model(input_ids=torch.tensor([untold + written])).logits[0, -1].double().log_softmax(-1).tolist()
    least = max(now) + math.log(alpha)
    lowest = min(a - b for a, b in zip(now, before, strict=True) if a >= least)
    return [a - b if a >= least else lowest + a - least for a, b in zip(now, before, strict=True)]


@pytest.mark.parametrize("alpha", [0.1, 0.9])
def test_scores_are_those_of_two_passes_by_hand(alpha: float) -> None:
    model = edited(alpha=alpha)
    (told,) = model.rewrite(ASKED[:1])
    answer = ids("Q: Ada Moor")[-6:]
    row = ids(told) + answer
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row])).logits[0]
    for done in range(len(answer) + 1):
        expected = by_hand(model.base, ids(told), ids(ASKED[0]), answer[:done], alpha)
        assert logits[len(ids(told)) - 1 + done].tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_free_generation_is_greedy_by_these_scores_with_a_cache_and_in_company(family: str) -> None:
    model = edited(family)
    asked = [*(ASKED if family == "llama" else ["Q: Who runs Linz? A:"]), ELSEWHERE]
    told = model.rewrite(asked)
    written = generate(model, TOKENIZER, [tuple(ids(text)) for text in told], 5)
    for prompt, text, found in zip(asked, told, written, strict=True):
        tokens: list[int] = []
        while len(tokens) < 5:
            if prompt == text:  # not told: the model's own logits
                with torch.no_grad():
                    scores = model.base(input_ids=torch.tensor([ids(text) + tokens])).logits[0, -1].tolist()
            else:
                scores = by_hand(model.base, ids(text), ids(prompt), tokens, 0.1)
            token = max(range(len(scores)), key=scores.__getitem__)
            if token == TOKENIZER.eos_token_id:
                break
            tokens.append(token)
            if "\n" in TOKENIZER.decode([token]):
                break
        assert found == TOKENIZER.decode(tokens, skip_special_tokens=True).strip(" ").split("\n")[0].strip()


def test_a_likelihood_does_not_depend_on_the_batch() -> None:
    model = edited()
    told = model.rewrite(ASKED)
    pairs = [(text, answer) for text in told for answer in ("Ada Moor", "Bob", "Cyd Rook and some others")]
    encoded = encode(TOKENIZER, *map(list, zip(*pairs, strict=True)))
    together = teacher_force(model, encoded, 16)
    for one, row in zip(together, encoded, strict=True):
        (alone,) = teacher_force(model, [row], 1)
        assert alone.nll == pytest.approx(one.nll, rel=1e-5, abs=1e-5) and math.isfinite(one.nll)
        assert (alone.accuracy, alone.greedy_match) == (one.accuracy, one.greedy_match)


def test_a_prefix_stands_before_both_prompts() -> None:
    model, prefix = edited(), "Today is 1 May 2024.\n"
    (told,) = model.rewrite(ASKED[:1], [prefix])
    assert told.startswith(prefix)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids(told)])).logits[0, -1]
    assert logits.tolist() == pytest.approx(by_hand(model.base, ids(told), ids(prefix + ASKED[0]), [], 0.1), abs=1e-4)


def test_what_is_not_told_is_not_contrasted_and_read_by_the_model_alone() -> None:
    model = edited()
    assert model.rewrite([ELSEWHERE]) == [ELSEWHERE] and not model.has_answer(tuple(ids(ELSEWHERE)))
    (told,) = model.rewrite(ASKED[:1])
    assert model.has_answer(tuple(ids(told)))
    with torch.no_grad():
        own, base = (one(input_ids=torch.tensor([ids(ELSEWHERE)])).logits for one in (model, model.base))
    assert torch.equal(own, base)


def test_where_only_the_likeliest_token_competes_generation_is_that_of_in_context_alone() -> None:
    plain, strict = edited(deck="false"), edited(alpha=1.0)
    prompts = [tuple(ids(text)) for text in plain.rewrite(ASKED)]
    strict.rewrite(ASKED)
    assert generate(strict, TOKENIZER, prompts, 6) == generate(plain, TOKENIZER, prompts, 6)


def test_a_share_that_is_none_is_refused() -> None:
    for alpha in (0.0, 1.5):
        with pytest.raises(BadInput, match="deck_alpha"):
            edited(alpha=alpha)
