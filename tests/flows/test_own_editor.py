"""An editor of another package: listed, completed, set, run, saved and loaded like ours; refused where it must be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from chronofacts.editing import registry
from chronofacts.editing.models.load import load_model, model_hash, save_model
from chronofacts.flows import setting_keys
from chronofacts.flows.cli import app
from chronofacts.flows.commands import completion
from tests.conftest import made_once
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
OWN = ROOT / "tests" / "own_editor"
FEW = ("--set", "scoring.fluency=0", "--set", "scoring.perplexity=0", "--set", "cache=none")
runner = CliRunner()


def forget() -> None:
    registry._read_entries.cache_clear()
    setting_keys.settings_of.cache_clear()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package in a folder of its own, as pip installs it."""
    return made_once(tmp_path_factory, "own-editor", install)


def install(target: Path) -> None:
    words = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", *words, str(OWN)], check=True)


@pytest.fixture
def own(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(installed))
    forget()
    yield
    forget()


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """Install a package of one module whose entry point has a name: (name, the module's code, the package's name)."""

    def add(name: str, code: str, package: str = "odd-editor") -> None:
        module = re.sub(r"\W", "_", package)
        (tmp_path / f"{module}.py").write_text(code)
        about = tmp_path / f"{module}-1.2.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (about / "entry_points.txt").write_text(f"[chronofacts.editors]\n{name} = {module}:Odd\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        forget()

    yield add
    forget()


def say(*words: object) -> Any:
    return runner.invoke(app, [str(word) for word in words])


def test_the_page_shows_the_very_files_that_are_tested() -> None:
    page = (ROOT / "docs" / "add_an_editor.md").read_text()
    shown = dict(re.findall(r"^```(python|toml)\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    assert shown["python"] == (OWN / "one_matrix.py").read_text()
    assert shown["toml"] == (OWN / "pyproject.toml").read_text()
    body = shown["python"].partition("@dataclass")[2].splitlines()
    assert len([line for line in body if line.strip()]) <= 30


@pytest.mark.usefixtures("own")
def test_it_is_listed_completed_and_its_keys_are_known() -> None:
    told = json.loads(say("editors", "--json").stdout)["one-matrix"]
    assert told["package"] == "one-matrix-editor 0.1" and told["needs"] == ["training"]
    assert told["meaning"] == "The facts' own questions trained into the output matrix of one layer"
    assert "one-matrix" in completion.complete_editors("none,one")[0]
    assert completion.complete_setting("one-matrix.la") == ["one-matrix.layer="]
    (layer,) = [one for one in json.loads(say("settings", "one-matrix", "--json").stdout)["one-matrix"]
                if one["name"] == "layer"]  # fmt: skip
    assert layer == {
        "name": "layer",
        "kind": "whole number",
        "default": "0",
        "meaning": "Of the matrix that is trained.",
    }


@pytest.mark.usefixtures("own")
def test_it_edits_in_an_experiment_and_what_it_saved_is_asked_again(tmp_path: Path) -> None:
    save_model(tiny("llama"), tiny_tokenizer(), tmp_path / "M")
    write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    words = ("experiment", tmp_path / "S", "--model", tmp_path / "M", *FEW)
    done = say(*words, "--editor", "none,one-matrix,freeze", "--set", "steps=40", "--out", tmp_path / "R")
    assert done.exit_code == 0, done.output
    run = json.loads((tmp_path / "R" / "run.json").read_text())
    assert run["editors"]["one-matrix"]["config"] == {"layer": 0, "steps": 40, "learning_rate": 1e-2}
    assert run["editors"]["one-matrix"]["package"] == "one-matrix-editor 0.1"
    losses = {name: mean_loss(tmp_path / "R" / "scores" / f"{name}.parquet") for name in ("none", "one-matrix")}
    assert losses["one-matrix"] < losses["none"] - 0.1
    saved = tmp_path / "R" / "adapters" / "one-matrix"
    again = say(*words, "--load", saved, "--out", tmp_path / "R2")
    assert again.exit_code == 0, again.output
    loaded = mean_loss(tmp_path / "R2" / "scores" / "saved-one-matrix.parquet")
    assert loaded == pytest.approx(losses["one-matrix"], rel=1e-5)


def mean_loss(scores: Path) -> float:
    """Of the new answers to the edits' own questions."""
    rows = [row for row in pq.read_table(scores).to_pylist() if row["kind"] == "edit"]
    return sum(row["nll_answer"] for row in rows) / len(rows)


@pytest.mark.usefixtures("own")
def test_python_takes_it_by_name_and_by_its_settings() -> None:
    import one_matrix

    import chronofacts as cf

    model = tiny("llama")
    before, fact = model_hash(model), cf.Edit("Who is the mayor of Acme?", "the town", subject="Acme")
    for editor in ("one-matrix", one_matrix.OneMatrixSettings(steps=60)):
        with cf.edit(model, tiny_tokenizer(), [fact], editor) as edited:
            assert edited.generate("Who is the mayor of Acme?", max_tokens=6) == "the town"
        assert model_hash(model) == before


@pytest.mark.usefixtures("own")
def test_a_wrong_key_of_it_is_told_with_the_nearest() -> None:
    done = say("experiment", "S", "--editor", "one-matrix", "--set", "one-matrix.stepps=3", "--out", "R")
    assert done.exit_code == 2
    with pytest.raises(registry.BadInput, match="did you mean 'steps'"):
        setting_keys.check_words(["one-matrix"], {"one-matrix.stepps": "3"})


GOOD = """
from dataclasses import dataclass
@dataclass(frozen=True)
class S:
    steps: int = 1
class Odd:
    Settings = S
    def edit(self, model, tokenizer, batch, settings, cache=None): ...
"""


def test_a_name_of_ours_stays_ours_and_the_package_is_told(entry: Callable[..., None]) -> None:
    entry("lora", GOOD)
    from chronofacts.editing.editors.trained.lora import Lora

    assert registry.load_editor("lora") is Lora
    shown = say("editors")
    assert "odd-editor 1.2 has the name of one of ours" in " ".join(shown.stderr.split())
    assert shown.exit_code == 0


@pytest.mark.parametrize("name", ["all", "world", "Mine", "my.editor", "my+replay"])
def test_a_name_that_means_something_else_is_refused(entry: Callable[..., None], name: str) -> None:
    entry(name, GOOD)
    assert name not in registry.all_editors()
    if name != "all":
        with pytest.raises(registry.BadInput):
            setting_keys.check_words([name], {})


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import a_package_that_is_not_there", "No module named"),
        ("raise SystemExit(3)", "SystemExit"),
        ("Odd = 3", "a class with a method edit"),
        ("class Odd:\n    def edit(self): ...", "frozen dataclass"),
        (GOOD.replace("frozen=True", ""), "frozen dataclass"),
        (GOOD.replace("int = 1", "int"), "steps has no default"),
        (GOOD + "    changes = 'everything'", "changes is one of"),
    ],
)
def test_a_broken_one_is_one_line_and_the_others_go_on(entry: Callable[..., None], code: str, reason: str) -> None:
    entry("odd", code)
    sys.modules.pop("odd_editor", None)
    shown = say("editors", "--json")
    assert shown.exit_code == 0 and "lora" in json.loads(shown.stdout) and "odd" not in json.loads(shown.stdout)
    (line,) = shown.stderr.strip().splitlines()
    assert reason in line and "pip uninstall odd-editor" in line
    setting_keys.check_words(["lora"], {"rank": "4"})


