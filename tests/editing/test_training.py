"""The training loop: shortcuts that change no weight, what is kept of frozen layers, determinism, memory, processes."""

from __future__ import annotations

import math
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from chronofacts.editing import training
from chronofacts.editing.forward import partial
from chronofacts.editing.forward.block_range import lowest_trained
from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache
from chronofacts.editing.forward.packing import pack_in_rows
from chronofacts.editing.forward.partial import open_partial_forward
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.training import TrainingFailed, TrainingReport, TrainingSettings, train
from chronofacts.schemas.errors import BadInput
from tests.editing.models.families import CONFIGS, tiny
from tests.editing.training_examples import EXAMPLES, SETTINGS, adapted, run, trained

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("family", list(CONFIGS))
@pytest.mark.parametrize("layers", [None, range(2, 3)], ids=["all", "top"])
def test_computing_only_what_the_loss_needs_trains_the_same_weights(family: str, layers: range | None) -> None:
    whole, expected = run(adapted(family, layers), shortcuts=False)
    short, weights = run(adapted(family, layers))
    assert short.tokens < whole.tokens
    assert short.kept_layers == (2 if layers else 0)
    assert weights == pytest.approx(expected, abs=2e-5)
    assert not torch.equal(weights, trained(adapted(family, layers)))


@pytest.mark.parametrize("family", list(CONFIGS))
@pytest.mark.parametrize("layers", [None, range(2, 3)], ids=["all", "top"])
def test_in_bfloat16_what_is_left_out_adds_no_error_of_its_own(
    family: str, layers: range | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chronofacts.editing.training.gains_by_bfloat16", lambda model: True)

    def gradients(**changed: Any) -> torch.Tensor:
        model = adapted(family, layers)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(1))
        settings = TrainingSettings(**{**vars(SETTINGS), **changed})
        with training._open_reader(model, EXAMPLES, settings, None, print) as reader:
            reader.set_gradients(EXAMPLES)
        return torch.cat([p.grad.flatten() for _, p in sorted(model.named_parameters()) if p.requires_grad])

    exact = gradients(shortcuts=False)
    whole, short = ((gradients(autocast=True, shortcuts=on) - exact).norm() / exact.norm() for on in (False, True))
    assert 1e-3 < whole < 0.02
    assert 1e-3 < short < 1.5 * whole


@pytest.mark.parametrize("layers", [None, range(2, 3)], ids=["all", "top"])
def test_texts_packed_in_several_rows_train_the_same_weights(
    layers: range | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(adapted("llama", layers), shortcuts=False)[1]
    one = pack_in_rows(1000)(EXAMPLES, True, "cpu").ids
    rows = pack_in_rows(16)(EXAMPLES, True, "cpu").ids
    assert len(one) == 1 and len(rows) > 2 and rows.numel() < 2 * one.numel()
    monkeypatch.setattr(partial, "pack_in_rows", lambda _longest: pack_in_rows(16))
    assert run(adapted("llama", layers))[1] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("family", list(CONFIGS))
def test_every_family_is_read_packed_and_its_last_block_at_the_answers_alone(family: str) -> None:
    with open_partial_forward(adapted(family), EXAMPLES[:2]) as opened:
        assert opened.packs
        assert len(opened.pruned) >= 2  # the attention's output and the feed-forward part


def test_keys_and_values_are_computed_everywhere() -> None:
    with open_partial_forward(adapted("llama"), EXAMPLES[:2]) as opened:
        assert not {"self_attn.k_proj", "self_attn.v_proj"} & set(opened.pruned)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "llama", "mistral", "qwen", "gemma"])
def test_the_last_block_attends_from_the_answers_alone(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    attending: list[int] = []

    def counted(attention: Any, queries: torch.Tensor, *given: Any, **named: Any) -> Any:
        attending.append(queries.shape[2])
        return sdpa_attention_forward(attention, queries, *given, **named)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", counted)
    with open_partial_forward(adapted(family), EXAMPLES[:2]) as opened:
        for layout in (pack_in_rows(1000), pack_in_rows(16)):
            batch = layout(EXAMPLES, True, "cpu")
            opened.logits(batch)
            alone = len(batch.ids) == 1  # rows may hold answers of different lengths
            assert attending[-1] == (batch.scored_positions.numel() if alone else batch.ids.shape[1])


def test_the_last_block_is_afterwards_as_it_was() -> None:
    model = adapted()
    with open_partial_forward(model, EXAMPLES[:2]):
        pass
    attentions = [part for part in model.modules() if isinstance(getattr(part, "q_proj", None), nn.Module)]
    assert [part.config is model.config for part in attentions] == [True] * 3
    assert not any(hasattr(part, "pruned_attention") for part in attentions)


def test_a_model_that_the_trial_finds_no_memory_for_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any, **named: Any) -> Any:
        raise torch.OutOfMemoryError("out of memory")

    model = adapted()
    monkeypatch.setattr(type(tiny("llama").model.layers[0].mlp), "forward", full)
    with (
        pytest.raises(BadInput, match="not even one example fits the memory"),
        open_partial_forward(model, EXAMPLES[:2]),
    ):
        pass
    assert_nothing_hangs_on(model)


