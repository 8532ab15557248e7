"""What each editor costs: seconds of a processor for each fact of the small world, one thread.

    chronofacts experiment S --editor none --limit 60 --out W
    python -m benchmarks.editors_cost S W --editors lora,grace

S: a snapshot. W: a run on its small world. The figures are kept in `editing.registry` (`seconds_per_fact`), for the
list that `chronofacts editors` prints. All facts are edited at once; what an editor computes of a model for good (key
covariances) counts in.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from benchmarks.claims import claim
from chronofacts.editing.editors import EditBatch, read_editor_settings
from chronofacts.editing.models.load import load_model
from chronofacts.editing.registry import EDITORS
from chronofacts.editing.runs.cost import describe_machine
from chronofacts.editing.runs.settings import RunSettings
from chronofacts.editing.snapshot import load_snapshot


def measure(snapshot: Path, world: Path, names: list[str]) -> dict[str, float]:
    """Editor -> seconds of the processor for each fact."""
    limit = json.loads((world / "run.json").read_text())["settings"]["run"]["limit"]
    part = RunSettings(limit=limit).cut(load_snapshot(snapshot))
    model, tokenizer = load_model(str(world / "model"), device="cpu")
    batch = EditBatch(part.edits, part.sentences)
    found = {}
    for name in names:
        chosen = read_editor_settings(name, {}, 0)
        begun = time.process_time()
        edited = chosen.method.edit(model, tokenizer, batch, chosen.settings)
        found[name] = (time.process_time() - begun) / batch.edits.num_rows
        model = edited.undo()
        print(f"{name}: {found[name]:.3g} s for each of {batch.edits.num_rows} facts", flush=True)
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("snapshot", type=Path)
    asked.add_argument("world", type=Path)
    asked.add_argument("--editors", default=",".join(EDITORS))
    given = asked.parse_args()
    torch.set_num_threads(1)
    figures = measure(given.snapshot, given.world, given.editors.split(","))
    if {"lora", "ultraedit"} <= set(figures):
        faster = figures["lora"] / figures["ultraedit"]
        claim("ultraedit: facts a second, times those of lora", "at least 20", f"{faster:.1f}", faster >= 20)
    print(json.dumps({"seconds_per_fact": figures, "machine": describe_machine()}, indent=1))


if __name__ == "__main__":
    main()
