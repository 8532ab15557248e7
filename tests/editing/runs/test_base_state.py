"""What the unedited model answers to an edit: every figure by it, and runs of one kind of edits alone."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from chronofacts.editing.models.load import save_model
from chronofacts.editing.report import as_json, write_report
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.schemas.errors import BadInput
from tests.editing.conftest import Experiment
from tests.editing.models.families import tiny, tiny_tokenizer


def test_every_score_about_an_edit_says_how_the_unedited_model_answers_it(experiment: Experiment) -> None:
    before = pq.read_table(experiment.run / "scores" / "none.parquet").to_pylist()
    after = pq.read_table(experiment.run / "scores" / "lora.parquet").to_pylist()
    states = {row["fact"]: row["base_state"] for row in before if row["kind"] == "edit"}
    for row in before:
        if row["kind"] == "edit":
            wanted = "known" if row["exact_match"] else "stale" if row["exact_match_before"] else "other"
            assert row["base_state"] == wanted or not row["generated"].strip()
    assert all(row["base_state"] == states.get(row["fact"]) for row in after)
    assert {row["kind"] for row in after if row["base_state"] is None} <= {"general"}


def test_the_parts_by_state_make_up_each_figure(experiment: Experiment, tmp_path: Path) -> None:
    metrics = pq.read_table(experiment.run / "metrics.parquet").to_pylist()
    for name in ("edit_success", "paraphrase", "history", "stale_rate"):
        of = [row for row in metrics if (row["editor"], row["metric"]) == ("lora", name)]
        whole = next(row for row in of if row["by"] == "all")
        parts = [row for row in of if row["by"] == "base_state"]
        assert sum(row["n"] for row in parts) == whole["n"]
        assert sum(row["n"] * row["value"] for row in parts) == pytest.approx(whole["n"] * whole["value"])
    assert "edit_success/stale" in as_json([experiment.run])["lora"]
    page = write_report([experiment.run], tmp_path / "page").read_text()
    assert "<details><summary>By the state before the edit" in page


def test_only_the_edits_in_one_state_are_made_and_asked_about(experiment: Experiment, tmp_path: Path) -> None:
    before = pq.read_table(experiment.run / "scores" / "none.parquet").to_pylist()
    stale = {row["fact"] for row in before if row["kind"] == "edit" and row["base_state"] == "stale"}
    settings = read_settings(["none"], {"only": "stale", "scoring.hops": "false"})
    run_experiment(experiment.snapshot, str(experiment.run / "model"), settings, tmp_path / "run")
    scores = pq.read_table(tmp_path / "run" / "scores" / "none.parquet").to_pylist()
    asked = {row["fact"] for row in scores if row["kind"] == "edit"}
    assert asked == stale and {row["base_state"] for row in scores if row["kind"] == "edit"} == {"stale"}
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["snapshot"]["edits"] == len(stale)


def test_a_model_that_answers_no_edit_so_is_told_in_a_line(invented: Path, tmp_path: Path) -> None:
    save_model(tiny("llama"), tiny_tokenizer(), tmp_path / "model")
    settings = read_settings(["none"], {"only": "stale"})
    with pytest.raises(BadInput, match="answers no edit as stale"):
        run_experiment(invented, str(tmp_path / "model"), settings, tmp_path / "run")
    assert not (tmp_path / "run").exists() and not list(tmp_path.glob(".run*"))
