"""A run folder that is whole or absent, and that goes on where an interrupted run stopped.

What is finished lies in a hidden folder beside the one to be made, under the hash of all that it depends on, so that
the same command takes it up again: the model, each editor's result, and each slice of scores (`scoring.cache`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import check_out

__all__ = ["MODEL", "WORK", "keep", "kept", "resumable"]

WORK = ".work"
"""Folder in the unfinished run folder, gone when the run is complete."""
MODEL = "model"
"""Name under which the model is kept."""


@contextmanager
def resumable(
    out: Path, identity: Mapping[str, Any], progress: Callable[[str], None] = lambda line: None
) -> Iterator[Path]:
    """A folder beside out to write into, renamed to out at the end.

    identity: what all results in it depend on. After a crash what is finished stays, and the next run of the same
    identity is given the same folder; after wrong use it stays when there is more than the model. Raises BadInput as
    `check_out` does, when another run is at work in the folder, and when the folder holds an interrupted run of another
    identity.
    """
    check_out(out)
    folder = out.absolute().parent / f".{out.name}.partial"
    try:
        (folder / WORK).mkdir(parents=True, exist_ok=True)
        lock = (folder / WORK / "lock").open("w")
    except OSError as error:
        raise BadInput(f"--out {out} cannot be written ({error.strerror})") from error
    with lock:
        _take(lock, out)
        _check_identity(folder, identity, out)
        if _finished(folder):
            progress(f"going on with the interrupted run in {folder}")
        try:
            yield folder
        except BaseException as error:
            if not _finished(folder, beside=MODEL if isinstance(error, BadInput) else None):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                progress(f"interrupted; what is finished is kept in {folder}, the same command goes on from there")
            raise
        shutil.rmtree(folder / WORK)
    if out.exists():
        out.rmdir()
    folder.rename(out)


def keep(folder: Path, name: str, facts: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> None:
    """Keep a finished result, whole or not at all: what `json` can write, and tables."""
    place = folder / WORK / "finished" / name
    part = place.with_name(f"{name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for table_name, table in tables.items():
        pq.write_table(table, part / f"{table_name}.parquet")
    (part / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, default=str), encoding="utf-8")
    shutil.rmtree(place, ignore_errors=True)
    part.rename(place)


def kept(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, pa.Table]] | None:
    """What was kept under the name; None where there is nothing."""
    place = folder / WORK / "finished" / name
    if not (place / "facts.json").is_file():
        return None
    tables = {file.stem: pq.read_table(file, partitioning=None) for file in sorted(place.glob("*.parquet"))}
    return json.loads((place / "facts.json").read_text(encoding="utf-8")), tables


def _finished(folder: Path, beside: str | None = None) -> bool:
    """Is anything finished in it, beside what is named?"""
    return any(file.parent.name != beside for file in (folder / WORK / "finished").glob("*/facts.json"))


def _check_identity(folder: Path, identity: Mapping[str, Any], out: Path) -> None:
    """Write who may go on here; raises BadInput when it is somebody else's."""
    file = folder / WORK / "identity.json"
    told = json.loads(json.dumps(identity, default=str))
    before = told
    with contextlib.suppress(OSError, ValueError):
        before = json.loads(file.read_text(encoding="utf-8"))
    if before != told and _finished(folder):
        changed = sorted(name for name in {*before, *told} if before.get(name) != told.get(name))
        raise BadInput(
            f"{folder} holds an interrupted run of another {' and '.join(changed)}; finish it with the options it was "
            f"begun with, remove it, or name another folder than --out {out}"
        )
    file.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


def _take(lock: IO[str], out: Path) -> None:
    """Raises BadInput when another process writes to the same folder; the lock ends with the process."""
    if os.name == "nt":
        return
    import fcntl

    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise BadInput(f"--out {out} is being written by another run; wait for it, or name another folder") from error
