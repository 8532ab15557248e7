"""`experiment --load`: a saved edit finds its base model by itself, and wrong ones are refused in a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chronofacts.editing.models.load import save_model
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.flows.cli import app
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

FEW = {"cache": "none", "scoring.hops": "false", "scoring.fluency": "0", "scoring.perplexity": "0"}
runner = CliRunner()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("saved")
    save_model(tiny("llama"), tiny_tokenizer(), place / "model")
    snapshot = write_invented(place / "S", facts=12, edits=4, people=10)
    run_experiment(snapshot, str(place / "model"), read_settings(["lora"], FEW | {"lora.steps": "2"}), place / "R")
    return place / "R"


def experiment(run: Path, *words: object) -> tuple[int, str, str]:
    given = [part for name, value in FEW.items() for part in ("--set", f"{name}={value}")]
    done = runner.invoke(app, ["experiment", str(run.parent / "S"), *map(str, words), *given, "--json", "--quiet"])
    return done.exit_code, done.stdout, done.stderr


def test_a_saved_edit_is_asked_on_the_model_that_its_card_names(run: Path, tmp_path: Path) -> None:
    code, out, error = experiment(run, "--load", run / "adapters" / "lora", "--out", tmp_path / "R2")
    assert code == 0, error
    assert set(json.loads(out)["metrics"]) == {"none", "saved-lora"}
    before, now = (json.loads((place / "run.json").read_text()) for place in (run, tmp_path / "R2"))
    assert now["metrics"]["saved-lora"]["token_accuracy"] == before["metrics"]["lora"]["token_accuracy"]
    assert now["model"]["name"] == str(run.parent / "model")


def test_a_folder_without_an_edit_is_one_line_of_wrong_use(run: Path, tmp_path: Path) -> None:
    code, _, error = experiment(run, "--load", tmp_path, "--out", tmp_path / "R2")
    assert code == 2 and "holds no saved edit" in error and "RUN/adapters/EDITOR" in error
    assert not (tmp_path / "R2").exists()
