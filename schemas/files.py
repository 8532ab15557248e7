"""Files and folders that are whole or absent, and locks that end with their process.

What is written gets a hidden name beside its own, is flushed to the disk, and is renamed at the end. A crash leaves
hidden files alone, which `remove_leftovers` takes away.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chronofacts.schemas.errors import BadInput, CheckFailed

__all__ = [
    "check_out", "create_folder", "lock_file", "remove_leftovers", "replace_file", "report_full_disk", "sha256_of",
]  # fmt: skip

_PARTIAL = ".partial"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
def create_folder(out: Path) -> Iterator[Path]:
    """A folder beside out to write into, renamed to out at the end and removed after any error.

    Raises BadInput as `check_out` does, CheckFailed when the disk is full.
    """
    check_out(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=_PARTIAL, dir=out.parent))
    except OSError as error:
        raise BadInput(f"--out {out} cannot be written ({error.strerror})") from error
    try:
        with report_full_disk(out.parent):
            yield aside
            aside.chmod(0o755)
            if out.exists():
                out.rmdir()
            move_into_place(aside, out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


@contextmanager
def replace_file(path: Path, flush: bool = True) -> Iterator[Path]:
    """A path beside `path` to write a file to, renamed to `path` at the end and removed after any error.

    Each call has a path of its own, so that two writers never share one. Makes the folder where it is not there.
    flush: wait for the disk before the file gets its name; false where the reader tells a torn file from a whole one.
    Raises OSError as writing does; the caller knows what that means.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_PARTIAL}")
    try:
        yield aside
        if flush:
            move_into_place(aside, path)
        else:
            aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def move_into_place(aside: Path, path: Path) -> None:
    """Rename a file or folder once its content is on the disk: after a power cut, too, what has its name is whole."""
    for file in (aside, *aside.rglob("*")):
        _flush(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside.replace(path)
    _flush(path.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of this file or folder left beside it; none may be at work."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{_PARTIAL}"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


@contextmanager
def lock_file(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of this file against every other holder, in this process or another; it ends with the process.

    The file is made, and stays. Raises BlockingIOError when somebody holds it and `wait` is false.
    """
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


@contextmanager
def report_full_disk(folder: Path, *also: type[Exception]) -> Iterator[None]:
    """Raises CheckFailed, with the fix, where a file finds no room in the folder. also: what libraries raise then."""
    errors: tuple[type[Exception], ...] = (OSError, *also)
    try:
        yield
    except errors as error:
        if isinstance(error, OSError) and error.errno not in _NO_ROOM:
            raise
        raise CheckFailed(f"{folder} is full ({error}); make room and run the same command again") from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Of the file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
