"""Claim: a thousand edits, one after the other, cost what so many edits cost: no edit waits for those before it.

Each edit is made on the model that all edits before it left (`editors.sequential`), as facts arrive over years. Of each
editor: seconds of the processor for an edit in the first tenth and in the last, and how far memory grew meanwhile.
Usage: python -m benchmarks.long_runs [--edits 1000] [--editors rome,memit,...] [--threads 1]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch

from benchmarks.claims import claim
from benchmarks.machine import MACHINE, ROOT, peak_gib
from chronofacts.editing.editors import EditBatch, EditedModel, ModelCache, read_editor_settings
from chronofacts.editing.editors.sequential import edit_in_chunks
from chronofacts.editing.models.load import load_model, model_hash
from chronofacts.editing.snapshot import Snapshot, load_snapshot

EDITORS = {
    "lora": {"steps": "10"},
    "freeze": {"steps": "10"},
    "rome": {"passes": "1"},
    "memit": {"passes": "1"},
    "ultraedit": {"passes": "2"},
    "grace": {},
    "memory": {},
}
"""Editor -> settings with which an edit is short: what is measured is whether it stays so."""
SINCE, AS_OF = "2012-01-01", "2025-01-01"
AS_LONG = 1.25
"""Times the first edits that the last may take."""


def make(work: Path) -> tuple[Snapshot, str]:
    """A snapshot with over a thousand edits, and where the small world of a part of it lies."""
    chronofacts = [sys.executable, "-m", "chronofacts.flows.cli"]
    snapshot, run = work / "S", work / "R"
    made = ["refresh", "--source", "sample", "--since", SINCE, "--as-of", AS_OF, "--out", str(snapshot)]
    world = ["experiment", str(snapshot), "--editor", "none", "--limit", "60", "--out", str(run)]
    for words in (made, world):
        subprocess.run([*chronofacts, *words], check=True, cwd=ROOT, stderr=subprocess.DEVNULL)
    return load_snapshot(snapshot), str(run / "model")


def run_through(name: str, values: dict[str, str], snapshot: Snapshot, world: str, count: int) -> None:
    """One editor, its figures printed; the model is undone to the last bit."""
    model, tokenizer = load_model(world, device="cpu")
    before, moments, memory = model_hash(model), [time.process_time()], [0.0]

    def note(part: EditedModel, edits: object) -> None:
        moments.append(time.process_time())
        memory.append(peak_gib())

    chosen = read_editor_settings(name, values, 0)
    batch = EditBatch(snapshot.edits.slice(0, count), snapshot.sentences)
    edited = edit_in_chunks(chosen, model, tokenizer, batch, 1, note, ModelCache(covariances={}))
    spent = [later - earlier for earlier, later in pairwise(moments)]
    tenth = len(spent) // 10
    # the first edit counts keys and tries shortcuts, once for all
    first, last = sorted(spent[1 : tenth + 1])[tenth // 2], sorted(spent[-tenth:])[tenth // 2]
    grew = (memory[-1] - memory[tenth]) * 1024
    claim(
        f"{len(spent)} edits one after the other, {name}: the last, times the first",
        f"at most {AS_LONG}",
        f"{last / first:.2f} ({first * 1000:.0f} ms, then {last * 1000:.0f}; memory grew by {grew:.0f} MiB)",
        last / first <= AS_LONG,
    )
    assert model_hash(edited.undo()) == before


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--edits", type=int, default=1000)
    asked.add_argument("--editors", default=",".join(EDITORS))
    given = asked.parse_args()
    torch.set_num_threads(1)
    print(MACHINE)
    with tempfile.TemporaryDirectory() as work:
        snapshot, world = make(Path(work))
        for name in given.editors.split(","):
            run_through(name, EDITORS[name], snapshot, world, given.edits)


if __name__ == "__main__":
    main()
