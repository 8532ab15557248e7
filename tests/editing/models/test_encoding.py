"""Prompts, answers and the seam between them."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from chronofacts.editing.models.encoding import encode, pad, render
from chronofacts.schemas.errors import BadInput

TEXTS = ["Q: Who leads X? A: Ann Lee", "The mayor of X is Ann", "Apple Inc.", "St. Louis is"] * 5


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return _tokenizer(pre_tokenizers.ByteLevel(add_prefix_space=False))


@pytest.fixture(scope="module")
def merging_tokenizer() -> Any:
    """One that knows no words: its tokens reach across spaces."""
    return _tokenizer(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))


def test_the_answer_is_exactly_what_follows_the_prompt(tokenizer: Any) -> None:
    row = encode(tokenizer, ["The mayor of X is"], ["Ann"])[0]
    assert tokenizer.decode(row.ids[: row.start]) == "The mayor of X is"
    assert tokenizer.decode(row.ids[row.start : row.end]) == " Ann"
    assert row.ids[row.end :] == (tokenizer.eos_token_id,)


def test_prompt_and_answer_are_tokenised_together(tokenizer: Any) -> None:
    row = encode(tokenizer, ["The mayor of X is"], ["Ann"])[0]
    assert list(row.ids[: row.end]) == tokenizer("The mayor of X is Ann")["input_ids"]
    assert not row.merged


def test_tokens_that_merge_across_the_seam_leave_the_prompt_as_generation_sees_it(merging_tokenizer: Any) -> None:
    row = encode(merging_tokenizer, ["The mayor of X is"], ["Ann"])[0]
    assert row.merged
    assert list(row.prompt) == merging_tokenizer("The mayor of X is")["input_ids"]
    assert merging_tokenizer.decode(row.ids[: row.end]) == "The mayor of X is Ann"


def test_a_full_stop_in_an_answer_is_part_of_it(tokenizer: Any) -> None:
    row = encode(tokenizer, ["X is"], ["Apple Inc."])[0]
    assert tokenizer.decode(row.ids[row.start : row.end]) == " Apple Inc."


def test_the_spelling_of_a_special_token_in_a_name_is_plain_text(tokenizer: Any) -> None:
    row = encode(tokenizer, ["The mayor of </s> is"], ["An</s>n"])[0]
    assert row.ids.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(row.ids[: row.end]) == "The mayor of </s> is An</s>n"


def test_only_the_answer_and_its_end_are_scored_and_padding_never_is(tokenizer: Any) -> None:
    rows = encode(tokenizer, ["X is", "The mayor of X is"], ["Ann", "Ann Lee"])
    batch = pad(rows, answer_only=True, device="cpu")
    for row, labels in zip(rows, batch.labels.tolist(), strict=True):
        assert [label for label in labels if label != -100] == list(row.ids[row.start :])
    assert batch.first == min(row.start for row in rows)


def test_a_text_longer_than_the_context_is_named(tokenizer: Any) -> None:
    with pytest.raises(BadInput, match=r"The mayor of X.*context of 5"):
        encode(tokenizer, ["The mayor of X is"], ["Ann"], context=5)


def test_an_empty_answer_is_named(tokenizer: Any) -> None:
    with pytest.raises(BadInput, match="empty answer"):
        encode(tokenizer, ["X is"], [" "])


def test_questions_and_clozes_have_their_forms() -> None:
    assert render("Who leads X?", "question") == "Q: Who leads X? A:"
    assert render("The mayor of X is ", "cloze") == "The mayor of X is"


def _tokenizer(pre_tokenizer: Any) -> Any:
    bpe = Tokenizer(BPE(unk_token=None))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizer, decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", pad_token="<pad>")
