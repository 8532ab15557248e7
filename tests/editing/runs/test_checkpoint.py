"""A run that was killed goes on where it stopped, and ends with the very figures it would have had."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from chronofacts.editing.runs import checkpoint
from chronofacts.editing.runs.checkpoint import WORK, load_checkpoint, resumable, save_checkpoint
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.schemas.errors import BadInput, ChronoFactsError
from tests.editing.conftest import Experiment

SETTINGS = {"limit": "6", "lora.epochs": "2", "cache": "none", "scoring.fluency": "5"}
EDITORS = ["lora", "memory"]
SCRIPT = """
import sys
from pathlib import Path
import torch
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
torch.set_num_threads(1)
snapshot, model, out = sys.argv[1:4]
settings = read_settings({editors!r}, {settings!r})
run_experiment(Path(snapshot), model, settings, Path(out), lambda line: print(line, flush=True))
"""


def begin(experiment: Experiment, out: Path) -> subprocess.Popen[str]:
    code = SCRIPT.format(editors=EDITORS, settings=SETTINGS)
    words = [sys.executable, "-c", code, str(experiment.snapshot), str(experiment.run / "model"), str(out)]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3], env=dict(os.environ)
    )


def scores(run: Path, editor: str) -> list[dict[str, object]]:
    return pq.read_table(run / "scores" / f"{editor}.parquet").to_pylist()


def test_a_run_killed_amid_its_second_editor_ends_as_if_it_never_was(experiment: Experiment, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = begin(experiment, out)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("memory: editing"):
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL and not out.exists()
    told: list[str] = []
    model = str(experiment.run / "model")
    run_experiment(experiment.snapshot, model, read_settings(EDITORS, SETTINGS), out, told.append)
    assert "lora: finished before the interruption" in told and not [line for line in told if "lora: editing" in line]
    whole = tmp_path / "whole"
    run_experiment(experiment.snapshot, model, read_settings(EDITORS, SETTINGS), whole)
    for editor in ("none", *EDITORS):
        assert scores(out, editor) == scores(whole, editor)
    assert pq.read_table(out / "metrics.parquet").equals(pq.read_table(whole / "metrics.parquet"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "whole"]
    assert not (out / WORK).exists()


def test_an_interrupted_run_of_another_model_is_refused_by_name(experiment: Experiment, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), resumable(out, {"model": "one", "snapshot": "s"}) as folder:
        save_checkpoint(folder, "model", {"hash": "x"}, {})
        raise KeyboardInterrupt
    with pytest.raises(BadInput, match="interrupted run of another model"):
        run_experiment(experiment.snapshot, str(experiment.run / "model"), read_settings(["memory"], {}), out)
    with resumable(out, {"model": "one", "snapshot": "s"}) as folder:
        assert load_checkpoint(folder, "model") == ({"hash": "x"}, {})
    assert out.is_dir()


def test_an_interrupted_run_of_another_version_of_the_program_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of its results would be by one version and half by the other, under the name of the other alone."""
    with pytest.raises(KeyboardInterrupt), resumable(tmp_path / "run", {}) as folder:
        save_checkpoint(folder, "lora-1", {}, {})
        raise KeyboardInterrupt
    monkeypatch.setattr(checkpoint, "describe_code", lambda: {"version": "9.9.9", "commit": None})
    with pytest.raises(BadInput, match=r"another version of chronofacts; .*remove it"), resumable(tmp_path / "run", {}):
        raise AssertionError
    monkeypatch.undo()
    with resumable(tmp_path / "run", {}) as folder:
        assert load_checkpoint(folder, "lora-1") == ({}, {})


def test_an_error_before_anything_is_finished_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), resumable(tmp_path / "run", {}):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "finished", "left"),
    [
        (BadInput("an option"), ["model"], []),
        (BadInput("an option"), ["model", "lora-1"], [".run.partial"]),
        (ChronoFactsError("no numbers"), ["model"], [".run.partial"]),
    ],
)
def test_a_crash_keeps_what_is_finished_and_wrong_use_what_was_dear(
    tmp_path: Path, error: ChronoFactsError, finished: list[str], left: list[str]
) -> None:
    with pytest.raises(ChronoFactsError), resumable(tmp_path / "run", {}) as folder:
        for name in finished:
            save_checkpoint(folder, name, {}, {})
        raise error
    assert [path.name for path in tmp_path.iterdir()] == left


def test_two_runs_never_write_to_one_folder(tmp_path: Path) -> None:
    with resumable(tmp_path / "run", {}), pytest.raises(BadInput, match="another run"), resumable(tmp_path / "run", {}):
        pass
    assert (tmp_path / "run").is_dir()


def test_a_result_that_was_half_written_does_not_count(tmp_path: Path) -> None:
    (tmp_path / WORK / "finished" / "lora.part").mkdir(parents=True)
    (tmp_path / WORK / "finished" / "memit").mkdir()
    assert load_checkpoint(tmp_path, "lora") is None and load_checkpoint(tmp_path, "memit") is None


def test_the_untouched_model_is_scored_once_for_all_runs(experiment: Experiment, tmp_path: Path) -> None:
    settings = {"cache": str(tmp_path / "cache")}
    model, told = str(experiment.run / "model"), []
    for number in range(2):
        begun = time.perf_counter()
        run_experiment(
            experiment.snapshot, model, read_settings(["none"], settings), tmp_path / str(number), told.append
        )
        told.append(f"{time.perf_counter() - begun:.1f}")
    assert len([line for line in told if line.startswith("scoring:") and "generated freely" in line]) == 1
    assert scores(tmp_path / "0", "none") == scores(tmp_path / "1", "none")
    other = json.loads((tmp_path / "1" / "run.json").read_text())
    assert other["metrics"]["none"]["edit_success"] == experiment.summary.metrics["none"]["edit_success"]
