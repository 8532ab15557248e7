"""AlphaEdit writes in the null space of other keys; it and MEMIT remember; no model gets the figures of another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing.editors import EditBatch, ModelCache, read_editor_settings
from chronofacts.editing.editors.located import key_covariance
from chronofacts.editing.editors.located.alphaedit import (
    AlphaEdit,
    AlphaEditSettings,
    choose_null_space,
    find_null_spaces,
    solve_projected,
)
from chronofacts.editing.editors.located.key_covariance import find_covariances, regularise, without_names
from chronofacts.editing.editors.located.key_value import capture, find_facts, optimise_deltas
from chronofacts.editing.editors.located.memit import MemitSettings
from chronofacts.editing.editors.sequential import edit_in_chunks
from chronofacts.editing.models.architecture import block_names, matrix_of, output_matrices
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.training import TrainingFailed
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.tables import SENTENCES
from tests.editing.editors.made_edits import FACTS, made_batch, made_edits
from tests.editing.models.families import CONFIGS, tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
QUICK = AlphaEditSettings(layers="0-1", site="subject", value_steps=4, passes=1, beta=0.5, null_space="trace",
    trace_share=0.9, value_rate=0.5,
)  # fmt: skip
QUICK_MEMIT = MemitSettings(layers="0-1", site="subject", value_steps=4, passes=1, covariance_weight=10)


def batch_beside_other_towns() -> EditBatch:
    """The edits, and sentences of which half name an edited town."""
    said = [f"Who is the {word} of {town}?" for word in ("mayor", "judge", "baker")
            for town in ("Steyr", "Krems", "Linz", "Graz")]  # fmt: skip
    rows = [
        dict.fromkeys(SENTENCES.names)
        | {"sentence_id": f"s{n}", "role": "current", "form": "question", "held_out": False, "prompt": text}
        | {"subject": "x", "answer": "Eve Zorn", "edit_ids": []}
        for n, text in enumerate(said)
    ]
    return EditBatch(made_edits(), pa.Table.from_pylist(rows, schema=SENTENCES))


def random_problem() -> tuple[np.ndarray, ...]:
    """Keys (7, 4), what is missing (5, 4), earlier keys (7, 3), and an orthonormal basis (7, 4)."""
    chance = np.random.default_rng(3)
    basis = np.linalg.qr(chance.normal(size=(7, 7)))[0][:, :4]
    return chance.normal(size=(7, 4)), chance.normal(size=(5, 4)), chance.normal(size=(7, 3)), basis


def torched(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("remembers", [True, False])
def test_the_change_is_that_of_the_papers_equation(remembers: bool) -> None:
    keys, missing, before, basis = random_problem()
    p, earlier = basis @ basis.T, before @ before.T * remembers
    expected = missing @ keys.T @ p @ np.linalg.inv((earlier + keys @ keys.T) @ p + 2.0 * np.eye(7))
    k, r, u, m = torched(keys, missing, basis, earlier)
    found = solve_projected(k, r, u, 2.0, m if remembers else None)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


def test_keys_outside_of_the_null_space_are_answered_as_before() -> None:
    keys, missing, before, basis = random_problem()
    k, r, u, m = torched(keys, missing, basis, before @ before.T)
    change = solve_projected(k, r, u, 2.0, m).numpy()
    kept = np.random.default_rng(4).normal(size=(7, 9))
    kept -= basis @ basis.T @ kept
    np.testing.assert_allclose(change @ kept, 0.0, atol=1e-10)


def test_the_change_is_the_least_that_brings_what_is_missing_and_moves_no_earlier_key() -> None:
    """The paper's objective (eq. 12) as one least-squares problem over the coordinates of the null space."""
    keys, missing, before, basis = random_problem()
    rows = np.vstack([keys.T @ basis, before.T @ basis, np.sqrt(2.0) * np.eye(4)])
    targets = np.vstack([missing.T, np.zeros((3, 5)), np.zeros((4, 5))])
    expected = np.linalg.lstsq(rows, targets, rcond=None)[0].T @ basis.T
    k, r, u, m = torched(keys, missing, basis, before @ before.T)
    np.testing.assert_allclose(solve_projected(k, r, u, 2.0, m).numpy(), expected, atol=1e-8)


def covariance_with(values: list[float]) -> torch.Tensor:
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(len(values), len(values))))[0]
    return torch.from_numpy(turn @ np.diag(values) @ turn.T)


