"""Every editor on a model as it was trained: SmolLM2-135M-Instruct, or for the rehearsal one of random weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.gpu.facts import make_tokenizer
from benchmarks.gpu.record import Recorder
from chronofacts.editing.editors import EditorSettings
from chronofacts.editing.models.load import save_model
from chronofacts.editing.runs.experiment import prepare_model, run_editor, score_unedited
from chronofacts.editing.runs.results import EditorResult, Experiment
from chronofacts.editing.runs.run_folder import write_run
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.snapshot import Snapshot, subset

__all__ = ["measure_editors", "write_random_model"]

EDITORS = (
    "none", "lora", "memit", "rome", "lora+replay", "memory", "in-context", "freeze", "finetune", "p-tuning",
)  # fmt: skip
"""The most asked about first, for where time runs out."""
WANTED = ("edit_success", "paraphrase", "locality", "history")
EDITS, SENTENCES = 40, 1500
SETTINGS = {"cache": "none", "scoring.fluency": "8", "scoring.perplexity": "100", "scoring.fluency_tokens": "40"}
REHEARSED = {
    "steps": "3", "value_steps": "2", "rome.layer": "1", "memit.layers": "1", "scoring.hops": "false",
    "scoring.fluency": "0", "scoring.perplexity": "20",
}  # fmt: skip


def measure_editors(snapshot: Snapshot, model: Path, record: Recorder, folder: Path, tiny: bool) -> None:
    """What each editor reaches and takes on a few facts. folder: for what the run writes."""
    settings = read_settings(EDITORS, SETTINGS | (REHEARSED if tiny else {}))
    snapshot = subset(snapshot, 4 if tiny else EDITS, 200 if tiny else SENTENCES, 0)
    prepared = prepare_model(snapshot, str(model), folder, settings, _say)
    experiment = Experiment(snapshot, settings, prepared, folder, _say)
    states: list[EditorResult] = []

    def unedited() -> dict[str, Any]:
        states.append(score_unedited(experiment))
        return _figures(experiment, [states[0]])

    def edited(editor: EditorSettings) -> dict[str, Any]:
        return _figures(experiment, [states[0], run_editor(experiment, editor)])

    record.measure("none", unedited)
    for editor in settings.editors:
        if editor.name != "none" and states:
            record.measure(editor.name, lambda editor=editor: edited(editor))


def write_random_model(snapshot: Snapshot, folder: Path) -> Path:
    """A model of four small blocks with the snapshot's own tokens."""
    tokenizer = make_tokenizer(snapshot, 1000)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1024, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    save_model(LlamaForCausalLM(config).eval(), tokenizer, folder)
    return folder


def _figures(experiment: Experiment, states: list[EditorResult]) -> dict[str, Any]:
    """Of the last state, as a run's report has them."""
    last, facts = states[-1], experiment.snapshot.edits.num_rows
    folder = experiment.folder / "figures" / last.name
    folder.mkdir(parents=True, exist_ok=True)
    metrics: Mapping[str, float] = write_run(replace(experiment, folder=folder), states, 0.0)[last.name]
    return {
        "facts_per_s": round(facts / last.seconds, 2) if last.seconds else None,
        "probes_per_s": round(last.scores.num_rows / last.scoring_seconds, 1),
        "seconds": round(last.seconds + last.scoring_seconds, 2),
        "peak_gb": round(last.peak_memory_mb / 1024, 2),
        **{name: round(metrics[name], 3) for name in WANTED if metrics.get(name) is not None},
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
