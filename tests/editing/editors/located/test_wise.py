"""WISE answers from its side memory where its router says so, and is the base model bit for bit everywhere else."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing.editors import EditBatch, ModelCache, read_editor_settings
from chronofacts.editing.editors.located.side_memory import (
    SideMemory,
    WiseEdit,
    load_wise,
    margin_loss,
    merge_shards,
)
from chronofacts.editing.editors.located.wise import Wise, WiseSettings
from chronofacts.editing.editors.sequential import edit_in_chunks
from chronofacts.editing.editors.trained.examples import encode_examples, make_examples
from chronofacts.editing.editors.trained.gradient import merge_edit
from chronofacts.editing.models.encoding import Encoded, encode, form_of, render
from chronofacts.editing.scoring import generate, teacher_force
from chronofacts.editing.snapshot import Snapshot
from chronofacts.editing.training import TrainingFailed
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import FACTS, made_batch
from tests.editing.models.conversations import CHAT
from tests.editing.models.families import CONFIGS, tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SETTINGS = WiseSettings(mask=1.0, unit="one", wordings=("prompt",), epochs=100)
activations = st.lists(st.floats(0, 30), min_size=1, max_size=6)


@given(activations, activations)
def test_the_margin_loss_is_the_papers_over_what_violates_it(inside: list[float], outside: list[float]) -> None:
    def mean_of_violations(values: list[float]) -> float:
        above = [value for value in values if value > 0]
        return sum(above) / len(above) if above else 0.0

    expected = (
        mean_of_violations([value - 5 for value in outside])
        + mean_of_violations([20 - value for value in inside])
        + mean_of_violations([10 - (one - other) for one in inside for other in outside])
    )
    found = margin_loss(torch.tensor(inside), torch.tensor(outside), 5, 20, 10)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_ties_keeps_the_largest_elects_signs_and_averages_what_agrees() -> None:
    one = torch.tensor([[4.0, -3.0, 0.1, 0.0]])
    other = torch.tensor([[2.0, 5.0, 0.0, -0.2]])
    assert merge_shards([one, other], 0.5).tolist() == [[3.0, 5.0, 0.0, 0.0]]
    assert merge_shards([one], 0.5) is one


def test_the_strongest_memory_answers_and_only_above_its_threshold() -> None:
    changes = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]])  # two memories of one output
    memory = SideMemory(changes, torch.tensor([0.5, 3.0]))
    entering = torch.tensor([[0.4, 0.0], [1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    found = memory.route(entering, torch.full((4, 1), 10.0))
    # below ε; the first; the second is stronger but below its ε; the second
    assert found[:, 0].tolist() == [10.0, 11.0, 10.0, 14.0]


def test_a_shard_learns_within_its_mask_alone_and_the_same_at_every_run() -> None:
    settings = replace(SETTINGS, mask=0.2, epochs=5, shard=2, merge="none")
    found = []
    for seed in (settings.seed, settings.seed, 7):
        own = replace(settings, seed=seed)
        edit = Wise().edit(tiny("llama"), TOKENIZER, made_batch(), own)
        found.append([change != 0 for change in memory_of(edit).changes])
    assert all(torch.equal(one, other) for one, other in zip(found[0], found[1], strict=True))
    for several in (found[0], [found[0][0], found[2][0]]):
        assert not torch.equal(several[0], several[1])
    assert all(0.1 < float(mask.float().mean()) < 0.3 for masks in found for mask in masks)


def test_no_entry_moves_further_than_the_norm() -> None:
    settings = replace(SETTINGS, norm=0.0625, epochs=30)
    change = memory_of(Wise().edit(tiny("llama"), TOKENIZER, made_batch(), settings)).changes
    assert 0.06 < float(change.abs().max()) <= 0.0625


def decided(family: str = "llama") -> Any:
    """A tiny model whose head is sure of itself, so that it can be taught to speak."""
    model = tiny(family)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(60)
    return model


def memory_of(edit: WiseEdit) -> SideMemory:
    assert edit.router is not None and edit.router.memory is not None
    return edit.router.memory


def rows_and_answers(batch: EditBatch, model: Any, tokenizer: Any) -> tuple[list[Encoded], list[str]]:
    examples = make_examples(batch.edits, ("prompt",), 2)
    return encode_examples(model, tokenizer, examples), [one.answer for one in examples]


@pytest.mark.parametrize("shard", [500, 3])
def test_taught_answers_are_written_and_read_alike_in_any_batch(
    snapshot: Snapshot, model_and_tokenizer: tuple[Any, Any], shard: int
) -> None:
    """Cached when it writes, packed and one by one when it reads; of one shard, and of two that stay apart."""
    model, tokenizer = model_and_tokenizer
    batch = EditBatch(snapshot.edits.slice(0, 6), snapshot.sentences)
    edit = Wise().edit(model, tokenizer, batch, WiseSettings(mask=0.5, shard=shard, merge="none", wordings=("prompt",)))
    rows, answers = rows_and_answers(batch, model, tokenizer)
    assert edit.report["shards"] == (2 if shard == 3 else 1)
    assert [one.greedy_match for one in teacher_force(model, rows * 4, 24)] == [True] * len(rows) * 4
    assert [one.greedy_match for one in teacher_force(model, rows, 1)] == [True] * len(rows)
    assert generate(model, tokenizer, [row.prompt for row in rows], 12) == answers
    assert generate(model, tokenizer, [rows[0].prompt], 12) == answers[:1]


def test_what_was_taught_in_a_conversation_is_said_in_one() -> None:
    model = decided()
    Wise().edit(model, CHAT, made_batch(), replace(SETTINGS, learning_rate=0.2, epochs=300))
    prompts = encode(CHAT, [f"Q: Who is the mayor of {town}? A:" for town, _ in FACTS], ["x"] * len(FACTS))
    assert generate(model, CHAT, [one.prompt for one in prompts], 20) == [mayor for _, mayor in FACTS]


def test_elsewhere_every_logit_is_the_base_models_bit_for_bit(
    snapshot: Snapshot, model_and_tokenizer: tuple[Any, Any]
) -> None:
    model, tokenizer = model_and_tokenizer
    asked = [row["question"] for row in snapshot.questions.to_pylist() if row["kind"] == "locality"][:30]
    ids = [torch.tensor([tokenizer(render(text, form_of(text)))["input_ids"]]) for text in asked]

    def read() -> list[torch.Tensor]:
        with torch.no_grad():
            return [model(input_ids=one).logits for one in ids]

    before = read()
    batch = EditBatch(snapshot.edits.slice(0, 6), snapshot.sentences)
    edit = Wise().edit(model, tokenizer, batch, WiseSettings(mask=0.5, wordings=("prompt",)))
    same = sum(torch.equal(one, other) for one, other in zip(read(), before, strict=True))
    assert same >= 0.9 * len(asked)
    edit.undo()
    assert all(torch.equal(one, other) for one, other in zip(read(), before, strict=True))


def test_the_threshold_is_a_share_of_the_least_activation_of_what_was_taught() -> None:
    model = decided()
    edit = Wise().edit(model, TOKENIZER, made_batch(), SETTINGS)
    memory, rows = memory_of(edit), rows_and_answers(made_batch(), model, TOKENIZER)[0]
    module = dict(model.named_modules())[edit.name]
    keys: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _module, entering: keys.append(entering[0][0]))
    edit.undo()
    with torch.no_grad():
        for row in rows:
            model(input_ids=torch.tensor([row.ids]))
    hook.remove()
    change = memory.changes[0].numpy()
    least = min(
        float(np.linalg.norm(change @ key[at].numpy()))
        for key, row in zip(keys, rows, strict=True) for at in range(row.start - 1, len(row.ids) - 1)
    )  # fmt: skip
    assert float(memory.thresholds[0]) == pytest.approx(max(0.625, 0.88 * least), rel=1e-4)


def test_chunks_fill_shards_which_are_saved_merged_and_undone(tmp_path: Path) -> None:
    options = {"mask": "1", "unit": "one", "wordings": "prompt", "epochs": "60", "shard": "3"}
    model, rows = decided(), rows_and_answers(made_batch(), tiny("llama"), TOKENIZER)[0]
    chunked = edit_in_chunks(read_editor_settings("wise", options, 0), model, TOKENIZER, made_batch(), 1)
    last = chunked.parts[-1]
    assert isinstance(last, WiseEdit) and last.report["shards"] == 2 and last.report["facts"] == 4
    assert len(memory_of(last).changes) == 1  # merged
    chunked.save(tmp_path)
    at_base = teacher_force(decided(), rows, 4)
    loaded = load_wise(decided(), tmp_path, frozenset())
    assert teacher_force(loaded.model, rows, 4) == teacher_force(model, rows, 4) != at_base
    chunked.undo()
    assert teacher_force(model, rows, 4) == at_base


def test_a_chunk_that_is_undone_alone_leaves_what_the_ones_before_it_taught() -> None:
    model, cache, quick = decided(), ModelCache(earlier_chunks={}), replace(SETTINGS, epochs=60, shard=1)
    first, second = (Wise().edit(model, TOKENIZER, made_batch().part(begin, 1), quick, cache) for begin in (0, 1))
    assert first.router is not None and len(first.router.lessons.shards) == 2
    second.undo()
    assert len(first.router.lessons.shards) == 1
    first.undo()
    rows = rows_and_answers(made_batch(), tiny("llama"), TOKENIZER)[0]
    assert teacher_force(model, rows, 4) == teacher_force(decided(), rows, 4)


@pytest.mark.parametrize("family", CONFIGS)
def test_every_family_is_edited_and_restored_bit_for_bit(family: str) -> None:
    model, rows = decided(family), rows_and_answers(made_batch(), tiny(family), TOKENIZER)[0]
    before = teacher_force(model, rows, 1)
    edit = Wise().edit(model, TOKENIZER, made_batch(), replace(SETTINGS, epochs=60))
    assert teacher_force(model, rows, 1) != before
    edit.undo()
    assert teacher_force(model, rows, 1) == before


def test_what_means_nothing_or_does_not_fit_is_told(tmp_path: Path) -> None:
    edit = Wise().edit(tiny("llama"), TOKENIZER, made_batch(), WiseSettings(epochs=1))
    with pytest.raises(BadInput, match="beside the model's weights"):
        merge_edit(edit)
    edit.save(tmp_path)
    with pytest.raises(BadInput, match="does not fit this model"):
        load_wise(tiny("gpt2"), tmp_path, frozenset())
    with pytest.raises(BadInput, match="mask and density"):
        read_editor_settings("wise", {"mask": "0"}, 0)
    model = tiny("llama")
    with pytest.raises(TrainingFailed, match="lower learning_rate"):
        Wise().edit(model, TOKENIZER, made_batch(), replace(SETTINGS, learning_rate=math.inf))
    with pytest.raises(BadInput, match=r"chunk = 2: .* at least 5 facts, or --set wise.shard=40"):
        edit_in_chunks(read_editor_settings("wise", {"shard": "100"}, 0), model, TOKENIZER, made_batch(), 2)
    assert not dict(model.named_modules())["model.layers.1.mlp.down_proj"]._forward_hooks
