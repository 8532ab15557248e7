"""Output folders that are whole or absent: written aside, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chronofacts.schemas.errors import BadInput

__all__ = ["check_out", "written_aside"]


def check_out(out: Path) -> None:
    """Raises BadInput unless out can become a new folder (it is absent or empty, its parent writable)."""
    if out.is_dir() and any(out.iterdir()):
        raise BadInput(f"--out {out} is not empty; name a new folder or remove it")
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file; name a folder")
    parent = next((folder for folder in out.absolute().parents if folder.exists()), Path("/"))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise BadInput(f"--out {out} cannot be written ({parent} is not a folder that you may write to)")


@contextmanager
def written_aside(out: Path) -> Iterator[Path]:
    """A folder beside out to write into, renamed to out at the end and removed after any error.

    Raises BadInput as `check_out` does.
    """
    check_out(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    except OSError as error:
        raise BadInput(f"--out {out} cannot be written ({error.strerror})") from error
    try:
        yield folder
        folder.chmod(0o755)
        if out.exists():
            out.rmdir()
        folder.rename(out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
