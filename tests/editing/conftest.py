"""One invented world, one model that knows it, and one whole experiment on it, made once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from chronofacts.editing.models.load import load_model
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.results import RunSummary
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.snapshot import Snapshot, load_snapshot
from tests.editing.invented_world import write_invented

SETTINGS = {
    "world.vocabulary": "1024",
    "world.hidden": "96",
    "world.feed_forward": "384",
    "world.steps": "900",
    "world.check_every": "50",
    "world.sample": "250",
}


@dataclass(frozen=True)
class Experiment:
    """The run on the invented world, and what went into it."""

    snapshot: Path
    run: Path
    summary: RunSummary


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """More threads hardly help so small a model, and hurt where others use the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_invented(tmp_path_factory.mktemp("invented") / "snapshot")


@pytest.fixture(scope="session")
def snapshot(invented: Path) -> Snapshot:
    return load_snapshot(invented)


@pytest.fixture(scope="session")
def experiment(invented: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    out = tmp_path_factory.mktemp("runs") / "run"
    summary = run_experiment(invented, "small-world", read_settings(["none", "lora", "lora+replay"], SETTINGS), out)
    return Experiment(invented, out, summary)


@pytest.fixture
def model_and_tokenizer(experiment: Experiment) -> tuple[Any, Any]:
    """The small world, freshly loaded: a test may edit it."""
    return load_model(str(experiment.run / "model"))
