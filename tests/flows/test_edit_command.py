"""`chronofacts edit`: facts of one's own on a model, before and after, with the edit or the whole model kept."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from chronofacts.editing.models.load import load_model, save_model
from chronofacts.flows.cli import app
from tests.editing.models.families import tiny, tiny_tokenizer

README = Path(__file__).resolve().parents[2] / "README.md"
STEPS = ("--set", "steps=60", "--set", "freeze.learning_rate=5e-3")
runner = CliRunner()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("own [facts]")
    save_model(tiny("llama"), tiny_tokenizer(), place / "model")
    (place / "facts.csv").write_text("prompt,target,subject\nWho is the mayor of Acme?,the town,Acme\n")
    return place


def edit(place: Path, *words: object) -> Any:
    given = ["edit", "--model", place / "model", "--facts", place / "facts.csv", *words]
    return runner.invoke(app, [str(word) for word in given])


def test_the_answers_before_and_after_are_told_and_the_edit_is_kept(place: Path, tmp_path: Path) -> None:
    done = edit(
        place,
        "--editor",
        "freeze",
        *STEPS,
        "--ask",
        "Who?",
        "--out",
        tmp_path / "e",
        "--merged",
        tmp_path / "m",
        "--json",
    )
    assert done.exit_code == 0, done.stderr
    first, second = json.loads(done.stdout)["answers"]
    assert first["after"] == first["target"] == "the town" != first["before"]
    assert (second["prompt"], second["target"]) == ("Who?", None)
    assert {path.name for path in (tmp_path / "e").iterdir()} == {"card.json", "delta.safetensors"}
    load_model(str(tmp_path / "m"))


def test_a_table_is_shown_where_no_json_is_wanted(place: Path) -> None:
    done = edit(place, "--editor", "memory", "--quiet")
    assert done.exit_code == 0 and "taught" in done.stdout and "the town" in done.stdout and not done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--editor", "lorra"), "did you mean 'lora'"),
        (("--set", "rnk=3"), "rank"),
        (("--facts", "none.csv"), "no file"),
        (("--model", "no/such/model/here"), "cannot be loaded"),
        (("--out", "."), "not"),
        (("--model", "small-world"), "--model RUN/model"),
    ],
)
def test_a_wrong_option_is_one_line(place: Path, words: tuple[str, ...], said: str) -> None:
    done = edit(place, *words, "--quiet")
    assert done.exit_code == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_the_python_that_readme_shows_edits_a_fact_and_leaves_the_model_as_it_was(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (shown,) = re.findall(r"```python\n(import chronofacts.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert shown.count("\n") <= 16
    names: dict[str, Any] = {}
    exec(shown.replace('"smollm2"', repr(str(place / "model"))), names)
    assert (tmp_path / "acme" / "card.json").is_file()
    weights, again = (model.state_dict() for model in (names["model"], load_model(str(place / "model"))[0]))
    assert all((weights[name] == again[name]).all() for name in again)
