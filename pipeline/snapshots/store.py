"""The snapshot store: finished snapshots by their day, in a folder or behind any fsspec address.

    ROOT/2025-01-01/…        one snapshot, whole: it has a manifest.json
    ROOT/latest.json         the newest one
    ROOT/.lock.json          who refreshes now (`pipeline.snapshots.store_lock`)
    ROOT/.….partial          what a crash left; cleaned by the next one who holds the lock

On a disk a snapshot is written aside and renamed (`schemas.files`). Object stores cannot rename, so its manifest is
written last and removed first: what has no manifest is no snapshot. Whoever reads needs no lock.
Leaves out: how a snapshot is made, and which are compared (`pipeline.snapshots.compare`).
"""

from __future__ import annotations

import datetime
import json
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from chronofacts.pipeline.snapshots.store_lock import LOCK, StoreLock
from chronofacts.schemas.documents import parse_json
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import create_folder, replace_file, sha256_of
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest

__all__ = ["Retention", "SnapshotStore", "days_to_remove", "find_changed", "open_store"]

_MANIFEST, _LATEST, _PARTIAL = "manifest.json", "latest.json", ".partial"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Retention:
    """Which snapshots stay: the newest ones, and the first of each month or year for good."""

    keep_last: int = 12
    first_of_month: bool = False
    first_of_year: bool = True

    def __post_init__(self) -> None:
        if self.keep_last < 1:
            raise BadInput(f"keep_last {self.keep_last} would remove every snapshot; keep at least 1")


def days_to_remove(days: list[datetime.date], retention: Retention) -> list[datetime.date]:
    """The days whose snapshots may go, sorted; the newest is never among them."""
    ordered = sorted(set(days))
    keep = set(ordered[-retention.keep_last :])
    seen: set[tuple[int, ...]] = set()
    for day in ordered:
        for wanted, period in (
            (retention.first_of_month, (day.year, day.month)),
            (retention.first_of_year, (day.year,)),
        ):
            if wanted and period not in seen:
                seen.add(period)
                keep.add(day)
    return [day for day in ordered if day not in keep]


def find_changed(snapshot: Path, manifest: SnapshotManifest) -> str | None:
    """The first file of the manifest that is missing or is not the one that was written; None where all are."""
    return next(
        (
            name
            for name, entry in manifest.files.items()
            if not (snapshot / name).is_file() or sha256_of(snapshot / name) != entry.sha256
        ),
        None,
    )


def open_store(url: str, **options: object) -> SnapshotStore:
    """The store at a folder or an fsspec address (`s3://bucket/path`, `gs://…`, `memory://…`).

    options: for fsspec, such as credentials; by default those of the environment.
    Raises BadInput for an address that no installed library reads.
    """
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **options)
        store = SnapshotStore(filesystem, root.rstrip("/"), isinstance(filesystem, LocalFileSystem))
        filesystem.makedirs(store.root, exist_ok=True)
    except (ValueError, ImportError, OSError) as error:
        raise BadInput(f"the store {url!r} cannot be opened ({error}); give a folder or an address") from error
    return store


