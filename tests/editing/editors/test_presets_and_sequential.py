"""Presets name a paper and give way to what is set beside them; modes edit in chunks or alone and undo all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from chronofacts.editing.editors import EDITORS, read_editor_settings
from chronofacts.editing.editors.presets import PRESETS
from chronofacts.editing.editors.sequential import edit_in_chunks, edit_singly
from chronofacts.editing.editors.trained.gradient import WeightEdit
from chronofacts.editing.models.load import model_hash
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import FACTS, QUICK, made_batch, says
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_read_by_its_editor_and_names_its_source(name: str) -> None:
    preset = PRESETS[name]
    config = read_editor_settings(preset.editor, {"preset": name}, 0).settings
    for option, text in preset.values.items():
        value = getattr(config, option)
        spelled = str(value).lower() if isinstance(value, bool) else str(value)
        assert value == (text,) if isinstance(value, tuple) else spelled == text or float(text) == value
    assert preset.editor in EDITORS and "arXiv" in preset.source


def test_what_is_set_beside_a_preset_wins() -> None:
    config = read_editor_settings("lora", {"preset": "chronoedit-lora-attn", "rank": "4"}, 0).settings
    assert (config.targets, config.rank, config.alpha) == ("attention", 4, 32.0)


def test_an_unknown_preset_and_another_editors_are_refused_with_the_mend() -> None:
    with pytest.raises(BadInput, match="chronoedit-lora"):
        read_editor_settings("lora", {"preset": "chronoedit-lorra"}, 0)
    with pytest.raises(BadInput, match=r"rome\.preset=rome-gpt-j"):
        read_editor_settings("memit", {"preset": "rome-gpt-j"}, 0)


@pytest.mark.parametrize("editor", [name for name in QUICK if name != "p-tuning"])
def test_chunks_are_edited_one_upon_the_other_and_undone_bit_for_bit(editor: str, tmp_path: Path) -> None:
    model, chosen = tiny("llama"), read_editor_settings(editor, QUICK[editor], 0)
    before, said, wanted = model_hash(model), says(model), [p.requires_grad for p in model.parameters()]
    chunked = edit_in_chunks(chosen, model, TOKENIZER, made_batch(), 3)
    assert chunked.report["chunks"] == 2
    assert not torch.equal(says(chunked.model), said)
    chunked.save(tmp_path)
    assert all(file.suffix in {".safetensors", ".parquet", ".json"} for file in tmp_path.iterdir())
    assert any(tmp_path.iterdir())
    restored = chunked.undo()
    assert model_hash(restored) == before
    assert [p.requires_grad for p in restored.parameters()] == wanted


@pytest.mark.parametrize("editor", ["lora", "freeze", "rome", "memit", "ultraedit"])
def test_edits_one_after_the_other_keep_the_weights_as_they_were_once_and_not_each_time(editor: str) -> None:
    model, chosen = tiny("llama"), read_editor_settings(editor, QUICK[editor], 0)
    chunked = edit_in_chunks(chosen, model, TOKENIZER, made_batch(), 1)
    held = [name for part in chunked.parts if isinstance(part, WeightEdit) for name in part.before]
    assert len(chunked.parts) > 2 and held and len(held) == len(set(held))


@pytest.mark.parametrize("editor", ["grace", "wise"])
def test_of_what_lies_beside_the_model_no_edit_keeps_what_the_ones_before_it_had_made(editor: str) -> None:
    model, chosen = tiny("llama"), read_editor_settings(editor, QUICK[editor], 0)
    said = says(model)
    chunked = edit_in_chunks(chosen, model, TOKENIZER, made_batch(), 1)
    assert [part.before for part in chunked.parts] == [None] * made_batch().edits.num_rows
    assert not torch.equal(says(model), said) and torch.equal(says(chunked.undo()), said)


def test_of_stores_that_grow_the_last_one_is_kept() -> None:
    chunked = edit_in_chunks(read_editor_settings("memory", {}, 0), tiny("llama"), TOKENIZER, made_batch(), 1)
    assert len(chunked.parts) == 1 and chunked.report["chunks"] == made_batch().edits.num_rows
    assert chunked.undo() is chunked.base


def test_one_chunk_of_all_edits_is_all_at_once() -> None:
    model, chosen = tiny("llama"), read_editor_settings("freeze", QUICK["freeze"], 0)
    chunked = edit_in_chunks(chosen, model, TOKENIZER, made_batch(), 99)
    said = says(chunked.model)
    edited = chosen.method.edit(chunked.undo(), TOKENIZER, made_batch(), chosen.settings)
    assert torch.equal(says(edited.model), said)


def test_a_store_in_chunks_remembers_the_first_ones() -> None:
    chosen = read_editor_settings("memory", {}, 0)
    chunked = edit_in_chunks(chosen, tiny("llama"), TOKENIZER, made_batch(), 1)
    (prompt,) = chunked.model.rewrite([f"Q: Who is the mayor of {FACTS[0][0]}? A:"])
    ids = torch.tensor([TOKENIZER(f"{prompt} {FACTS[0][1]}")["input_ids"]])
    with torch.no_grad():
        assert chunked.model(input_ids=ids).logits[0, -1].argmax() == TOKENIZER.eos_token_id


def test_chunks_of_nothing_and_of_vectors_are_refused() -> None:
    for editor, size in (("freeze", 0), ("p-tuning", 2)):
        with pytest.raises(BadInput):
            edit_in_chunks(read_editor_settings(editor, QUICK[editor], 0), tiny("llama"), TOKENIZER, made_batch(), size)


def test_an_edit_alone_is_the_edit_without_the_others() -> None:
    model, chosen = tiny("llama"), read_editor_settings("freeze", QUICK["freeze"], 0)
    before = model_hash(model)
    with edit_singly(chosen, model, TOKENIZER, made_batch(), 1) as edited:
        said = says(edited.model)
    assert model_hash(model) == before
    chosen.method.edit(model, TOKENIZER, made_batch([FACTS[1]]), chosen.settings)
    assert torch.equal(says(model), said)
