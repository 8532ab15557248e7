"""A causal trace as a folder: the effects, their averages, the heat map, and the layers that they suggest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.parquet as pq

from chronofacts.editing.models.load import load_model, model_hash
from chronofacts.editing.options import option_names, parse_options
from chronofacts.editing.progress import steady
from chronofacts.editing.runs.settings import RunSettings
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.editing.threads import fit_threads, threads_restored
from chronofacts.editing.tracing import RUN_OPTIONS
from chronofacts.editing.tracing.heat_map import draw_heat_map
from chronofacts.editing.tracing.layers import MEMIT_LAYERS, average, suggest_layers
from chronofacts.editing.tracing.trace import TraceSettings, trace
from chronofacts.schemas.files import check_out, create_folder

__all__ = ["TraceSummary", "run_trace"]


@dataclass(frozen=True)
class TraceSummary:
    out: Path
    facts: int
    rome: list[int]
    memit: list[int]


def run_trace(
    snapshot_dir: Path,
    model_name: str,
    settings: Mapping[str, str],
    out: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> TraceSummary:
    """Trace where a model looks up a snapshot's old facts, into `effects.parquet` (`tracing.trace.EFFECTS`),
    `averages.parquet` (`tracing.layers.MAP`), `heat_map.svg`, `heat_map.png` and `trace.json`.

    model_name: a folder or a name on the Hub. settings: words of `TraceSettings` and `RUN_OPTIONS`. Raises
    BadInput for a folder that is not empty, an unknown option or one out of range, or a model that knows none of the
    old facts; then no folder is left behind.
    """
    check_out(out)
    of_run = {key: text for key, text in settings.items() if key in RUN_OPTIONS}
    of_trace = {key: text for key, text in settings.items() if key in option_names(TraceSettings) or key not in of_run}
    run, chosen = parse_options(RunSettings, of_run, "the run"), parse_options(TraceSettings, of_trace, "the trace")
    with steady(progress) as steadied, threads_restored():
        steadied(f"loading {model_name}")
        snapshot = run.cut(load_snapshot(snapshot_dir))
        model, tokenizer = load_model(model_name, run.dtype, run.device, run.revision, run.device_map, run.chat)
        fit_threads(model.num_parameters(), run.threads)
        effects = trace(model, tokenizer, snapshot.edits, chosen, steadied)
    averages = average(effects, chosen.seed)
    facts = len(set(effects["edit_id"].to_pylist()))
    rome, memit = suggest_layers(averages), suggest_layers(averages, count=MEMIT_LAYERS)
    about = {
        "snapshot": snapshot.manifest.name,
        "model": {"name": model_name, "hash": model_hash(model)},
        "settings": asdict(chosen),
        "facts": facts,
        "suggested_layers": {"rome": rome, "memit": memit},
    }
    with create_folder(out) as folder:
        pq.write_table(effects, folder / "effects.parquet")
        pq.write_table(averages, folder / "averages.parquet")
        draw_heat_map(averages, folder, f"{model_name}: where {facts} facts are looked up")
        (folder / "trace.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return TraceSummary(out, facts, rome, memit)
