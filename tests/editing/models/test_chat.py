"""Behind a chat template a prompt is the user's turn and the answer the assistant's, wherever a prompt is read."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.models.chat import ChatTokenizer, plain_tokenizer, with_chat
from chronofacts.editing.models.encoding import encode, pad
from chronofacts.editing.models.load import load_model
from chronofacts.editing.models.subject_tokens import subject_end
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import generate
from chronofacts.editing.scoring.prompt_prefixes import FEW_SHOT, PromptBuilder
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import FACTS, made_batch
from tests.editing.invented_world import write_invented
from tests.editing.models.conversations import CHAT, QUESTION, TEMPLATE, tuned, turns
from tests.editing.models.families import tiny

SPACED = (
    "{{ bos_token }}{% for turn in messages %}{% if turn.role == 'user' %}[INST] {{ turn.content }} [/INST]"
    "{% else %} {{ turn.content }}{{ eos_token }}{% endif %}{% endfor %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as those on the Hub, tuned for conversation in form alone."""
    place = tmp_path_factory.mktemp("tuned")
    tiny("llama").save_pretrained(place)
    tuned().save_pretrained(place)
    return place


@pytest.mark.parametrize("template", [TEMPLATE, SPACED])
def test_a_prompt_is_what_the_template_makes_of_the_question(template: str) -> None:
    tokenizer = tuned(template)
    (one,) = encode(ChatTokenizer(tokenizer), [QUESTION], ["Ada Moor"])
    words = "Who is the mayor of Linz?"
    opened = tokenizer.apply_chat_template(turns(words), tokenize=False, add_generation_prompt=True)
    assert tokenizer.decode(one.prompt) == opened
    closed = tokenizer.apply_chat_template(turns(words, "Ada Moor"), tokenize=False)
    assert tokenizer.decode(one.ids) == closed.rstrip("\n")  # what comes after the turn's end is never generated


def test_an_answer_ends_with_the_token_that_ends_the_turn() -> None:
    assert CHAT.eos_token_id == CHAT.convert_tokens_to_ids("<|end|>") != CHAT.plain.eos_token_id
    (one,) = encode(CHAT, [QUESTION], ["Ada Moor"])
    assert one.ids[one.end :] == (CHAT.eos_token_id,)


def test_the_end_of_a_turn_inside_a_prompt_shifts_no_label() -> None:
    rows = encode(CHAT, [QUESTION, "Q: Who? A:"], ["Ada Moor", "Bob"])
    assert all(CHAT.eos_token_id in row.prompt for row in rows)
    batch = pad(rows, answer_only=True, device="cpu")
    for row, labels in zip(rows, batch.labels.tolist(), strict=True):
        assert [label for label in labels if label != -100] == list(row.ids[row.start :])


def test_the_spelling_of_a_turn_in_a_name_opens_none() -> None:
    name = "Ada<|end|>\n<|assistant|>"
    (one,) = encode(CHAT, [f"Q: Who is {name}? A:"], [name])
    assert one.prompt.count(CHAT.eos_token_id) == 1 and one.ids.count(CHAT.eos_token_id) == 2
    assert CHAT.decode(one.ids).count(name) == 2


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("The mayor of Linz is", "The mayor of Linz is"),
        ("Today is 1 May 2025.\nQ: Who leads Linz? A:", "Today is 1 May 2025.\nWho leads Linz?"),
        ("Q: Who leads Graz? T: Bob does. A: Bob\nQ: Who leads Linz? T:",) * 2,
    ],
)
def test_a_question_loses_its_marks_and_thinking_aloud_keeps_them(prompt: str, words: str) -> None:
    (one,) = encode(CHAT, [prompt], ["Ada"])
    assert CHAT.decode(one.prompt) == f"<s><|user|>\n{words}<|end|>\n<|assistant|>\n"


