"""One experiment: a model, its scores before, each editor's change and scores after, and a folder that holds it all.

The stages are functions of values and folders, so that an orchestrator can wrap each in a task of its own;
`run_experiment` chains them. Leaves out the report (`report`) and orchestration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from chronofacts.editing.editors import EditedModel, Material, Plan
from chronofacts.editing.editors.saved_edit import CARD, SavedOptions, check_base, read_card
from chronofacts.editing.editors.sequential import edit_in_chunks
from chronofacts.editing.models.chat import Chat, plain_tokenizer
from chronofacts.editing.models.distributed import own_device, own_folder
from chronofacts.editing.models.load import load_model, model_hash, save_model
from chronofacts.editing.runs.checkpoint import MODEL, WORK, keep, kept, resumable
from chronofacts.editing.runs.cost import Cost
from chronofacts.editing.runs.lm_eval_tasks import TaskFigure, check_tasks, run_tasks
from chronofacts.editing.runs.parallel_scoring import ModelPlace, Spread, ask_in_shares, in_processes
from chronofacts.editing.runs.results import (
    SMALL_WORLD,
    EditorResult,
    ExperimentSettings,
    Prepared,
    RunSettings,
    RunSummary,
)
from chronofacts.editing.runs.run_folder import describe_edit, write_json, write_run
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.runs.single_edits import ask_alone, score_each_alone
from chronofacts.editing.runs.sweep import sweep_plans
from chronofacts.editing.scoring import ScoreStore, ScoringSettings, all_probes, evaluate, score
from chronofacts.editing.scoring.cache import default_folder, state_key
from chronofacts.editing.small_world.pretrain import pretrain
from chronofacts.editing.snapshot import Snapshot, load_snapshot, subset
from chronofacts.schemas.errors import BadInput, ChronoFactsError
from chronofacts.schemas.files import check_out

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

Progress = Callable[[str], None]


def prepare_model(
    snapshot: Snapshot, model_name: str, out: Path, settings: ExperimentSettings, progress: Progress = lambda line: None
) -> Prepared:
    """Load the model, or pretrain the small world and save it in `out / "model"`.

    A small world that an interrupted run left there is taken up, if it is what it was.
    """
    if model_name == SMALL_WORLD and settings.run.chat == "yes":
        raise BadInput(
            "the small world has no chat template; take --set chat=auto, or a --model tuned for conversation"
        )
    if model_name == SMALL_WORLD and (found := _kept_world(out)):
        return found
    with Cost() as cost:
        if model_name == SMALL_WORLD:
            model, tokenizer, report = pretrain(
                snapshot.sentences, snapshot.edits, snapshot.questions, settings.world, progress
            )
            save_model(model, tokenizer, out / "model")
            how: Mapping[str, Any] = asdict(report)
        else:
            progress(f"loading {model_name}")
            run = settings.run
            device = "auto" if run.device_map else own_device(run.device)
            model, tokenizer = load_model(model_name, run.dtype, device, run.revision, run.device_map, run.chat)
            how = {}
    place = str(out / "model") if model_name == SMALL_WORLD else model_name
    made = Prepared(model, tokenizer, model_name, model_hash(model), how, cost.seconds, cost.peak_mb, place)
    if model_name == SMALL_WORLD:
        costs = {"seconds": made.seconds, "peak_memory_mb": made.peak_memory_mb}
        keep(out, MODEL, {"hash": made.hash, "report": dict(how), **costs}, {})
    return made


def score_untouched(
    prepared: Prepared,
    snapshot: Snapshot,
    settings: ExperimentSettings,
    out: Path,
    progress: Progress = lambda line: None,
    spread: Spread = in_processes,
) -> EditorResult:
    """The model before any edit, under the name `none`. What it is known to say is not asked again."""
    named = Path(settings.run.cache) if settings.run.cache not in (None, "auto") else None
    shared = default_folder() if settings.run.cache == "auto" else named
    asked = ("chat", prepared.tokenizer.chat_template) if prepared.chats else ()
    store = ScoreStore(shared or out / WORK / "scores", state_key(prepared.hash, *asked))
    with Cost() as cost:
        scores = _evaluate(prepared.model, None, prepared, snapshot, settings, store, out, progress, spread)
        tasks = run_tasks(prepared.model, plain_tokenizer(prepared.tokenizer), settings.scoring, progress)
    return EditorResult("none", scores, frozenset(), {}, {}, 0.0, cost.seconds, cost.peak_mb, tasks=tasks)


def run_editor(
    prepared: Prepared,
    snapshot: Snapshot,
    plan: Plan,
    settings: ExperimentSettings,
    out: Path,
    progress: Progress = lambda line: None,
    spread: Spread = in_processes,
) -> EditorResult:
    """Edit, save the change in `out / "adapters" / name`, score, and undo: the model is afterwards as before.

    A result that an interrupted run of the very same edit left in `out` is taken up.
    """
    state = _edited_state(prepared, snapshot, plan, settings)
    name = f"{plan.name}-{state_key(state, asdict(settings.scoring))}"
    if found := kept(out, name):
        progress(f"{plan.name}: finished before the interruption")
        return _as_result(plan, *found)
    material = _material(snapshot, progress)
    if settings.run.mode == "one-at-a-time":
        result = _run_alone(prepared, snapshot, plan, settings, out, material, state)
        _keep_result(out, name, result)
        return result
    progress(f"{plan.name}: editing {material.edits.num_rows} facts")
    curve: list[pa.Table] = []
    with Cost() as editing:
        edited = _edit(plan, prepared, snapshot, material, settings, curve)
    try:
        folder = out / "adapters" / plan.name
        edited.save(folder)
        if folder.is_dir():
            write_json(folder / CARD, _card(prepared, snapshot, plan, settings, edited))
        store = ScoreStore(out / WORK / "scores", state)
        with Cost() as scoring:
            scores = _evaluate(edited.model, folder, prepared, snapshot, settings, store, out, progress, spread)
            tasks = run_tasks(edited.model, plain_tokenizer(prepared.tokenizer), settings.scoring, progress)
        trained, report = edited.trained_prompts, dict(edited.report)
    finally:
        edited.undo()
    peak = max(editing.peak_mb, scoring.peak_mb)
    result = EditorResult(
        plan.name, scores, trained, asdict(plan.config), report, editing.seconds, scoring.seconds, peak,
        pa.concat_tables(curve) if curve else None, tasks,
    )  # fmt: skip
    _keep_result(out, name, result)
    return result


def _run_alone(
    prepared: Prepared,
    snapshot: Snapshot,
    plan: Plan,
    settings: ExperimentSettings,
    out: Path,
    material: Material,
    state: str,
) -> EditorResult:
    """Each edit alone; what is asked of every one is stored as soon as it is known. No edit is saved."""

    def store_of(edit_id: str) -> ScoreStore:
        return ScoreStore(out / WORK / "scores", state_key(state, edit_id))

    material.progress(f"{plan.name}: editing {material.edits.num_rows} facts one at a time")
    with Cost() as cost:
        try:
            alone = score_each_alone(
                plan, prepared.model, prepared.tokenizer, material, snapshot.questions, settings.scoring, store_of
            )
        except (KeyboardInterrupt, ChronoFactsError) as error:
            if not isinstance(error, BadInput):
                keep(out, f"{plan.name}-begun", {}, {})  # so that what was asked already outlives the interruption
            raise
    return EditorResult(
        plan.name, alone.scores, alone.trained_prompts, asdict(plan.config), alone.report,
        alone.seconds, alone.scoring_seconds, cost.peak_mb,
    )  # fmt: skip


def run_experiment(
    snapshot_dir: Path,
    model: str,
    editors: Sequence[str],
    settings: Mapping[str, str],
    out_dir: Path,
    progress: Progress = lambda line: None,
    stage: Callable[[str, Any], Any] = lambda name, work: work,
    spread: Spread = in_processes,
    load: Sequence[Path] = (),
) -> RunSummary:
    """The whole experiment, in a folder that appears only when it is complete.

    stage: given the name and the function of each stage, returns what is called in its place, so that an
    orchestrator can make a task of it. spread: calls a function on the shares of the probes (`scoring.processes`).
    load: folders of saved edits (RUN/adapters/EDITOR) that are asked as well, as `saved-EDITOR`.
    The untouched model is always scored, whether or not `none` is among the editors. After a crash the same call goes
    on where it stopped. Raises BadInput for an output folder that is not empty, for wrong options before any work is
    done, and when an interrupted run of another model or snapshot stands in the way.
    """
    check_out(out_dir)
    chosen = read_settings(editors, settings, load)
    check_tasks(chosen.scoring)
    snapshot = load_snapshot(snapshot_dir)
    if chosen.run.threads:
        torch.set_num_threads(chosen.run.threads)
    if chosen.run.quick:
        snapshot = subset(snapshot, chosen.run.quick_edits, chosen.run.quick_sentences, chosen.run.seed)
    if chosen.run.mode == "one-at-a-time":
        snapshot, left_out = ask_alone(snapshot, chosen.run.alone_edits, chosen.run.seed)
        chosen = replace(chosen, left_out=left_out)
    with own_folder(out_dir) as place, resumable(place, _identity(snapshot, model, chosen), progress) as folder:
        with Cost() as cost:
            prepared = stage("prepare-model", prepare_model)(snapshot, model, folder, chosen, progress)
            for saved in load:
                check_base(saved, prepared.hash)
            untouched = stage("score-untouched", score_untouched)
            results = [untouched(prepared, snapshot, chosen, folder, progress, spread)]
            if chosen.run.sweep is not None:
                chosen = stage("sweep", sweep_plans)(chosen, prepared, _material(snapshot, progress), folder)
            for plan in chosen.plans:
                if plan.name != "none":
                    edit = stage(f"edit-{plan.name}", run_editor)
                    results.append(edit(prepared, snapshot, plan, chosen, folder, progress, spread))
        peak = max([cost.peak_mb, prepared.peak_memory_mb, *(result.peak_memory_mb for result in results)])
        figures = stage("write-run", write_run)(folder, snapshot, prepared, results, chosen, cost.seconds)
    return RunSummary(out_dir, figures, cost.seconds, peak)


def _edit(
    plan: Plan,
    prepared: Prepared,
    snapshot: Snapshot,
    material: Material,
    settings: ExperimentSettings,
    curve: list[pa.Table],
) -> EditedModel:
    """All at once, or in chunks; then `curve` is given the scores of each chunk's own questions right after it."""
    if settings.run.chunk is None or isinstance(plan.config, SavedOptions):
        return plan.editor.edit(prepared.model, prepared.tokenizer, material, plan.config)
    questions = snapshot.questions.filter(pa.compute.equal(snapshot.questions["kind"], "edit"))
    asked_of = [material.facts.get(ids[0]) if ids else None for ids in questions["edit_ids"].to_pylist()]

    def after(part: EditedModel, edits: pa.Table) -> None:
        ids = set(edits["edit_id"].to_pylist())
        asked = questions.filter(pa.array([one in ids for one in asked_of], pa.bool_()))
        if asked.num_rows:
            scores = score(part.model, prepared.tokenizer, asked, settings.scoring)
            number = pa.array([len(curve)] * scores.num_rows, pa.int32())
            curve.append(scores.append_column("chunk", number))

    return edit_in_chunks(plan, prepared.model, prepared.tokenizer, material, settings.run.chunk, after)


