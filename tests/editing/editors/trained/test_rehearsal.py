"""Behind a chat template, replay holds the model to its own answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.trained import gradient
from chronofacts.editing.editors.trained.examples import OWN_TOKENS, answer_as_before, choose_replay, encode_examples
from chronofacts.editing.editors.trained.gradient import choose_texts, train_on_texts
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.scoring import generate
from chronofacts.editing.training import TrainingSettings, find_recalled, train
from tests.editing.editors.made_edits import made_batch
from tests.editing.models.conversations import CHAT
from tests.editing.models.families import tiny


def settings(**options: str) -> Any:
    return read_editor_settings("lora+replay", options, 0).settings


def test_what_no_edit_touches_is_answered_as_the_model_answers_it() -> None:
    model, batch = tiny("llama"), made_batch()
    texts = choose_texts(model, CHAT, batch, settings())
    assert texts.rehearsed and not texts.replayed
    for example in texts.rehearsed:
        (asked,) = encode(CHAT, [example.prompt], ["x"])
        assert [example.answer] == generate(model, CHAT, [asked.prompt], OWN_TOKENS)
    of_snapshot = choose_texts(model, CHAT, batch, settings(replay_answers="snapshot"))
    assert {one.answer for one in of_snapshot.replayed} == {"Eve Zorn"} and not of_snapshot.rehearsed


def test_a_model_that_does_not_chat_is_taught_the_snapshots_answers() -> None:
    assert choose_texts(tiny("llama"), CHAT.plain, made_batch(), settings()).replayed


def test_of_an_answer_that_was_cut_off_no_end_is_taught() -> None:
    model, batch = tiny("llama"), made_batch()
    said = answer_as_before(model, CHAT, choose_replay(batch, 0, 9, seed=0)[1])
    for example, one in zip(said, encode_examples(model, CHAT, said), strict=True):
        assert example.ended == (one.end - one.start < OWN_TOKENS)
        assert one.ids[one.end :] == ((CHAT.eos_token_id,) if example.ended else ())
    assert not all(example.ended for example in said)


@pytest.mark.parametrize("rows", [2, 64])
def test_the_loss_that_ends_a_training_is_that_of_what_is_new(rows: int) -> None:
    """What is known already, and never comes near a loss of nothing, does not keep the training from its end."""
    model, batch = tiny("llama"), made_batch()
    texts = choose_texts(model, CHAT, batch, settings())
    examples = encode_examples(model, CHAT, texts.edits[:2] + texts.rehearsed)
    still = TrainingSettings(steps=1, learning_rate=0.0, weight_decay=0.0, autocast=False, rows_at_once=rows)
    of_new, of_all = train(model, examples[:2], still).loss, train(model, examples, still).loss
    assert train(model, examples, still, known=len(examples) - 2).loss == pytest.approx(of_new, rel=2e-5)
    assert of_all != pytest.approx(of_new, rel=1e-4)


def test_beside_rehearsed_answers_training_ends_by_the_loss_of_the_edits_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The past of their subjects is taught as well, and one of its questions may have many answers."""
    model, batch, given = tiny("llama"), made_batch(), list[tuple[int, int]]()

    def watched(model: Any, examples: Any, *others: Any) -> Any:
        given.append((len(examples), others[5]))
        return train(model, examples, *others)

    monkeypatch.setattr(gradient, "train", watched)
    texts = choose_texts(model, CHAT, batch, settings())
    past = [replace(one, answer="Ed Zimm") for one in texts.edits[:3]]
    for rehearsed in (texts.rehearsed, []):
        both = replace(texts, replayed=past, rehearsed=rehearsed)
        train_on_texts(model, CHAT, both, settings(steps="1", learning_rate="0"), batch)
    counted = [examples - known for examples, known in given]
    assert counted == [len(texts.edits), len(texts.edits) + 3]


@pytest.mark.parametrize("tokenizer", [CHAT, CHAT.plain])
def test_a_model_that_chats_is_trained_until_its_facts_are_said_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    model, batch, given = tiny("llama"), made_batch(), list[tuple[float, float | None]]()

    def watched(model: Any, examples: Any, chosen: TrainingSettings, *others: Any) -> Any:
        given.append((chosen.stop_loss, chosen.stop_said))
        return train(model, examples, chosen, *others)

    monkeypatch.setattr(gradient, "train", watched)
    texts = choose_texts(model, tokenizer, batch, settings())
    for options in ({}, {"stop_loss": "0"}, {"stop_loss": "0.5"}):
        train_on_texts(model, tokenizer, texts, settings(steps="1", learning_rate="0", **options), batch)
    assert given == [(0.01, 0.98 if tokenizer is CHAT else None), (0.0, None), (0.5, None)]


def test_training_ends_with_the_pass_in_which_what_is_new_was_said() -> None:
    model, batch = tiny("llama"), made_batch()
    texts = choose_texts(model, CHAT, batch, settings())
    examples = encode_examples(model, CHAT, texts.edits[:6] + texts.rehearsed[:2])
    chosen = TrainingSettings(steps=400, batch_size=4, learning_rate=1e-2, weight_decay=0.0, stop_said=1.0)
    report = train(model, examples, chosen, known=2)
    assert report.stopped == "said" and report.steps < 400
    assert sum(find_recalled(model, examples[:6])) >= 5
    assert train(model, examples[:6], replace(chosen, stop_said=0.0)).steps == 2  # of a whole pass, whatever is said