def test_two_packages_with_one_name_are_both_refused(entry: Callable[..., None]) -> None:
    entry("odd", GOOD, "first-editor")
    entry("odd", GOOD, "second-editor")
    assert "odd" not in registry.all_editors()
    assert "first-editor 1.2 and second-editor 1.2" in registry.refused_editors()["odd"]


def test_one_that_does_not_restore_the_model_ends_the_run(entry: Callable[..., None], tmp_path: Path) -> None:
    entry(
        "odd",
        GOOD.replace(
            "edit(self, model, tokenizer, batch, settings, cache=None): ...",
            "edit(self, model, tokenizer, batch, settings, cache=None):\n"
            "        from chronofacts.editing.editors import EditedModel\n"
            "        next(model.parameters()).data.add_(1.0)\n"
            "        return EditedModel(model, model)",
        ),
    )
    sys.modules.pop("odd_editor", None)
    save_model(tiny("llama"), tiny_tokenizer(), tmp_path / "M")
    write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    done = say(
        "experiment", tmp_path / "S", "--model", tmp_path / "M", *FEW, "--editor", "odd", "--out", tmp_path / "R"
    )
    assert done.exit_code == 1 and "did not restore the model" in done.output
    assert model_hash(load_model(str(tmp_path / "M"))[0]) == model_hash(tiny("llama"))


def test_all_names_every_editor_and_one_that_cannot_edit_this_model_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: registry.EDITORS[name] for name in ("none", "freeze", "rome")}
    monkeypatch.setattr(registry, "EDITORS", few)
    save_model(tiny("llama"), tiny_tokenizer(), tmp_path / "M")
    write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    words = ("experiment", tmp_path / "S", "--model", tmp_path / "M", *FEW, "--set", "rome.layer=99",
             "--set", "freeze.steps=3")  # fmt: skip
    done = say(*words, "--editor", "all", "--out", tmp_path / "R")
    assert done.exit_code == 0, done.output
    run = json.loads((tmp_path / "R" / "run.json").read_text())
    assert set(run["metrics"]) == {"none", "freeze"} and "99" in run["refused"]["rome"]
    assert "rome is left out" in done.stdout
    named = say(*words, "--editor", "all,rome", "--out", tmp_path / "R2")
    assert named.exit_code == 2 and not (tmp_path / "R2").exists()
    shutil.rmtree(tmp_path / "R")


@pytest.mark.parametrize("name", registry.EDITORS)
def test_every_editor_of_ours_has_every_field(name: str) -> None:
    record = registry.RECORDS[name]
    assert "arXiv" in record.paper or name == "none"
    assert record.changes != "nothing" or name == "none"
    assert record.home and isinstance(record.needs, tuple)
    assert record.seconds_per_fact is not None and record.seconds_per_fact >= 0
    assert setting_keys.describe_editor(name)
