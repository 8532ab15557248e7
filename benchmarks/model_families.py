"""Every editor on a tiny model of every family: which works, and where not, why.

    python -m benchmarks.model_families [FAMILY …] [--editors lora,rome] [--keep FILE] > docs/model_families.md

Each edit is made in memory and undone: the weights must be the same bit for bit. Then `chronofacts experiment`'s own
function runs with the editors that were not refused, on an invented snapshot with a handful of facts: the model is
loaded from a folder, scored, edited, scored again and restored. Whatever is no error of ours with a reason counts as a
failure, and the program ends with 1. Beside the editors: whether scores and texts are the same in any batch, of models
whose far tokens matter and with windows shorter than the prompts. Offline, one thread, some forty minutes of an
idle core.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.claims import claim
from benchmarks.tiny_families import FAMILIES, save_family
from chronofacts.editing.edited import edit
from chronofacts.editing.editors import EDITORS, read_editor_settings
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.load import load_model, model_hash
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import generate, teacher_force
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.schemas.errors import ChronoFactsError
from tests.editing.invented_world import write_invented

__all__ = ["QUICK", "Cell", "attempt", "edit_and_undo", "experiment", "largest_difference"]

QUICK: dict[str, dict[str, str]] = {
    "none": {},
    "lora": {"steps": "3"},
    "lora-merge": {"steps": "3"},
    "p-tuning": {"steps": "3", "vectors": "4"},
    "freeze": {"steps": "3"},
    "finetune": {"steps": "3"},
    "rome": {"value_steps": "3", "passes": "1", "statistics_texts": "20"},
    "memit": {"value_steps": "3", "statistics_texts": "20"},
    "alphaedit": {"value_steps": "3", "statistics_texts": "20"},
    "ultraedit": {"passes": "1"},
    "grace": {"value_steps": "3"},
    "wise": {"epochs": "2"},
    "in-context": {"facts": "1"},
    "memory": {},
    "ike": {"demonstrations": "1"},
    "mello": {"hops": "1", "embedder": "letters"},
    "rag": {"embedder": "letters"},
}
"""Enough to pass every line of an editor, and too little to learn anything."""
SCORING = {
    "scoring.hops": "false",
    "scoring.fluency": "1",
    "scoring.fluency_tokens": "4",
    "scoring.perplexity": "2",
    "scoring.margin": "2",
}
SAME = 1e-4
"""By which a likelihood may differ between batches: the order in which floats are added."""


@dataclass(frozen=True)
class Cell:
    """One editor on one family."""

    works: bool
    reason: str = ""
    """Where it does not: the error's line."""
    failed: bool = False
    """It ended with what is no reasoned refusal."""

    @property
    def mark(self) -> str:
        return "yes" if self.works else "**fails**" if self.failed else "no"


@dataclass
class Family:
    name: str
    cells: dict[str, Cell] = field(default_factory=dict)
    difference: float = 0.0
    """Of likelihoods, between a batch and each text alone."""
    seconds: float = 0.0


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("families", nargs="*", default=list(FAMILIES))
    asked.add_argument("--editors", default=",".join(EDITORS))
    asked.add_argument("--keep", type=Path, help="a file of results, one a line, which is taken up and added to")
    asked.add_argument("--trace", action="store_true", help="print the tracebacks of failures")
    options = asked.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found = _read_kept(options.keep)
    with tempfile.TemporaryDirectory() as place:
        snapshot = write_invented(Path(place) / "S", facts=8, edits=3, people=6)
        for name in (name for name in options.families if name not in found):
            found[name] = _try_family(name, options.editors.split(","), snapshot, Path(place), options.trace)
            print(_line(found[name]), file=sys.stderr, flush=True)
            if options.keep:
                with options.keep.open("a", encoding="utf-8") as file:
                    print(json.dumps(asdict(found[name])), file=file)
    shown = [found[name] for name in FAMILIES if name in found]
    print("\n".join(_page(shown, options.editors.split(","))))
    cells = [cell for family in shown for cell in family.cells.values()]
    failed = sum(cell.failed for cell in cells)
    claim("families and editors that fail without a reason", "0", f"{failed} of {len(cells):,}", not failed)
    return int(failed > 0)


def _read_kept(file: Path | None) -> dict[str, Family]:
    rows = map(json.loads, file.read_text(encoding="utf-8").splitlines()) if file and file.exists() else ()
    return {
        row["name"]: Family(**row | {"cells": {editor: Cell(**cell) for editor, cell in row["cells"].items()}})
        for row in rows
    }


def _try_family(name: str, editors: Sequence[str], snapshot: Path, place: Path, trace: bool) -> Family:
    begun, folder = time.perf_counter(), place / "models" / str(list(FAMILIES).index(name))
    save_family(name, folder)
    runs, family = place / "runs" / folder.name, Family(name)
    family.cells = {editor: attempt(lambda e=editor: edit_and_undo(e, folder, snapshot), trace) for editor in editors}
    working = [editor for editor, cell in family.cells.items() if cell.works]
    together = attempt(lambda: experiment(working, folder, snapshot, runs / "all"), trace)
    for editor in () if together.works else working:  # where one fails, each has a run of its own
        family.cells[editor] = attempt(lambda e=editor: experiment([e], folder, snapshot, runs / e))
    if working and together.works:
        family.difference = largest_difference(*load_model(str(folder)))
    family.seconds = time.perf_counter() - begun
    return family


