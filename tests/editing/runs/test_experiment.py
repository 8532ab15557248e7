"""One real experiment, end to end: a model learns a world by heart, is edited, and is measured before and after."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from chronofacts.editing.models.load import load_model, model_hash
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.snapshot import Snapshot, load_snapshot, subset
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.editing.conftest import Experiment


def test_the_small_world_knows_its_sentences_before_it_is_edited(experiment: Experiment) -> None:
    about = json.loads((experiment.run / "run.json").read_text())
    assert about["model"]["recall"] >= 0.95
    before = experiment.summary.metrics["none"]
    assert before["edit_success"] <= 0.1
    assert before["stale_rate"] >= 0.85
    assert before["history"] >= 0.8
    assert before["locality"] == 1.0


@pytest.mark.parametrize("editor", ["lora", "lora+replay"])
def test_an_edited_model_gives_the_new_answers(experiment: Experiment, editor: str) -> None:
    after = experiment.summary.metrics[editor]
    assert after["edit_success"] >= 0.9
    assert after["paraphrase"] >= 0.7
    assert after["stale_rate"] <= 0.2


def test_replay_keeps_history_that_naive_editing_loses(experiment: Experiment) -> None:
    naive, replay = experiment.summary.metrics["lora"], experiment.summary.metrics["lora+replay"]
    assert replay["history"] >= naive["history"] + 0.2
    assert replay["locality"] >= naive["locality"]


def test_free_generation_and_teacher_forcing_stand_side_by_side(experiment: Experiment) -> None:
    scores = pq.read_table(experiment.run / "scores" / "lora.parquet")
    assert {"generated", "exact_match", "token_accuracy", "nll_answer", "p_new_over_old"} <= set(scores.column_names)
    assert set(scores["state"].to_pylist()) == {"after"}
    assert set(scores["editor"].to_pylist()) == {"lora"}


def test_the_untouched_model_is_in_every_run_and_is_the_saved_one(experiment: Experiment) -> None:
    scores = pq.read_table(experiment.run / "scores" / "none.parquet")
    model, _ = load_model(str(experiment.run / "model"))
    assert set(scores["model_hash"].to_pylist()) == {model_hash(model)}
    assert set(scores["state"].to_pylist()) == {"before"}


def test_some_paraphrases_of_every_edit_are_never_trained(experiment: Experiment) -> None:
    scores = pq.read_table(experiment.run / "scores" / "lora.parquet").to_pylist()
    paraphrases = [row for row in scores if row["kind"] == "paraphrase"]
    untrained = {row["fact"] for row in paraphrases if not row["trained"]}
    assert untrained == {row["fact"] for row in paraphrases}
    assert any(row["trained"] for row in paraphrases)
    metrics = pq.read_table(experiment.run / "metrics.parquet").to_pylist()
    counted = {row["n"] for row in metrics if row["metric"] == "paraphrase" and row["by"] == "all"}
    assert counted == {sum(not row["trained"] for row in paraphrases)}


def test_a_run_says_what_went_into_it(experiment: Experiment) -> None:
    about = json.loads((experiment.run / "run.json").read_text())
    assert about["snapshot"]["edits"] == 30
    assert about["machine"]["versions"]["torch"]
    assert about["settings"]["world"]["vocabulary"] == 1024
    assert about["editors"]["lora"]["config"]["rank"] == 16
    assert about["editors"]["lora+replay"]["report"]["replayed"] > 0
    for editor in ("lora", "lora+replay"):
        card = json.loads((experiment.run / "adapters" / editor / "card.json").read_text())
        assert len(card["edit_ids"]) == 30 and card["base_model_hash"] == about["model"]["hash"]
        assert (experiment.run / "adapters" / editor / "adapter_model.safetensors").is_file()
        assert not list((experiment.run / "adapters" / editor).glob("*.bin"))


def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(invented: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(BadInput, match="not empty"):
        run_experiment(invented, "small-world", read_settings(["lora"], {}), tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["run.json"]


def test_a_run_that_fails_leaves_nothing_behind(invented: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be loaded"):
        run_experiment(invented, str(tmp_path / "nowhere"), read_settings(["none"], {}), tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["manifest.json", "edits", "questions", "sentences"])
def test_a_snapshot_that_lacks_something_is_named(invented: Path, tmp_path: Path, missing: str) -> None:
    for entry in invented.iterdir():
        if entry.name != missing:
            (tmp_path / entry.name).symlink_to(entry)
    with pytest.raises((BadInput, CheckFailed), match=missing):
        load_snapshot(tmp_path)


def test_a_damaged_table_is_named(invented: Path, tmp_path: Path) -> None:
    for entry in invented.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "edits").unlink()
    (tmp_path / "edits").mkdir()
    (tmp_path / "edits" / "part.parquet").write_bytes(b"no parquet")
    with pytest.raises(CheckFailed, match="edits"):
        load_snapshot(tmp_path)


def test_a_subset_asks_nothing_about_edits_that_it_left_out(snapshot: Snapshot) -> None:
    small = subset(snapshot, edits=10, sentences=400, seed=1)
    chosen = set(small.edits["edit_id"].to_pylist())
    assert len(chosen) == 10 and small.sentences.num_rows == 400
    for row in small.questions.to_pylist():
        ids = set(row["edit_ids"])
        assert ids & chosen if row["kind"] == "locality" else ids <= chosen
    assert small.edits.equals(subset(snapshot, 10, 400, 1).edits)
