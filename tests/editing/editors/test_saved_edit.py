"""A saved edit is taken up by whoever has its base model: loaded, undone, merged, asked in another run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.saved_edit import base_of, load_edit, merge_edit, read_card
from chronofacts.editing.models.load import load_model, model_hash, save_model
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.editing.editors.made_edits import QUICK, made_batch, says
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
EDITORS = ["lora", "freeze", "p-tuning", "memory"]
ASKED = {"cache": "none", "scoring.fluency": "0", "scoring.perplexity": "4"}
STEPS = {"lora.steps": "4", "freeze.steps": "4", "p-tuning.steps": "4", "p-tuning.vectors": "4"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four editors on a model of random weights, with the snapshot and the model beside it."""
    place = tmp_path_factory.mktemp("saved")
    save_model(tiny("llama"), TOKENIZER, place / "model")
    snapshot = write_invented(place / "S", facts=12, edits=4, people=10)
    run_experiment(snapshot, str(place / "model"), read_settings(EDITORS, ASKED | STEPS), place / "R")
    return place / "R"


@pytest.fixture
def base(run: Path) -> Any:
    return load_model(str(run.parent / "model"))[0]


def test_a_card_holds_the_very_edits_and_all_that_made_them(run: Path) -> None:
    snapshot = load_snapshot(run.parent / "S")
    for editor in EDITORS:
        card = read_card(run / "adapters" / editor)
        for told, row in zip(card["edits"], snapshot.edits.to_pylist(), strict=True):
            assert told == {name: row[name] for name in ("edit_id", "prompt", "target_new", "target_old")}
        assert card["base_model_hash"] == json.loads((run / "run.json").read_text())["model"]["hash"]
        assert (card["base_model"], card["dtype"]) == (str(run.parent / "model"), "float32")
        assert (card["snapshot"], card["since"], card["as_of"]) == ("invented", "2021-01-01", "2025-01-01")
        assert card["config"] and card["run"]["mode"] == "all"
    assert read_card(run / "adapters" / "lora")["trained_prompts"]


def test_another_run_asks_saved_edits_and_finds_what_the_first_did(run: Path, tmp_path: Path) -> None:
    saved = [run / "adapters" / editor for editor in EDITORS]
    summary = run_experiment(
        run.parent / "S", base_of(saved[0]), read_settings(["none", "memory"], ASKED, saved), tmp_path / "again"
    )
    assert list(summary.metrics) == ["none", "memory", *(f"saved-{editor}" for editor in EDITORS)]
    for editor in EDITORS:
        before = pq.read_table(run / "scores" / f"{editor}.parquet").to_pylist()
        now = pq.read_table(tmp_path / "again" / "scores" / f"saved-{editor}.parquet").to_pylist()
        for one, other in zip(before, now, strict=True):
            assert (one["probe_id"], one["generated"], one["trained"]) == (
                other["probe_id"], other["generated"], other["trained"],
            )  # fmt: skip
            assert other["nll_answer"] == pytest.approx(one["nll_answer"], rel=1e-5, abs=1e-5)
        assert read_card(tmp_path / "again" / "adapters" / f"saved-{editor}") == read_card(run / "adapters" / editor)
    from chronofacts.editing.report.runs import read_runs
    from chronofacts.editing.report.summary import command

    (again,) = read_runs([tmp_path / "again"])
    shown = [Path(*path.parts[-2:]) for path in saved]  # of paths the page shows the last two parts
    assert f"--editor none,memory --load {shown[0]} --load {shown[1]}" in command(again)


def test_two_saved_edits_of_one_editor_have_names_of_their_own(run: Path) -> None:
    lora = run / "adapters" / "lora"
    assert [chosen.name for chosen in read_settings([], {}, [lora, lora]).editors] == ["saved-lora", "saved-lora-2"]


def test_an_edit_that_changed_is_not_taken_for_the_one_before(run: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run / "adapters" / "lora", tmp_path / "lora"))
    (first,) = read_settings([], {}, [folder]).editors
    shutil.copyfile(run / "adapters" / "freeze" / "delta.safetensors", folder / "adapter_model.safetensors")
    assert read_settings([], {}, [folder]).editors != (first,)


