"""Each editor brings the small world up to date, and what it costs the rest differs as the methods do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chronofacts.editing.editors.saved_edit import load_edit
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.runs.experiment import run_editor
from chronofacts.editing.runs.results import Experiment, PreparedModel
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import score
from chronofacts.editing.snapshot import Snapshot
from tests.editing.editors.answered import shares


@pytest.mark.parametrize("editor", ["finetune", "freeze", "rome", "memit", "memory"])
def test_nine_of_ten_edits_are_answered(editor: str, model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    assert shares(editor, {}, *model_and_tokenizer, snapshot)["edit"] >= 0.9


def test_vectors_before_a_prompt_hold_nine_of_ten_edits(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    assert shares("p-tuning", {"steps": "300"}, *model_and_tokenizer, snapshot)["edit"] >= 0.9


def test_a_norm_constraint_and_replay_both_keep_history(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    free = shares("finetune", {}, *model_and_tokenizer, snapshot)
    bound = shares("finetune", {"constraint": "norm"}, *model_and_tokenizer, snapshot)
    replayed = shares("finetune+replay", {}, *model_and_tokenizer, snapshot)
    assert bound["edit"] >= 0.9 and bound["history"] > free["history"]
    assert replayed["edit"] >= 0.9 and replayed["history"] > free["history"]


def test_a_store_answers_over_hops_and_leaves_history_alone(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    untouched = shares("none", {}, *model_and_tokenizer, snapshot)
    stored = shares("memory", {}, *model_and_tokenizer, snapshot)
    assert stored["multi_hop"] >= 0.8 > untouched["multi_hop"]
    assert stored["history"] == untouched["history"]


def test_an_experiment_edits_in_chunks_when_asked(model_and_tokenizer: Any, snapshot: Snapshot, tmp_path: Path) -> None:
    model, tokenizer = model_and_tokenizer
    few = {"chunk": "10", "freeze.steps": "4", "scoring.fluency": "0", "scoring.perplexity": "0", "scoring.hops": "no"}
    settings = read_settings(["memory", "freeze"], few)
    prepared = PreparedModel(model, tokenizer, "small", model_hash(model), {}, 0.0, 0.0)
    for chosen in settings.editors:
        result = run_editor(Experiment(snapshot, settings, prepared, tmp_path), chosen)
        assert result.report["chunks"] == 3
        assert model_hash(model) == prepared.hash
        loaded = load_edit(model, tokenizer, tmp_path / "adapters" / chosen.name)
        then = {row["prompt"]: row["generated"] for row in result.scores.to_pylist() if row["generated"] is not None}
        for row in score(loaded.model, tokenizer, snapshot.questions).to_pylist():
            assert then.get(row["prompt"], row["generated"]) == row["generated"]
        loaded.undo()


def test_a_small_world_that_never_read_a_context_gains_nothing_from_one(
    model_and_tokenizer: Any, snapshot: Snapshot
) -> None:
    """An honest figure: this model was trained on single sentences, so in-context editing cannot work on it."""
    assert shares("in-context", {}, *model_and_tokenizer, snapshot)["edit"] < 0.5
