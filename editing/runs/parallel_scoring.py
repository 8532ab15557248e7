"""Score one model state in several processes, each with its own copy of the model and a shard of the probes.

A shard names only folders and files, so that any orchestrator can score it on any machine that sees them. A score does
not depend on its shard. Leaves out models that do not fit one device.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from chronofacts.editing.models.chat import Chat
from chronofacts.editing.models.load import load_model
from chronofacts.editing.scoring.probe_scorer import score_probes
from chronofacts.editing.scoring.score_tables import RESULTS
from chronofacts.editing.scoring.settings import ScoringSettings
from chronofacts.editing.threads import threads_restored

__all__ = ["ModelRef", "Shard", "ShardRunner", "run_in_processes", "score_in_shards", "score_shard"]


@dataclass(frozen=True)
class ModelRef:
    """From where a process loads a model state."""

    name: str
    """A folder, or a name on the Hub."""
    dtype: str = "float32"
    device: str = "auto"
    revision: str | None = None
    adapter: str | None = None
    """Folder of the saved edit; None: the unedited model."""
    chat: Chat = "no"


@dataclass(frozen=True)
class Shard:
    """A part of the probes, and the file of its results."""

    model: ModelRef
    settings: ScoringSettings
    probes: Path
    out: Path
    number: int
    threads: int
    """Of the process that shares the work; each part has its part of them."""


ShardRunner = Callable[[Callable[[Shard], Path], Sequence[Shard]], Sequence[Path]]
"""Calls a function on each shard, somewhere, and returns the results in order."""


def score_in_shards(
    model: ModelRef, probes: pa.Table, settings: ScoringSettings, folder: Path, run_shards: ShardRunner
) -> pa.Table:
    """One row (`RESULTS`) per probe, in their order, from `settings.processes` shards.

    folder: for the shards' files. Shard n of k takes every k-th probe from the n-th on, so that each has about as much
    of every kind.
    """
    count = min(settings.processes, probes.num_rows)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [pa.array(range(number, probes.num_rows, count), pa.int64()) for number in range(count)]
    shards = []
    for number, part in enumerate(parts):
        source, out = folder / f"probes-{number}.parquet", folder / f"results-{number}.parquet"
        pq.write_table(probes.take(part), source)
        shards.append(Shard(model, settings, source, out, number, torch.get_num_threads()))
    results = pa.concat_tables([pq.read_table(path) for path in run_shards(score_shard, shards)])
    back = pa.compute.sort_indices(pa.concat_arrays(parts))
    return results.take(back).cast(RESULTS)


@threads_restored()
def score_shard(shard: Shard) -> Path:
    """Load the model state and write its results on the shard's probes; returns their file."""
    torch.set_num_threads(max(1, shard.threads // shard.settings.processes))
    ref = shard.model
    model, tokenizer = load_model(ref.name, ref.dtype, _choose_device(shard), ref.revision, chat=ref.chat)
    if ref.adapter is not None:
        from chronofacts.editing.editors.saved_edit import load_edit

        model = load_edit(model, tokenizer, Path(ref.adapter)).model
    pq.write_table(score_probes(model, tokenizer, pq.read_table(shard.probes), shard.settings), shard.out)
    return shard.out


def run_in_processes(work: Callable[[Shard], Path], shards: Sequence[Shard]) -> Sequence[Path]:
    """Each shard in a process of its own on this machine."""
    with ProcessPoolExecutor(len(shards), multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, shards))


def _choose_device(shard: Shard) -> str:
    """One GPU after the other, where there are several."""
    if shard.model.device == "auto" and torch.cuda.device_count() > 1:
        return f"cuda:{shard.number % torch.cuda.device_count()}"
    return shard.model.device
