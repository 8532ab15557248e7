"""Every editor: undone bit for bit, nothing without edits, saved as just the change, loaded into its own base only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from chronofacts.editing.editors import EDITORS, read_editor_settings
from chronofacts.editing.editors.saved_edit import load_edit
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.training import TrainingFailed, TrainingSettings, train
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.editing.editors.made_edits import QUICK, TOKENIZER, made_batch, says
from tests.editing.models.families import tiny


def test_every_editor_is_tested_here() -> None:
    assert set(QUICK) == set(EDITORS) - {"none"}


@pytest.mark.parametrize("editor", QUICK)
def test_undo_restores_weights_and_flags_bit_for_bit(editor: str) -> None:
    model, chosen = tiny("llama"), read_editor_settings(editor, QUICK[editor], 0)
    before, said, wanted = model_hash(model), says(model), [p.requires_grad for p in model.parameters()]
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    assert not torch.equal(says(edited.model), said)
    assert not edited.model.training
    restored = edited.undo()
    assert model_hash(restored) == before
    assert torch.equal(says(restored), said)
    assert [p.requires_grad for p in restored.parameters()] == wanted


@pytest.mark.parametrize("editor", QUICK)
def test_no_edits_leave_every_logit_as_it_was(editor: str) -> None:
    model, chosen = tiny("llama"), read_editor_settings(editor, QUICK[editor], 0)
    said = says(model)
    edited = chosen.method.edit(model, TOKENIZER, made_batch([]), chosen.settings)
    assert torch.equal(says(edited.model), said)


@pytest.mark.parametrize("editor", QUICK)
def test_a_saved_edit_comes_back_as_it_was_and_only_on_its_base(editor: str, tmp_path: Path) -> None:
    model, chosen = tiny("llama"), read_editor_settings(editor, QUICK[editor], 0)
    base = model_hash(model)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    said = says(edited.model)
    edited.save(tmp_path)
    card = {"editor": editor, "base_model_hash": base, "config": vars(chosen.settings)}
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert not list(tmp_path.glob("*.bin"))
    loaded = load_edit(tiny("llama"), TOKENIZER, tmp_path)
    assert torch.allclose(says(loaded.model), said, atol=1e-6)
    assert model_hash(loaded.undo()) == base
    with pytest.raises(CheckFailed, match="was made for the model"):
        load_edit(tiny("llama", seed=1), TOKENIZER, tmp_path)


def test_a_saved_change_holds_only_the_weights_that_changed(tmp_path: Path) -> None:
    from safetensors import safe_open

    model, chosen = tiny("llama"), read_editor_settings("rome", QUICK["rome"], 0)
    base = model_hash(model)
    chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings).save(tmp_path)
    with safe_open(tmp_path / "delta.safetensors", framework="pt") as file:
        assert list(file.keys()) == ["model.layers.2.mlp.down_proj.weight"]
        assert file.metadata()["base_model_hash"] == base


def test_a_folder_without_a_card_is_no_edit(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"card\.json"):
        load_edit(tiny("llama"), TOKENIZER, tmp_path)


def test_a_norm_constraint_holds_every_weight_within_its_box() -> None:
    model = tiny("llama")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    values = {"constraint": "norm", "epsilon": "0.003", "steps": "12", "learning_rate": "0.01"}
    chosen = read_editor_settings("finetune", values, 0)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    moved = max(float((p - before[name]).abs().max()) for name, p in model.named_parameters())
    assert 0.0029 < moved <= 0.003 + 1e-6
    edited.undo()


def test_freeze_trains_the_chosen_layers_and_nothing_else() -> None:
    model = tiny("llama")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    chosen = read_editor_settings("freeze", {"steps": "3", "layers": "1", "targets": "mlp-out"}, 0)
    chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    changed = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert changed == ["model.layers.1.mlp.down_proj.weight"]


@pytest.mark.parametrize("editor", ["finetune", "freeze", "p-tuning"])
def test_a_loss_that_is_no_number_stops_and_restores(editor: str) -> None:
    model = tiny("llama")
    before = model_hash(model)
    chosen = read_editor_settings(editor, {"steps": "5", "learning_rate": "1e30"}, 0)
    with pytest.raises(TrainingFailed, match="lower learning_rate"):
        chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    assert model_hash(model) == before
    assert all(parameter.requires_grad for parameter in model.parameters())


class _Small(nn.Module):
    """A model on a device that holds `most` rows."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.seen = tiny("llama"), most, []

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False, logits_to_keep: Any = 0) -> Any:
        if len(input_ids) > self.most:
            raise torch.OutOfMemoryError("too much")
        self.seen.append(len(input_ids))
        return self.inner(input_ids=input_ids, use_cache=use_cache, logits_to_keep=logits_to_keep)


def test_out_of_memory_halves_the_rows_says_so_and_learns_the_same() -> None:
    names = [f"Name {number}" for number in range(8)]
    examples = encode(TOKENIZER, ["Q: Who? A:"] * 8, names)
    settings = TrainingSettings(steps=3, batch_size=8, autocast=False)
    roomy, tight, lines = _Small(8), _Small(3), []
    train(roomy, examples, settings)
    train(tight, examples, settings, progress=lines.append)
    assert lines == [
        "out of memory: going on with 4 examples at once",
        "out of memory: going on with 2 examples at once",
    ]
    assert max(tight.seen) <= 3
    for one, other in zip(roomy.parameters(), tight.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-4)


def test_not_even_one_example_is_an_error_with_a_mend() -> None:
    with pytest.raises(BadInput, match="smaller model"):
        train(_Small(0), encode(TOKENIZER, ["Q: Who? A:"], ["Ada"]), TrainingSettings(steps=1))
