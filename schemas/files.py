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
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from chronofacts.schemas.errors import BadInput, CheckFailed

__all__ = [
    "check_out", "create_folder", "is_full_disk", "is_link", "lock_file", "remove_leftovers", "replace_file",
    "report_full_disk", "scratch_folder", "sha256_of", "temporary_folder", "user_cache",
]  # fmt: skip

_PARTIAL, _SCRATCH = ".partial", ".work"
_OURS = "~"
"""In the name of a folder on its way: `.S.x.partial` may be the unfinished run of somebody's `S.x`."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LONGEST = 255 - 40
"""Bytes of a name, to which a sign in front and an ending of its own are added on the way."""
_LOOK_AGAIN_S = 0.05


def check_out(out: Path) -> None:
    """Raises BadInput unless out can become a new folder (it is absent or empty, its parent writable).

    What is written gets its name at the very end, hours later: so a name that could not be given is refused here.
    """
    try:
        _check_out(out)
    except (OSError, ValueError) as error:  # a name that no system takes: too long, with a NUL, in a loop of links
        raise BadInput(f"--out {str(out)[:200]} cannot be written ({_reason(error)}); name another folder") from None


def _check_out(out: Path) -> None:
    if "\0" in str(out):
        raise ValueError("a NUL is no part of a name")
    if out.is_symlink():
        raise BadInput(f"--out {out} is a link; name the folder itself")
    if out.is_dir() and any(out.iterdir()):
        raise BadInput(f"--out {out} is not empty; name a new folder or remove it")
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out {out} is a file; name a folder")
    if out.name in ("", "..") or (out.exists() and out.samefile(Path.cwd())):
        raise BadInput(f"--out {out} is the working folder or one above it; name a new folder")
    if len(os.fsencode(out.name)) > _LONGEST:
        raise BadInput(f"--out {out.name[:40]}… has a name of more than {_LONGEST} bytes; name a shorter one")
    parent = next((folder for folder in out.absolute().parents if folder.exists()), Path("/"))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK) or os.statvfs(parent).f_flag & os.ST_RDONLY:
        raise BadInput(f"--out {out} cannot be written ({parent} is not a folder that you may write to)")


def is_link(folder: Path, name: str) -> bool:
    """Whether a file of a folder, or a folder on the way to it, is a link to somewhere else.

    The Hub's cache is no elsewhere: it links each file of a snapshot to the blobs of the same repository.
    """
    path = folder
    for part in Path(name).parts:
        path = path / part
        if path.is_symlink():
            try:
                return path.resolve().parent != folder.resolve().parent.parent / "blobs"
            except (OSError, RuntimeError):  # links in a circle
                return True
    return False


@contextmanager
def create_folder(out: Path) -> Iterator[Path]:
    """A folder beside out to write into, renamed to out at the end and removed after any error.

    Raises BadInput as `check_out` does, CheckFailed when the disk is full.
    """
    check_out(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(_asides(out))
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.{_OURS}", suffix=_PARTIAL, dir=out.parent))
    except OSError as error:
        raise BadInput(f"--out {out} cannot be written ({error.strerror})") from error
    with _lock_folder(aside):
        try:
            with report_full_disk(out.parent):
                yield aside
                aside.chmod(0o755)
                _give_name(aside, out)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def _give_name(aside: Path, out: Path) -> None:
    """Raises BadInput where another run has made `out` meanwhile, whose is kept."""
    try:
        if out.exists():
            out.rmdir()
        move_into_place(aside, out)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise BadInput(f"--out {out} was made by another run meanwhile, and is left as it is; name a new one") from None


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A hidden folder beside a path for what memory does not hold; removed at the end.

    What a killed process left of its own is removed by the next that works beside the same path.
    Raises BadInput where nothing can be written there, CheckFailed when the disk is full.
    """
    try:
        with report_full_disk(beside.parent):
            beside.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(beside.parent.glob(f".{glob.escape(beside.name)}.*{_SCRATCH}"))
            folder = Path(tempfile.mkdtemp(prefix=f".{beside.name}.", suffix=_SCRATCH, dir=beside.parent))
    except OSError as error:
        raise BadInput(f"{beside.parent} cannot be written ({_reason(error)}); name another folder") from error
    with _lock_folder(folder):
        try:
            with report_full_disk(beside.parent):
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def temporary_folder(purpose: str) -> AbstractContextManager[Path]:
    """A scratch folder in the system's temporary one (TMPDIR), for one purpose of this user's."""
    return scratch_folder(Path(tempfile.gettempdir(), f"chronofacts-{os.getuid()}-{purpose}"))


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
    """Remove what killed writers of this file or folder left beside it; none may be at work on a file."""
    _remove_abandoned(_asides(path))
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{_PARTIAL}"):
        if not left.is_dir():
            left.unlink(missing_ok=True)


def _asides(out: Path) -> list[Path]:
    return list(out.parent.glob(f".{glob.escape(out.name)}.{_OURS}*{_PARTIAL}"))


def _remove_abandoned(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_symlink() or not folder.is_dir():
            continue
        with suppress(OSError), _lock_folder(folder):  # refused while the process lives that made it
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Hold a folder itself against every other holder; BlockingIOError when somebody does. Nothing is left of it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def lock_file(path: Path, wait: bool | float = True, remove: bool = False) -> Iterator[None]:
    """Hold the lock of this file against every other holder, in this process or another; it ends with the process.

    The file is made. wait: for ever, not at all, or so many seconds. remove: leave no file behind.
    Raises BlockingIOError when somebody still holds it then, OSError where the file is a link or cannot be made.
    """
    until = None if wait is True else time.monotonic() + float(wait)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while not _try_lock(descriptor, block=until is None):
                if until is not None and time.monotonic() >= until:
                    raise BlockingIOError(errno.EWOULDBLOCK, "somebody else holds the lock", str(path))
                time.sleep(_LOOK_AGAIN_S)
            if not _is_there(path, descriptor):  # its last holder has removed it meanwhile
                continue
            try:
                yield
            finally:
                if remove:
                    path.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _is_there(path: Path, descriptor: int) -> bool:
    """Is the open file still the one of that name?"""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def user_cache() -> Path:
    """The folder in which this user's programs keep what can be made again; where it cannot be written, a temporary
    one that is the user's too."""
    base = os.environ.get("XDG_CACHE_HOME")
    with suppress(RuntimeError, OSError):
        folder = (Path(base) if base else Path.home() / ".cache") / "chronofacts"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    folder = Path(tempfile.gettempdir()) / f"chronofacts-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _try_lock(descriptor: int, block: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if block else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


@contextmanager
def report_full_disk(folder: Path) -> Iterator[None]:
    """Raises CheckFailed, with the fix, where a file finds no room in the folder."""
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        raise CheckFailed(f"{folder} is full ({error}); make room and run the same command again") from error


def is_full_disk(error: Exception) -> bool:
    """Whether a file found no room. A library in Rust tells the system's number in words."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return any(f"(os error {number})" in str(error) for number in _NO_ROOM)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


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