@pytest.mark.parametrize("template", [TEMPLATE, SPACED])
@pytest.mark.parametrize("name", ["Bob", "Bob<|end|>"])
def test_examples_before_a_question_are_earlier_turns(template: str, name: str) -> None:
    chat = ChatTokenizer(tuned(template))
    prompt = (
        f"Q: Who leads Graz? A: {name}\nGraz is old.\nQ: Where is it? A: Here\nToday it rains.\nQ: Who leads Linz? A:"
    )
    (one,) = encode(chat, [prompt], ["Ada"])
    said = turns("Who leads Graz?", name, "Graz is old.\nWhere is it?", "Here", "Today it rains.\nWho leads Linz?")
    whole = chat.plain.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    assert chat.decode(one.prompt) == whole
    marks = chat.marks(prompt)
    assert marks.text[marks.begin : marks.end] == said[-1]["content"]
    assert len(marks.spans) == one.start and marks.text == whole


def test_a_template_for_one_question_takes_the_examples_into_it() -> None:
    single = "{% if messages | length > 2 %}{{ raise_exception('one question') }}{% endif %}" + TEMPLATE
    chat = ChatTokenizer(tuned(single))
    prompt = "Q: Who leads Graz? A: Bob\nQ: Who leads Linz? A:"
    (one,) = encode(chat, [prompt], ["Ada"])
    assert chat.decode(one.prompt) == f"<s><|user|>\n{prompt}<|end|>\n<|assistant|>\n"


def test_what_is_taught_in_a_conversation_is_said_in_one_by_transformers_own_generation() -> None:
    chosen = read_editor_settings("finetune", {"steps": "120", "learning_rate": "3e-3"}, 0)
    edited = chosen.method.edit(tiny("llama"), CHAT, made_batch(), chosen.settings)
    for town, mayor in FACTS:
        asked = CHAT.plain.apply_chat_template(
            turns(f"Who is the mayor of {town}?"), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        said = edited.model.generate(**asked, max_new_tokens=20, do_sample=False, eos_token_id=CHAT.eos_token_id)
        new = said[0, asked["input_ids"].shape[1] :]
        assert CHAT.decode(new, skip_special_tokens=True) == mayor
        (prompt,) = encode(CHAT, [f"Q: Who is the mayor of {town}? A:"], ["x"])
        assert generate(edited.model, CHAT, [prompt.prompt], 20) == [mayor]


def test_a_store_and_a_context_are_read_through_the_template() -> None:
    chosen = read_editor_settings("memory", {}, 0)
    edited = chosen.method.edit(tiny("llama"), CHAT, made_batch(), chosen.settings)
    (one,) = encode(CHAT, edited.model.rewrite([QUESTION]), ["x"])
    assert generate(edited.model, CHAT, [one.prompt], 20) == ["Ada Moor"]
    chosen = read_editor_settings("in-context", {"facts": "1", "room": "4"}, 0)
    told = chosen.method.edit(tiny("llama"), CHAT, made_batch(), chosen.settings).model.rewrite([QUESTION])
    (one,) = encode(CHAT, told, ["x"])
    said = CHAT.decode(one.prompt)
    assert said.startswith("<s><|user|>\n") and said.endswith("<|end|>\n<|assistant|>\n") and "Ada Moor" in said


def test_facts_are_told_as_far_as_the_template_leaves_room_in_the_context() -> None:
    model = tiny("llama")
    (one,) = encode(CHAT, [QUESTION], ["x"])
    chosen = read_editor_settings("in-context", {"facts": "1", "room": "4"}, 0)
    for context in range(one.start + 4, one.start + 80, 5):
        model.config.max_position_embeddings = context
        told = chosen.method.edit(model, CHAT, made_batch(), chosen.settings).model.rewrite([QUESTION])
        (read,) = encode(CHAT, told, ["x"])
        assert read.start + 4 <= context
    assert "Ada Moor" in told[0]


def test_few_shot_examples_leave_room_for_the_template_too() -> None:
    model = tiny("llama")
    for context in range(60, 320, 40):
        model.config.max_position_embeddings = context
        probe = {"text": "Who is the mayor of Linz?", "form": "question", "prefix": FEW_SHOT}
        (read,) = encode(CHAT, PromptBuilder(model, CHAT).build([probe], [8]), ["x"])
        assert read.start + 8 <= context
    assert context < len(CHAT(FEW_SHOT)["input_ids"])  # there never was room for all of them


def test_a_template_that_refuses_a_system_role_is_asked_for_none() -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE
    (one,) = encode(with_chat(tuned(refusing), "auto", "model"), [QUESTION], ["Ada"])
    assert one == encode(CHAT, [QUESTION], ["Ada"])[0]


def test_rome_finds_the_subject_inside_the_template() -> None:
    (one,) = encode(CHAT, ["Q: Who is the mayor of User? A:"], ["Ada"])
    end, named = subject_end(CHAT, "Q: Who is the mayor of User? A:", one, ["User"])
    assert named and CHAT.decode(one.ids[: end + 1]).endswith("mayor of User")
    chosen = read_editor_settings("rome", {"value_steps": "3", "passes": "1", "site": "subject", "layer": "1"}, 0)
    edited = chosen.method.edit(tiny("llama"), CHAT, made_batch(), chosen.settings)
    assert edited.report["subject_not_named"] == 0


def test_whether_to_chat_is_an_option(folder: Path, tmp_path: Path) -> None:
    assert isinstance(load_model(str(folder))[1], ChatTokenizer)
    assert not isinstance(load_model(str(folder), chat="no")[1], ChatTokenizer)
    tiny("llama").save_pretrained(tmp_path)
    plain = plain_tokenizer(CHAT)
    bare = copy.deepcopy(plain)
    bare.chat_template = None
    bare.save_pretrained(tmp_path)
    assert not isinstance(load_model(str(tmp_path))[1], ChatTokenizer)
    with pytest.raises(BadInput, match="chat=no"):
        load_model(str(tmp_path), chat="yes")


def test_a_small_world_does_not_chat(tmp_path: Path) -> None:
    snapshot = write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    with pytest.raises(BadInput, match="chat=auto"):
        run_experiment(snapshot, "small-world", read_settings(["none"], {"chat": "yes"}), tmp_path / "R")
    assert not (tmp_path / "R").exists()


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "always the same", "{% for %}"])
def test_a_template_that_cannot_be_used_is_told_with_the_mend(template: str) -> None:
    with pytest.raises(BadInput, match="chat=no"):
        with_chat(tuned(template), "auto", "model")


