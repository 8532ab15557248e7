"""`experiment --load` of what others made: an adapter, a second checkpoint, a difference; checked, marked, undone."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.foreign_edit import check_foreign, find_foreign
from chronofacts.editing.editors.saved_edit import merge_edit, read_saved_editors
from chronofacts.editing.models.load import load_model, model_hash, save_model
from chronofacts.flows.cli import app
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.editing.editors.made_edits import made_batch, says
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
FEW = ("cache=none", "scoring.hops=false", "scoring.fluency=0", "scoring.perplexity=0")
runner = CliRunner()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model M, an adapter of PEFT's on it, the model with it merged, and the difference of one matrix."""
    place = tmp_path_factory.mktemp("foreign")
    save_model(tiny("llama"), TOKENIZER, place / "M")
    write_invented(place / "S", facts=12, edits=4, people=10)
    model, _ = load_model(str(place / "M"))
    chosen = read_editor_settings("lora", {"steps": "30", "learning_rate": "1e-2"}, 0)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    edited.model.peft_config["default"].base_model_name_or_path = str(place / "M")
    edited.save(place / "adapter")  # without a card, as PEFT would
    save_file({"said": says(edited.model)}, place / "said.safetensors")
    merged = merge_edit(edited)
    save_model(merged.model, TOKENIZER, place / "merged")
    now = {name: p.detach().clone() for name, p in merged.model.named_parameters()}
    base = dict(merged.undo().named_parameters())
    changed = {name: (now[name] - base[name]).detach() for name in now if not torch.equal(now[name], base[name])}
    save_file(changed, place / "difference.safetensors")
    return place


def loads(place: Path) -> dict[str, str]:
    pair = f"{place / 'M'}..{place / 'merged'}"
    return {"foreign-adapter": str(place / "adapter"), "foreign-merged": pair,
            "foreign-difference": str(place / "difference.safetensors")}  # fmt: skip


def experiment(place: Path, *words: object) -> Any:
    given = [part for value in FEW for part in ("--set", value)]
    return runner.invoke(app, ["experiment", str(place / "S"), *map(str, words), *given])


def edit(model: Any, load: str) -> Any:
    (chosen,) = read_saved_editors([Path(load)])
    return chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)


def test_all_three_are_scored_against_the_base_marked_and_saved(place: Path, tmp_path: Path) -> None:
    given = [part for load in loads(place).values() for part in ("--load", load)]
    done = experiment(place, *given, "--out", tmp_path / "R")  # the model is that of the adapter
    assert done.exit_code == 0, done.output
    run = json.loads((tmp_path / "R" / "run.json").read_text())
    assert run["model"]["name"] == str(place / "M")
    assert set(run["metrics"]) == {"none", *loads(place)}
    kinds = {name: run["editors"][name]["foreign"]["kind"] for name in loads(place)}
    assert kinds == {"foreign-adapter": "adapter", "foreign-merged": "checkpoint", "foreign-difference": "delta"}
    figures = [run["metrics"][name]["token_accuracy"] for name in loads(place)]
    assert figures[0] == pytest.approx(figures[1], abs=1e-6) and figures[1] == pytest.approx(figures[2], abs=1e-6)
    assert all(f"{name} is" in done.stdout and "that others made" in done.stdout for name in loads(place))
    card = json.loads((tmp_path / "R" / "adapters" / "foreign-merged" / "card.json").read_text())
    assert card["foreign"]["kind"] == "checkpoint" and card["base_model_hash"] == run["model"]["hash"]
    again = experiment(place, "--load", tmp_path / "R" / "adapters" / "foreign-merged", "--out", tmp_path / "R2")
    assert again.exit_code == 0, again.output
    second = json.loads((tmp_path / "R2" / "run.json").read_text())
    assert second["editors"]["saved-foreign-merged"]["foreign"]["kind"] == "checkpoint"


def test_each_says_what_it_said_where_it_was_made_and_is_undone_bit_for_bit(place: Path) -> None:
    wanted = load_file(place / "said.safetensors")["said"]
    for load in loads(place).values():
        model, _ = load_model(str(place / "M"))
        before, edited = model_hash(model), edit(model, load)
        assert torch.allclose(says(edited.model), wanted, atol=1e-4)
        assert model_hash(edited.undo()) == before