@pytest.mark.parametrize(
    ("values", "settings", "rule", "directions"),
    [
        ([5.0, 1.0, 0.01, 0.001], AlphaEditSettings(), "threshold", 2),
        ([9.2, 0.4, 0.3, 0.1], AlphaEditSettings(trace_share=0.9), "trace", 3),  # the threshold leaves nothing
        ([9.2e-3, 4e-4, 3e-4, 1e-4], AlphaEditSettings(trace_share=0.9), "trace", 3),  # or everything
        ([5.0, 1.0, 0.01, 0.001], AlphaEditSettings(null_space="trace", trace_share=0.9), "trace", 2),
        ([9.2, 0.4, 0.3, 0.1], AlphaEditSettings(null_space="threshold"), "threshold", 0),
    ],
)
def test_the_published_threshold_gives_way_where_it_is_of_no_use(
    values: list[float], settings: AlphaEditSettings, rule: str, directions: int
) -> None:
    space = choose_null_space(covariance_with(values), settings)
    assert (space.rule, space.basis.shape[1]) == (rule, directions)


def test_without_a_beta_it_is_half_of_what_other_keys_have_in_the_null_space() -> None:
    whole = batch_beside_other_towns()
    name = output_matrices(tiny("llama"), [1])[1]
    covariance = find_covariances(tiny("llama"), TOKENIZER, [name], whole, QUICK, unnamed=True)[name]
    space = find_null_spaces(tiny("llama"), TOKENIZER, [name], whole, QUICK)[name]
    inside = float((space.basis.T @ covariance @ space.basis).trace())
    edit = AlphaEdit().edit(tiny("llama"), TOKENIZER, whole, replace(QUICK, layers="1", beta=None))
    assert edit.report["beta"] == [pytest.approx(inside / 2, abs=1e-4)]


@given(st.lists(st.floats(1e-4, 1e3), min_size=2, max_size=9), st.floats(0.05, 0.95))
def test_the_directions_left_out_carry_the_share_and_no_more_than_needed(values: list[float], share: float) -> None:
    settings = AlphaEditSettings(null_space="trace", trace_share=share)
    basis = choose_null_space(covariance_with(values), settings).basis.numpy()
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-9)
    falling = sorted(values, reverse=True)
    left_out = len(values) - basis.shape[1]
    assert sum(falling[:left_out]) >= share * sum(values) * (1 - 1e-9)
    assert sum(falling[: left_out - 1]) < share * sum(values) * (1 + 1e-9)


def walk(model: Any, batch: EditBatch, settings: Any, solve: Any, memory: dict[str, np.ndarray]) -> None:
    """Edit by our own walk over the layers. solve: matrix's name, keys, missing -> its change."""
    names, parts = output_matrices(model, [0, 1]), dict(model.named_modules())
    facts = find_facts(model, TOKENIZER, batch.edits, settings, apart=True, position="subject")
    block = parts[block_names(model)[1]]
    z = capture(model, block, facts, inputs=False) + optimise_deltas(model, block, facts, settings).double()
    for left, layer in ((2, 0), (1, 1)):
        module = parts[names[layer]]
        keys = capture(model, module, facts, inputs=True).T.numpy()
        missing = ((z - capture(model, block, facts, inputs=False)).T / left).numpy()
        with torch.no_grad():
            matrix_of(module).add_(torch.from_numpy(solve(names[layer], keys, missing)).float())
    for name in names.values():
        keys = capture(model, parts[name], facts, inputs=True).T.numpy()
        memory[name] = memory[name] + keys @ keys.T


def matrices(model: Any) -> list[torch.Tensor]:
    parts = dict(model.named_modules())
    return [matrix_of(parts[name]).clone() for name in output_matrices(model, [0, 1]).values()]


