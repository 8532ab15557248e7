"""Results that are known already, kept by the hashes of model state, probe and settings: nothing is asked twice.

The untouched model is scored once for all editors and all runs, and an interrupted run goes on where it stopped. What
one model said is never served as another's: the model's hash is the name of the file's folder and is checked in it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.scoring.probe_scorer import RESULTS
from chronofacts.editing.scoring.settings import ScoringSettings

__all__ = ["SLICE", "ScoreStore", "default_folder", "state_key", "stored_results"]

VERSION = 2
"""Of how probes are asked: raise it when a score changes, and what is stored counts no more."""
SLICE = 2048
"""Probes that are asked, and stored, together."""
DECISIVE = ("margin", "thought", "fluency_tokens")
"""Settings that a result depends on, beside the probe itself."""
STATE = b"state"


def default_folder() -> Path | None:
    """Where results are kept between runs: $CHRONOFACTS_CACHE (empty: nowhere), else the user's cache folder."""
    named = os.environ.get("CHRONOFACTS_CACHE")
    if named is not None:
        return Path(named) / "scores" if named else None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chronofacts" / "scores"


def state_key(*parts: object) -> str:
    """A hash of what makes a model state: the base model's hash, and what was done to it. 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ScoreStore:
    """A folder of results of one model state."""

    folder: Path
    state: str

    def of(self, settings: ScoringSettings) -> Path:
        chosen = {name: value for name, value in asdict(settings).items() if name in DECISIVE}
        return self.folder / state_key(VERSION, self.state, chosen)

    def read(self, settings: ScoringSettings) -> pa.Table:
        """All results known (`RESULTS` after `probe_id`); files that cannot be read, or are another's, do not count."""
        schema = _schema(self.state)
        parts = [schema.empty_table()]
        for file in sorted(self.of(settings).glob("*.parquet")):
            try:
                part = pq.read_table(file, partitioning=None)
            except (pa.ArrowInvalid, OSError):
                continue
            if part.schema.equals(schema) and (part.schema.metadata or {}).get(STATE) == self.state.encode():
                parts.append(part)
        return pa.concat_tables(parts)

    def write(self, settings: ScoringSettings, probe_ids: pa.ChunkedArray, results: pa.Table) -> None:
        """Add results, whole or not at all. Where the folder cannot be written, nothing is kept."""
        table = results.add_column(0, "probe_id", probe_ids).cast(_schema(self.state))
        name = hashlib.sha256("".join(probe_ids.to_pylist()).encode()).hexdigest()[:16]
        file = self.of(settings) / f"{name}.parquet"
        part = file.with_suffix(f".{os.getpid()}.part")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, part)
            part.replace(file)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()


def stored_results(
    store: ScoreStore | None,
    probes: pa.Table,
    settings: ScoringSettings,
    ask: Callable[[pa.Table], pa.Table],
    size: int = SLICE,
) -> pa.Table:
    """The results (`RESULTS`) of the probes, in their order: from the store, else asked and stored, slice by slice.

    A slice of which anything is missing is asked whole, so that an interrupted run ends with the very same figures.
    """
    known = store.read(settings) if store else None
    place = {name: index for index, name in enumerate(known["probe_id"].to_pylist())} if known else {}
    parts = []
    for part in _slices(probes, size):
        ids = part["probe_id"]
        places = [place.get(name) for name in ids.to_pylist()]
        if known is not None and None not in places:
            parts.append(known.select(RESULTS.names).take(pa.array(places, pa.int64())))
            continue
        results = ask(part)
        parts.append(results)
        if store:
            store.write(settings, ids, results)
    return pa.concat_tables([part.cast(RESULTS) for part in parts])


def _slices(probes: pa.Table, size: int) -> Iterator[pa.Table]:
    for begin in range(0, probes.num_rows, size):
        yield probes.slice(begin, size)


def _schema(state: str) -> pa.Schema:
    return pa.schema([pa.field("probe_id", pa.string()), *RESULTS], metadata={STATE: state.encode()})