def test_a_model_that_looks_ahead_of_a_mask_is_read_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(adapted(), shortcuts=False)[1]
    plain = type(tiny("llama")).forward

    def deaf(self: Any, input_ids: torch.Tensor, attention_mask: Any = None, **given: Any) -> Any:
        return plain(self, input_ids=input_ids, **{**given, "position_ids": None})

    monkeypatch.setattr(type(tiny("llama")), "forward", deaf)
    with open_partial_forward(adapted(), EXAMPLES[:2]) as opened:
        assert not opened.packs
    assert run(adapted())[1] == pytest.approx(expected, abs=2e-5)


def test_the_model_has_no_hooks_left_when_training_is_over() -> None:
    model = adapted()
    run(model)
    assert_nothing_hangs_on(model)


def assert_nothing_hangs_on(model: Any) -> None:
    for part in model.modules():
        assert not part._forward_hooks and not part._forward_pre_hooks and "forward" not in vars(part)


def test_what_frozen_layers_give_is_computed_once_per_text() -> None:
    store = HiddenStateCache(1 << 20)
    report, _ = run(adapted(layers=range(2, 3)), cache=store)
    assert store.computed == len(EXAMPLES)
    assert store.found == len(EXAMPLES) * (report.steps - 1)
    assert 0 < store.bytes <= store.limit


@pytest.mark.parametrize("limit", [0, 9000])
def test_beyond_the_limit_of_bytes_the_rest_is_computed_anew(limit: int) -> None:
    expected, store = run(adapted(layers=range(2, 3)))[1], HiddenStateCache(limit)
    assert run(adapted(layers=range(2, 3)), cache=store)[1] == pytest.approx(expected, abs=2e-5)
    assert store.bytes <= limit < 9001
    assert store.computed > len(EXAMPLES)


def test_trainings_that_share_a_store_compute_frozen_layers_once() -> None:
    store = HiddenStateCache(1 << 24)
    alone = [run(adapted(layers=range(layer, 3)))[1] for layer in (1, 2, 1)]
    for layer, expected in zip((1, 2, 1), alone, strict=True):
        assert run(adapted(layers=range(layer, 3)), cache=store)[1] == pytest.approx(expected, abs=2e-5)
    assert store.computed == 2 * len(EXAMPLES)


def test_the_lowest_trained_layer_is_found_and_embeddings_count_as_below_all() -> None:
    model = adapted(layers=range(1, 3))
    assert lowest_trained(model) == 1
    model.get_input_embeddings().weight.requires_grad_(True)
    assert lowest_trained(model) == 0


def test_the_same_seed_gives_the_same_bits() -> None:
    first, second = (run(adapted(), batch_size=5, seed=3)[1] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, run(adapted(), batch_size=5, seed=4)[1])


def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    expected = run(adapted())[1]
    assert run(adapted(), rows_at_once=5)[1] == pytest.approx(expected, abs=2e-5)


def test_bfloat16_is_for_frozen_matrices_alone_and_the_base_is_afterwards_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, kinds = adapted(layers=range(2, 3)), set()
    before = model_hash(model.unload())
    model = adapted(layers=range(2, 3))
    monkeypatch.setattr("chronofacts.editing.training.gains_by_bfloat16", lambda model: True)
    part = model.get_submodule("base_model.model.model.layers.2.mlp.up_proj")
    watch = part.register_forward_hook(
        lambda part, given, out: kinds.add((part.base_layer.weight.dtype, part.lora_A.default.weight.dtype))
    )
    _, weights = run(model, autocast=True)
    watch.remove()
    assert (torch.bfloat16, torch.float32) in kinds
    assert weights.dtype == torch.float32
    assert weights == pytest.approx(run(adapted(layers=range(2, 3)))[1], abs=0.05)
    assert model_hash(model.unload()) == before


