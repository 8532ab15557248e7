"""One experiment: a model, its scores before, each editor's change and scores after, and a folder that holds it all.

`run_experiment` calls the steps in their order. Leaves out the report (`report`) and orchestration (`flows`).
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.editors import EditBatch, EditedModel, EditorSettings
from chronofacts.editing.editors.saved_edit import CARD, SavedSettings, check_editor, read_card
from chronofacts.editing.editors.sequential import edit_in_chunks
from chronofacts.editing.models.chat import plain_tokenizer
from chronofacts.editing.models.distributed import own_device, own_folder
from chronofacts.editing.models.load import load_model, model_hash, save_model
from chronofacts.editing.progress import steady
from chronofacts.editing.registry import package_of
from chronofacts.editing.runs.across_languages import load_across, probes_across, read_both
from chronofacts.editing.runs.batches import choose_batches, score_batches
from chronofacts.editing.runs.checkpoint import MODEL, WORK, load_checkpoint, resumable, save_checkpoint
from chronofacts.editing.runs.collapse import CollapseWatch
from chronofacts.editing.runs.cost import Cost
from chronofacts.editing.runs.date_probes import make_date_probes
from chronofacts.editing.runs.estimate import describe_plan, plan_of_small_world
from chronofacts.editing.runs.lifelong import LifelongSample, choose_moments
from chronofacts.editing.runs.lm_eval_tasks import TaskFigure, check_tasks, run_tasks
from chronofacts.editing.runs.parallel_scoring import ModelRef, ShardRunner, run_in_processes, score_in_shards
from chronofacts.editing.runs.results import EditorResult, Experiment, PreparedModel, RunSummary
from chronofacts.editing.runs.run_folder import describe_edit, write_json, write_run
from chronofacts.editing.runs.settings import SMALL_WORLD, ExperimentSettings
from chronofacts.editing.runs.single_edits import choose_single_edits, score_single_edits
from chronofacts.editing.runs.sweep import choose_best
from chronofacts.editing.runs.unedited import ask_edits, keep_state, unedited_cache
from chronofacts.editing.scoring import SCORES, ScoreCache, ScoringSettings, all_probes, evaluate, score
from chronofacts.editing.scoring.cache import state_key
from chronofacts.editing.small_world.pretrain import blank_model, pretrain
from chronofacts.editing.snapshot import Snapshot, load_snapshot
from chronofacts.editing.threads import SMALL, fit_threads, threads_restored
from chronofacts.editing.training import TrainingFailed
from chronofacts.schemas.errors import BadInput, CheckFailed, ChronoFactsError

__all__ = ["prepare_model", "run_editor", "run_experiment", "score_unedited"]

log = logging.getLogger("chronofacts.experiment")


def run_experiment(
    snapshot_dir: Path,
    model: str,
    settings: ExperimentSettings,
    out: Path,
    progress: Callable[[str], None] = log.info,
    run_shards: ShardRunner = run_in_processes,
) -> RunSummary:
    """The whole experiment, in a folder that appears only when it is complete.

    model: a folder, a name on the Hub, or `SMALL_WORLD`. run_shards: scores parts of the probes, where the settings
    want several processes. The unedited model is always scored. After a crash the same call resumes the run.
    Raises BadInput for an output folder that is not empty, for settings that do not fit the snapshot or the model, and
    when an interrupted run of another model or snapshot stands in the way.
    """
    check_tasks(settings.scoring)
    with steady(progress) as steadied, threads_restored():
        return _run(snapshot_dir, model, settings, out, steadied, run_shards)


def _run(
    snapshot_dir: Path,
    model: str,
    settings: ExperimentSettings,
    out: Path,
    progress: Callable[[str], None],
    run_shards: ShardRunner,
) -> RunSummary:
    progress(f"reading {snapshot_dir}")
    snapshot, run = load_snapshot(snapshot_dir), settings.run
    snapshot = run.cut(snapshot)
    if run.mode == "one-at-a-time":
        snapshot, left_out = choose_single_edits(snapshot, run.alone_edits, run.seed)
        settings = replace(settings, left_out=left_out)
    other = None if run.across is None else load_across(Path(run.across), snapshot, run.seed)
    read = snapshot if other is None else read_both(snapshot, other)
    with own_folder(out) as own, resumable(own, _identify(read, model, settings), progress) as folder:
        with Cost() as cost:
            _fit_threads(model, settings)
            if model == SMALL_WORLD:
                progress(plan_of_small_world(read, settings))
            prepared = prepare_model(read, model, folder, settings, progress)
            if model != SMALL_WORLD:
                progress(describe_plan(read, settings, model, prepared.model, prepared.tokenizer))
            for warning in prepared.warnings:
                log.warning("%s", warning)
            for editor in settings.editors:
                check_editor(editor, prepared.name, prepared.hash, prepared.model, prepared.tokenizer)
            if run.only is not None:
                snapshot, left_out = _keep_state(snapshot, run.only, prepared, settings, folder, progress)
                settings = replace(settings, left_out={**settings.left_out, **left_out})
            further = _further_probes(snapshot_dir, snapshot, other, settings)
            experiment = Experiment(snapshot, settings, prepared, folder, progress, run_shards, further_probes=further)
            results = [score_unedited(experiment)]
            if run.sweep is not None:
                batch = _make_batch(experiment)
                editors = choose_best(settings.editors, run.sweep, prepared.model, prepared.tokenizer, batch, folder)
                experiment = replace(experiment, settings=replace(settings, editors=editors))
            named = [editor for editor in experiment.settings.editors if editor.name != "none"]
            refused: dict[str, str] = {}
            for size, editor in itertools.product(run.batches or (None,), named):
                try:
                    results.append(run_editor(experiment, editor, results[0].scores, size))
                except (BadInput, TrainingFailed) as error:
                    if editor.name not in settings.may_refuse:
                        raise
                    refused[editor.name] = str(error)
                    log.warning("%s is left out: %s", editor.name, error)
        peak = max([cost.peak_mb, prepared.peak_memory_mb, *(result.peak_memory_mb for result in results)])
        figures = write_run(experiment, results, cost.seconds, refused)
    return RunSummary(out, figures, cost.seconds, peak)


def _further_probes(
    folder: Path, snapshot: Snapshot, other: Snapshot | None, settings: ExperimentSettings
) -> pa.Table | None:
    """`PROBES` beside those of the questions: about dates, and in another language."""
    found = [make_date_probes(folder, snapshot, settings.scoring.dates, settings.run.seed)]
    if other is not None:
        found.append(probes_across(other, snapshot, settings.scoring))
    tables = [table for table in found if table is not None]
    return pa.concat_tables(tables) if tables else None


def _keep_state(
    snapshot: Snapshot,
    wanted: str,
    prepared: PreparedModel,
    settings: ExperimentSettings,
    folder: Path,
    progress: Callable[[str], None],
) -> tuple[Snapshot, dict[str, int]]:
    """The edits that the model, asked first, answers in the wanted way; and how many edits are left out, by state."""
    store = unedited_cache(prepared, settings.run, folder / WORK / "scores")
    scores = ask_edits(snapshot.questions, prepared, settings.scoring, store, progress)
    kept, counts = keep_state(snapshot, wanted, scores)
    progress(
        f"of {snapshot.edits.num_rows} edits {kept.edits.num_rows} are {wanted} for this model; the others stay out"
    )
    return kept, {f"edits that are {state} for this model": n for state, n in counts.items() if n and state != wanted}


def prepare_model(
    snapshot: Snapshot, name: str, folder: Path, settings: ExperimentSettings, progress: Callable[[str], None]
) -> PreparedModel:
    """Load the model, or pretrain the small world and save it in `folder / "model"`; torch has threads for its size.

    Takes the small world of an interrupted run from there, unless its weights changed.
    """
    _fit_threads(name, settings)
    if name != SMALL_WORLD:
        progress(f"loading {name}")
        run = settings.run
        device = "auto" if run.device_map else own_device(run.device)
        with Cost() as cost:
            model, tokenizer = load_model(name, run.dtype, device, run.revision, run.device_map, run.chat)
        fit_threads(model.num_parameters(), run.threads)
        return PreparedModel(model, tokenizer, name, model_hash(model), {}, cost.seconds, cost.peak_mb, name)
    if settings.run.chat == "yes":
        raise BadInput(
            "the small world has no chat template; take --set chat=auto, or a --model tuned for conversation"
        )
    location = folder / "model"
    if found := load_checkpoint(folder, MODEL):
        model, tokenizer = load_model(str(location), device="cpu")
        if model_hash(model) == found[0]["hash"]:
            return PreparedModel(model, tokenizer, name, location=str(location), **found[0])
    with Cost() as cost:
        model, tokenizer, report = pretrain(
            snapshot.sentences, snapshot.edits, snapshot.questions, settings.world, progress
        )
        save_model(model, tokenizer, location)
    costs = {"seconds": cost.seconds, "peak_memory_mb": cost.peak_mb}
    facts: dict[str, Any] = {"hash": model_hash(model), "report": asdict(report), **costs}
    save_checkpoint(folder, MODEL, facts, {})
    return PreparedModel(model, tokenizer, name, location=str(location), **facts)


def _fit_threads(name: str, settings: ExperimentSettings) -> None:
    """Before the model is there: of one that is yet to be loaded, its size is not known."""
    parameters = blank_model(settings.world).num_parameters() if name == SMALL_WORLD else SMALL
    fit_threads(parameters, settings.run.threads)


def score_unedited(experiment: Experiment) -> EditorResult:
    """The model before any edit, under the name `none`, with the answers that its cache has."""
    prepared = experiment.prepared
    store = unedited_cache(prepared, experiment.settings.run, experiment.folder / WORK / "scores")
    with Cost() as cost:
        scores, tasks = _evaluate(experiment, prepared.model, store)
    return EditorResult("none", scores, frozenset(), {}, {}, 0.0, cost.seconds, cost.peak_mb, tasks=tasks)


def run_editor(
    experiment: Experiment, editor: EditorSettings, before: pa.Table | None = None, size: str | None = None
) -> EditorResult:
    """Edit, save the change in `folder / "adapters" / name`, score, and restore the model.

    before: scores of the unedited model. size: cases of a batch, where edits are made in batches; the result is then
    called `lora-k100`. Takes the result of an interrupted run of the very same edit from its
    checkpoint.
    """
    editor = editor if size is None else replace(editor, name=f"{editor.name}-k{size}")
    state = _hash_edited_state(experiment, editor)
    name = f"{editor.name}-{state_key(state, asdict(experiment.settings.scoring))}"
    if found := load_checkpoint(experiment.folder, name):
        experiment.progress(f"{editor.name}: finished before the interruption")
        return _load_result(editor, *found)
    if size is not None:
        result = _run_batches(experiment, editor, state, size)
    elif experiment.settings.run.mode == "one-at-a-time":
        result = _run_single_edits(experiment, editor, state)
    else:
        result = _run_edits(experiment, editor, state, before)
    _save_result(experiment.folder, name, result)
    return result


def _run_edits(experiment: Experiment, editor: EditorSettings, state: str, before: pa.Table | None) -> EditorResult:
    """All edits at once or in chunks."""
    batch = _make_batch(experiment)
    experiment.progress(f"{editor.name}: editing {batch.edits.num_rows} facts")
    asked, watch = _AskedBetween(), _watch_collapse(experiment, editor, before)
    with Cost() as editing:
        edited = _edit(experiment, editor, batch, asked, watch)
    try:
        folder = experiment.folder / "adapters" / editor.name
        edited.save(folder)
        if folder.is_dir():
            given = editor.settings
            ours = isinstance(given, SavedSettings) and not given.foreign  # a saved edit keeps its own card
            card = read_card(Path(given.folder)) if ours else describe_edit(experiment, editor, edited)
            write_json(folder / CARD, card)
        # Editors that walk hops or look facts up ask the model before a probe is counted, for minutes.
        experiment.progress(f"{editor.name}: asking it what it says now")
        with Cost() as scoring:
            store = ScoreCache(experiment.folder / WORK / "scores", state)
            scores, tasks = _evaluate(experiment, edited.model, store, folder, before)
        watch.at_end(scores, batch.edits["edit_id"].to_pylist())
        trained, report = edited.trained_prompts, {**edited.report, **watch.report}
    finally:
        edited.undo()
    _check_restored(experiment, editor)
    peak = max(editing.peak_mb, scoring.peak_mb)
    return EditorResult(
        editor.name, scores, trained, asdict(editor.settings), report, round(editing.seconds - asked.seconds, 3),
        round(scoring.seconds + asked.seconds, 3), peak,
        pa.concat_tables(asked.curve) if asked.curve else None,
        pa.concat_tables(asked.lifelong) if asked.lifelong else None, tasks=tasks,
        task_curve={**asked.tasks, batch.edits.num_rows: tasks} if any(asked.tasks.values()) else {},
    )  # fmt: skip


def _check_restored(experiment: Experiment, editor: EditorSettings) -> None:
    """Raises CheckFailed where an editor of another package did not leave the model as it was: all later figures of
    this run would be wrong."""
    if (package := package_of(editor.name)) and model_hash(experiment.prepared.model) != experiment.prepared.hash:
        raise CheckFailed(
            f"the editor {editor.name} of {package} did not restore the model: its undo leaves it changed"
        )


def _run_single_edits(experiment: Experiment, editor: EditorSettings, state: str) -> EditorResult:
    """Each edit alone; stores the scores of each as soon as they are known. Saves no edit."""
    prepared, batch = experiment.prepared, _make_batch(experiment)

    def store_of(edit_id: str) -> ScoreCache:
        return ScoreCache(experiment.folder / WORK / "scores", state_key(state, edit_id))

    experiment.progress(f"{editor.name}: editing {batch.edits.num_rows} facts one at a time")
    with Cost() as cost, _kept_scores(experiment, editor):
        found = score_single_edits(
            editor, prepared.model, prepared.tokenizer, batch, experiment.snapshot.questions,
            experiment.settings.scoring, store_of, experiment.model_cache(),
        )  # fmt: skip
    return EditorResult(
        editor.name, found.scores, found.trained_prompts, asdict(editor.settings), found.report,
        found.seconds, found.scoring_seconds, cost.peak_mb,
    )  # fmt: skip


def _watch_collapse(experiment: Experiment, editor: EditorSettings, before: pa.Table | None) -> CollapseWatch:
    scoring, snapshot = experiment.settings.scoring, experiment.snapshot
    probes = all_probes(snapshot.questions, snapshot.sentences, scoring)
    if before is None:
        probes, before = probes.slice(0, 0), SCORES.empty_table()
    return CollapseWatch(editor.name, experiment.prepared.tokenizer, probes, before, scoring)


@dataclass
class _AskedBetween:
    """What is asked between the chunks of edits."""

    curve: list[pa.Table] = field(default_factory=list)
    """Scores of each chunk's own questions right after it."""
    lifelong: list[pa.Table] = field(default_factory=list)
    """Scores of a sample of everything after some of the chunks."""
    tasks: dict[int, Mapping[str, TaskFigure]] = field(default_factory=dict)
    """Figures of lm-evaluation-harness after the same chunks, by the number of edits made."""
    seconds: float = 0.0