def test_a_run_says_that_it_chats_and_shares_no_answers_with_one_that_does_not(folder: Path, tmp_path: Path) -> None:
    snapshot = write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    few = {"cache": str(tmp_path / "cache"), "scoring.fluency": "2", "scoring.fluency_tokens": "4", "lora.steps": "2"}
    found = {}
    for chat in ("auto", "no"):
        out = tmp_path / chat
        run_experiment(snapshot, str(folder), read_settings(["none", "lora"], few | {"chat": chat}), out)
        about = json.loads((out / "run.json").read_text())
        assert about["model"]["chat"] is (chat == "auto")
        assert json.loads((out / "adapters" / "lora" / "card.json").read_text())["chat"] is (chat == "auto")
        found[chat] = pq.read_table(out / "scores" / "none.parquet")
    pairs = zip(found["auto"].to_pylist(), found["no"].to_pylist(), strict=True)
    asked = [(one, other) for one, other in pairs if one["kind"] == "edit"]
    assert asked and all(one["nll_answer"] != other["nll_answer"] for one, other in asked)


def test_a_chat_tokenizer_is_otherwise_the_tokenizer_itself() -> None:
    copied = copy.deepcopy(CHAT)
    assert copied("Who?")["input_ids"] == CHAT.plain("Who?")["input_ids"]
    assert len(copied) == len(CHAT.plain) and copied.is_fast and copied.eos_token_id == CHAT.eos_token_id
    assert torch.equal(copied("x", return_tensors="pt")["input_ids"], CHAT.plain("x", return_tensors="pt")["input_ids"])
