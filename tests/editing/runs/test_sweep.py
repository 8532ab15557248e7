"""A grid of settings tried in one run: what it says, what it shares, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from chronofacts.editing.editors import EditBatch, read_editor_settings
from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.runs.sweep import SWEEP, format_sweep, read_grid, sweep
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.editing.conftest import Experiment

LORA = read_editor_settings("lora", {"steps": "40", "batch": "64"}, seed=0)


def material(snapshot: Snapshot) -> EditBatch:
    return EditBatch(snapshot.edits, snapshot.sentences, frozenset(snapshot.questions["question"].to_pylist()))


def test_a_grid_is_every_combination_on_top_of_the_editors_own_settings() -> None:
    grid = read_grid("rank=4,8 layers=all,1", LORA)
    assert [member.words for member in grid] == [
        "rank=4 layers=all", "rank=4 layers=1", "rank=8 layers=all", "rank=8 layers=1",
    ]  # fmt: skip
    assert [(member.editor.settings.rank, member.editor.settings.layers) for member in grid][1] == (4, "1")
    assert {member.editor.settings.steps for member in grid} == {40}


@pytest.mark.parametrize(
    ("text", "said"),
    [("rnk=4", "did you mean 'rank'"), ("rank=", "key=value"), ("rank", "key=value"), ("rank=x", "whole number")],
)
def test_a_grid_that_does_not_fit_the_editor_is_told_before_any_work(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_settings(["none", "lora"], {"sweep": text})


def test_a_sweep_without_an_editor_that_trains_is_refused() -> None:
    with pytest.raises(BadInput, match="name lora"):
        read_settings(["none", "memory"], {"sweep": "rank=4,8"})


def test_a_sweep_finds_the_settings_that_learn_and_leaves_the_model_as_it_was(
    model_and_tokenizer: Any, snapshot: Snapshot
) -> None:
    model, tokenizer = model_and_tokenizer
    before = model_hash(model)
    table = sweep(read_grid("learning_rate=1e-7,6e-3", LORA), model, tokenizer, material(snapshot))
    assert table.schema.equals(SWEEP)
    rows = table.to_pylist()
    assert [row["best"] for row in rows] == [False, True]
    assert rows[0]["edits"] < 0.2 < 0.6 < rows[1]["edits"]
    assert rows[0]["kept"] > 0.9
    assert rows[1]["score"] == pytest.approx(3 / sum(1 / rows[1][name] for name in ("edits", "paraphrases", "kept")))
    assert model_hash(model) == before
    assert format_sweep(table).splitlines()[2].startswith("* learning_rate=6e-3")


def test_members_share_what_the_frozen_layers_give(
    model_and_tokenizer: Any, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores: list[Any] = []
    monkeypatch.setattr(
        "chronofacts.editing.runs.sweep.HiddenStateCache",
        lambda limit: stores.append(HiddenStateCache(limit)) or stores[-1],
    )
    few = replace(material(snapshot), edits=snapshot.edits.slice(0, 6))
    chosen = read_editor_settings("lora", {"steps": "4", "layers": "1"}, seed=0)
    sweep(read_grid("rank=2,4,8", chosen), *model_and_tokenizer, few)
    wordings = stores[0].computed
    sweep(read_grid("rank=2", chosen), *model_and_tokenizer, few)
    assert 0 < wordings == stores[1].computed
    assert stores[0].found > stores[1].found


def test_a_sweep_in_which_nothing_can_be_trained_says_so(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    grid = read_grid("alpha=inf", LORA)
    with pytest.raises(CheckFailed, match="lower learning_rate"):
        sweep(grid, *model_and_tokenizer, material(snapshot))


def test_an_experiment_edits_with_the_best_of_its_sweep(experiment: Experiment, tmp_path: Path) -> None:
    given = {"sweep": "learning_rate=1e-7,6e-3", "lora.steps": "40", "limit": "12"}
    said: list[str] = []
    out = tmp_path / "run"
    run_experiment(experiment.snapshot, str(experiment.run / "model"), read_settings(["lora"], given), out, said.append)
    table = pq.read_table(out / "sweep.parquet")
    best = table["settings"].to_pylist()[table["best"].to_pylist().index(True)]
    rate = json.loads((out / "run.json").read_text())["editors"]["lora"]["config"]["learning_rate"]
    assert float(best.partition("=")[2]) == rate
    assert any(line.startswith(f"* {best}") for line in said)
