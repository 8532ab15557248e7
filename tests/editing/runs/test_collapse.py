"""A model that an edit breaks is told of, with the edit at which it happened; a run goes on and its report warns."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from chronofacts.editing.report.markdown import as_markdown
from chronofacts.editing.report.runs import read_runs
from chronofacts.editing.runs.collapse import TIMES, CollapseWatch, collapse_warnings, perplexity_of
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import ScoringSettings, all_probes, evaluate
from chronofacts.editing.snapshot import Snapshot
from tests.editing.conftest import Experiment

SCORING = ScoringSettings(perplexity=80, fluency=0, hops=False)


@pytest.fixture
def watch(snapshot: Snapshot, model_and_tokenizer: tuple[Any, Any]) -> CollapseWatch:
    model, tokenizer = model_and_tokenizer
    probes = all_probes(snapshot.questions.slice(0, 1), snapshot.sentences, SCORING)
    return CollapseWatch("lora", tokenizer, probes, evaluate(model, tokenizer, probes, SCORING), SCORING)


def broken(model: Any, factor: float) -> Any:
    """The model with logits that are too sure of themselves, or no numbers."""
    with torch.no_grad():
        model.model.norm.weight.mul_(factor)
    return model


def test_a_sound_model_is_not_told_of(watch: CollapseWatch, model_and_tokenizer: tuple[Any, Any]) -> None:
    watch.after_chunk(model_and_tokenizer[0], ["e1"])
    watch.at_end(watch.before, ["e1", "e2"])
    assert watch.report == {} and collapse_warnings("lora", watch.report) == []


def test_the_first_collapse_is_told_with_its_edit(
    watch: CollapseWatch, model_and_tokenizer: tuple[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    model, _ = model_and_tokenizer
    watch.after_chunk(model, ["e1"])
    watch.after_chunk(broken(model, -4.0), ["e1", "e2", "e3"])
    watch.after_chunk(model, ["e1", "e2", "e3", "e4"])
    found = watch.report["collapse"]
    assert (found["after_edits"], found["edit_id"]) == (3, "e3")
    assert found["perplexity"] >= TIMES * found["base_perplexity"]
    (warning,) = collapse_warnings("lora", watch.report)
    assert "first 3 edits (the last: e3)" in warning
    assert [record.message for record in caplog.records] == [warning]


def test_logits_that_are_no_numbers_are_a_collapse(watch: CollapseWatch, model_and_tokenizer: tuple[Any, Any]) -> None:
    watch.after_chunk(broken(model_and_tokenizer[0], math.nan), ["e1"])
    assert watch.report["collapse"]["perplexity"] == math.inf


def test_perplexity_weighs_texts_by_their_tokens() -> None:
    rows = {"kind": ["general", "general", "edit"], "nll_answer": [1.0, 4.0, 99.0], "tokens": [3, 1, 5]}
    assert perplexity_of(pa.table(rows)) == pytest.approx(math.exp(7 / 4))
    assert perplexity_of(pa.table(rows).slice(2)) is None


def test_a_run_that_collapses_ends_and_its_report_warns(experiment: Experiment, tmp_path: Path) -> None:
    values = {"limit": "6", "chunk": "3", "freeze.learning_rate": "0.3", "freeze.steps": "20", "freeze.stop_loss": "0"}
    values |= {"scoring.fluency": "0", "scoring.hops": "false", "scoring.perplexity": "40", "cache": "none"}
    settings = read_settings(["none", "freeze"], values)
    run_experiment(experiment.snapshot, str(experiment.run / "model"), settings, tmp_path / "R")
    about = json.loads((tmp_path / "R" / "run.json").read_text())
    assert about["editors"]["freeze"]["report"]["collapse"]["after_edits"] == 3
    (warning,) = about["warnings"]
    assert warning.startswith("freeze: the model collapsed within the first 3 edits")
    assert "collapsed within the first 3 edits" in as_markdown(read_runs([tmp_path / "R"]))
