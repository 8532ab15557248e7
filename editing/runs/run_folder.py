"""The run folder: `run.json`, scores and metrics as Parquet, cards of edits.

Each editor writes its own saved edit; `report.runs` reads a run.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.editors import EditedModel, EditorSettings
from chronofacts.editing.facts import Change, changes_of, drop_duplicates
from chronofacts.editing.metrics.answer_states import AnswerState, base_states
from chronofacts.editing.metrics.summary import (
    METRICS,
    as_mapping,
    compare,
    lifelong,
    over_batches,
    share_interval,
    summarise,
    summarise_forgetting,
)
from chronofacts.editing.registry import package_of
from chronofacts.editing.runs.code_version import describe_code
from chronofacts.editing.runs.collapse import collapse_warnings
from chronofacts.editing.runs.cost import describe_machine
from chronofacts.editing.runs.lm_eval_tasks import TaskFigure
from chronofacts.editing.runs.results import EditorResult, Experiment
from chronofacts.editing.runs.settings import SMALL_WORLD
from chronofacts.editing.runs.unedited import make_base_answers
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.base_answers import FILE as BASE_ANSWERS_FILE
from chronofacts.schemas.manifest import hash_files

__all__ = ["describe_edit", "snapshot_hash", "write_json", "write_run"]

NORMAL = 1.96
"""Standard errors on both sides of 95 % of a normal distribution."""
SHARES_OF_TASKS = ("acc", "acc_norm", "exact_match")
"""Metrics of the harness that are right or wrong for each document."""


def write_run(
    experiment: Experiment, results: Sequence[EditorResult], seconds: float, refused: Mapping[str, str] | None = None
) -> dict[str, dict[str, float]]:
    """Write `run.json`, and as Parquet `scores/`, `curve/`, `lifelong/`, `base_answers`, `metrics` and `differences`.

    Returns editor -> metric -> value.

    results: the unedited model's first. refused: editors that cannot edit this model, and why.
    A wording that any of the editors trained is no paraphrase for any of them.
    """
    out, trained = experiment.folder, frozenset[str]().union(*(result.trained_prompts for result in results))
    (out / "scores").mkdir(parents=True, exist_ok=True)
    tables, figures, changes = [], {}, changes_of(experiment.snapshot.edits)
    states = base_states(results[0].scores)
    for result in results:
        scores = _name_sources(_label(result, experiment.prepared.hash, trained, changes, states), experiment.snapshot)
        # In one piece: those of an interrupted run come in other pieces, which would end other pages.
        pq.write_table(scores.combine_chunks(), out / "scores" / f"{result.name}.parquet")
        if result.name == "none":
            prepared = experiment.prepared
            answers = make_base_answers(scores, prepared.public_name, prepared.hash)
            pq.write_table(answers.combine_chunks(), out / BASE_ANSWERS_FILE)
        if result.curve is not None:
            (out / "curve").mkdir(exist_ok=True)
            pq.write_table(result.curve.combine_chunks(), out / "curve" / f"{result.name}.parquet")
        if result.lifelong is not None:
            (out / "lifelong").mkdir(exist_ok=True)
            pq.write_table(result.lifelong.combine_chunks(), out / "lifelong" / f"{result.name}.parquet")
        metrics = _measure(result, results[0], trained, changes, experiment.settings.run.seed)
        names = pa.array([result.name] * metrics.num_rows, pa.string())
        tables.append(metrics.add_column(0, "editor", names))
        costs = {"seconds": result.seconds, "peak_memory_mb": result.peak_memory_mb}
        figures[result.name] = as_mapping(metrics) | costs
    pq.write_table(pa.concat_tables(tables), out / "metrics.parquet")
    of_editors, seed = {result.name: result.scores for result in results}, experiment.settings.run.seed
    pq.write_table(compare(of_editors, results[0].scores, trained, seed=seed), out / "differences.parquet")
    write_json(out / "run.json", _describe(experiment, results, figures, seconds, refused or {}))
    return figures


def describe_edit(experiment: Experiment, editor: EditorSettings, edited: EditedModel) -> dict[str, Any]:
    """The card of a saved edit: its facts, where they are from, and how it was made on which weights."""
    prepared, snapshot = experiment.prepared, experiment.snapshot
    package = package_of(editor.name)
    return {
        "editor": editor.name,
        **({"package": package} if package else {}),
        **({"foreign": edited.report["foreign"]} if "foreign" in edited.report else {}),
        "config": asdict(editor.settings),
        "report": dict(edited.report),
        "run": asdict(experiment.settings.run),
        "base_model": prepared.name,
        "base_model_hash": prepared.hash,
        "dtype": str(next(prepared.model.parameters()).dtype).removeprefix("torch."),
        "chat": prepared.chats,
        "snapshot": snapshot.manifest.name,
        "snapshot_hash": snapshot_hash(snapshot),
        "since": str(snapshot.manifest.since),
        "as_of": str(snapshot.manifest.as_of),
        "edit_ids": snapshot.edits["edit_id"].to_pylist(),
        "edits": snapshot.edits.select(["edit_id", "prompt", "target_new", "target_old"]).to_pylist(),
        "trained_prompts": sorted(edited.trained_prompts),
    }


def snapshot_hash(snapshot: Snapshot) -> str:
    """One hash over the manifest's sums of files."""
    return hash_files(_list_files(snapshot))


