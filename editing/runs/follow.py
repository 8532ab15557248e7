"""One model through the months: each snapshot's changes are taught on top of the last, and all are asked again.

After each month every fact that changed so far is asked, in its latest state; facts that changed again also as of both
days; and some questions about the past (`monthly_changes.asked_probes`). A finished month is never asked again after an
interruption: its answers lie in the unfinished folder, and the edited weights beside them, but for editors that
remember more than weights (a store of edits, statistics), which make the earlier edits again.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from safetensors.torch import load_file

from chronofacts.editing.editors import EditBatch, EditorSettings, ModelCache, undo_on_error
from chronofacts.editing.editors.saved_edit import SavedSettings
from chronofacts.editing.editors.sequential import SequentialEdits, edit_next
from chronofacts.editing.editors.trained.gradient import DELTA, WeightEdit, change_weights
from chronofacts.editing.metrics.following import FOLLOWED, measure_months
from chronofacts.editing.metrics.summary import METRICS
from chronofacts.editing.progress import steady
from chronofacts.editing.runs.checkpoint import WORK, load_checkpoint, resumable, save_checkpoint
from chronofacts.editing.runs.code_version import describe_code
from chronofacts.editing.runs.cost import Cost, describe_machine
from chronofacts.editing.runs.experiment import prepare_model
from chronofacts.editing.runs.monthly_changes import Month, as_one_snapshot, asked_probes, edits_so_far, load_months
from chronofacts.editing.runs.results import PreparedModel
from chronofacts.editing.runs.run_folder import snapshot_hash, write_json
from chronofacts.editing.runs.settings import ExperimentSettings
from chronofacts.editing.runs.unedited import unedited_cache
from chronofacts.editing.scoring import ScoreCache, evaluate
from chronofacts.editing.scoring.cache import state_key
from chronofacts.editing.scoring.score_tables import PROBES
from chronofacts.editing.threads import threads_restored
from chronofacts.schemas.errors import BadInput

__all__ = ["Followed", "run_follow"]


@dataclass(frozen=True)
class Followed:
    """A model followed through the months."""

    out: Path
    about: dict[str, Any]
    """`follow.json`: model, months, settings, seconds by editor."""
    answers: pa.Table
    """`metrics.following.FOLLOWED`, of all editors."""
    figures: pa.Table
    """`METRICS` with the editor in front."""


@dataclass(frozen=True)
class _Following:
    """What every step works on."""

    months: Sequence[Month]
    settings: ExperimentSettings
    prepared: PreparedModel
    folder: Path
    progress: Callable[[str], None]


def run_follow(
    folders: Sequence[Path],
    model: str,
    settings: ExperimentSettings,
    out: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> Followed:
    """Teach a model the changes of several snapshots one after the other, by each editor; ask after each month.

    model: as of `run_experiment`. Writes `answers.parquet`, `figures.parquet` and `follow.json`, in a folder that
    appears when it is complete; the same call resumes an interrupted one. Raises BadInput for options that do not fit,
    and as `load_months` and `load_model`.
    """
    _check_settings(settings)
    with steady(progress) as steadied, threads_restored():
        months = load_months(folders, settings.run.limit, settings.run.seed)
        hashes = [snapshot_hash(month.snapshot) for month in months]
        identity = {"snapshots": hashes, "model": model, "settings": {**settings.given, "seed": settings.run.seed}}
        with resumable(out, identity, steadied) as folder:
            began = time.perf_counter()
            whole = as_one_snapshot(months, settings.run.limit is not None, settings.run.seed)
            prepared = prepare_model(whole, model, folder, settings, steadied)
            following = _Following(months, settings, prepared, folder, steadied)
            answers, costs = [_ask_unedited(following)], dict[str, dict[str, Any]]()
            for editor in settings.editors:
                if editor.name != "none":
                    of_editor, costs[editor.name] = _follow(following, editor)
                    answers.append(of_editor)
            followed = _write(following, pa.concat_tables(answers), costs, time.perf_counter() - began)
    return replace(followed, out=out)


def _check_settings(settings: ExperimentSettings) -> None:
    run = settings.run
    for option, given in (
        ("mode and chunk", run.mode != "all"), ("sweep", run.sweep is not None), ("only", run.only is not None),
        ("across", run.across is not None),
        ("scoring.processes", settings.scoring.processes > 1),
    ):  # fmt: skip
        if given:
            raise BadInput(f"follow teaches month by month; leave out {option}")
    for editor in settings.editors:
        if isinstance(editor.settings, SavedSettings) or editor.name.startswith("p-tuning"):
            raise BadInput(f"{editor.name} cannot be taught on top of the month before; leave it out")


def _ask_unedited(following: _Following) -> pa.Table:
    """The answers of the unedited model to all that is asked after the last month."""
    following.progress("asking the unedited model")
    cache = unedited_cache(following.prepared, following.settings.run, following.folder / WORK / "scores")
    probes = asked_probes(following.months, following.settings.scoring)
    return _ask(following, following.prepared.model, probes, "none", None, cache)


def _follow(following: _Following, editor: EditorSettings) -> tuple[pa.Table, dict[str, Any]]:
    """One editor through all months; restores the model. The answers (`FOLLOWED`), and what editing cost."""
    model, months = following.prepared.model, following.months
    edited, cache = SequentialEdits(model, model), ModelCache(earlier_chunks={})
    done = _finished(following, editor)
    answers, seconds = [tables["answers"] for _, tables in done], [facts["seconds"] for facts, _ in done]
    peak = max([0.0, *(facts["peak_memory_mb"] for facts, _ in done)])
    with undo_on_error(edited):
        if done:
            following.progress(
                f"{editor.name}: {months[len(done) - 1].day} and before finished before the interruption"
            )
            _restore(following, editor, edited, months[: len(done)], cache)
        for number in range(len(done) + 1, len(months) + 1):
            month = months[number - 1]
            following.progress(f"{editor.name}: teaching {month.snapshot.edits.num_rows} edits of {month.day}")
            with Cost() as cost:
                _teach(following, editor, edited, months[:number], cache)
            probes = asked_probes(months[:number], following.settings.scoring)
            following.progress(f"{editor.name}: asking {probes.num_rows} questions after {month.day}")
            answers.append(_ask(following, edited.model, probes, editor.name, month.day, None))
            seconds.append(cost.seconds)
            peak = max(peak, cost.peak_mb)
            _save_weights(following, editor, edited, cache)
            facts = {"seconds": cost.seconds, "peak_memory_mb": cost.peak_mb}
            save_checkpoint(following.folder, _name_of(following, editor, number), facts, {"answers": answers[-1]})
        costs = {"seconds": seconds, "peak_memory_mb": peak, "config": asdict(editor.settings)}
    edited.undo()
    return pa.concat_tables(answers), costs


def _teach(
    following: _Following, editor: EditorSettings, edited: SequentialEdits, months: Sequence[Month], cache: ModelCache
) -> None:
    """The last month's edits, on the model that those before it left."""
    month = months[-1].snapshot
    probes = _texts(following.months)
    part = EditBatch(month.edits, month.sentences, probes, following.progress)
    so_far = EditBatch(edits_so_far(months), month.sentences, probes, following.progress)
    model = following.prepared.model
    made = edit_next(editor, model, following.prepared.tokenizer, part, so_far, cache)
    edited.add(made)


