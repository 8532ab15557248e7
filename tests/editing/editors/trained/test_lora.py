"""LoRA edits: undone bit for bit, nothing without edits, saved as just the change."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from chronofacts.editing.editors import EditBatch
from chronofacts.editing.editors.saved_edit import load_edit
from chronofacts.editing.editors.trained import lora
from chronofacts.editing.editors.trained.examples import choose_replay, encode_examples, make_examples
from chronofacts.editing.editors.trained.lora import Lora, LoraSettings
from chronofacts.editing.models.blocks import find_linears
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.snapshot import Snapshot
from chronofacts.editing.training import TrainingFailed, TrainingSettings, train
from chronofacts.schemas.errors import BadInput, CheckFailed

SHORT = LoraSettings(steps=3, rank=4)


def material(snapshot: Snapshot, edits: int = 5) -> EditBatch:
    return EditBatch(
        snapshot.edits.slice(0, edits), snapshot.sentences, frozenset(snapshot.questions["question"].to_pylist())
    )


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer("Q: Who leads? A:", return_tensors="pt", return_token_type_ids=False)).logits


@pytest.mark.parametrize(
    "options", [SHORT, replace(SHORT, dora=True), replace(SHORT, rslora=True, targets="attention")]
)
def test_undo_restores_the_model_bit_for_bit(
    model_and_tokenizer: Any, snapshot: Snapshot, options: LoraSettings
) -> None:
    model, tokenizer = model_and_tokenizer
    before, wanted = model_hash(model), [p.requires_grad for p in model.parameters()]
    said = logits(model, tokenizer)
    edited = Lora().edit(model, tokenizer, material(snapshot), options)
    assert not torch.equal(logits(edited.model, tokenizer), said)
    restored = edited.undo()
    assert model_hash(restored) == before
    assert torch.equal(logits(restored, tokenizer), said)
    assert [p.requires_grad for p in restored.parameters()] == wanted
    assert not any("lora" in name for name, _ in restored.named_modules())


def test_no_edits_leave_every_logit_as_it_was(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    model, tokenizer = model_and_tokenizer
    said = logits(model, tokenizer)
    edited = Lora().edit(model, tokenizer, material(snapshot, edits=0), SHORT)
    assert torch.equal(logits(edited.model, tokenizer), said)


def test_the_edited_model_is_in_eval_mode(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    edited = Lora().edit(*model_and_tokenizer, material(snapshot), SHORT)
    assert not any(part.training for part in edited.model.modules())


def test_the_same_seed_gives_the_same_adapter_and_leaves_the_global_one_alone(
    model_and_tokenizer: Any, snapshot: Snapshot
) -> None:
    model, tokenizer = model_and_tokenizer
    said = []
    for _ in range(2):
        state = torch.get_rng_state()
        edited = Lora().edit(model, tokenizer, material(snapshot), SHORT)
        assert torch.equal(torch.get_rng_state(), state)
        said.append(logits(edited.model, tokenizer))
        edited.undo()
    assert torch.equal(*said)


def test_a_saved_edit_is_only_the_change_and_says_the_same_again(
    model_and_tokenizer: Any, snapshot: Snapshot, tmp_path: Path
) -> None:
    model, tokenizer = model_and_tokenizer
    edited = Lora().edit(model, tokenizer, material(snapshot), SHORT)
    said = logits(edited.model, tokenizer)
    edited.save(tmp_path)
    base = edited.undo()
    (tmp_path / "card.json").write_text(json.dumps({"base_model_hash": model_hash(base)}))
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "card.json",
    ]
    assert torch.equal(logits(load_edit(base, tokenizer, tmp_path).model, tokenizer), said)


def test_a_saved_edit_refuses_another_base_model(model_and_tokenizer: Any, snapshot: Snapshot, tmp_path: Path) -> None:
    model, tokenizer = model_and_tokenizer
    (tmp_path / "card.json").write_text(json.dumps({"base_model_hash": "somebody else"}))
    with pytest.raises(CheckFailed, match="somebody else"):
        load_edit(model, tokenizer, tmp_path)


def test_only_the_chosen_layers_and_matrices_get_adapters(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    model, tokenizer = model_and_tokenizer
    edited = Lora().edit(model, tokenizer, material(snapshot), replace(SHORT, targets="attention", layers="1"))
    adapted = {name for name, p in edited.model.named_parameters() if p.requires_grad}
    assert adapted and all(".layers.1.self_attn." in name for name in adapted)


def test_layers_that_the_model_does_not_have_are_named(model_and_tokenizer: Any) -> None:
    with pytest.raises(BadInput, match="0-1"):
        find_linears(model_and_tokenizer[0], "all", range(1, 6))


def test_a_loss_that_is_no_number_restores_the_base(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    model, tokenizer = model_and_tokenizer
    before = model_hash(model)
    with pytest.raises(TrainingFailed, match="lower learning_rate"):
        Lora().edit(model, tokenizer, material(snapshot), replace(SHORT, alpha=float("nan")))
    assert model_hash(model) == before
    assert not any("lora" in name for name, _ in model.named_modules())


def test_at_least_one_paraphrase_is_never_trained(snapshot: Snapshot) -> None:
    edits = snapshot.edits.slice(0, 5)
    trained = {lesson.text for lesson in make_examples(edits, ("paraphrases",), paraphrases=99)}
    for row in edits.to_pylist():
        assert len(trained & set(row["paraphrases"])) == len(row["paraphrases"]) - 1


def test_replay_contains_no_probe_no_stale_fact_and_nothing_held_out(snapshot: Snapshot) -> None:
    chosen = material(snapshot, edits=30)
    lessons = {(lesson.text, lesson.answer) for part in choose_replay(chosen, 500, 500, seed=0) for lesson in part}
    assert lessons and not {text for text, _ in lessons} & chosen.probes
    rows = {(row["prompt"], row["answer"]): row for row in snapshot.sentences.to_pylist()}
    for lesson in lessons:
        assert not rows[lesson]["held_out"]
        assert rows[lesson]["role"] == "history" or not rows[lesson]["edit_ids"]


def test_training_without_examples_changes_nothing() -> None:
    report = train(nn.Linear(2, 2), [], TrainingSettings(steps=5))
    assert (report.steps, report.stopped) == (0, "steps")


def test_training_stops_when_it_is_told_to_and_asks_in_the_steps_given(
    model_and_tokenizer: Any, snapshot: Snapshot
) -> None:
    model, tokenizer = model_and_tokenizer
    examples, asked = encode_examples(model, tokenizer, make_examples(snapshot.edits, ("prompt",), 0)), list[int]()

    def enough(step: int, loss: float) -> bool:
        asked.append(step)
        return step >= 4

    report = train(model, examples, TrainingSettings(steps=500, check_every=2), enough)
    assert (report.steps, report.stopped, asked) == (4, "target", [2, 4])


def test_the_list_of_modules_of_a_saved_adapter_is_sorted(
    model_and_tokenizer: Any, snapshot: Snapshot, tmp_path: Path
) -> None:
    model, tokenizer = model_and_tokenizer
    batch = EditBatch(snapshot.edits.slice(0, 1), snapshot.sentences)
    edited = Lora().edit(model, tokenizer, batch, LoraSettings(steps=1))
    edited.save(tmp_path)
    edited.undo()
    named = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))["target_modules"]
    assert len(named) > 3 and named == sorted(named)


def test_what_autocast_converts_is_not_converted_by_the_adapters_too_and_learns_the_same(
    model_and_tokenizer: Any, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = model_and_tokenizer
    monkeypatch.setattr("chronofacts.editing.training.gains_by_bfloat16", lambda model: True)

    def learn() -> dict[str, torch.Tensor]:
        edited = Lora().edit(model, tokenizer, material(snapshot), SHORT)
        weights = {name: value.clone() for name, value in edited.model.named_parameters() if "lora_" in name}
        assert all(part.cast_input_dtype_enabled for part in edited.model.modules() if isinstance(part, BaseTunerLayer))
        edited.undo()
        return weights

    once = learn()
    monkeypatch.setattr(lora, "disable_input_dtype_casting", lambda model, active: nullcontext())
    twice = learn()
    assert once.keys() == twice.keys() and all(torch.equal(once[name], twice[name]) for name in once)
