"""What a command prints is printed, or told in one line: into a full disk, a closed stream, an old encoding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.publishing.small_snapshot import make_snapshot

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_snapshot(tmp_path_factory.mktemp("small") / "S", surname="Zoë")


def run(words: str, shell: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command by a shell, which says where its output goes."""
    own = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = f'"{sys.executable}" -W ignore -m chronofacts {words} {shell}'
    return subprocess.run(
        ["sh", "-c", command], env=own, capture_output=True, encoding="utf-8", errors="replace", timeout=60
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("words", ["inspect '{}'", "verify '{}' --json", "settings lora", "--version", "--help"])
def test_a_full_disk_is_one_line(words: str, small: Path) -> None:
    done = run(words.format(small), "> /dev/full")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("chronofacts: no room is left") and line.endswith("run the same command again")


def test_a_closed_output_is_no_fault(small: Path) -> None:
    assert run(f"verify '{small}' --quiet", ">&-").returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_that_the_output_does_not_know_are_written_by_their_numbers(small: Path, encoding: str) -> None:
    odd = {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0"}
    shown = run(f"inspect '{small}' --why Q11", "", **odd)
    assert shown.returncode == 0 and "Traceback" not in shown.stderr
    found = run(f"inspect '{small}' --why Q11 --json", "", **odd)
    assert "Zoë" in str(json.loads(found.stdout))
