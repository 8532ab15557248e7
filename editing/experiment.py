"""One experiment: a model, its scores before, each editor's change and scores after, and a folder that holds it all.

The stages are functions of values and folders, so that an orchestrator can wrap each in a task of its own;
`run_experiment` chains them. Leaves out the report (`report`) and orchestration.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from editing.editors import Material, Plan, make_plan
from editing.editors.modes import edit_in_chunks
from editing.measuring import Cost, describe_machine
from editing.metrics import as_mapping, summarise
from editing.models import load_model, model_hash, save_model
from editing.options import nearest, option_names, parse_options
from editing.scoring import ScoringSettings, score
from editing.snapshot import Snapshot, load_snapshot, subset
from editing.world import WorldSettings, pretrain
from schemas.errors import BadInput
from schemas.folders import check_out, written_aside

__all__ = [
    "SMALL_WORLD",
    "EditorResult",
    "ExperimentSettings",
    "Prepared",
    "RunSettings",
    "RunSummary",
    "prepare_model",
    "read_settings",
    "run_editor",
    "run_experiment",
    "score_untouched",
    "write_run",
]

SMALL_WORLD = "small-world"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class RunSettings:
    quick: bool = False
    """Only a part of the edits and sentences, for a result within a minute."""
    quick_edits: int = 60
    quick_sentences: int = 1500
    seed: int = 0
    threads: int | None = None
    """Of torch on a CPU; none: torch's own choice."""
    chunk: int | None = None
    """Edit so many facts at a time, each chunk on what the ones before it left; none: all at once."""
    dtype: str = "float32"
    device: str = "auto"
    revision: str | None = None
    """Of a Hub model: branch, tag or commit."""


@dataclass(frozen=True)
class ExperimentSettings:
    run: RunSettings
    world: WorldSettings
    scoring: ScoringSettings
    plans: tuple[Plan, ...]
    given: Mapping[str, str] = field(default_factory=dict)
    """The `--set` words, as they were given."""


@dataclass(frozen=True)
class Prepared:
    """A model that is ready to be asked and edited."""

    model: Any
    tokenizer: Any
    name: str
    hash: str
    report: Mapping[str, Any]
    """How it was made: pretraining's report for a small world, else empty."""
    seconds: float
    peak_memory_mb: float


@dataclass(frozen=True)
class EditorResult:
    """One model state: `none` (before), or after an editor."""

    name: str
    scores: pa.Table
    trained_prompts: frozenset[str]
    config: Mapping[str, Any]
    report: Mapping[str, Any]
    seconds: float
    """Of editing, without scoring."""
    scoring_seconds: float
    peak_memory_mb: float


@dataclass(frozen=True)
class RunSummary:
    out: Path
    metrics: Mapping[str, Mapping[str, float]]
    """editor -> metric -> value"""
    seconds: float
    peak_memory_mb: float


def read_settings(editors: Sequence[str], values: Mapping[str, str]) -> ExperimentSettings:
    """`--set` words sorted to whom they belong.

    A key may name its owner (`world.steps`, `scoring.margin`, `lora.rank`, `lora+replay.epochs`) or stand alone; alone
    it goes to the run, or to every editor that has it. Raises BadInput for an unknown editor, owner or option.
    """
    if not editors:
        raise BadInput("no editor was named; take none, lora or lora+replay")
    names = list(dict.fromkeys([*editors]))
    run = parse_options(RunSettings, {k: v for k, v in values.items() if k in option_names(RunSettings)}, "the run")
    blank = {name: make_plan(name, {}, run.seed) for name in names}
    owned: dict[str, dict[str, str]] = {"world": {}, "scoring": {}, **{name: {} for name in names}}
    for key, text in values.items():
        for owner, option in _owners(key, blank):
            owned[owner][option] = text
    return ExperimentSettings(
        run=run,
        world=replace(parse_options(WorldSettings, {"seed": str(run.seed), **owned["world"]}, "the small world")),
        scoring=parse_options(ScoringSettings, owned["scoring"], "scoring"),
        plans=tuple(make_plan(name, owned[name], run.seed) for name in names),
        given=dict(values),
    )