def test_chunks_are_written_as_the_equations_say_with_the_keys_of_the_chunks_before() -> None:
    model, reference, whole = tiny("llama"), tiny("llama"), batch_beside_other_towns()
    edit_in_chunks(read_editor_settings("alphaedit", options_of(QUICK), 0), model, TOKENIZER, whole, 2)
    spaces = find_null_spaces(reference, TOKENIZER, list(output_matrices(reference, [0, 1]).values()), whole, QUICK)
    memory = {name: np.zeros((len(space.basis),) * 2) for name, space in spaces.items()}

    def solve(name: str, keys: np.ndarray, missing: np.ndarray) -> np.ndarray:
        p = (spaces[name].basis @ spaces[name].basis.T).numpy()
        system = (memory[name] + keys @ keys.T) @ p + QUICK.beta * np.eye(len(p))
        return missing @ keys.T @ p @ np.linalg.inv(system)

    for begin in (0, 2):
        walk(reference, whole.part(begin, 2), QUICK, solve, memory)
    for one, other in zip(matrices(model), matrices(reference), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("remembers", [True, False])
def test_memit_adds_the_keys_of_the_chunks_before_to_the_covariance_where_it_is_to_remember(remembers: bool) -> None:
    model, reference, whole = tiny("llama"), tiny("llama"), batch_beside_other_towns()
    settings = replace(QUICK_MEMIT, memory=remembers)
    edit_in_chunks(read_editor_settings("memit", options_of(settings), 0), model, TOKENIZER, whole, 2)
    names = list(output_matrices(reference, [0, 1]).values())
    counted = find_covariances(reference, TOKENIZER, names, whole, settings)
    memory = {name: np.zeros(tuple(c.shape)) for name, c in counted.items()}

    def solve(name: str, keys: np.ndarray, missing: np.ndarray) -> np.ndarray:
        weighted = 10 * regularise(counted[name], 1e-6).numpy() + memory[name] * remembers
        return missing @ keys.T @ np.linalg.inv(weighted + keys @ keys.T)

    for begin in (0, 2):
        walk(reference, whole.part(begin, 2), settings, solve, memory)
    for one, other in zip(matrices(model), matrices(reference), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def options_of(settings: Any) -> dict[str, str]:
    """The settings as `--set` words, without those that have a text of their own."""
    return {name: str(value) for name, value in vars(settings).items()
            if value is not None and not isinstance(value, tuple)}  # fmt: skip


def test_a_single_edit_knows_nothing_of_the_one_before_it() -> None:
    model, cache = tiny("llama"), ModelCache(covariances={})
    first = AlphaEdit().edit(model, TOKENIZER, batch_beside_other_towns().part(0, 1), QUICK, cache)
    alone = matrices(first.model)
    first.undo()
    AlphaEdit().edit(model, TOKENIZER, batch_beside_other_towns().part(1, 1), QUICK, cache).undo()
    again = AlphaEdit().edit(model, TOKENIZER, batch_beside_other_towns().part(0, 1), QUICK, cache)
    assert all(torch.equal(one, other) for one, other in zip(matrices(again.model), alone, strict=True))


def test_texts_that_name_an_edited_subject_count_no_keys() -> None:
    texts = ["Who is the mayor of Linz?", "Linzer cake", "the old linz", "New York is large", "York is old"]
    assert without_names(texts, ["Linz", "New York"]) == ["Linzer cake", "the old linz", "York is old"]
    whole = batch_beside_other_towns()
    texts = key_covariance.read_texts(whole.sentences, None, 99, [town for town, _ in FACTS])
    assert len(texts) == 6 and not any("Linz" in text or "Graz" in text for text in texts)
    assert len(key_covariance.read_texts(made_batch().sentences, None, 99, [town for town, _ in FACTS])) == 12


def test_two_models_of_equal_shape_have_their_own_covariances_and_null_spaces(tmp_path: Any) -> None:
    one, other, shared = tiny("llama"), tiny("llama", seed=1), dict[str, Any]()
    whole, settings = batch_beside_other_towns(), replace(QUICK, statistics_cache=str(tmp_path))
    name = output_matrices(one)[1]
    for model in (one, other, one):
        for cache in (ModelCache(covariances=shared), ModelCache(covariances={})):
            space = find_null_spaces(model, TOKENIZER, [name], whole, settings, cache)[name].basis
            alone = find_null_spaces(model, TOKENIZER, [name], whole, QUICK)[name].basis
            assert torch.allclose(space @ space.T, alone @ alone.T, atol=1e-8)
    assert len([key for key in shared if key.startswith("null space")]) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_keys_are_counted_once_for_all_chunks_and_on_the_base_model(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []
    plain = key_covariance.compute_covariances

    def counting(model: Any, *given: Any) -> Any:
        counted.append(model_hash(model))
        return plain(model, *given)

    monkeypatch.setattr(key_covariance, "compute_covariances", counting)
    model = tiny("llama")
    for editor in ("alphaedit", "memit"):
        chosen = read_editor_settings(editor, {"value_steps": "2", "passes": "1"}, 0)
        edit_in_chunks(chosen, model, TOKENIZER, batch_beside_other_towns(), 1).undo()
    assert counted == [model_hash(tiny("llama"))] * 2


@pytest.mark.parametrize("family", CONFIGS)
def test_every_family_is_edited_and_restored_bit_for_bit(family: str) -> None:
    model = tiny(family)
    before = model_hash(model)
    edit = AlphaEdit().edit(model, TOKENIZER, batch_beside_other_towns().part(0, 1), QUICK)
    assert model_hash(model) != before
    assert model_hash(edit.undo()) == before


def test_what_cannot_be_solved_or_means_nothing_is_told() -> None:
    model, whole = tiny("llama"), batch_beside_other_towns()
    before = model_hash(model)
    with pytest.raises(BadInput, match="null_space=auto"):
        AlphaEdit().edit(model, TOKENIZER, whole, replace(QUICK, null_space="threshold", threshold=1e-30))
    with pytest.raises(TrainingFailed, match="value_rate"):
        AlphaEdit().edit(model, TOKENIZER, whole, replace(QUICK, decay=float("nan")))
    with pytest.raises(BadInput, match="trace_share between 0 and 1"):
        read_editor_settings("alphaedit", {"trace_share": "1"}, 0)
    assert model_hash(model) == before
