"""What an experiment leaves behind: `run.json`, scores and metrics as Parquet, cards of edits; a folder by itself.

Leaves out the saved edits, which each editor writes, and reading a run (`report`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.editors import EditedModel, Plan
from chronofacts.editing.facts import Change, changes_of, distinct
from chronofacts.editing.metrics.summary import METRICS, as_mapping, forgetting, summarise
from chronofacts.editing.runs.cost import describe_machine
from chronofacts.editing.runs.lm_eval_tasks import TaskFigure
from chronofacts.editing.runs.results import SMALL_WORLD, EditorResult, ExperimentSettings, Prepared
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.manifest import hash_files

__all__ = ["describe_edit", "snapshot_hash", "write_json", "write_run"]

NORMAL = 1.96
"""Standard errors on both sides of 95 % of a normal distribution."""


def write_run(
    out: Path,
    snapshot: Snapshot,
    prepared: Prepared,
    results: Sequence[EditorResult],
    settings: ExperimentSettings,
    seconds: float,
) -> dict[str, dict[str, float]]:
    """Write `run.json`, `scores/*.parquet`, `curve/*.parquet` and `metrics.parquet`; editor -> metric -> value.

    results: the untouched model's first. A wording that any of the editors trained is no paraphrase for any of them.
    """
    untouched, trained = results[0], frozenset().union(*(result.trained_prompts for result in results))
    (out / "scores").mkdir(parents=True, exist_ok=True)
    tables, figures, changes = [], {}, changes_of(snapshot.edits)
    for result in results:
        pq.write_table(_labelled(result, prepared, trained, changes), out / "scores" / f"{result.name}.parquet")
        metrics = _measured(out, result, untouched, trained, changes, settings.run.seed)
        names = pa.array([result.name] * metrics.num_rows, pa.string())
        tables.append(metrics.add_column(0, "editor", names))
        costs = {"seconds": result.seconds, "peak_memory_mb": result.peak_memory_mb}
        figures[result.name] = as_mapping(metrics) | costs
    pq.write_table(pa.concat_tables(tables), out / "metrics.parquet")
    write_json(out / "run.json", _describe(snapshot, prepared, results, settings, figures, seconds))
    return figures


def describe_edit(
    prepared: Prepared, snapshot: Snapshot, plan: Plan, settings: ExperimentSettings, edited: EditedModel
) -> dict[str, Any]:
    """What a saved change is: the facts that it holds, where they are from, and how it was made on which weights."""
    told = ("edit_id", "prompt", "target_new", "target_old")
    return {
        "editor": plan.name,
        "config": asdict(plan.config),
        "report": dict(edited.report),
        "run": asdict(settings.run),
        "base_model": prepared.name,
        "base_model_hash": prepared.hash,
        "dtype": str(next(prepared.model.parameters()).dtype).removeprefix("torch."),
        "chat": prepared.chats,
        "snapshot": snapshot.name,
        "snapshot_hash": snapshot_hash(snapshot),
        "since": str(snapshot.manifest.get("since")),
        "as_of": str(snapshot.manifest.get("as_of")),
        "edit_ids": snapshot.edits["edit_id"].to_pylist(),
        "edits": snapshot.edits.select(told).to_pylist(),
        "trained_prompts": sorted(edited.trained_prompts),
    }


def snapshot_hash(snapshot: Snapshot) -> str:
    """One hash over the manifest's sums of files."""
    return hash_files(snapshot.manifest.get("files", {}))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def _measured(
    out: Path,
    result: EditorResult,
    untouched: EditorResult,
    trained: frozenset[str],
    changes: Mapping[str, Change],
    seed: int,
) -> pa.Table:
    """All metrics of one model state; its forgetting curve is written as it is, too."""
    figures = summarise(result.scores, untouched.scores, trained, seed=seed, changes=changes)
    parts = [figures, _of_tasks(result.tasks)]
    if result.curve is not None:
        (out / "curve").mkdir(exist_ok=True)
        pq.write_table(result.curve, out / "curve" / f"{result.name}.parquet")
        parts.append(forgetting(result.curve, result.scores, seed=seed))
    return pa.concat_tables(parts)


def _of_tasks(tasks: Mapping[str, TaskFigure]) -> pa.Table:
    """Figures of lm-evaluation-harness, its standard error as an interval."""
    rows = [
        {"metric": name, "by": "all", "group": None, "value": one.value, "n": one.n}
        | {"low": one.value - NORMAL * (one.stderr or 0.0), "high": one.value + NORMAL * (one.stderr or 0.0)}
        for name, one in tasks.items()
    ]
    return pa.Table.from_pylist(rows, schema=METRICS)


def _labelled(
    result: EditorResult, prepared: Prepared, trained: frozenset[str], changes: Mapping[str, Change]
) -> pa.Table:
    """The scores with what makes a row mean something outside of its file.

    `model_hash`, `editor`, `state` (before or after), `trained` (the wording was), and of the fact when it changed, the
    kind of change (`edit_kind`) and what was known `before`; null where the question is about no edit.
    """
    table, count = result.scores, result.scores.num_rows
    state = "before" if result.name == "none" else "after"
    columns = {"model_hash": prepared.hash, "editor": result.name, "state": state}
    for place, (name, value) in enumerate(columns.items()):
        table = table.add_column(place, name, pa.array([value] * count, pa.string()))
    marks = [prompt in trained for prompt in result.scores["prompt"].to_pylist()]
    table = table.append_column("trained", pa.array(marks, pa.bool_()))
    of = [changes.get(fact) for fact in result.scores["fact"].to_pylist()]
    told = {
        "changed_on_earliest": pa.array([one and one.first for one in of], pa.date32()),
        "changed_on_latest": pa.array([one and one.last for one in of], pa.date32()),
        "edit_kind": pa.array([one and one.kind for one in of], pa.string()),
        "before": pa.array([one and one.before for one in of], pa.string()),
    }
    for name, column in told.items():
        table = table.append_column(name, column)
    return table


def _describe(
    snapshot: Snapshot,
    prepared: Prepared,
    results: Sequence[EditorResult],
    settings: ExperimentSettings,
    figures: Mapping[str, Mapping[str, float]],
    seconds: float,
) -> dict[str, Any]:
    manifest = snapshot.manifest
    return {
        "snapshot": {
            "name": snapshot.name,
            "since": str(manifest.get("since")),
            "as_of": str(manifest.get("as_of")),
            "hash": snapshot_hash(snapshot),
            "files": manifest.get("files", {}),
            "edits": snapshot.edits.num_rows,
            "facts": distinct(snapshot.edits).num_rows,
            "questions": snapshot.questions.num_rows,
            "sentences": snapshot.sentences.num_rows,
        },
        "model": {
            "name": prepared.name,
            "hash": prepared.hash,
            "seconds": prepared.seconds,
            "chat": prepared.chats,
            **prepared.report,
        },
        "settings": {
            "given": dict(settings.given),
            "run": asdict(settings.run),
            "world": asdict(settings.world) if prepared.name == SMALL_WORLD else None,
            "scoring": asdict(settings.scoring),
            **({"left_out": dict(settings.left_out)} if settings.left_out else {}),
        },
        "editors": {
            result.name: {
                "config": dict(result.config),
                "report": dict(result.report),
                "seconds": result.seconds,
                "scoring_seconds": result.scoring_seconds,
                "peak_memory_mb": result.peak_memory_mb,
            }
            for result in results
        },
        "metrics": figures,
        "seconds": seconds,
        "machine": describe_machine(),
    }
