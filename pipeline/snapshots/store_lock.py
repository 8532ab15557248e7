"""The lock of a snapshot store: one refresh at a time, and no lock that outlives its holder for long.

A lock is a small file that only one can create. It says who holds it, since when, and in which process; it
is stale when that process of this machine is gone, or when it is older than its holder may take. A stale
lock is taken over under a second such file, so that two who find it stale do not both hold it.
Sources: fsspec's `mode="create"`, which object stores with conditional writes make exclusive; where a file
system has none, the holder reads its own lock back.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from chronofacts.schemas.documents import parse_json
from chronofacts.schemas.errors import CheckFailed

__all__ = ["LOCK", "LockHolder", "StoreLock"]

LOCK = ".lock.json"
_TAKEOVER_MAY_LAST = datetime.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock: a name for a person, since when (UTC), and the process that took it."""

    owner: str
    since: datetime.datetime
    machine: str
    pid: int
    started: str
    """When that process started, as its system has it; a number may be given to another process later."""
    token: str

    def as_json(self) -> bytes:
        return json.dumps({**asdict(self), "since": self.since.isoformat()}).encode()

    def is_stale(self, now: datetime.datetime, stale_after: datetime.timedelta) -> bool:
        if self.machine == platform.node() and _read_start(self.pid) != self.started:
            return True
        return now - self.since > stale_after


class StoreLock:
    """Held inside `with`; entering raises CheckFailed when somebody else holds it."""

    def __init__(
        self, filesystem: fsspec.AbstractFileSystem, path: str, owner: str, stale_after: datetime.timedelta
    ) -> None:
        self._filesystem, self._path, self._owner, self._stale_after = filesystem, path, owner, stale_after
        self._mine: LockHolder | None = None

    def __enter__(self) -> LockHolder:
        mine = LockHolder(self._owner, _now(), platform.node(), os.getpid(), _read_start(os.getpid()), uuid.uuid4().hex)
        if not self._create(self._path, mine.as_json()):
            self._take_over(mine)
        if self.holder() != mine:  # a file system without exclusive creation let another one in as well
            raise self._held(self.holder())
        self._mine = mine
        return mine

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mine is not None and self.holder() == self._mine:
            self._filesystem.rm_file(self._path)
        self._mine = None

    def holder(self) -> LockHolder | None:
        """Who holds the lock now; null when nobody does."""
        return self._read_holder(self._path)

    def _take_over(self, mine: LockHolder) -> None:
        """Replace a stale lock by mine, or raise CheckFailed."""
        found = self.holder()
        if found is not None and not found.is_stale(_now(), self._stale_after):
            raise self._held(found)
        guard = f"{self._path}.takeover"
        other = self._read_holder(guard)
        if other is not None and other.is_stale(_now(), _TAKEOVER_MAY_LAST):
            self._filesystem.rm_file(guard)
        if not self._create(guard, mine.as_json()):
            raise self._held(other)
        try:
            found = self.holder()
            if found is not None:
                if not found.is_stale(_now(), self._stale_after):
                    raise self._held(found)
                self._filesystem.rm_file(self._path)
            if not self._create(self._path, mine.as_json()):
                raise self._held(self.holder())
        finally:
            self._filesystem.rm_file(guard)

    def _held(self, holder: LockHolder | None) -> CheckFailed:
        who = f"{holder.owner} (on {holder.machine}, since {holder.since:%Y-%m-%d %H:%M} UTC)" if holder else "another"
        return CheckFailed(f"the store is in use by {who}; wait for it, or remove {self._path} if that process is gone")

    def _create(self, path: str, content: bytes) -> bool:
        """Write a file that must not be there; false when it is."""
        try:
            if isinstance(self._filesystem, LocalFileSystem):
                _create_whole(Path(path), content)
            else:
                self._filesystem.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True

    def _read_holder(self, path: str) -> LockHolder | None:
        self._filesystem.invalidate_cache()
        try:
            holder: dict[str, Any] = parse_json(self._filesystem.cat_file(path))
            return LockHolder(**{**holder, "since": datetime.datetime.fromisoformat(holder["since"])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):  # not ours: as old as it can be, so that it is taken over
            return LockHolder("an unreadable lock", datetime.datetime.min.replace(tzinfo=datetime.UTC), "", 0, "", "")


def _create_whole(path: Path, content: bytes) -> None:
    """A file that is there with all its content or not at all; FileExistsError when it is there."""
    aside = path.with_name(f".partial-{path.name}-{uuid.uuid4().hex[:8]}")
    aside.write_bytes(content)
    try:
        os.link(aside, path)
    except FileNotFoundError as error:  # the holder of the lock cleans what looks half-written
        raise FileExistsError(path) from error
    finally:
        aside.unlink(missing_ok=True)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _read_start(pid: int) -> str:
    """When a process of this machine started; empty when there is no such process.

    On Linux, clock ticks since the machine's start and the id of that start (proc(5), field 22 of `stat`);
    elsewhere only whether the process is there.
    """
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return "running" if _is_running(pid) else ""
    try:
        ticks = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        return f"{ticks} {Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()}"
    except OSError:
        return ""


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