def prepare_model(
    snapshot: Snapshot, model_name: str, out: Path, settings: ExperimentSettings, progress: Progress = lambda line: None
) -> Prepared:
    """Load the model, or pretrain the small world and save it in `out / "model"`."""
    with Cost() as cost:
        if model_name == SMALL_WORLD:
            model, tokenizer, report = pretrain(
                snapshot.sentences, snapshot.edits, snapshot.questions, settings.world, progress
            )
            save_model(model, tokenizer, out / "model")
            how: Mapping[str, Any] = report.as_dict()
        else:
            progress(f"loading {model_name}")
            model, tokenizer = load_model(model_name, settings.run.dtype, settings.run.device, settings.run.revision)
            how = {}
    return Prepared(model, tokenizer, model_name, model_hash(model), how, cost.seconds, cost.peak_mb)


def score_untouched(
    prepared: Prepared, snapshot: Snapshot, settings: ExperimentSettings, progress: Progress = lambda line: None
) -> EditorResult:
    """The model before any edit, under the name `none`."""
    with Cost() as cost:
        scores = score(prepared.model, prepared.tokenizer, snapshot.questions, settings.scoring, progress)
    return EditorResult("none", scores, frozenset(), {}, {}, 0.0, cost.seconds, cost.peak_mb)


def run_editor(
    prepared: Prepared,
    snapshot: Snapshot,
    plan: Plan,
    settings: ExperimentSettings,
    out: Path,
    progress: Progress = lambda line: None,
) -> EditorResult:
    """Edit, save the change in `out / "adapters" / name`, score, and undo: the model is afterwards as before."""
    material = Material(snapshot.edits, snapshot.sentences, _probe_texts(snapshot.questions), progress)
    progress(f"{plan.name}: editing {snapshot.edits.num_rows} facts")
    with Cost() as editing:
        if settings.run.chunk is None:
            edited = plan.editor.edit(prepared.model, prepared.tokenizer, material, plan.config)
        else:
            edited = edit_in_chunks(plan, prepared.model, prepared.tokenizer, material, settings.run.chunk)
    try:
        with Cost() as scoring:
            scores = score(edited.model, prepared.tokenizer, snapshot.questions, settings.scoring, progress)
        folder = out / "adapters" / plan.name
        edited.save(folder)
        if folder.is_dir():
            _write_json(folder / "card.json", _card(prepared, snapshot, plan))
        trained, report = edited.trained_prompts, dict(edited.report)
    finally:
        edited.undo()
    peak = max(editing.peak_mb, scoring.peak_mb)
    return EditorResult(plan.name, scores, trained, asdict(plan.config), report, editing.seconds, scoring.seconds, peak)


def write_run(
    out: Path,
    snapshot: Snapshot,
    prepared: Prepared,
    results: Sequence[EditorResult],
    settings: ExperimentSettings,
    seconds: float,
) -> dict[str, dict[str, float]]:
    """Write `run.json`, `scores/*.parquet` and `metrics.parquet` into `out`; returns editor -> metric -> value.

    results: the untouched model's first. A wording that any of the editors trained is no paraphrase for any of them.
    """
    untouched, trained = results[0], frozenset().union(*(result.trained_prompts for result in results))
    (out / "scores").mkdir(parents=True, exist_ok=True)
    tables, figures = [], {}
    for result in results:
        pq.write_table(_labelled(result, prepared, trained), out / "scores" / f"{result.name}.parquet")
        metrics = summarise(result.scores, untouched.scores, trained, seed=settings.run.seed)
        names = pa.array([result.name] * metrics.num_rows, pa.string())
        tables.append(metrics.add_column(0, "editor", names))
        costs = {"seconds": result.seconds, "peak_memory_mb": result.peak_memory_mb}
        figures[result.name] = as_mapping(metrics) | costs
    pq.write_table(pa.concat_tables(tables), out / "metrics.parquet")
    _write_json(out / "run.json", _describe(snapshot, prepared, results, settings, figures, seconds))
    return figures


