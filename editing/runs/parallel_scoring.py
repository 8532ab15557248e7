"""Score one model state in several processes, each with its own copy of the model and a share of the probes.

A share is a plain function of folders and files, so that any orchestrator can run it anywhere the folders are seen.
Scores do not depend on the share they are in. Leaves out models that do not fit one device.
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

__all__ = ["ModelPlace", "Share", "Spread", "ask_in_shares", "in_processes", "score_share"]


@dataclass(frozen=True)
class ModelPlace:
    """Where a process finds a model state."""

    name: str
    """A folder, or a name on the Hub."""
    dtype: str = "float32"
    device: str = "auto"
    revision: str | None = None
    adapter: str | None = None
    """Folder of the saved edit; None: the untouched model."""
    chat: Chat = "no"


@dataclass(frozen=True)
class Share:
    """A part of the probes, and where its results go."""

    place: ModelPlace
    settings: ScoringSettings
    probes: Path
    out: Path
    number: int


Spread = Callable[[Callable[[Share], Path], Sequence[Share]], Sequence[Path]]
"""Given a function and shares, calls it on each, somewhere, and returns what it returned, in order."""


def ask_in_shares(
    place: ModelPlace, probes: pa.Table, settings: ScoringSettings, folder: Path, spread: Spread
) -> pa.Table:
    """One row (`RESULTS`) per probe, in their order: asked in `settings.processes` shares.

    folder: where the shares' files lie for as long as it takes. The shares are cut crosswise, so that each has about
    as much of every kind.
    """
    count = min(settings.processes, probes.num_rows)
    folder.mkdir(parents=True, exist_ok=True)
    cuts = [pa.array(range(number, probes.num_rows, count), pa.int64()) for number in range(count)]
    shares = []
    for number, cut in enumerate(cuts):
        pq.write_table(probes.take(cut), folder / f"probes-{number}.parquet")
        share = Share(
            place, settings, folder / f"probes-{number}.parquet", folder / f"results-{number}.parquet", number
        )
        shares.append(share)
    results = pa.concat_tables([pq.read_table(path) for path in spread(score_share, shares)])
    order = pa.concat_arrays(cuts)
    back = pa.compute.sort_indices(order)
    return results.take(back).cast(RESULTS)


def score_share(share: Share) -> Path:
    """Load the model state, ask it the share's probes, write their results; returns the file."""
    torch.set_num_threads(max(1, torch.get_num_threads() // share.settings.processes))
    place = share.place
    model, tokenizer = load_model(place.name, place.dtype, _device(share), place.revision, chat=place.chat)
    if place.adapter is not None:
        from chronofacts.editing.editors.saved_edit import load_edit

        model = load_edit(model, tokenizer, Path(place.adapter)).model
    pq.write_table(score_probes(model, tokenizer, pq.read_table(share.probes), share.settings), share.out)
    return share.out


def in_processes(work: Callable[[Share], Path], shares: Sequence[Share]) -> Sequence[Path]:
    """Each share in a process of its own on this machine."""
    with ProcessPoolExecutor(len(shares), multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(work, shares))


def _device(share: Share) -> str:
    """One GPU after the other, where there are several."""
    if share.place.device == "auto" and torch.cuda.device_count() > 1:
        return f"cuda:{share.number % torch.cuda.device_count()}"
    return share.place.device