def _evaluate(
    model: Any,
    adapter: Path | None,
    prepared: Prepared,
    snapshot: Snapshot,
    settings: ExperimentSettings,
    store: ScoreStore,
    out: Path,
    progress: Progress,
    spread: Spread,
) -> pa.Table:
    """Every probe, here or in several processes, but for those whose results are stored."""
    scoring, run = settings.scoring, settings.run
    probes = all_probes(snapshot.questions, snapshot.sentences, scoring)
    if scoring.processes == 1:
        return evaluate(model, prepared.tokenizer, probes, scoring, store, progress)
    adapter = adapter if adapter and adapter.is_dir() else None
    device = run.device if prepared.name != SMALL_WORLD else "cpu"
    chat: Chat = "yes" if prepared.chats else "no"
    place = ModelPlace(prepared.place, run.dtype, device, run.revision, str(adapter) if adapter else None, chat)

    def in_shares(part: pa.Table, asked: ScoringSettings) -> pa.Table:
        return ask_in_shares(place, part, asked, out / WORK / "shares", spread)

    progress(f"scoring: {probes.num_rows} probes in {scoring.processes} processes")
    return evaluate(model, prepared.tokenizer, probes, scoring, store, progress, in_shares)


def _identity(snapshot: Snapshot, model: str, settings: ExperimentSettings) -> dict[str, Any]:
    """What every result of a run depends on; an interrupted run of anything else is not taken up."""
    return {
        "snapshot": _content_hash(snapshot),
        "model": model,
        "model's options": asdict(settings.world)
        if model == SMALL_WORLD
        else [settings.run.dtype, settings.run.revision, settings.run.chat],
    }


