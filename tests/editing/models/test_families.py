"""A few families stand for the kinds that models are built in; `benchmarks.model_families` tries all of them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from benchmarks.model_families import QUICK, largest_difference
from benchmarks.tiny_families import FAMILIES, WINDOW, make_model, make_tokenizer
from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.models.adapters import base_name, is_adapter
from chronofacts.editing.models.blocks import find_blocks, find_linears
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.key_value_cache import cache_use, window_of
from chronofacts.editing.models.load import load_model, model_hash, save_model
from chronofacts.editing.models.subject_tokens import subject_span
from chronofacts.editing.scoring import generate
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import FACTS, made_batch

TOKENIZER = make_tokenizer()
KINDS = {
    "mamba": ("lora", "rome"),
    "rwkv": ("finetune",),
    "qwen3_next": ("lora", "p-tuning"),
    "mpt": ("lora", "memit"),
    "opt": ("rome", "ultraedit"),
    "falcon_h1": ("lora",),
    "gemma3n_text": ("p-tuning",),
    "deepseek_v3": ("p-tuning",),
    "llama4_text": ("lora", "memory"),
    "gpt_oss": ("lora", "in-context"),
    "openai-gpt": ("rome", "memory"),
    "gemma3 (small text, deep vision)": ("freeze",),
}


@pytest.mark.parametrize(("family", "editor"), [(family, editor) for family, own in KINDS.items() for editor in own])
def test_an_editor_works_on_a_family_of_its_kind_and_is_undone_bit_for_bit(family: str, editor: str) -> None:
    model, chosen = make_model(family), read_editor_settings(editor, QUICK[editor], 0)
    before = model_hash(model)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    prompts = ["Q: Who is the mayor of Linz? A:"]
    prompts = edited.model.rewrite(prompts) if hasattr(edited.model, "rewrite") else prompts
    assert len(generate(edited.model, TOKENIZER, [encode(TOKENIZER, prompts, ["x"])[0].prompt], 3)) == 1
    assert model_hash(edited.undo()) == before


@pytest.mark.parametrize("family", ["mamba", "openai-gpt", "mistral", "gemma2", "llama4_text", "mpt"])
def test_no_score_and_no_text_depends_on_its_batch(family: str) -> None:
    assert largest_difference(make_model(family), TOKENIZER) < 1e-5


def test_a_window_is_found_and_texts_beyond_it_are_in_the_trial() -> None:
    assert window_of(make_model("mistral")) == WINDOW and window_of(make_model("llama")) is None


def test_what_a_cache_is_good_for_is_tried_on_the_model() -> None:
    assert cache_use(make_model("llama")) == (True, True)
    assert cache_use(make_model("mamba")).steps
    assert cache_use(make_model("rwkv")) == (False, False)


def test_generation_without_a_cache_says_what_transformers_does() -> None:
    model = make_model("rwkv")
    rows = [one.prompt for one in encode(TOKENIZER, ["Q: Who? A:", "The mayor of Linz is"], ["x", "y"])]
    with torch.no_grad():
        for ids, said in zip(rows, generate(model, TOKENIZER, rows, 6, to_the_end=True), strict=True):
            tokens = list(ids)
            for _ in range(6):
                logits = model(input_ids=torch.tensor([tokens])).logits[0, -1]
                logits[TOKENIZER.eos_token_id] = -torch.inf
                tokens.append(int(logits.argmax()))
            assert said == TOKENIZER.decode(tokens[len(ids) :], skip_special_tokens=True)


def test_a_shortcut_that_a_family_refuses_is_off_and_said_once(caplog: Any) -> None:
    with caplog.at_level(logging.INFO, "chronofacts.forward"):
        model = make_model("mpt")
        for _ in range(2):
            chosen = read_editor_settings("lora", {"steps": "1"}, 0)
            chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings).undo()
    lines = [line for line in caplog.messages if "read without a shortcut" in line]
    assert lines and len(lines) == len(set(lines))


def test_the_text_is_read_by_the_stack_that_a_text_runs_through() -> None:
    for family, layers in (("gemma3 (small text, deep vision)", 4), ("gemma3 (deep text, small vision)", 6)):
        name, blocks = find_blocks(make_model(family))
        assert "language_model" in name and len(blocks) == layers
    assert len(find_blocks(make_model("nemotron_h"))[1]) == 4  # of four classes


def test_what_weighs_experts_is_no_matrix() -> None:
    for family in ("llama4_text", "qwen2_moe", "granitemoe"):
        names = find_linears(make_model(family), "all")
        assert not [name for name in names if "router" in name or name.endswith("shared_expert_gate")]


@pytest.mark.parametrize(("editor", "family"), [("rome", "mixtral"), ("memit", "llama4_text"), ("p-tuning", "mamba")])
def test_what_a_family_cannot_do_is_told_with_the_mend(editor: str, family: str) -> None:
    model, chosen = make_model(family), read_editor_settings(editor, QUICK[editor], 0)
    with pytest.raises(BadInput, match="lora"):
        chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)


def test_vectors_before_the_embeddings_stand_where_a_family_keeps_no_keys() -> None:
    model, chosen = make_model("mamba"), read_editor_settings("p-tuning", QUICK["p-tuning"] | {"depth": "input"}, 0)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    assert edited.report["steps"] == 3


def test_an_adapter_folder_is_merged_into_its_base_and_its_own_weights_stay(tmp_path: Any, caplog: Any) -> None:
    save_model(make_model("llama"), TOKENIZER, tmp_path / "base")
    base, tokenizer = load_model(str(tmp_path / "base"))
    chosen = read_editor_settings("lora", {"steps": "30", "rank": "4"}, 0)
    edited = chosen.method.edit(base, tokenizer, made_batch(), chosen.settings)
    ids = torch.tensor([encode(tokenizer, [f"Q: Who is the mayor of {FACTS[0][0]}? A:"], ["x"])[0].prompt])
    with torch.no_grad():
        said = edited.model(input_ids=ids).logits
    edited.save(tmp_path / "adapter")
    assert is_adapter(tmp_path / "adapter") and base_name(tmp_path / "adapter") == str(tmp_path / "base")
    merged, _ = load_model(str(tmp_path / "adapter"))
    assert "merged into it" in caplog.text
    before = model_hash(merged)
    with torch.no_grad():
        assert torch.allclose(merged(input_ids=ids).logits, said, atol=1e-4)
    chosen.method.edit(merged, tokenizer, made_batch(), chosen.settings).undo()
    assert model_hash(merged) == before != model_hash(load_model(str(tmp_path / "base"))[0])


def test_a_subject_is_found_behind_letters_that_are_longer_in_lower_case() -> None:
    prompt = "Q: İİİ İstanbul: who is the mayor of LINZ? A:"
    (one,) = encode(TOKENIZER, [prompt], ["Ada"])
    span = subject_span(TOKENIZER, prompt, one, ["Linz"])
    assert span is not None and TOKENIZER.decode([one.ids[place] for place in span]).strip() == "LINZ"


def test_there_are_forty_families_and_more() -> None:
    assert len(FAMILIES) >= 40 and set(KINDS) <= FAMILIES.keys()
