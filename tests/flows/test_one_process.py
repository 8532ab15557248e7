"""A command is one process: no server, no database, and no library that its work does not need."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.flows.prefect_server import named_server, use_named_server
from chronofacts.schemas.errors import BadInput
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer
from tests.flows.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
PREFECT = ("prefect", "fastapi", "sqlalchemy", "uvicorn", "prefect_dask")
EDITING = ("torch", "transformers", "peft", "safetensors")
REFRESH = ("refresh", "--since", "2021-01-01", "--as-of", "2025-01-01", "--relations", "capital")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """The real program in an empty folder, where some modules are as good as not installed."""
    (tmp_path / "work").mkdir()

    def run(*words: object, without: tuple[str, ...] = PREFECT + EDITING, **more: str) -> subprocess.CompletedProcess:
        (tmp_path / "site").mkdir(exist_ok=True)
        (tmp_path / "site" / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({without}))")
        return subprocess.run(
            [sys.executable, "-m", "chronofacts.flows.cli", *map(str, words)], cwd=tmp_path / "work", text=True,
            env=environment(tmp_path) | more, capture_output=True, check=False, timeout=120,
        )  # fmt: skip

    return run


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "CHRONOFACTS_"))}
    return kept | {"PYTHONPATH": f"{ROOT}:{folder / 'site'}", "HOME": str(folder / "home"), "TMPDIR": "/tmp"}


def test_a_refresh_needs_neither_prefect_nor_torch_and_leaves_the_snapshot_alone(
    command: Command, tmp_path: Path
) -> None:
    done = command(*REFRESH, "--out", "S")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["S"]
    assert not (tmp_path / "home").exists()
    first, *others = done.stderr.splitlines()
    assert "2021-01-01 to 2025-01-01" in first
    steps = re.findall(r"step (\d) of 3", "".join(others))
    assert steps == ["1", "2", "3"]


def test_what_only_reads_needs_neither_prefect_nor_torch(
    command: Command, sample_snapshot: Path, tmp_path: Path
) -> None:
    for words in (
        ("verify", sample_snapshot),
        ("inspect", sample_snapshot, "--json"),
        ("diff", sample_snapshot, sample_snapshot, "--json"),
        ("export", sample_snapshot, "--format", "mquake", "--out", "mquake"),
    ):
        done = command(*words)
        assert done.returncode == 0, (words, done.stderr)
    (exported,) = (tmp_path / "work" / "mquake").glob("*.json")
    done = command("import", exported, "--format", "mquake", "--since", "2021-01-01", "--as-of", "2025-01-01",
                   "--out", "back")  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_report_needs_no_torch(command: Command, tmp_path: Path) -> None:
    tiny("llama").save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    few = {"cache": "none", "scoring.hops": "false", "scoring.fluency": "0", "scoring.perplexity": "0"}
    snapshot = write_invented(tmp_path / "S", facts=8, edits=2, people=6)
    run_experiment(snapshot, str(tmp_path / "model"), read_settings(["none"], few), tmp_path / "R")
    done = command("report", tmp_path / "R", "--out", "page")
    assert done.returncode == 0 and (tmp_path / "work" / "page" / "index.html").is_file(), done.stderr
    done = command("report", tmp_path / "R", "--json", without=(*PREFECT, *EDITING, "matplotlib"))
    assert set(json.loads(done.stdout)) == {"none"}


def test_a_server_that_does_not_answer_is_one_line_before_anything_slow(command: Command, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    done = command(*REFRESH, "--out", "S", "--quiet", without=(), PREFECT_API_URL=address)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and address in line and "unset PREFECT_API_URL" in line
    assert list((tmp_path / "work").iterdir()) == []
    done = command(*REFRESH, "--out", "S", "--quiet", PREFECT_API_URL=address)
    assert done.returncode == 2 and "pip install 'chronofacts[flows]'" in done.stderr


def test_the_active_profile_of_prefect_names_a_server_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_PROFILE", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert named_server() is None and use_named_server() is None
    address = f"http://127.0.0.1:{free_port()}/api"
    (tmp_path / "profiles.toml").write_text(
        f'active = "team"\n[profiles.local]\n[profiles.team]\nPREFECT_API_URL = "{address}"\n'
    )
    with pytest.raises(BadInput, match=r"Prefect profile 'team'.*prefect config unset"):
        use_named_server()
    monkeypatch.setenv("PREFECT_PROFILE", "local")
    assert named_server() is None


def test_sigterm_stops_as_ctrl_c_does_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "chronofacts.flows.cli", *REFRESH[:5], "--out", "S"]
    with subprocess.Popen(words, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "entities" in line:
                break
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert rest.splitlines()[-1].startswith("chronofacts refresh: stopped by SIGTERM; the same command again")
    assert time.monotonic() - started < 20
    assert list(tmp_path.iterdir()) == []