def _content_hash(snapshot: Snapshot) -> str:
    """Of what is edited and what is learnt, after any choice of a part."""
    digest = hashlib.sha256()
    for table in (snapshot.edits, snapshot.sentences, snapshot.questions):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        digest.update(sink.getvalue())
    return digest.hexdigest()[:16]


def _edited_state(prepared: Prepared, snapshot: Snapshot, plan: Plan, settings: ExperimentSettings) -> str:
    """A hash of the edited model, known before it is made: the base, the facts, the editor and its settings."""
    run = {name: value for name, value in asdict(settings.run).items() if name not in ("cache", "threads", "device")}
    return state_key(prepared.hash, _content_hash(snapshot), plan.name, asdict(plan.config), run)


def _kept_world(out: Path) -> Prepared | None:
    """The small world of an interrupted run; None when there is none, or it is no longer what it was."""
    found = kept(out, MODEL)
    if found is None:
        return None
    told, _ = found
    model, tokenizer = load_model(str(out / "model"), device="cpu")
    if model_hash(model) != told["hash"]:
        return None
    return Prepared(
        model, tokenizer, SMALL_WORLD, told["hash"], told["report"], told["seconds"], told["peak_memory_mb"],
        str(out / "model"),
    )  # fmt: skip


def _keep_result(out: Path, name: str, result: EditorResult) -> None:
    facts = {
        "trained_prompts": sorted(result.trained_prompts),
        "report": result.report,
        "seconds": result.seconds,
        "scoring_seconds": result.scoring_seconds,
        "peak_memory_mb": result.peak_memory_mb,
        "tasks": {task: asdict(figure) for task, figure in result.tasks.items()},
    }
    tables = {"scores": result.scores} | ({} if result.curve is None else {"curve": result.curve})
    keep(out, name, facts, tables)


def _as_result(plan: Plan, facts: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> EditorResult:
    tasks = {task: TaskFigure(**figure) for task, figure in facts["tasks"].items()}
    return EditorResult(
        plan.name, tables["scores"], frozenset(facts["trained_prompts"]), asdict(plan.config), facts["report"],
        facts["seconds"], facts["scoring_seconds"], facts["peak_memory_mb"], tables.get("curve"), tasks,
    )  # fmt: skip


def _material(snapshot: Snapshot, progress: Progress) -> Material:
    return Material(snapshot.edits, snapshot.sentences, _probe_texts(snapshot.questions), progress)


def _probe_texts(questions: pa.Table) -> frozenset[str]:
    phrasings = (text for others in questions["phrasings"].to_pylist() for text in others or ())
    return frozenset(questions["question"].to_pylist()) | frozenset(phrasings)


def _card(
    prepared: Prepared, snapshot: Snapshot, plan: Plan, settings: ExperimentSettings, edited: EditedModel
) -> dict[str, Any]:
    """Of a change made here; one that was loaded keeps its own."""
    if isinstance(plan.config, SavedOptions):
        return read_card(Path(plan.config.folder))
    return describe_edit(prepared, snapshot, plan, settings, edited)
