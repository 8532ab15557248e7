"""GRACE's codebook follows the paper's rules, answers only within its radii, and forgets entry by entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing.editors import EditBatch, ModelCache, read_editor_settings
from chronofacts.editing.editors.located.grace import Codebook, Grace, GraceEdit, GraceSettings, load_grace
from chronofacts.editing.editors.sequential import edit_in_chunks
from chronofacts.editing.editors.trained.examples import encode_examples, make_examples
from chronofacts.editing.editors.trained.gradient import merge_edit
from chronofacts.editing.models.encoding import Encoded, encode
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.scoring import generate, teacher_force
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import FACTS, made_batch
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SETTINGS = GraceSettings(layer=0, radius=1e-3, value_steps=60, clamp=20.0)
CPU = torch.device("cpu")
places = st.lists(st.tuples(st.integers(-6, 6), st.integers(-6, 6), st.sampled_from("ab")), min_size=1, max_size=12)


def edited(model: Any) -> GraceEdit:
    return Grace().edit(model, TOKENIZER, made_batch(), SETTINGS)


def prompts_and_answers() -> Any:
    prompts = [f"Q: Who is the mayor of {town}? A:" for town, _ in FACTS]
    return encode(TOKENIZER, prompts, [mayor for _, mayor in FACTS])


def built(*added: tuple[float, str]) -> Codebook:
    """A codebook of one-dimensional keys, each with a first radius of 1."""
    codebook = Codebook.empty(1, 1, CPU)
    for place, answer in added:
        codebook, _ = codebook.add(torch.tensor([place]), 1.0, answer)
    return codebook


def test_a_key_far_from_all_others_becomes_an_entry_of_the_first_radius() -> None:
    codebook = built((0.0, "a"), (5.0, "b"))
    assert codebook.radii.tolist() == [1.0, 1.0]
    assert codebook.answers == ("a", "b")


def test_a_near_key_of_the_same_answer_widens_the_entry() -> None:
    codebook = built((0.0, "a"), (1.5, "a"))
    assert codebook.radii.tolist() == [1.5]
    assert built((0.0, "a"), (0.5, "a")).radii.tolist() == [1.0]


def test_a_near_key_of_another_answer_halves_the_way_between_them() -> None:
    codebook = built((0.0, "a"), (1.0, "b"))
    assert codebook.radii.tolist() == [0.5, 0.5]
    assert codebook.answers == ("a", "b")


@given(places)
def test_the_last_key_is_always_answered_as_it_was_told(added: list[tuple[int, int, str]]) -> None:
    codebook = Codebook.empty(2, 1, CPU)
    for east, north, answer in added:
        key = torch.tensor([float(east), float(north)])
        codebook, _ = codebook.add(key, 1.0, answer)
        number, distance = codebook.nearest(key)
        inside = [n for n, other in enumerate(codebook.keys) if torch.dist(other, key) <= codebook.radii[n] + 1e-6]
        assert distance <= codebook.radii[number] + 1e-6
        assert answer in {codebook.answers[n] for n in inside}


def test_only_what_lies_within_a_radius_is_replaced() -> None:
    codebook = built((0.0, "a"), (5.0, "b"))
    codebook = Codebook(codebook.keys, torch.tensor([[7.0], [8.0]]), codebook.radii, codebook.answers)
    entering, leaving = torch.tensor([[[-1.0], [2.0], [5.5]]]), torch.zeros(1, 3, 1)
    assert codebook.replace_in(entering, leaving).flatten().tolist() == [7.0, 0.0, 8.0]


def taught(snapshot: Snapshot, model: Any, tokenizer: Any) -> tuple[GraceEdit, list[Encoded], list[str]]:
    """Six facts in a model that can speak, their texts and their answers."""
    batch = EditBatch(snapshot.edits.slice(0, 6), snapshot.sentences)
    edit = Grace().edit(model, tokenizer, batch, GraceSettings(radius=0.01, value_steps=80))
    examples = make_examples(batch.edits, ("prompt",), 2)
    return edit, encode_examples(model, tokenizer, examples), [one.answer for one in examples]


def test_taught_answers_are_written_and_read_alike_in_any_batch(
    snapshot: Snapshot, model_and_tokenizer: tuple[Any, Any]
) -> None:
    model, tokenizer = model_and_tokenizer
    _, rows, answers = taught(snapshot, model, tokenizer)
    assert [one.greedy_match for one in teacher_force(model, rows, 8)] == [True] * len(rows)
    assert [one.greedy_match for one in teacher_force(model, rows, 1)] == [True] * len(rows)
    assert generate(model, tokenizer, [row.prompt for row in rows], 12) == answers


def test_elsewhere_every_logit_is_the_base_models_bit_for_bit() -> None:
    model = tiny("llama")
    ids = torch.tensor([TOKENIZER("Q: Who is the baker of Graz? A:", return_token_type_ids=False)["input_ids"]])
    with torch.no_grad():
        before = model(input_ids=ids).logits
    edit = edited(model)
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, before)
    assert model_hash(edit.undo()) == model_hash(tiny("llama"))


def test_one_fact_is_forgotten_alone(snapshot: Snapshot, model_and_tokenizer: tuple[Any, Any]) -> None:
    model, tokenizer = model_and_tokenizer
    edit, rows, answers = taught(snapshot, model, tokenizer)
    assert [entry["answer"] for entry in edit.entries()] == answers
    edit.delete(1)
    said = [one.greedy_match for one in teacher_force(model, rows, 8)]
    assert said == [True, False, True, True, True, True]
    with pytest.raises(BadInput, match="no entry 9; it has 5"):
        edit.delete(9)


def test_chunks_fill_one_codebook_which_is_saved_whole_and_undone(tmp_path: Path) -> None:
    model, chosen = (
        tiny("llama"),
        read_editor_settings("grace", {"layer": "0", "radius": "0.001", "value_steps": "60"}, 0),
    )
    chunked = edit_in_chunks(chosen, model, TOKENIZER, made_batch(), 1)
    chunked.save(tmp_path)
    loaded = load_grace(tiny("llama"), tmp_path, frozenset())
    assert [entry["answer"] for entry in loaded.entries()] == [mayor for _, mayor in FACTS]
    rows = prompts_and_answers()
    at_base = teacher_force(tiny("llama"), rows, 4)
    assert teacher_force(loaded.model, rows, 4) == teacher_force(model, rows, 4) != at_base
    assert teacher_force(chunked.undo(), rows, 4) == at_base


def test_an_edit_of_its_own_remembers_nothing_of_another() -> None:
    model = tiny("llama")
    edited(model).undo()
    alone = Grace().edit(model, TOKENIZER, made_batch().part(0, 1), SETTINGS, ModelCache())
    assert len(alone.entries()) == 1


def test_a_codebook_cannot_be_merged_into_weights() -> None:
    with pytest.raises(BadInput, match="beside the model's weights"):
        merge_edit(edited(tiny("llama")))


def test_a_codebook_of_another_model_is_refused(tmp_path: Path) -> None:
    edited(tiny("llama")).save(tmp_path)
    with pytest.raises(BadInput, match="does not fit this model"):
        load_grace(tiny("gpt2"), tmp_path, frozenset())