@dataclass(frozen=True, slots=True)
class SnapshotStore:
    """What holds snapshots; `add`, `remove`, `prune` and `recover` want the `lock` to be held."""

    filesystem: fsspec.AbstractFileSystem
    root: str
    renames: bool
    """Whether a folder gets its name at once (a disk); otherwise its manifest is written last."""

    def lock(self, owner: str, stale_after: datetime.timedelta = datetime.timedelta(hours=24)) -> StoreLock:
        """The lock of the store, to be used by `with`; raises CheckFailed when somebody else holds it."""
        return StoreLock(self.filesystem, f"{self.root}/{LOCK}", owner, stale_after)

    def days(self) -> list[datetime.date]:
        """The days of all finished snapshots, sorted."""
        return [day for day in self._day_folders() if self.filesystem.exists(f"{self._at(day)}/{_MANIFEST}")]

    def latest(self) -> datetime.date | None:
        """The newest snapshot: where `latest.json` points, or the newest found when it points nowhere."""
        try:
            pointer = parse_json(self.filesystem.cat_file(f"{self.root}/{_LATEST}"))
            day = datetime.date.fromisoformat(pointer["as_of"])
        except (OSError, ValueError, KeyError, TypeError):
            return max(self.days(), default=None)
        return day if self.filesystem.exists(f"{self._at(day)}/{_MANIFEST}") else max(self.days(), default=None)

    def resolve(self, name: str) -> datetime.date:
        """The day that `latest` or YYYY-MM-DD names; BadInput when the store has no such snapshot."""
        day = self.latest() if name == "latest" else _as_day(name)
        if day is None or not self.filesystem.exists(f"{self._at(day)}/{_MANIFEST}"):
            has = ", ".join(str(day) for day in self.days()[-5:]) or "none"
            raise BadInput(f"the store {self.root} has no snapshot {name!r}; the newest that it has: {has}")
        return day

    def add(self, snapshot: Path) -> datetime.date:
        """Copy a finished snapshot in; seen whole or not at all. The same snapshot again changes nothing.

        Raises BadInput when the folder is no snapshot or another one of that day is there, CheckFailed when
        a file is not the one that its manifest names.
        """
        manifest = read_manifest(snapshot)
        day, files = manifest.as_of, _files_of(snapshot)
        if self.filesystem.exists(f"{self._at(day)}/{_MANIFEST}"):
            if self.filesystem.cat_file(f"{self._at(day)}/{_MANIFEST}") != (snapshot / _MANIFEST).read_bytes():
                raise BadInput(f"the store {self.root} holds another snapshot of {day}; remove that one first")
            self._point()
            return day
        if (name := find_changed(snapshot, manifest)) is not None:
            raise CheckFailed(f"{snapshot / name} is not the file that was written; make the snapshot again")
        self._remove_tree(self._at(day))  # without a manifest, or this would have ended above
        if self.renames:
            with create_folder(Path(self._at(day))) as folder:
                shutil.copytree(snapshot, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        else:
            for name in sorted(files, key=lambda name: name == _MANIFEST):
                self.filesystem.makedirs(f"{self._at(day)}/{name}".rpartition("/")[0], exist_ok=True)
                self.filesystem.put_file(str(snapshot / name), f"{self._at(day)}/{name}")
        self._point()
        return day

    def fetch(self, day: datetime.date, out: Path) -> Path:
        """A copy of a snapshot as the folder `out`, with every sum checked; returns out.

        Raises BadInput when out is not empty, CheckFailed when what the store holds is damaged.
        """
        with create_folder(out) as folder:
            for path in self.filesystem.find(self._at(day)):
                name = str(path)[len(self._at(day)) + 1 :]
                if not _FILE_NAME.fullmatch(name):
                    raise CheckFailed(f"the store holds a file named {name!r} under {day}, which is not safe to copy")
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                self.filesystem.get_file(path, str(folder / name))
            if (changed := find_changed(folder, read_manifest(folder))) is not None:
                raise CheckFailed(f"{changed} of {day} in the store {self.root} is damaged; add the snapshot again")
        return out

    def folder(self, day: datetime.date, scratch: Path) -> Path:
        """A snapshot as a folder to read: where it lies on this disk, otherwise a copy under `scratch`."""
        return Path(self._at(day)) if self.renames else self.fetch(day, scratch / str(day))

    def remove(self, day: datetime.date) -> None:
        """Take a snapshot away, at once; nothing when there is none."""
        if self.renames:
            if self.filesystem.exists(self._at(day)):
                aside = Path(self.root, f".{day}.{uuid.uuid4().hex[:8]}{_PARTIAL}")
                Path(self._at(day)).rename(aside)
                shutil.rmtree(aside)
        else:
            if self.filesystem.exists(f"{self._at(day)}/{_MANIFEST}"):
                self.filesystem.rm_file(f"{self._at(day)}/{_MANIFEST}")
            self._remove_tree(self._at(day))
        self._point()

    def prune(self, retention: Retention) -> list[datetime.date]:
        """Remove what the policy does not keep; the days removed."""
        gone = days_to_remove(self.days(), retention)
        for day in gone:
            self.remove(day)
        return gone

    def recover(self) -> list[str]:
        """Clean what a crash left: half-written folders, and a pointer to what is not there; names cleaned."""
        finished = set(self.days())
        left = [name for name in self._names() if _PARTIAL in name]
        left += [str(day) for day in self._day_folders() if day not in finished]
        for name in left:
            self._remove_tree(f"{self.root}/{name}")
        self._point()
        return sorted(left)

    def _at(self, day: datetime.date) -> str:
        return f"{self.root}/{day}"

    def _names(self) -> list[str]:
        """Names directly under the root, sorted; never from a cache."""
        self.filesystem.invalidate_cache()
        paths = self.filesystem.ls(self.root, detail=False) if self.filesystem.exists(self.root) else []
        return sorted(str(path).rstrip("/").rpartition("/")[2] for path in paths)

    def _day_folders(self) -> list[datetime.date]:
        return [day for name in self._names() if _DAY.fullmatch(name) and (day := _as_day(name, quiet=True))]

    def _remove_tree(self, path: str) -> None:
        if self.filesystem.exists(path):
            self.filesystem.rm(path, recursive=True)

    def _point(self) -> None:
        """Let `latest.json` name the newest finished snapshot."""
        newest = max(self.days(), default=None)
        path = f"{self.root}/{_LATEST}"
        if newest is None:
            if self.filesystem.exists(path):
                self.filesystem.rm_file(path)
            return
        content = json.dumps({"as_of": str(newest), "path": str(newest)}).encode() + b"\n"
        if self.renames:
            with replace_file(Path(path)) as aside:
                aside.write_bytes(content)
        else:
            self.filesystem.pipe_file(path, content)


def _as_day(name: str, quiet: bool = False) -> datetime.date | None:
    try:
        if _DAY.fullmatch(name):
            return datetime.date.fromisoformat(name)
    except ValueError:
        pass
    if quiet:
        return None
    raise BadInput(f"{name[:40]!r} names no snapshot; give latest or a day as YYYY-MM-DD")


def _files_of(snapshot: Path) -> list[str]:
    """All files of a snapshot folder, relative; CheckFailed for a link or a name that another system refuses."""
    found = []
    for path in sorted(snapshot.rglob("*")):
        name = path.relative_to(snapshot).as_posix()
        if path.is_symlink() or not _FILE_NAME.fullmatch(name):
            raise CheckFailed(f"{path} does not belong in a snapshot (a link, or an odd name); remove it")
        if path.is_file():
            found.append(name)
    return found