@pytest.mark.parametrize(("parameters", "gains"), [(1_300_000, False), (135_000_000, True)])
def test_a_model_as_small_as_the_small_world_is_trained_alike_on_a_cpu_with_bfloat16_and_on_one_without(
    parameters: int, gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(1).expand(parameters), requires_grad=False)  # of no memory
    for instructions in (True, False):
        for test in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, test, lambda found=instructions: found)
        assert training.gains_by_bfloat16(model) == (gains and instructions)


def test_a_head_that_shares_the_embedding_has_a_matrix_of_its_own_in_bfloat16_and_shares_it_again() -> None:
    model = tiny("gpt2")
    ids, shared = torch.tensor([[5, 6, 7]]), model.lm_head.weight
    assert shared is model.get_input_embeddings().weight
    before = model(input_ids=ids).logits
    with training.frozen_in_bfloat16(model.requires_grad_(False), True):
        assert model.lm_head.weight.dtype == torch.bfloat16
        assert model.get_input_embeddings().weight is shared and shared.dtype == torch.float32
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert model(input_ids=ids).logits.float() == pytest.approx(before.detach(), abs=0.05)
    assert model.lm_head.weight is shared
    assert torch.equal(model(input_ids=ids).logits, before)


def test_a_head_that_is_trained_with_the_embedding_goes_on_sharing_it() -> None:
    model = tiny("gpt2")
    with training.frozen_in_bfloat16(model, True):
        assert model.lm_head.weight is model.get_input_embeddings().weight
        assert model.lm_head.weight.dtype == torch.float32


def test_dropout_of_the_base_is_off_while_training() -> None:
    model = adapted("gpt2")  # its config has dropout of 0.1
    assert any(part.p for part in model.modules() if isinstance(part, torch.nn.Dropout))
    assert torch.equal(run(model)[1], run(adapted("gpt2"))[1])


def test_training_stops_at_a_loss_or_after_its_steps() -> None:
    assert run(adapted(), stop_loss=100.0)[0].stopped == "loss"
    assert run(adapted(), stop_loss=100.0)[0].steps == 1
    assert run(adapted())[0].stopped == "steps"


def test_a_loss_that_is_no_number_reaches_no_weight() -> None:
    model = adapted()
    with torch.no_grad():
        model.get_input_embeddings().weight[EXAMPLES[0].ids[1]] = math.nan
    before = trained(model)
    with pytest.raises(TrainingFailed, match="lower learning_rate"):
        run(model)
    assert torch.equal(trained(model), before)


def test_out_of_memory_halves_the_rows_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, said = run(adapted())[1], []
    plain = type(tiny("llama")).forward

    def tight(self: Any, input_ids: torch.Tensor, **given: Any) -> Any:
        if input_ids.numel() > 120:
            raise torch.OutOfMemoryError("too much")
        return plain(self, input_ids=input_ids, **given)

    monkeypatch.setattr(type(tiny("llama")), "forward", tight)
    model = adapted()
    train(model, EXAMPLES, SETTINGS, progress=said.append)
    assert said[0] == "out of memory: going on with 6 examples at once"
    assert trained(model) == pytest.approx(expected, abs=2e-5)
    monkeypatch.setattr(
        type(tiny("llama")), "forward", lambda self, input_ids, **given: tight(self, input_ids.repeat(99, 1))
    )
    with pytest.raises(BadInput, match="not even one"):
        run(adapted())


def test_no_examples_change_nothing() -> None:
    model = adapted()
    before = trained(model)
    assert train(model, [], SETTINGS) == TrainingReport(0, 0.0, 0.0, 0, "steps")
    assert torch.equal(trained(model), before)


WORKER = """
import sys, torch
from safetensors.torch import save_file
from chronofacts.editing.models.distributed import join_processes
from tests.editing.training_examples import adapted, run
report, weights = run(adapted(), batch_size=5)
group = join_processes()
save_file({"weights": weights, "size": torch.tensor(group.size)}, f"{sys.argv[1]}/{group.rank}.safetensors")
"""


def test_two_processes_train_the_same_adapter_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = pytest.importorskip("accelerate.commands.launch")
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    words = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    words += ["--dynamo_backend", "no", "--main_process_port", str(free_port())]
    words += [str(tmp_path / "worker.py"), str(tmp_path)]
    with ThreadPoolExecutor(1) as thread:  # in the main thread it would take the signals that pytest handles
        thread.submit(launch.launch_command, launch.launch_command_parser().parse_args(words)).result()
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert int(first["size"]) == int(second["size"]) == 2
    assert torch.equal(first["weights"], second["weights"])
    assert first["weights"] == pytest.approx(run(adapted(), batch_size=5)[1], abs=2e-5)


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])