@contextmanager
def _kept_scores(experiment: Experiment, editor: EditorSettings) -> Iterator[None]:
    """An interruption inside leaves a checkpoint, so that the scores stored so far stay."""
    try:
        yield
    except (KeyboardInterrupt, ChronoFactsError) as error:
        if not isinstance(error, BadInput):
            save_checkpoint(experiment.folder, f"{editor.name}-begun", {}, {})
        raise


def _run_batches(experiment: Experiment, editor: EditorSettings, state: str, size: str) -> EditorResult:
    """So many cases at a time, each batch on the unedited model. Saves no edit."""
    prepared, run = experiment.prepared, experiment.settings.run
    batches = choose_batches(experiment.snapshot, size, run.seed)
    experiment.progress(f"{editor.name}: {len(batches)} batches of {size} cases")

    def store_of(number: int) -> ScoreCache:
        return ScoreCache(experiment.folder / WORK / "scores", state_key(state, number))

    with Cost() as cost, _kept_scores(experiment, editor):
        found = score_batches(
            editor, prepared.model, prepared.tokenizer, _make_batch(experiment), experiment.snapshot, batches,
            experiment.settings.scoring, store_of,
        )  # fmt: skip
    return EditorResult(
        editor.name, found.scores, found.trained_prompts, asdict(editor.settings), {**found.report, "cases": size},
        found.seconds, found.scoring_seconds, cost.peak_mb, batch_of=found.batch_of,
    )  # fmt: skip


