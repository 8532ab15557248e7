"""Scoring shared out over processes as tasks of a flow."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from chronofacts.editing.runs.settings import read_settings
from chronofacts.flows.scheduled.flows import experiment
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

FEW = {"cache": "none", "scoring.fluency": "2", "scoring.fluency_tokens": "8", "scoring.perplexity": "8"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with random weights: what is compared is how it is asked."""
    folder = tmp_path_factory.mktemp("model")
    tiny("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.mark.usefixtures("prefect_server")
def test_two_processes_under_prefect_find_what_one_does(model: str, tmp_path: Path) -> None:
    snapshot = write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    for count in (1, 2):
        settings = read_settings(["none"], FEW | {"scoring.processes": str(count)})
        experiment(snapshot, model, settings, tmp_path / str(count))
    one, two = (pq.read_table(tmp_path / str(count) / "scores" / "none.parquet").to_pylist() for count in (1, 2))
    assert len(one) == len(two) > 50
    for alone, shared in zip(one, two, strict=True):
        assert (alone["probe_id"], alone["generated"]) == (shared["probe_id"], shared["generated"])
        if alone["nll_answer"] is not None:
            assert shared["nll_answer"] == pytest.approx(alone["nll_answer"], abs=1e-5)
