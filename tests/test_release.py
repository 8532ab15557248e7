"""A release: what is refused, what is built and tagged, and the lock that goes with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def git(folder: Path, *words: str) -> str:
    named = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *named, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of its own with this tree as its only commit, and the version in its CHANGELOG."""
    folder = tmp_path / "repository"
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if name.startswith(("tests/", "benchmarks/", "docs/")) or not (ROOT / name).exists():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    changes = folder / "CHANGELOG.md"
    wanted = f"## {PROJECT['version']} (2026-12-01)"
    changes.write_text(changes.read_text(encoding="utf-8").replace("## Unreleased", wanted, 1), encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Release")
    git(folder, "config", "user.name", "A")
    git(folder, "config", "user.email", "a@b.c")
    return folder


def release(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, ".ci/release.py", "--no-tests"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_release_builds_both_files_and_tags_its_version_once(repository: Path) -> None:
    code, told = release(repository)
    version = PROJECT["version"]
    assert code == 0, told
    built = {path.name for path in (repository / "dist").iterdir()}
    assert built == {f"chronofacts-{version}-py3-none-any.whl", f"chronofacts-{version}.tar.gz"}
    assert git(repository, "tag") == f"v{version}"
    assert git(repository, "rev-parse", f"v{version}^{{commit}}") == git(repository, "rev-parse", "HEAD")
    code, told = release(repository)
    assert code != 0 and f"v{version} is tagged already" in told


def test_a_tree_with_changes_and_a_version_without_its_day_are_refused(repository: Path) -> None:
    (repository / "new.txt").write_text("x")
    code, told = release(repository)
    assert code != 0 and "not committed" in told
    (repository / "new.txt").unlink()
    changes = repository / "CHANGELOG.md"
    changes.write_text(changes.read_text(encoding="utf-8").replace(" (2026-12-01)", "", 1), encoding="utf-8")
    git(repository, "commit", "--all", "--quiet", "--message", "Forget the day")
    code, told = release(repository)
    assert code != 0 and "CHANGELOG.md begins with" in told
    assert git(repository, "tag") == ""


def test_the_lock_has_every_package_that_the_project_needs_in_a_version_that_it_takes() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    locked = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert not [line for line in lines if "://" in line]
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *extras["edit"], *extras["flows"], *extras["gguf"]]:
        wanted = Requirement(text)
        version = locked[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version, prereleases=True), f"{text}: {version}; make lock"
