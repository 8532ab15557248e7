"""Which code made a run: version, and the commit where it runs from a repository."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

__all__ = ["describe_code"]


def describe_code(file: Path = Path(__file__)) -> dict[str, str | None]:
    """`version`, and `commit` with `-dirty` where files differ from it; None where the code is in no repository.

    file: of the code. An installed package may lie in the repository of somebody else, who does not track it.
    """
    version = importlib.metadata.version("chronofacts")
    if _ask_git(file, "ls-files", "--error-unmatch", file.name) is None:
        return {"version": version, "commit": None}
    commit = _ask_git(file, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    return {"version": version, "commit": commit}


def _ask_git(file: Path, *words: str) -> str | None:
    """What git says in the folder of a file; None where it fails or there is none."""
    try:
        done = subprocess.run(  # noqa: S603 (the words are our own)
            ["git", "-C", str(file.resolve().parent), *words],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
