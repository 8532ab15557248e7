"""Results by the hashes of model state, probe and settings, so that no model reads a probe twice.

The unedited model is scored once for all editors and all runs, and an interrupted run goes on where it stopped. One
model's results never serve another: the model's hash names the file's folder and stands in the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.scoring.score_tables import RESULTS
from chronofacts.editing.scoring.settings import ScoringSettings
from chronofacts.schemas.files import replace_file

__all__ = ["ScoreCache", "default_folder", "state_key"]

VERSION = 2
"""Of how probes are scored: raise it when a score changes, and what is stored counts no more."""
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
class ScoreCache:
    """A folder of results of one model state."""

    folder: Path
    state: str

    def folder_for(self, settings: ScoringSettings) -> Path:
        chosen = {name: value for name, value in asdict(settings).items() if name in DECISIVE}
        return self.folder / state_key(VERSION, self.state, chosen)

    def read(self, settings: ScoringSettings) -> pa.Table:
        """All results known (`RESULTS` after `probe_id`); files that cannot be read, or are another's, do not count."""
        schema = _schema(self.state)
        parts = [schema.empty_table()]
        for file in sorted(self.folder_for(settings).glob("*.parquet")):
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
        file = self.folder_for(settings) / f"{name}.parquet"
        with contextlib.suppress(OSError), replace_file(file, flush=False) as part:
            pq.write_table(table, part)


def _schema(state: str) -> pa.Schema:
    return pa.schema([pa.field("probe_id", pa.string()), *RESULTS], metadata={STATE: state.encode()})