def run_experiment(
    snapshot_dir: Path,
    model: str,
    editors: Sequence[str],
    settings: Mapping[str, str],
    out_dir: Path,
    progress: Progress = lambda line: None,
    stage: Callable[[str, Any], Any] = lambda name, work: work,
) -> RunSummary:
    """The whole experiment, in a folder that appears only when it is complete.

    stage: given the name and the function of each stage, returns what is called in its place, so that an
    orchestrator can make a task of it.
    The untouched model is always scored, whether or not `none` is among the editors. Raises BadInput for an output
    folder that is not empty and for wrong options, before any work is done.
    """
    check_out(out_dir)
    chosen = read_settings(editors, settings)
    snapshot = load_snapshot(snapshot_dir)
    if chosen.run.threads:
        torch.set_num_threads(chosen.run.threads)
    if chosen.run.quick:
        snapshot = subset(snapshot, chosen.run.quick_edits, chosen.run.quick_sentences, chosen.run.seed)
    with written_aside(out_dir) as folder:
        with Cost() as cost:
            prepared = stage("prepare-model", prepare_model)(snapshot, model, folder, chosen, progress)
            results = [stage("score-untouched", score_untouched)(prepared, snapshot, chosen, progress)]
            for plan in chosen.plans:
                if plan.name != "none":
                    edit = stage(f"edit-{plan.name}", run_editor)
                    results.append(edit(prepared, snapshot, plan, chosen, folder, progress))
        peak = max([cost.peak_mb, prepared.peak_memory_mb, *(result.peak_memory_mb for result in results)])
        figures = stage("write-run", write_run)(folder, snapshot, prepared, results, chosen, cost.seconds)
    return RunSummary(out_dir, figures, cost.seconds, peak)


def _owners(key: str, plans: Mapping[str, Plan]) -> list[tuple[str, str]]:
    """To whom an option belongs: (owner, option) pairs; the run's own are read before. Raises BadInput."""
    if key in option_names(RunSettings):
        return []
    owner, dot, option = key.rpartition(".")
    if dot:
        stems = {name.partition("+")[0] for name in plans}
        if owner not in {"world", "scoring", *plans, *stems}:
            raise BadInput(
                f"--set {key}: nothing here is called {owner!r}{nearest(owner, ['world', 'scoring', *plans])}"
            )
        named = [name for name in plans if owner in (name, name.partition("+")[0])]
        return [(name, option) for name in named] or [(owner, option)]
    having = [(name, key) for name, plan in plans.items() if key in option_names(type(plan.config))]
    if not having:
        known = {*option_names(RunSettings), *(o for plan in plans.values() for o in option_names(type(plan.config)))}
        raise BadInput(f"--set {key}: there is no such option{nearest(key, known)}")
    return having


def _probe_texts(questions: pa.Table) -> frozenset[str]:
    phrasings = (text for others in questions["phrasings"].to_pylist() for text in others or ())
    return frozenset(questions["question"].to_pylist()) | frozenset(phrasings)


def _labelled(result: EditorResult, prepared: Prepared, trained: frozenset[str]) -> pa.Table:
    """The scores with what makes a row mean something outside of its file."""
    count = result.scores.num_rows
    state = "before" if result.name == "none" else "after"
    columns = {"model_hash": prepared.hash, "editor": result.name, "state": state}
    table = result.scores
    for place, (name, value) in enumerate(columns.items()):
        table = table.add_column(place, name, pa.array([value] * count, pa.string()))
    marks = [prompt in trained for prompt in result.scores["prompt"].to_pylist()]
    return table.append_column("trained", pa.array(marks, pa.bool_()))


def _card(prepared: Prepared, snapshot: Snapshot, plan: Plan) -> dict[str, Any]:
    return {
        "editor": plan.name,
        "config": asdict(plan.config),
        "base_model": prepared.name,
        "base_model_hash": prepared.hash,
        "snapshot": snapshot.name,
        "snapshot_hash": _snapshot_hash(snapshot),
        "edit_ids": snapshot.edits["edit_id"].to_pylist(),
    }


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
            "hash": _snapshot_hash(snapshot),
            "files": manifest.get("files", {}),
            "edits": snapshot.edits.num_rows,
            "questions": snapshot.questions.num_rows,
            "sentences": snapshot.sentences.num_rows,
        },
        "model": {"name": prepared.name, "hash": prepared.hash, "seconds": prepared.seconds, **prepared.report},
        "settings": {
            "given": dict(settings.given),
            "run": asdict(settings.run),
            "world": asdict(settings.world) if prepared.name == SMALL_WORLD else None,
            "scoring": asdict(settings.scoring),
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


def _snapshot_hash(snapshot: Snapshot) -> str:
    """One hash over the manifest's sums of files."""
    return hashlib.sha256(json.dumps(snapshot.manifest.get("files", {}), sort_keys=True).encode()).hexdigest()[:16]


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