def test_a_pickle_and_an_adapter_without_safetensors_are_not_opened(place: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "delta.bin").write_bytes(pickle.dumps(Bomb()))
    shutil.copytree(place / "adapter", tmp_path / "adapter", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "adapter" / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    shutil.copyfile(tmp_path / "delta.bin", tmp_path / "delta.safetensors")
    for load in ("delta.bin", "adapter", "delta.safetensors"):
        done = experiment(place, "--model", place / "M", "--load", tmp_path / load, "--out", tmp_path / "R")
        assert done.exit_code == 2 and len(done.stderr.strip().splitlines()[-1]) < 500, done.output
        assert not (tmp_path / "R").exists()
    assert not (tmp_path / "exploded").exists()


def test_an_adapters_configuration_names_no_code(place: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(place / "adapter", tmp_path / "adapter"))
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= {"auto_mapping": {"parent_library": "a_module_of_theirs", "base_model_class": "X"}}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    model, _ = load_model(str(place / "M"))
    wanted = load_file(place / "said.safetensors")["said"]
    assert torch.allclose(says(edit(model, str(folder)).model), wanted, atol=1e-4)


@pytest.mark.parametrize("odd", ["a name of none", "another size", "no number", "whole numbers"])
def test_a_difference_that_does_not_fit_is_refused_and_changes_nothing(place: Path, tmp_path: Path, odd: str) -> None:
    tensors = load_file(place / "difference.safetensors")
    name = next(iter(tensors))
    made = {
        "a name of none": {"model.nothing.weight": tensors[name]},
        "another size": {name: tensors[name][:1].clone()},
        "no number": {name: tensors[name] * float("nan")},
        "whole numbers": {name: tensors[name].to(torch.int32)},
    }[odd]
    save_file(made, tmp_path / "d.safetensors")
    model, _ = load_model(str(place / "M"))
    before = model_hash(model)
    with pytest.raises(CheckFailed, match=r"d\.safetensors"):
        edit(model, str(tmp_path / "d.safetensors"))
    assert model_hash(model) == before


def test_new_values_are_written_only_on_the_model_that_the_file_names(place: Path, tmp_path: Path) -> None:
    model, _ = load_model(str(place / "M"))
    name = "model.layers.0.mlp.down_proj.weight"
    value = torch.full_like(dict(model.named_parameters())[name].detach(), 0.5)
    save_file({name: value}, tmp_path / "v.safetensors", metadata={"base_model_hash": model_hash(model)})
    found = find_foreign(tmp_path / "v.safetensors")
    assert found is not None
    check_foreign(found, "M", model_hash(model))
    with pytest.raises(CheckFailed, match="was made for the model"):
        check_foreign(found, "M", model_hash(tiny("llama", seed=1)))
    edited = edit(model, str(tmp_path / "v.safetensors"))
    assert torch.equal(dict(edited.model.named_parameters())[name], value)


def test_another_base_another_architecture_and_no_edit_are_refused(place: Path, tmp_path: Path) -> None:
    adapter = find_foreign(place / "adapter")
    assert adapter is not None and adapter.base == str(place / "M")
    hub = type(adapter)("adapter", adapter.path, "org/other")
    with pytest.raises(CheckFailed, match="made for org/other"):
        check_foreign(hub, "org/model", "0" * 16)
    model, _ = load_model(str(place / "M"))
    save_model(tiny("gpt2"), TOKENIZER, tmp_path / "G")
    with pytest.raises(CheckFailed, match="no edit of this model"):
        edit(model, f"{place / 'M'}..{tmp_path / 'G'}")
    with pytest.raises(BadInput, match="no edit to score"):
        edit(model, f"{place / 'M'}..{place / 'M'}")
    done = experiment(
        place, "--model", tmp_path / "G", "--load", f"{place / 'M'}..{place / 'merged'}", "--out", tmp_path / "R"
    )
    assert done.exit_code == 1 and "names its base" in done.output


def test_a_difference_asks_for_its_model(place: Path, tmp_path: Path) -> None:
    done = experiment(place, "--load", place / "difference.safetensors", "--out", tmp_path / "R")
    assert done.exit_code == 2 and "--model" in done.output