def _list_files(snapshot: Snapshot) -> dict[str, Any]:
    """The files and their sums, as `manifest.json` has them."""
    return {name: asdict(entry) for name, entry in snapshot.manifest.files.items()}


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def _measure(
    result: EditorResult,
    unedited: EditorResult,
    trained: frozenset[str],
    changes: Mapping[str, Change],
    seed: int,
) -> pa.Table:
    """All metrics of one model state."""
    parts = [
        summarise(result.scores, unedited.scores, trained, seed=seed, changes=changes), _tabulate_tasks(result.tasks)
    ]  # fmt: skip
    if result.curve is not None:
        parts.append(summarise_forgetting(result.curve, result.scores, seed=seed))
    if result.lifelong is not None:
        parts.append(lifelong(result.lifelong, result.scores, unedited.scores, trained, seed=seed))
    parts += [_tabulate_tasks(found, "edits", str(edits)) for edits, found in result.task_curve.items()]
    if result.batch_of:
        parts.append(over_batches(result.scores, unedited.scores, result.batch_of, trained, seed=seed))
    return pa.concat_tables(parts)


def _tabulate_tasks(tasks: Mapping[str, TaskFigure], by: str = "all", group: str | None = None) -> pa.Table:
    """Figures of lm-evaluation-harness with an interval."""
    rows = []
    for name, one in tasks.items():
        low, high = _task_interval(name, one)
        rows.append(
            {"metric": name, "by": by, "group": group, "value": one.value, "n": one.n, "low": low, "high": high}
        )
    return pa.Table.from_pylist(rows, schema=METRICS)


def _task_interval(name: str, figure: TaskFigure) -> tuple[float, float]:
    """95 %: of a share as of every share here, since the harness's error of 0 at 0 and 1 claims certainty."""
    if name.rpartition(":")[2] in SHARES_OF_TASKS and 0 <= figure.value <= 1 and figure.n:
        right = (np.arange(figure.n) < round(figure.value * figure.n)).astype(float)
        return share_interval(right, [str(document) for document in range(figure.n)])
    apart = NORMAL * (figure.stderr or 0.0)
    return figure.value - apart, figure.value + apart


def _label(
    result: EditorResult,
    model: str,
    trained: frozenset[str],
    changes: Mapping[str, Change],
    states: Mapping[str, AnswerState],
) -> pa.Table:
    """The scores with what makes a row mean something outside of its file.

    model: its hash. In front `model_hash`, `editor` and `state` (before or after); behind `trained` (the wording was),
    the days of the change, its kind (`edit_kind`), what was known `before`, and what the unedited model answers to the
    edit (`base_state`); null where the question is about no edit.
    """
    table, count = result.scores, result.scores.num_rows
    state = "before" if result.name == "none" else "after"
    for index, (name, value) in enumerate({"model_hash": model, "editor": result.name, "state": state}.items()):
        table = table.add_column(index, name, pa.array([value] * count, pa.string()))
    marks = [prompt in trained for prompt in result.scores["prompt"].to_pylist()]
    of = [changes.get(fact) for fact in result.scores["fact"].to_pylist()]
    columns = {
        "trained": pa.array(marks, pa.bool_()),
        "changed_on_earliest": pa.array([one and one.first for one in of], pa.date32()),
        "changed_on_latest": pa.array([one and one.last for one in of], pa.date32()),
        "edit_kind": pa.array([one and one.kind for one in of], pa.string()),
        "before": pa.array([one and one.before for one in of], pa.string()),
        "base_state": pa.array([states.get(fact) for fact in result.scores["fact"].to_pylist()], pa.string()),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def _name_sources(scores: pa.Table, snapshot: Snapshot) -> pa.Table:
    """Adds the edit's `subject` and `statement_ids`, by which a reader finds it; null of no edit."""
    known = {row["edit_id"]: row for row in snapshot.edits.to_pylist()}
    of = [known.get(fact, {}) for fact in scores["fact"].to_pylist()]
    scores = scores.append_column("subject", pa.array([one.get("subject") for one in of], pa.string()))
    ids = pa.array([one.get("statement_ids") for one in of], pa.list_(pa.string()))
    return scores.append_column("statement_ids", ids)


def _foreign_warning(result: EditorResult) -> str:
    what = {"adapter": "an adapter", "checkpoint": "a checkpoint", "delta": "a difference of weights"}
    kind = what.get(str(result.report["foreign"].get("kind")), "an edit")
    return (
        f"{result.name} is {kind} that others made: which texts it was trained on is not known, so that its paraphrase "
        "figure may count some of them"
    )


def _describe(
    experiment: Experiment,
    results: Sequence[EditorResult],
    figures: Mapping[str, Mapping[str, float]],
    seconds: float,
    refused: Mapping[str, str],
) -> dict[str, Any]:
    """`run.json`"""
    snapshot, prepared, settings = experiment.snapshot, experiment.prepared, experiment.settings
    manifest = snapshot.manifest
    return {
        "warnings": [
            *prepared.warnings,
            *(text for result in results for text in collapse_warnings(result.name, result.report)),
            *(f"{name} is left out: {reason}" for name, reason in refused.items()),
            *(_foreign_warning(result) for result in results if "foreign" in result.report),
        ],
        "snapshot": {
            "name": manifest.name,
            "source": manifest.source,
            "since": str(manifest.since),
            "as_of": str(manifest.as_of),
            "hash": snapshot_hash(snapshot),
            "files": _list_files(snapshot),
            "edits": snapshot.edits.num_rows,
            "facts": drop_duplicates(snapshot.edits).num_rows,
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
                **({"foreign": result.report["foreign"]} if "foreign" in result.report else {}),
                **({"package": package} if (package := package_of(result.name)) else {}),
            }
            for result in results
        },
        **({"refused": dict(refused)} if refused else {}),
        "metrics": figures,
        "seconds": seconds,
        "written_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "code": describe_code(),
        "machine": describe_machine() | {"device": str(next(prepared.model.parameters()).device)},
    }