def test_another_base_model_is_refused_and_nothing_is_left_behind(run: Path, tmp_path: Path) -> None:
    save_model(tiny("llama", seed=1), TOKENIZER, tmp_path / "other")
    for editor in EDITORS:
        with pytest.raises(CheckFailed, match=r"was made for the model .* in float32"):
            settings = read_settings(["none"], ASKED, [run / "adapters" / editor])
            run_experiment(run.parent / "S", str(tmp_path / "other"), settings, tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("editor", EDITORS)
def test_a_cut_file_is_refused_before_the_model_is_asked(run: Path, editor: str, tmp_path: Path) -> None:
    folder, told = Path(shutil.copytree(run / "adapters" / editor, tmp_path / editor)), list[str]()
    for file in (file for file in folder.iterdir() if file.suffix in (".safetensors", ".parquet")):
        file.write_bytes(file.read_bytes()[:-40])
    settings = read_settings(["none"], ASKED, [folder])
    with pytest.raises((BadInput, CheckFailed), match=str(folder)):
        run_experiment(run.parent / "S", str(run.parent / "model"), settings, tmp_path / "again", told.append)
    assert not any("scoring" in line for line in told) and not (tmp_path / "again").exists()


def test_another_type_of_number_is_another_base_model(run: Path) -> None:
    model, tokenizer = load_model(str(run.parent / "model"), dtype="bfloat16")
    with pytest.raises(CheckFailed, match="float32"):
        load_edit(model, tokenizer, run / "adapters" / "lora")


def test_an_edit_taught_in_conversation_is_not_asked_plainly(run: Path, base: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run / "adapters" / "lora", tmp_path / "lora"))
    card = read_card(folder) | {"chat": True}
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(BadInput, match="chat=yes"):
        load_edit(base, TOKENIZER, folder)


@pytest.mark.parametrize("editor", ["lora", "freeze"])
def test_a_merged_edit_is_an_ordinary_model_and_still_undone_bit_for_bit(
    run: Path, base: Any, tmp_path: Path, editor: str
) -> None:
    before, wanted = model_hash(base), [parameter.requires_grad for parameter in base.parameters()]
    edited = load_edit(base, TOKENIZER, run / "adapters" / editor)
    said = says(edited.model)
    merged = merge_edit(edited)
    assert torch.allclose(says(merged.model), said, atol=1e-5)
    save_model(merged.model, TOKENIZER, tmp_path / "merged")
    assert torch.equal(says(load_model(str(tmp_path / "merged"))[0]), says(merged.model))
    assert model_hash(merged.model) != before
    restored = merged.undo()
    assert model_hash(restored) == before
    assert [parameter.requires_grad for parameter in restored.parameters()] == wanted


def test_dora_is_merged_as_it_is_asked() -> None:
    model, chosen = tiny("llama"), read_editor_settings("lora", QUICK["lora"] | {"dora": "true"}, 0)
    before, edited = model_hash(model), chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    said = says(edited.model)
    merged = merge_edit(edited)
    assert torch.allclose(says(merged.model), said, atol=1e-5)
    assert model_hash(merged.undo()) == before


@pytest.mark.parametrize("editor", ["p-tuning", "memory"])
def test_what_stands_beside_the_weights_cannot_be_merged(run: Path, base: Any, editor: str) -> None:
    with pytest.raises(BadInput, match="load it instead"):
        merge_edit(load_edit(base, TOKENIZER, run / "adapters" / editor))


def test_the_base_of_an_edit_is_found_beside_it_or_asked_for(run: Path, tmp_path: Path) -> None:
    assert base_of(run / "adapters" / "lora") == str(run.parent / "model")
    folder = Path(shutil.copytree(run / "adapters" / "lora", tmp_path / "R" / "adapters" / "lora"))
    (folder / "card.json").write_text(json.dumps(read_card(folder) | {"base_model": "small-world"}))
    with pytest.raises(BadInput, match="--model"):
        base_of(folder)
    (tmp_path / "R" / "model").mkdir()
    assert base_of(folder) == str(tmp_path / "R" / "model")


@pytest.mark.parametrize(
    ("content", "error"), [(None, BadInput), ("{", CheckFailed), ('{"editor": "lora", "base_model": "m"}', BadInput)]
)
def test_a_folder_that_holds_no_edit_is_named(
    run: Path, base: Any, tmp_path: Path, content: str | None, error: type[Exception]
) -> None:
    if content is not None:
        (tmp_path / "card.json").write_text(
            content if content == "{" else json.dumps({"base_model_hash": model_hash(base)})
        )
    with pytest.raises(error, match=str(tmp_path)):
        load_edit(base, TOKENIZER, tmp_path)


def test_modes_of_editing_are_not_for_what_is_saved(run: Path) -> None:
    with pytest.raises(BadInput, match="--load"):
        read_settings([], {"mode": "one-at-a-time"}, [run / "adapters" / "lora"])
