"""Recordings: every answer of an endpoint as it came, so that a reading can be repeated without the network.

    RAW/blobs/ab/ab12….zst               texts of queries and answers, named by the sha256 of their bytes, Zstandard
    RAW/runs/STAMP/run.json              the endpoint and the moment of one reading
    RAW/runs/STAMP/asked/ab/ab12….json   one query of it (named by its sha256): ids, time, status, answer
    RAW/runs/STAMP/finished              there when the reading came to its end (`abandoned`: when it was given up)

Nothing is ever changed: files are written aside and renamed, and the record of an answer, which tells its size, comes
last. A recording without its mark is taken up again, and what it holds is not asked again; an older one serves only to
be replayed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa

from chronofacts.pipeline.sources import Scope
from chronofacts.pipeline.sources.sparql.rate_limit import Clock
from chronofacts.schemas.documents import read_json
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import replace_file

__all__ = ["AnswerWriter", "RecordedQuery", "Recording", "find_recording", "open_recording"]

_RESUMED_WITHIN = datetime.timedelta(hours=24)  # an older answer is no part of a fresh reading
_TAIL = 4096


@dataclass(frozen=True, slots=True)
class RecordedQuery:
    """What came of one query."""

    endpoint: str
    query_sha256: str
    ids: tuple[str, ...]
    """QIDs that the query names, sorted."""
    asked_at: str = ""
    """UTC, ISO 8601."""
    attempt: int = 0
    """How many times it had been asked by then."""
    freshness: str = ""
    """Up to when the endpoint said that it knows Wikidata; empty when it does not."""
    seconds: float = 0.0
    status: int = 0
    """HTTP status of the answer; 0 when there is none."""
    outcome: str = "too_big"
    """`answer`, or `too_big` for a query that the endpoint did not finish."""
    answer_sha256: str | None = None
    answer_bytes: int = 0
    stored_bytes: int = 0
    """Size of the compressed file; another size is a file torn by a crash of the machine."""


class AnswerWriter:
    """An answer on its way to the disk: compressed as it comes, its sha256 and its end kept."""

    def __init__(self, folder: Path) -> None:
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=folder)
        os.close(descriptor)
        self.path = Path(name)
        self.bytes = 0
        self.tail = b""
        self._hash = hashlib.sha256()
        self._stream = pa.CompressedOutputStream(pa.OSFile(name, "wb"), "zstd")

    def write(self, data: bytes) -> None:
        with _report_disk(self.path.parent):
            self._stream.write(data)
        self._hash.update(data)
        self.bytes += len(data)
        self.tail = (self.tail + data)[-_TAIL:]

    def close(self) -> str:
        """Finish the file; returns the sha256 of what was written."""
        with _report_disk(self.path.parent):
            self._stream.close()
        return self._hash.hexdigest()

    def reread(self) -> pa.NativeFile:
        """What was written, as it was written; after `close`."""
        return pa.CompressedInputStream(pa.OSFile(str(self.path), "rb"), "zstd")


class Recording:
    """One reading of one endpoint, while it goes on, or again."""

    def __init__(self, folder: Path, about: dict[str, Any]) -> None:
        self.endpoint: str = about["endpoint"]
        self.started_at = datetime.datetime.fromisoformat(about["started_at"])
        self.scope: Scope = about["scope"]
        self._folder = folder
        self._blobs = folder.parent.parent / "blobs"

    def find(self, query: str) -> RecordedQuery | None:
        """What came of a query; None when it has not been asked, or its record or answer is torn."""
        try:
            values = read_json(self._file_of(hashlib.sha256(query.encode()).hexdigest()))
            record = RecordedQuery(**{**values, "ids": tuple(values["ids"])})
            answer = record.answer_sha256
            is_whole = answer is None or self._blob(answer).stat().st_size == record.stored_bytes
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return record if is_whole else None

    @contextmanager
    def writer(self) -> Iterator[AnswerWriter]:
        """A file for one answer; what has not been kept at the end is removed."""
        with _report_disk(self._folder):
            self._blobs.mkdir(parents=True, exist_ok=True)
            writer = AnswerWriter(self._blobs)
        try:
            yield writer
            writer.close()
        finally:
            writer.path.unlink(missing_ok=True)

    def keep(self, record: RecordedQuery, query: str, writer: AnswerWriter | None) -> None:
        """Record what came of a query; its answer, where there is one, first."""
        with _report_disk(self._folder):
            if writer is not None and (sha256 := record.answer_sha256) is not None:
                record = replace(record, stored_bytes=writer.path.stat().st_size)
                answer = self._blob(sha256)
                answer.parent.mkdir(parents=True, exist_ok=True)
                writer.path.replace(answer)  # a file of that name has the same content
            text = self._blob(record.query_sha256)
            if not text.exists():
                with replace_file(text, flush=False) as aside:
                    aside.write_bytes(pa.Codec("zstd").compress(query.encode(), asbytes=True))
            with replace_file(self._file_of(record.query_sha256), flush=False) as aside:
                aside.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")

    def open(self, sha256: str) -> IO[bytes]:
        """The bytes of an answer; reading to the end raises CheckFailed when they are not what was kept."""
        return cast(IO[bytes], _Checked(self._blob(sha256), sha256))

    def finish(self, mark: str = "finished") -> None:
        """Close the recording: no later reading takes it up."""
        with _report_disk(self._folder):
            (self._folder / mark).touch()

    def _file_of(self, sha256: str) -> Path:
        return self._folder / "asked" / sha256[:2] / f"{sha256}.json"

    def _blob(self, sha256: str) -> Path:
        return self._blobs / sha256[:2] / f"{sha256}.zst"


class _Checked:
    """A kept text, read once from its beginning to its end."""

    def __init__(self, path: Path, sha256: str) -> None:
        self._path, self._wanted, self._hash = path, sha256, hashlib.sha256()
        try:
            self._stream = pa.CompressedInputStream(pa.OSFile(str(path), "rb"), "zstd")
        except OSError as error:
            raise CheckFailed(f"{path} cannot be read ({error}); refresh again from the endpoint") from error

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._stream.read(None if size < 0 else size)
        except OSError as error:
            raise CheckFailed(f"{self._path} is damaged ({error}); refresh again from the endpoint") from error
        self._hash.update(data)
        if not data and self._hash.hexdigest() != self._wanted:
            raise CheckFailed(f"{self._path} is damaged (its sha256 differs); refresh again from the endpoint")
        return data

    def close(self) -> None:
        self._stream.close()


def open_recording(raw: Path, endpoint: str, scope: str, clock: Clock) -> Recording:
    """The unfinished recording of this endpoint and scope whose last answer is not a day old, or else a new one.

    scope: what is read, as one line; answers of another scope are not mixed in.
    Raises BadInput when the folder cannot be written.
    """
    for folder in reversed(_runs(raw)):
        recording = _read_recording(folder)
        closed = (folder / "finished").exists() or (folder / "abandoned").exists()
        if recording is None or closed or (recording.endpoint, recording.scope) != (endpoint, scope):
            continue
        if clock.now() - _last_touched(folder) < _RESUMED_WITHIN:
            return recording
        break
    started = clock.now().astimezone(datetime.UTC).replace(microsecond=0)
    about = {"endpoint": endpoint, "scope": scope, "started_at": started.isoformat()}
    try:
        (raw / "runs").mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{started:%Y%m%dT%H%M%SZ}-", dir=raw / "runs"))
        (folder / "run.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--raw {raw} cannot be written ({error.strerror}); name another folder") from error
    return Recording(folder, about)


def find_recording(raw: Path) -> Recording:
    """The newest finished recording, to be replayed; BadInput when there is none."""
    for folder in reversed(_runs(raw)):
        recording = _read_recording(folder)
        if recording is not None and (folder / "finished").exists():
            return recording
    raise BadInput(f"{raw} holds no finished reading of an endpoint; make one with `chronofacts refresh --raw {raw}`")


def _runs(raw: Path) -> list[Path]:
    return sorted(path for path in (raw / "runs").glob("*") if path.is_dir())


def _read_recording(folder: Path) -> Recording | None:
    try:
        return Recording(folder, read_json(folder / "run.json"))
    except (OSError, ValueError, TypeError, KeyError):
        return None  # killed while it was being made


def _last_touched(folder: Path) -> datetime.datetime:
    newest = max(path.stat().st_mtime for path in (folder, *folder.glob("asked/*")))
    return datetime.datetime.fromtimestamp(newest, datetime.UTC)


@contextmanager
def _report_disk(folder: Path) -> Iterator[None]:
    """Raises CheckFailed, with the fix, for any error of the disk."""
    try:
        yield
    except OSError as error:
        raise CheckFailed(
            f"{folder} cannot be written ({error.strerror or error}); make room and run the same command again: "
            "what was answered so far is kept"
        ) from error
