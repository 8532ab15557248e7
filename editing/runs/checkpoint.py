"""A run folder that is whole or absent, and that resumes an interrupted run.

A hidden folder beside the run folder holds the finished parts: the model, each editor's result, and each slice of
scores (`scoring.cache`). Each lies under the hash of all that it depends on, so that the same command resumes there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.runs.code_version import describe_code
from chronofacts.schemas.documents import read_json
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import check_out, lock_file

__all__ = ["MODEL", "WORK", "load_checkpoint", "resumable", "save_checkpoint"]

WORK = ".work"
"""Folder in the unfinished run folder; a complete run has none."""
MODEL = "model"
"""Name of the model's checkpoint."""
CODE = "version of chronofacts"
"""In the identity of a run: half of its results by one version and half by another are not results of either."""


@contextmanager
def resumable(
    out: Path, identity: Mapping[str, Any], progress: Callable[[str], None] = lambda line: None
) -> Iterator[Path]:
    """A folder beside out to write into, renamed to out at the end.

    identity: what all results in it depend on, beside the code. After a crash the checkpoints stay, and the next run of
    the same identity and code gets the same folder. After wrong use (BadInput) they stay when there are more than the
    model. Raises BadInput as `check_out` does, when another run is at work in the folder, and when the folder holds an
    interrupted run of another identity or code.
    """
    check_out(out)
    folder = out.absolute().parent / f".{out.name}.partial"
    with ExitStack() as stack:
        try:
            (folder / WORK).mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock_file(folder / WORK / "lock", wait=False))
        except BlockingIOError as error:
            raise BadInput(
                f"--out {out} is being written by another run; wait for it, or name another folder"
            ) from error
        except OSError as error:
            raise BadInput(f"--out {out} cannot be written ({error.strerror})") from error
        _check_identity(folder, {**identity, CODE: describe_code()}, out)
        if _has_checkpoints(folder):
            progress(f"going on with the interrupted run in {folder}")
        try:
            yield folder
        except BaseException as error:
            if not _has_checkpoints(folder, ignored=MODEL if isinstance(error, BadInput) else None):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                progress(f"interrupted; what is finished is kept in {folder}, the same command goes on from there")
            raise
        shutil.rmtree(folder / WORK)
    if out.exists():
        out.rmdir()
    folder.rename(out)


def save_checkpoint(folder: Path, name: str, facts: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> None:
    """Save a finished result, whole or not at all: facts as JSON, and tables."""
    checkpoint = folder / WORK / "finished" / name
    part = checkpoint.with_name(f"{name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for table_name, table in tables.items():
        pq.write_table(table, part / f"{table_name}.parquet")
    (part / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, default=str), encoding="utf-8")
    shutil.rmtree(checkpoint, ignore_errors=True)
    part.rename(checkpoint)


def load_checkpoint(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, pa.Table]] | None:
    """The facts and tables of a checkpoint; None where there is none."""
    checkpoint = folder / WORK / "finished" / name
    if not (checkpoint / "facts.json").is_file():
        return None
    tables = {file.stem: pq.read_table(file, partitioning=None) for file in sorted(checkpoint.glob("*.parquet"))}
    return json.loads((checkpoint / "facts.json").read_text(encoding="utf-8")), tables


def _has_checkpoints(folder: Path, ignored: str | None = None) -> bool:
    return any(file.parent.name != ignored for file in (folder / WORK / "finished").glob("*/facts.json"))


def _check_identity(folder: Path, identity: Mapping[str, Any], out: Path) -> None:
    """Write the identity of the run; raises BadInput when the folder holds checkpoints of another one."""
    file = folder / WORK / "identity.json"
    wanted = before = json.loads(json.dumps(identity, default=str))
    with suppress(OSError, ValueError):
        before = read_json(file)
    if before != wanted and _has_checkpoints(folder):
        changed = sorted(name for name in {*before, *wanted} if before.get(name) != wanted.get(name))
        raise BadInput(
            f"{folder} holds an interrupted run of another {' and '.join(changed)}; finish it as it was begun, "
            f"remove it, or name another folder than --out {out}"
        )
    file.write_text(json.dumps(wanted, ensure_ascii=False), encoding="utf-8")
