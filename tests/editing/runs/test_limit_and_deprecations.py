"""An experiment on some of the facts, and that it asks nothing of its libraries that they will soon refuse."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
from transformers.utils import logging as transformers_logging

from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.schemas.errors import BadInput
from tests.editing.conftest import Experiment

EDITORS = ["none", "lora", "p-tuning", "freeze", "rome", "memit", "in-context", "memory"]
FEW = {
    "limit": "4", "limit_sentences": "60", "cache": "none", "steps": "3", "value_steps": "2", "statistics_texts": "20",
    "scoring.fluency": "2", "scoring.fluency_tokens": "4", "scoring.perplexity": "20",
}  # fmt: skip


def test_no_command_uses_what_transformers_torch_or_peft_call_deprecated(
    experiment: Experiment, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    transformers_logging.get_logger().warning_once.cache_clear()  # each is said once in a process
    monitored = logging.getLogger("transformers")
    monitored.addHandler(caplog.handler)
    try:
        with warnings.catch_warnings():
            for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
                warnings.simplefilter("error", kind)
            settings = read_settings(EDITORS, FEW)
            summary = run_experiment(experiment.snapshot, str(experiment.run / "model"), settings, tmp_path / "run")
    finally:
        monitored.removeHandler(caplog.handler)
    assert set(summary.metrics) == set(EDITORS)
    assert [line.getMessage() for line in caplog.records if "deprecat" in line.getMessage().lower()] == []


def test_a_limit_takes_so_many_facts_and_asks_about_them_alone(experiment: Experiment) -> None:
    whole = load_snapshot(experiment.snapshot)
    parts = [read_settings(["none"], {"limit": str(number)}).run.cut(whole) for number in (4, 12)]
    small, large = (set(part.edits["edit_id"].to_pylist()) for part in parts)
    assert (len(small), len(large)) == (4, 12) and small < large
    asked = [set(part.questions["question_id"].to_pylist()) for part in parts]
    assert asked[0] < asked[1]
    assert read_settings(["none"], {}).run.cut(whole) is whole


def test_a_limit_without_facts_or_sentences_without_a_limit_are_refused() -> None:
    with pytest.raises(BadInput, match="limit = 0; it must be at least 1"):
        read_settings(["none"], {"limit": "0"})
    with pytest.raises(BadInput, match="write --limit 60"):
        read_settings(["none"], {"limit_sentences": "100"})
    with pytest.raises(BadInput, match="is no whole number"):
        read_settings(["none"], {"limit": "some"})
