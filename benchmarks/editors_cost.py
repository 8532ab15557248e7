"""What each editor costs on a model: seconds of a processor for each fact, and memory; one thread.

    python -m benchmarks.editors_cost S smollm2 --limit 16 --editors lora,grace

S: a snapshot. The model: a name, a folder, or a run's own small world (`R/model`), of which the figures of 60 facts are
kept in `editing.registry` (`seconds_per_fact`), for the list that `chronofacts editors` prints. Each editor has a
process of its own. `first`: one fact alone, with what the editor computes of a model for good (covariances of keys);
`each`: of all facts at once, after that; `asking`: of each answer of up to eight tokens to the facts' own prompts;
`memory`: the peak while they are edited, beyond what the process with the loaded model has.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.claims import claim
from benchmarks.machine import processor_seconds, run_alone
from chronofacts.editing.edited import answer, speaking_tokenizer
from chronofacts.editing.editors import EditBatch, ModelCache, read_editor_settings
from chronofacts.editing.models.load import load_model
from chronofacts.editing.registry import EDITORS
from chronofacts.editing.runs.cost import Cost, describe_machine
from chronofacts.editing.runs.settings import RunSettings
from chronofacts.editing.snapshot import load_snapshot

ANSWER = 8
"""Tokens of an answer, at most."""
FIGURES = {"first": "first, s", "each": "each, s", "asking": "asking, s", "memory": "memory, MiB"}


def measure(snapshot: Path, name: str, limit: int, editor: str) -> dict[str, float]:
    """Seconds of the processor and MiB, by the keys of `FIGURES`."""
    part = RunSettings(limit=limit).cut(load_snapshot(snapshot))
    model, tokenizer = load_model(name, device="cpu")
    speaking, chosen = speaking_tokenizer(tokenizer, "auto", model), read_editor_settings(editor, {}, 0)
    cache = ModelCache(covariances={})

    def edit(edits: Any) -> Any:
        return chosen.method.edit(model, speaking, EditBatch(edits, part.sentences), chosen.settings, cache)

    with Cost() as loaded:
        pass
    begun = processor_seconds()
    edit(part.edits.slice(0, 1)).undo()
    alone = processor_seconds()
    with Cost() as cost:
        edited = edit(part.edits)
    done, prompts = processor_seconds(), part.edits["prompt"].to_pylist()
    answer(edited.model, speaking, prompts, ANSWER)
    return {
        "first": alone - begun,
        "each": (done - alone) / len(prompts),
        "asking": (processor_seconds() - done) / len(prompts),
        "memory": cost.peak_mb - loaded.peak_mb,
    }


def as_table(figures: dict[str, dict[str, float]]) -> str:
    rows = [["editor", *FIGURES.values()], ["---"] * (1 + len(FIGURES))]
    rows += [[name, *(f"{costs[key]:,.3g}" for key in FIGURES)] for name, costs in figures.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(words: Sequence[str]) -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("snapshot", type=Path)
    asked.add_argument("model")
    asked.add_argument("--limit", type=int, default=60, help="how many facts")
    asked.add_argument("--editors", default=",".join(name for name in EDITORS if name != "none"))
    asked.add_argument("--here", action="store_true", help="in this process: the first of the editors, as JSON")
    given = asked.parse_args(words)
    torch.set_num_threads(1)
    names = given.editors.split(",")
    if given.here:
        print(json.dumps(measure(given.snapshot, given.model, given.limit, names[0])))
        return
    figures = dict[str, dict[str, float]]()
    for name in names:
        options = ["--limit", str(given.limit), "--editors", name, "--here"]
        figures[name] = json.loads(
            run_alone("editors_cost", str(given.snapshot.absolute()), given.model, *options).splitlines()[-1]
        )
        print(f"{name}: {figures[name]}", flush=True)
    print(as_table(figures))
    if {"lora", "ultraedit"} <= set(figures):
        faster = figures["lora"]["each"] / figures["ultraedit"]["each"]
        claim("ultraedit: facts a second, times those of lora", "at least 20", f"{faster:.1f}", faster >= 20)
    print(json.dumps({"costs": figures, "machine": describe_machine()}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