def _texts(months: Sequence[Month]) -> frozenset[str]:
    """Of all questions, which replay never repeats."""
    texts = set[str]()
    for month in months:
        texts.update(month.snapshot.questions["question"].to_pylist())
    return frozenset(texts)


def _restore(
    following: _Following, editor: EditorSettings, edited: SequentialEdits, months: Sequence[Month], cache: ModelCache
) -> None:
    """The model as the last of some months left it: from its weights, or by making all edits again."""
    model, file = following.prepared.model, _weights_of(following, editor, len(months)) / DELTA
    if file.is_file():
        values = load_file(file)
        weights = change_weights(model, list(values))
        weights.write(values)
        edited.add(weights)
        return
    for number in range(1, len(months) + 1):
        _teach(following, editor, edited, months[:number], cache)


def _save_weights(following: _Following, editor: EditorSettings, edited: SequentialEdits, cache: ModelCache) -> None:
    """Keep the weights as they are now in place of those of the month before, where they are all that there is."""
    number = len(_finished(following, editor)) + 1
    shutil.rmtree(_weights_of(following, editor, number), ignore_errors=True)
    if not cache.earlier_chunks and all(isinstance(part, WeightEdit) for part in edited.parts):
        edited.save(_weights_of(following, editor, number))
        shutil.rmtree(_weights_of(following, editor, number - 2), ignore_errors=True)


