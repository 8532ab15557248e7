"""ROME and MEMIT do to the weights what their equations say, checked against computations of our own in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from chronofacts.editing.editors.located import key_value, rome
from chronofacts.editing.editors.located.key_covariance import compute_covariances, read_texts, regularise
from chronofacts.editing.editors.located.key_value import LocatedSettings, capture, find_facts, optimise_deltas
from chronofacts.editing.editors.located.memit import Memit, MemitSettings, solve_update
from chronofacts.editing.editors.located.rome import Rome, RomeSettings, rank_one_update
from chronofacts.editing.models.architecture import block_names, matrix_of, output_matrices
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.hooks import hooked
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.models.subject_tokens import subject_end
from chronofacts.editing.scoring import teacher_force
from chronofacts.editing.training import TrainingFailed
from tests.editing.editors.made_edits import made_batch, made_edits
from tests.editing.models.conversations import tuned
from tests.editing.models.families import CONFIGS, tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
QUICK_ROME = RomeSettings(
    layer=1, site="subject", value_steps=4, passes=1, facts_at_once=1, clamp=2.0, memory=0.0, ridge=1e-5
)
QUICK_MEMIT = MemitSettings(
    layers="0-1", site="subject", wordings=("prompt",), value_steps=4, covariance_weight=10, passes=1
)


def random_problem(out: int = 5, width: int = 7, facts: int = 4) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    samples = draw(50, width)
    return draw(out, width), draw(width, facts), draw(out, facts), samples.T @ samples / 50


def add_vector(vector: torch.Tensor, position: int) -> Any:
    """A hook that adds the vector to a module's output at one position."""

    def add(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        moved = output.clone()
        moved[:, position] += vector
        return moved

    return add


def test_a_rank_one_update_maps_the_key_to_the_value_exactly() -> None:
    matrix, keys, values, covariance = random_problem()
    changed = matrix + rank_one_update(matrix, keys[:, 0], values[:, 0], covariance)
    assert torch.allclose(changed @ keys[:, 0], values[:, 0], atol=1e-12)
    assert torch.linalg.matrix_rank(changed - matrix) == 1


def test_other_keys_move_as_their_likeness_in_the_covariance_norm_says() -> None:
    matrix, keys, values, covariance = random_problem()
    update = rank_one_update(matrix, keys[:, 0], values[:, 0], covariance).numpy()
    inverse, key, other = np.linalg.inv(covariance.numpy()), keys[:, 0].numpy(), keys[:, 1].numpy()
    share = (other @ inverse @ key) / (key @ inverse @ key)
    np.testing.assert_allclose(update @ other, share * (values[:, 0].numpy() - matrix.numpy() @ key), atol=1e-10)


def test_a_rank_one_update_is_the_least_change_in_the_covariance_norm() -> None:
    """Solved as a constrained problem by its Lagrange (KKT) system, which shares no code with the closed form."""
    matrix, keys, values, covariance = random_problem()
    update = rank_one_update(matrix, keys[:, 0], values[:, 0], covariance).numpy()
    width, key = len(covariance), keys[:, 0].numpy()
    system = np.block([[2 * covariance.numpy(), key[:, None]], [key[None, :], np.zeros((1, 1))]])
    for row in range(len(matrix)):
        wanted = values[row, 0].item() - matrix[row].numpy() @ key
        solved = np.linalg.solve(system, np.append(np.zeros(width), wanted))
        np.testing.assert_allclose(update[row], solved[:width], atol=1e-10)


def test_memits_update_fulfils_the_normal_equations() -> None:
    _, keys, missing, covariance = random_problem()
    update = solve_update(keys, missing, 3.0 * covariance).numpy()
    k, r, c = keys.numpy(), missing.numpy(), 3.0 * covariance.numpy()
    np.testing.assert_allclose(update @ (c + k @ k.T), r @ k.T, atol=1e-10)
    stacked = np.vstack([k.T, np.linalg.cholesky(c).T])  # the same as ridge least squares
    targets = np.vstack([r.T, np.zeros((len(c), len(r)))])
    np.testing.assert_allclose(update.T, np.linalg.lstsq(stacked, targets, rcond=None)[0], atol=1e-8)


def test_the_covariance_is_the_mean_outer_product_over_all_tokens(tmp_path: Any) -> None:
    model, material = tiny("llama"), made_batch()
    name = output_matrices(model)[1]
    texts = read_texts(material.sentences, None, 5)
    counted = compute_covariances(model, TOKENIZER, [name], texts, tmp_path)[name]
    keys: list[torch.Tensor] = []
    hook = dict(model.named_modules())[name].register_forward_pre_hook(lambda _m, x: keys.append(x[0][0].double()))
    with torch.no_grad():
        for text in texts:
            model(input_ids=torch.tensor([TOKENIZER(text)["input_ids"]]))
    hook.remove()
    every = torch.cat(keys)
    assert torch.allclose(counted, every.T @ every / len(every), atol=1e-6)


def test_behind_a_chat_template_half_of_the_covariance_is_counted_over_users_turns() -> None:
    model, plain = tiny("llama"), tuned()
    chat, name, texts = ChatTokenizer(plain), output_matrices(model)[1], ["Linz is a town.", "Q: Who runs Graz? A: Bo"]
    expected = torch.zeros_like(compute_covariances(model, plain, [name], texts)[name])
    turns = [one.ids[: one.start] for one in encode(chat, texts, ["x", "x"])]
    for form in (plain(texts)["input_ids"], turns):
        keys: list[torch.Tensor] = []
        with hooked(before=[(dict(model.named_modules())[name], lambda _m, x, k=keys: k.append(x[0][0].double()))]):
            for ids in form:
                model(input_ids=torch.tensor([ids]))
        every = torch.cat(keys).detach()
        expected += every.T @ every / len(every) / 2

    assert torch.allclose(compute_covariances(model, chat, [name], texts)[name], expected, atol=1e-6)


def test_a_fact_that_rome_wrote_keeps_its_value_when_others_are_written_after_it() -> None:
    """With memory; without, each later fact moves what the matrix gives at the keys before it."""
    moved = {}
    for memory in (0.0, 1.0):
        model, material = tiny("llama"), made_batch()
        settings = replace(QUICK_ROME, memory=memory)
        module = dict(model.named_modules())[output_matrices(model)[1]]
        first, *_ = find_facts(model, TOKENIZER, material.edits, settings, apart=False, position="subject")
        Rome().edit(model, TOKENIZER, replace(material, edits=material.edits.slice(0, 1), facts={}), settings)
        alone = capture(model, module, [first], inputs=False)
        model = tiny("llama")
        module = dict(model.named_modules())[output_matrices(model)[1]]
        before = capture(model, module, [first], inputs=False)
        Rome().edit(model, TOKENIZER, material, settings)
        among = capture(model, module, [first], inputs=False)
        moved[memory] = float((among - alone).norm() / (alone - before).norm())

    assert moved[1.0] < 0.1 * moved[0.0]


def test_a_pass_of_rome_after_which_no_fact_more_is_said_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model says one fact after the first pass, and still one after the second: that leaves no trace."""
    changed = {}
    for passes in (1, 3):
        said = iter([[True, False, False, False], [False, True, False, False]])
        monkeypatch.setattr(rome, "are_said", lambda _model, _facts, said=said: next(said))
        model, material, settings = tiny("llama"), made_batch(), replace(QUICK_ROME, passes=passes)
        edited = Rome().edit(model, TOKENIZER, material, settings)
        changed[passes] = matrix_of(dict(model.named_modules())[output_matrices(model)[1]]).clone()
        assert edited.report["overwritten"] == 3
    assert torch.equal(changed[1], changed[3])


def test_a_kept_covariance_is_read_back_and_another_models_is_not(tmp_path: Any) -> None:
    texts = read_texts(made_batch().sentences, None, 5)
    model, other = tiny("llama"), tiny("llama", seed=1)
    name, lines = output_matrices(model)[1], []
    first = compute_covariances(model, TOKENIZER, [name], texts, tmp_path, lines.append)[name]
    again = compute_covariances(model, TOKENIZER, [name], texts, tmp_path, lines.append)[name]
    assert torch.equal(first, again) and len(lines) == 1
    assert not torch.equal(compute_covariances(other, TOKENIZER, [name], texts, tmp_path, lines.append)[name], first)
    assert len(lines) == 2


@pytest.mark.parametrize("family", ["gpt2", "llama", "gptj"])
def test_after_rome_the_matrix_gives_the_value_at_the_key(family: str) -> None:
    """One edit: the matrix's output at the subject moves by just the optimised vector, Conv1D or not, bias or not."""
    model, material = tiny(family), made_batch([("Linz", "Ada Moor")])
    name = output_matrices(model)[1]
    module = dict(model.named_modules())[name]
    facts = find_facts(model, TOKENIZER, material.edits, QUICK_ROME, apart=False, position="subject")
    before = capture(model, module, facts, inputs=False)
    delta = optimise_deltas(model, module, facts, QUICK_ROME).double()
    Rome().edit(model, TOKENIZER, material, QUICK_ROME)
    after = capture(model, module, facts, inputs=False)
    assert torch.allclose(after, before + delta, atol=1e-4 * float(delta.abs().max()))
    assert float(delta.norm()) > 0


def test_memit_changes_the_matrices_as_its_equations_say_layer_after_layer() -> None:
    """Our own walk over the layers, with numpy's solver, gives the same matrices."""
    model, reference, material = tiny("llama"), tiny("llama"), made_batch()
    names = output_matrices(model, [0, 1])
    Memit().edit(model, TOKENIZER, material, QUICK_MEMIT)
    parts = dict(reference.named_modules())
    facts = find_facts(reference, TOKENIZER, material.edits, QUICK_MEMIT, apart=True, position="subject")
    texts = read_texts(material.sentences, None, 4000)
    c = compute_covariances(reference, TOKENIZER, list(names.values()), texts)
    block = parts[block_names(reference)[1]]
    z = capture(reference, block, facts, inputs=False) + optimise_deltas(reference, block, facts, QUICK_MEMIT).double()
    for left, layer in ((2, 0), (1, 1)):
        keys = capture(reference, parts[names[layer]], facts, inputs=True).T.numpy()
        missing = ((z - capture(reference, block, facts, inputs=False)).T / left).numpy()
        weighted = 10 * regularise(c[names[layer]], 1e-6).numpy()
        update = missing @ keys.T @ np.linalg.inv(weighted + keys @ keys.T)
        with torch.no_grad():
            matrix_of(parts[names[layer]]).add_(torch.from_numpy(update).float())
        edited = matrix_of(dict(model.named_modules())[names[layer]])
        assert torch.allclose(edited, matrix_of(parts[names[layer]]), atol=1e-5)


def test_values_found_together_are_those_found_one_by_one() -> None:
    model = tiny("llama")
    module = dict(model.named_modules())[output_matrices(model)[0]]
    settings = LocatedSettings(wordings=("prompt", "cloze"), value_steps=5, value_rate=0.1, decay=0.1, clamp=3.0)
    facts = find_facts(model, TOKENIZER, made_edits(), settings, apart=False, position="subject")
    together = optimise_deltas(model, module, facts, settings, enough=0.0)
    alone = torch.cat([optimise_deltas(model, module, [fact], settings, enough=0.0) for fact in facts])
    assert torch.allclose(together, alone, atol=1e-4)
    assert float((together[0] - together[1]).abs().max()) > 1e-3


def test_one_gradient_of_the_kl_term_serves_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured at each second step, it is that of the step before at the others, as in steps of our own."""
    monkeypatch.setattr(key_value, "gains_by_bfloat16", lambda model: False)  # nor are those
    model = tiny("llama")
    module = dict(model.named_modules())[output_matrices(model)[0]]
    settings = LocatedSettings(value_steps=4, value_rate=0.1, kl_factor=5.0, kl_every=2, clamp=1e4)
    facts = find_facts(model, TOKENIZER, made_edits(), settings, apart=False, position="subject")[:1]
    delta = torch.zeros((1, model.config.hidden_size), requires_grad=True)
    optimizer, held = torch.optim.Adam([delta], lr=0.1), torch.zeros_like(delta)
    objective = key_value._Objective.build(model, module, facts)
    for step in range(4):
        (gradient,) = torch.autograd.grad(objective.nll(delta, torch.tensor([0])).sum(), delta)
        if step % 2 == 0:
            (held,) = torch.autograd.grad(5.0 * objective.kl(delta, torch.tensor([0])).sum(), delta)
        delta.grad = gradient + held
        optimizer.step()
    assert torch.allclose(optimise_deltas(model, module, facts, settings, enough=0.0), delta, atol=1e-5)
    every = optimise_deltas(model, module, facts, replace(settings, kl_every=1), enough=0.0)
    assert not torch.allclose(every, delta, atol=1e-3)


def test_a_value_makes_the_answer_likelier_and_stays_within_its_clamp() -> None:
    model = tiny("llama")
    module = dict(model.named_modules())[output_matrices(model)[0]]
    settings = LocatedSettings(value_steps=20, kl_factor=0.0, clamp=1.5)
    facts = find_facts(model, TOKENIZER, made_edits(), settings, apart=False, position="subject")
    narrow = optimise_deltas(model, module, facts, settings)
    wide = optimise_deltas(model, module, facts, replace(settings, clamp=1e4))
    original = capture(model, module, facts, inputs=False).norm(dim=1)
    assert bool((narrow.norm(dim=1) <= 1.5 * original * 1.001).all())
    for fact, one, other in zip(facts, narrow, wide, strict=True):
        losses = [teacher_force(model, fact.contexts, 1)[0].nll]
        for vector in (one, other):
            with hooked([(module, add_vector(vector, fact.lookups[0]))]):
                losses.append(teacher_force(model, fact.contexts, 1)[0].nll)
        assert losses[2] < losses[1] - 1e-5 < losses[0] - 2e-5  # float order makes 1e-6


def test_facts_with_one_key_share_one_value() -> None:
    model = tiny("llama")
    same = made_edits([("Linz", "Ada Moor"), ("Linz", "Bob Tann")])
    facts = find_facts(model, TOKENIZER, same, LocatedSettings(), apart=True, position="subject")
    assert [len(fact.contexts) for fact in facts] == [2]
    both = LocatedSettings(wordings=("prompt", "cloze"))
    apart = find_facts(model, TOKENIZER, made_edits(), both, apart=True, position="subject")
    assert len(apart) == 8


def test_the_subjects_last_token_is_found_by_its_place_in_the_text() -> None:
    prompt = "Q: Who is the mayor of Linz? A:"
    (one,) = encode(TOKENIZER, [prompt], ["Ada Moor"])
    end, named = subject_end(TOKENIZER, prompt, one, ["Linz"])
    assert named and TOKENIZER.decode(one.ids[: end + 1]).endswith("mayor of Linz")
    assert subject_end(TOKENIZER, prompt, one, ["Graz"]) == (one.start - 1, False)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("editor", ["rome", "memit"])
def test_every_family_is_edited_and_restored_bit_for_bit(family: str, editor: str) -> None:
    model = tiny(family)
    before, material = model_hash(model), made_batch([("Linz", "Ada Moor")])
    edit = Rome().edit(model, TOKENIZER, material, QUICK_ROME) if editor == "rome" else None
    edit = edit or Memit().edit(model, TOKENIZER, material, QUICK_MEMIT)
    assert model_hash(model) != before
    assert model_hash(edit.undo()) == before


def test_a_value_that_is_no_number_stops_and_restores() -> None:
    model, material = tiny("llama"), made_batch()
    before = model_hash(model)
    with pytest.raises(TrainingFailed, match="value_rate"):
        Rome().edit(model, TOKENIZER, material, RomeSettings(layer=1, decay=float("nan"), value_steps=3))
    with pytest.raises(TrainingFailed, match="value_rate"):
        Memit().edit(model, TOKENIZER, material, MemitSettings(layers="1", decay=float("nan"), value_steps=3))
    assert model_hash(model) == before
