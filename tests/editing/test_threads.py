"""How many threads torch may have, and that those without work sleep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from chronofacts.editing import threads
from chronofacts.editing.models.load import save_model
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.runs.stale_run import run_stale
from chronofacts.editing.threads import SMALL, WAITING, WATCHED_SPINS, count_cores, fit_threads, threads_restored
from tests.editing.models.families import tiny, tiny_tokenizer
from tests.flows.tiny_runs import TINY

WORLD = {key: value for key, value in TINY.items() if not key.startswith("lora")}
ROOT = Path(__file__).resolve().parents[2]
MINE = len(os.sched_getaffinity(0))


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_max", ".max").replace("cpu_cfs", "cpu.cfs")).write_text(text)


def own(tmp_path: Path, text: str) -> Path:
    (tmp_path / "cgroup").write_text(text)
    return tmp_path / "cgroup"


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000\n", MINE),
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("190000 100000\n", 1),
        ("99900000 100000", MINE),
    ],
)
def test_a_quota_bounds_the_cores_and_a_part_of_one_counts_for_none(tmp_path: Path, quota: str, cores: int) -> None:
    write(tmp_path / "groups", cpu_max=quota)
    assert count_cores(tmp_path / "groups", own(tmp_path, "0::/\n")) == cores


def test_the_tightest_of_the_groups_above_counts(tmp_path: Path) -> None:
    write(tmp_path / "groups", cpu_max="100000 100000")
    write(tmp_path / "groups/slice/unit", cpu_max="800000 100000")
    assert count_cores(tmp_path / "groups", own(tmp_path, "0::/slice/unit\n")) == 1


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_the_first_version_of_control_groups_is_read_too(tmp_path: Path, mount: str) -> None:
    write(tmp_path / "groups" / mount / "box", cpu_cfs_quota_us="100000\n", cpu_cfs_period_us="100000\n")
    assert count_cores(tmp_path / "groups", own(tmp_path, "5:memory:/box\n3:cpu,cpuacct:/box\n")) == 1
    write(tmp_path / "groups" / mount / "box", cpu_cfs_quota_us="-1\n")
    assert count_cores(tmp_path / "groups", own(tmp_path, "3:cpu,cpuacct:/box\n")) == MINE


def test_without_control_groups_the_affinity_decides(tmp_path: Path) -> None:
    assert count_cores(tmp_path / "groups", tmp_path / "absent") == MINE
    (core,) = list(os.sched_getaffinity(0))[:1]
    code = (
        f"import os; os.sched_setaffinity(0, [{core}]); "
        "from chronofacts.editing import threads; print(threads.count_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def environment(given: dict[str, str]) -> dict[str, str]:
    """What the environment says before torch is there."""
    imports = "import json, os, sys, chronofacts.editing"
    code = f"{imports}; assert 'torch' not in sys.modules; print(json.dumps(dict(os.environ)))"
    names = {*WAITING, "OMP_NUM_THREADS"}
    clean = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean | given, capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout)
    return {key: found[key] for key in names & found.keys()}


def test_threads_spin_for_long_only_where_a_command_looks_after_them() -> None:
    assert environment({}) == WAITING | {"GOMP_SPINCOUNT": str(WATCHED_SPINS)}
    assert environment({"OMP_NUM_THREADS": "7"}) == WAITING | {"OMP_NUM_THREADS": "7"}
    unseen = "from chronofacts.editing import busy_cores; busy_cores.look = lambda kernel: None; import os; "
    few = f"{unseen}[os.environ.pop(name) for name in {list(WAITING)}]; "
    few += "from chronofacts.editing import threads; threads.prepare_threads(); print(os.environ['GOMP_SPINCOUNT'])"
    done = subprocess.run([sys.executable, "-c", few], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == WAITING["GOMP_SPINCOUNT"]


def test_what_the_environment_says_of_waiting_stays() -> None:
    told = environment({"OMP_WAIT_POLICY": "ACTIVE"})
    assert told["OMP_WAIT_POLICY"] == "ACTIVE" and told.keys().isdisjoint(WAITING.keys() - {"OMP_WAIT_POLICY"})
    assert environment({"GOMP_SPINCOUNT": "5"})["GOMP_SPINCOUNT"] == "5"


def test_a_small_model_has_one_thread_and_a_larger_one_all_until_the_work_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads._Given, "number", False)
    with threads_restored():
        torch.set_num_threads(2)
        with threads_restored():
            fit_threads(SMALL)
            assert torch.get_num_threads() == 2
            fit_threads(SMALL - 1)
            assert torch.get_num_threads() == 1
            fit_threads(SMALL - 1, 2)
            assert torch.get_num_threads() == 2
            fit_threads(SMALL, 1)
        assert torch.get_num_threads() == 2


def test_a_number_of_threads_in_the_environment_goes_before_the_models_size() -> None:
    code = (
        "from chronofacts.editing.threads import fit_threads; import chronofacts.editing, torch; fit_threads(1); "
        "print(torch.get_num_threads())"
    )
    clean = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    for given, number in (({"OMP_NUM_THREADS": "2"}, 2), ({}, 1)):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=clean | given, capture_output=True, text=True, check=True
        )
        assert int(done.stdout) == number


def _experiment(snapshot: Path, model: Path, words: dict[str, str], out: Path, say: Callable[[str], None]) -> None:
    run_experiment(snapshot, str(model), read_settings(["none"], words), out, say)


def _small_world(snapshot: Path, model: Path, words: dict[str, str], out: Path, say: Callable[[str], None]) -> None:
    run_experiment(snapshot, "small-world", read_settings(["none"], words | WORLD), out, say)


def _stale(snapshot: Path, model: Path, words: dict[str, str], out: Path, say: Callable[[str], None]) -> None:
    run_stale(snapshot, str(model), read_settings(["none"], words), say)


@pytest.mark.parametrize("run", [_experiment, _small_world, _stale])
def test_a_run_has_the_threads_that_its_settings_say_and_gives_them_back(
    run: Callable[..., None], invented: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tiny("llama"), tiny_tokenizer(), tmp_path / "model")
    monkeypatch.setattr(threads._Given, "number", False)
    few = {"limit": "4", "limit_sentences": "8", "cache": "none", "scoring.fluency": "0", "scoring.hops": "false"}
    for words, number in (({"threads": "2"}, 2), ({}, 1)):
        used: list[int] = []

        def say(line: str, used: list[int] = used) -> None:
            used.append(torch.get_num_threads())

        with threads_restored():
            torch.set_num_threads(3)
            run(invented, tmp_path / "model", few | words, tmp_path / f"R{number}", say)
            assert used[-1] == number and torch.get_num_threads() == 3