def _finished(following: _Following, editor: EditorSettings) -> list[tuple[dict[str, Any], dict[str, pa.Table]]]:
    """The checkpoints of the first months, as far as they go without a gap."""
    found = []
    for number in range(1, len(following.months) + 1):
        checkpoint = load_checkpoint(following.folder, _name_of(following, editor, number))
        if checkpoint is None:
            break
        found.append(checkpoint)
    return found


def _name_of(following: _Following, editor: EditorSettings, number: int) -> str:
    state = state_key(following.prepared.hash, editor.name, asdict(editor.settings))
    return f"{editor.name}-{state}-{following.months[number - 1].day}"


def _weights_of(following: _Following, editor: EditorSettings, number: int) -> Path:
    name = _name_of(following, editor, number) if number > 0 else "none"
    return following.folder / WORK / "weights" / name


def _ask(
    following: _Following,
    model: Any,
    probes: pa.Table,
    editor: str,
    after: datetime.date | None,
    cache: ScoreCache | None,
) -> pa.Table:
    """`FOLLOWED`: the answers to the probes. cache: of this model."""
    scoring, count = following.settings.scoring, probes.num_rows
    scores = evaluate(model, following.prepared.tokenizer, probes.select(PROBES.names), scoring, cache)
    made = {
        "editor": pa.array([editor] * count, pa.string()),
        "after": pa.array([after] * count, pa.date32()),
        "month": probes["month"],
        "ask": probes["ask"],
    }
    return pa.table([made[one.name] if one.name in made else scores[one.name] for one in FOLLOWED], schema=FOLLOWED)


def _write(following: _Following, answers: pa.Table, costs: dict[str, dict[str, Any]], seconds: float) -> Followed:
    months, prepared = following.months, following.prepared
    tables = []
    for editor in costs:
        figures = measure_months(answers.filter(pc.equal(answers["editor"], editor)))
        tables.append(figures.add_column(0, "editor", pa.array([editor] * figures.num_rows, pa.string())))
    empty = METRICS.empty_table().add_column(0, "editor", pa.array([], pa.string()))
    figures = pa.concat_tables([empty, *tables])
    about = {
        "model": {"name": prepared.public_name, "hash": prepared.hash, "chat": prepared.chats, **prepared.report},
        "warnings": prepared.warnings,
        "months": [
            {
                "day": str(month.day),
                "since": str(month.snapshot.manifest.since),
                "edits": month.snapshot.edits.num_rows,
                "facts": len(month.facts),
                "snapshot_hash": snapshot_hash(month.snapshot),
            }
            for month in months
        ],
        "editors": costs,
        "settings": {"given": dict(following.settings.given), "run": asdict(following.settings.run)},
        "seconds": seconds,
        "code": describe_code(),
        "machine": describe_machine(),
    }
    pq.write_table(answers.combine_chunks(), following.folder / "answers.parquet")
    pq.write_table(figures.combine_chunks(), following.folder / "figures.parquet")
    write_json(following.folder / "follow.json", about)
    return Followed(following.folder, about, answers, figures)
