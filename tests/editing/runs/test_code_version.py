"""A run says which code made it."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

from chronofacts.editing.runs.code_version import describe_code


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", "-C", folder, *settings, *words], capture_output=True, text=True, check=True).stdout


def test_the_commit_is_told_with_whether_files_differ_from_it(tmp_path: Path) -> None:
    file, other = tmp_path / "code.py", tmp_path / "installed.py"
    file.write_text("1")
    other.write_text("1")
    assert describe_code(file) == {"version": version("chronofacts"), "commit": None}
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")[:12]
    assert describe_code(file)["commit"] == commit
    assert describe_code(other)["commit"] is None
    file.write_text("2")
    assert describe_code(file)["commit"] == f"{commit}-dirty"