def attempt(run: Callable[[], object], trace: bool = False) -> Cell:
    try:
        run()
    except ChronoFactsError as error:
        return Cell(False, str(error))
    except Exception as error:  # whatever it is, the table shows it
        if trace:
            traceback.print_exc()
        return Cell(False, f"{type(error).__name__}: {error}".splitlines()[0][:200], failed=True)
    return Cell(True)


def experiment(editors: Sequence[str], folder: Path, snapshot: Path, out: Path) -> None:
    values = {f"{editor}.{name}": value for editor in editors for name, value in QUICK[editor].items()}
    settings = read_settings(editors, values | SCORING | {"cache": str(folder / "scores")})
    run_experiment(snapshot, str(folder), settings, out)


def edit_and_undo(editor: str, folder: Path, snapshot: Path) -> None:
    """Raises RuntimeError where the weights are not the same afterwards, bit for bit."""
    model, tokenizer = load_model(str(folder))
    tables, before = load_snapshot(snapshot), model_hash(model)
    chosen = read_editor_settings(editor, QUICK[editor], 0)
    with edit(model, tokenizer, tables.edits, chosen, sentences=tables.sentences) as edited:
        edited.generate("Who is the mayor?", 4)
    if model_hash(model) != before:
        raise RuntimeError("undo does not restore the weights bit for bit")


def largest_difference(model: Any, tokenizer: Any) -> float:
    """Of the likelihoods of texts, short and far longer than a window, in one batch and each alone.

    Raises RuntimeError where the texts that are generated differ.
    """
    said = "and the town met and spoke about nothing that matters, "
    long = [f"{number} days ago {said * (1 + number % 3)} Q: Who is mayor {number}? A:" for number in range(24)]
    short = [f"The mayor of {town} is" for town in ("Linz", "Graz", "Wels", "Enns", "Steyr", "Traun")]
    rows = encode(tokenizer, [*short, *long], ["Ada Moor", "Eve Z"] * 15)
    alone, together = teacher_force(model, rows, 1, share=False), teacher_force(model, rows, 64)
    said = [
        generate(model, tokenizer, [row.prompt for row in rows], 6, size, share=share)
        for size, share in ((1, False), (64, True))
    ]
    if said[0] != said[1]:
        raise RuntimeError("a text depends on its batch")
    return max(abs(one.nll - other.nll) for one, other in zip(alone, together, strict=True))


def _line(family: Family) -> str:
    failed = {name: cell.reason for name, cell in family.cells.items() if cell.failed}
    marks = " ".join(f"{name}={cell.mark}" for name, cell in family.cells.items())
    return f"{family.name}: {marks}; batch {family.difference:.1e}; {family.seconds:.0f} s {failed or ''}"


def _page(found: Sequence[Family], editors: Sequence[str]) -> list[str]:
    """The page of the documentation."""
    works = sum(cell.works for family in found for cell in family.cells.values())
    failed = sum(cell.failed for family in found for cell in family.cells.values())
    reasons: dict[str, int] = {}
    lines = [
        "# Families of models",
        "",
        "Which editor works on which family, tried on tiny models with random weights: loaded from a folder, scored, "
        "edited with a handful of facts, scored again, restored bit for bit. It shows that an editor can work, "
        "not how well. Made by `python -m benchmarks.model_families > docs/model_families.md`, with transformers "
        f"{transformers.__version__}.",
        "",
        f"{len(found)} of the {len(FAMILIES)} families that the script knows, {len(editors)} editors: "
        f"{works} of {len(found) * len(editors)} pairs work, "
        f"{failed} fail, the others are refused with the reason below the table. The last column is the "
        "largest difference of a likelihood between a text scored alone and in a batch.",
        "",
        "| family | " + " | ".join(editors) + " | in any batch |",
        "|---|" + "---|" * (len(editors) + 1),
    ]
    for family in found:
        marks = []
        for cell in family.cells.values():
            note = ""
            if not cell.works:
                number = reasons.setdefault(_without_names(cell.reason), len(reasons) + 1)
                note = f" ({number})"
            marks.append(f"{cell.mark}{note}")
        same = "same" if family.difference <= SAME else f"{family.difference:.1e}"
        lines.append(f"| {family.name} | " + " | ".join(marks) + f" | {same} |")
    lines += ["", *(f"{number}. {reason}" for reason, number in reasons.items())]
    return lines


def _without_names(reason: str) -> str:
    """The reason, the same for every family that has it."""
    words = reason.split(" ")
    return " ".join("MODEL" if "ForCausalLM" in word or "LMHead" in word else word for word in words)


if __name__ == "__main__":
    sys.exit(main())
