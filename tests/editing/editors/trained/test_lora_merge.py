"""`lora-merge`: the weights move by a share towards those with the adapter, chunk by chunk, and come back exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.saved_edit import load_edit
from chronofacts.editing.editors.sequential import edit_in_chunks
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.runs.single_edits import batch_settings
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import made_batch, says
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
STEPS = {"steps": "6", "learning_rate": "1e-2"}


def test_the_weights_move_by_the_share_a_of_what_the_adapter_would_add() -> None:
    """W' = W + a s B A, by the adapter's own matrices."""
    model = tiny("llama")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    lora = read_editor_settings("lora", STEPS, 0)
    adapted = lora.method.edit(model, TOKENIZER, made_batch(), lora.settings)
    name = "model.layers.1.mlp.down_proj"
    part = dict(adapted.model.get_base_model().named_modules())[name]
    b, a = (getattr(part, side)["default"].weight.detach() for side in ("lora_B", "lora_A"))
    term = lora.settings.alpha / lora.settings.rank * b @ a
    adapted.undo()
    chosen = read_editor_settings("lora-merge", {**STEPS, "merge": "0.25"}, 0)
    merged = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    moved = dict(merged.model.named_parameters())[f"{name}.weight"].detach() - before[f"{name}.weight"]
    assert float(term.abs().max()) > 1e-3
    assert torch.allclose(moved, 0.25 * term, atol=1e-6)
    assert torch.equal(dict(merged.undo().named_parameters())[f"{name}.weight"], before[f"{name}.weight"])


def test_chunks_are_merged_one_after_the_other_saved_as_one_change_and_undone(tmp_path: Path) -> None:
    model, chosen = tiny("llama"), read_editor_settings("lora-merge", STEPS, 0)
    before = model_hash(model)
    chunked = edit_in_chunks(chosen, model, TOKENIZER, made_batch(), 2)
    assert not hasattr(chunked.model, "merge_and_unload")
    said = says(chunked.model)
    chunked.save(tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({"editor": "lora-merge", "base_model_hash": before}))
    assert model_hash(chunked.undo()) == before
    loaded = load_edit(model, TOKENIZER, tmp_path)
    assert torch.equal(says(loaded.model), said)
    assert model_hash(loaded.undo()) == before


@pytest.mark.parametrize("share", ["0", "1.5", "-1"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    chosen = read_editor_settings("lora-merge", {"merge": share}, 0)
    with pytest.raises(BadInput, match="merge = "):
        chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(), chosen.settings)


def test_single_edits_are_merged_too_and_not_trained_as_plain_adapters() -> None:
    assert batch_settings(read_editor_settings("lora-merge", {}, 0).settings, tiny("llama")) is None
    assert batch_settings(read_editor_settings("lora", {}, 0).settings, tiny("llama")) is not None