def _edit(
    experiment: Experiment, editor: EditorSettings, batch: EditBatch, asked: _AskedBetween, watch: CollapseWatch
) -> EditedModel:
    """All at once, or in chunks and asked in between."""
    model, tokenizer = experiment.prepared.model, experiment.prepared.tokenizer
    settings, questions = experiment.settings, experiment.snapshot.questions
    if settings.run.chunk is None or isinstance(editor.settings, SavedSettings):
        return editor.method.edit(model, tokenizer, batch, editor.settings, experiment.model_cache())
    questions = questions.filter(pc.equal(questions["kind"], "edit"))
    ids = (several[0] if several else "" for several in questions["edit_ids"].to_pylist())
    facts = pa.array([batch.facts.get(edit_id) for edit_id in ids], pa.string())

    size, taught = settings.run.chunk, list[str]()
    moments = choose_moments(-(-batch.edits.num_rows // size), settings.run.curve_points)
    sample = _sample_of_everything(experiment, batch, len(moments)) if moments else None
    chunks = itertools.count()

    def score_chunk(part: EditedModel, edits: pa.Table) -> None:
        begun, chunk = time.perf_counter(), next(chunks)
        taught.extend(edits["edit_id"].to_pylist())
        watch.after_chunk(part.model, taught)
        if chunk + 1 in moments and sample is not None:
            scores = evaluate(part.model, tokenizer, sample.after(frozenset(taught)), settings.scoring)
            number = pa.array([len(set(taught))] * scores.num_rows, pa.int32())
            asked.lifelong.append(scores.append_column("edits", number))
            if len(set(taught)) < batch.edits.num_rows:  # at the end they are run anyway
                found = run_tasks(part.model, plain_tokenizer(tokenizer), settings.scoring, experiment.progress)
                asked.tasks[len(set(taught))] = found
        own = questions.filter(pc.is_in(facts, edits["edit_id"].combine_chunks()))
        if own.num_rows:
            scores = score(part.model, tokenizer, own, settings.scoring)
            number = pa.array([chunk] * scores.num_rows, pa.int32())
            asked.curve.append(scores.append_column("chunk", number))
        asked.seconds += time.perf_counter() - begun

    return edit_in_chunks(editor, model, tokenizer, batch, size, score_chunk, experiment.model_cache())


def _sample_of_everything(experiment: Experiment, batch: EditBatch, moments: int) -> LifelongSample:
    snapshot, settings = experiment.snapshot, experiment.settings
    columns = (snapshot.questions[name].to_pylist() for name in ("question_id", "edit_ids"))
    needs = {
        name: frozenset(batch.facts.get(one, one) for one in ids or ()) for name, ids in zip(*columns, strict=True)
    }
    probes = all_probes(snapshot.questions, snapshot.sentences, settings.scoring)
    return LifelongSample(probes, needs, moments, settings.run.seed)


def _evaluate(
    experiment: Experiment,
    model: Any,
    store: ScoreCache | None,
    adapter: Path | None = None,
    before: pa.Table | None = None,
) -> tuple[pa.Table, Mapping[str, TaskFigure]]:
    """The scores of every probe, as far as `store` lacks them, and the figures of lm-evaluation-harness.

    adapter: folder of the saved edit, from which other processes load it. before: as in `evaluate`.
    """
    tokenizer, scoring, progress = experiment.prepared.tokenizer, experiment.settings.scoring, experiment.progress
    probes = all_probes(experiment.snapshot.questions, experiment.snapshot.sentences, scoring)
    if experiment.further_probes is not None:
        probes = pa.concat_tables([probes, experiment.further_probes])
    if scoring.processes > 1:
        progress(f"scoring: {probes.num_rows} probes in {scoring.processes} processes")
    scores = evaluate(model, tokenizer, probes, scoring, store, progress, _shard_scorer(experiment, adapter), before)
    return scores, run_tasks(model, plain_tokenizer(tokenizer), scoring, progress)


def _shard_scorer(
    experiment: Experiment, adapter: Path | None
) -> Callable[[pa.Table, ScoringSettings], pa.Table] | None:
    """Scores probes in several processes; None where one is to do it."""
    prepared, run = experiment.prepared, experiment.settings.run
    if experiment.settings.scoring.processes == 1:
        return None
    ref = ModelRef(
        prepared.location, run.dtype, "cpu" if prepared.name == SMALL_WORLD else run.device, run.revision,
        str(adapter) if adapter and adapter.is_dir() else None, "yes" if prepared.chats else "no",
    )  # fmt: skip
    folder = experiment.folder / WORK / "shards"
    return lambda probes, settings: score_in_shards(ref, probes, settings, folder, experiment.run_shards)


def _identify(snapshot: Snapshot, model: str, settings: ExperimentSettings) -> dict[str, Any]:
    """What every result of a run depends on; a run resumes an interrupted run of the same identity alone."""
    run = settings.run
    own = asdict(settings.world) if model == SMALL_WORLD else [run.dtype, run.revision, run.chat]
    return {"snapshot": _hash_content(snapshot), "model": model, "model's options": own}


def _hash_content(snapshot: Snapshot) -> str:
    """Of the tables, after any choice of a part."""
    digest = hashlib.sha256()
    for table in (snapshot.edits, snapshot.sentences, snapshot.questions):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        digest.update(sink.getvalue())
    return digest.hexdigest()[:16]


def _hash_edited_state(experiment: Experiment, editor: EditorSettings) -> str:
    """A hash of the edited model, known before it is made: the base, the facts, the editor and its settings."""
    run = {name: value for name, value in asdict(experiment.settings.run).items()
           if name not in ("cache", "threads", "device")}  # fmt: skip
    return state_key(
        experiment.prepared.hash,
        _hash_content(experiment.snapshot),
        editor.name,
        asdict(editor.settings),
        run,
        *filter(None, [package_of(editor.name)]),
    )


def _save_result(folder: Path, name: str, result: EditorResult) -> None:
    facts = {
        "trained_prompts": sorted(result.trained_prompts),
        "report": result.report,
        "seconds": result.seconds,
        "scoring_seconds": result.scoring_seconds,
        "peak_memory_mb": result.peak_memory_mb,
        "tasks": {task: asdict(figure) for task, figure in result.tasks.items()},
        "task_curve": {
            edits: {task: asdict(figure) for task, figure in found.items()}
            for edits, found in result.task_curve.items()
        },
        "batch_of": result.batch_of,
    }
    several = {"scores": result.scores, "curve": result.curve, "lifelong": result.lifelong}
    tables = {name: table for name, table in several.items() if table is not None}
    save_checkpoint(folder, name, facts, tables)


def _load_result(editor: EditorSettings, facts: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> EditorResult:
    typed = {
        "trained_prompts": frozenset(facts["trained_prompts"]),
        "tasks": {task: TaskFigure(**figure) for task, figure in facts["tasks"].items()},
        "task_curve": {
            int(edits): {task: TaskFigure(**figure) for task, figure in found.items()}
            for edits, found in facts["task_curve"].items()
        },
    }
    return EditorResult(editor.name, config=asdict(editor.settings), **{**facts, **typed}, **tables)


def _make_batch(experiment: Experiment) -> EditBatch:
    snapshot = experiment.snapshot
    phrasings = (text for others in snapshot.questions["phrasings"].to_pylist() for text in others or ())
    probes = frozenset(snapshot.questions["question"].to_pylist()) | frozenset(phrasings)
    return EditBatch(snapshot.edits, snapshot.sentences, probes, experiment.progress)
