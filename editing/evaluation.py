"""Measure a model, and run whole experiments, from Python: figures as tables with their intervals and counts.

`evaluate` scores one model state on questions; `experiment` is `chronofacts experiment`. Both give DataFrames.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chronofacts.editing.busy_cores import sleep_beside_others
from chronofacts.editing.edited import Edited, resolve_editor, speaking_tokenizer
from chronofacts.editing.editors import EditorSettings
from chronofacts.editing.facts import Change
from chronofacts.editing.metrics.summary import summarise
from chronofacts.editing.models.chat import Chat
from chronofacts.editing.options import nearest, option_names
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import SMALL_WORLD, RunSettings, read_settings
from chronofacts.editing.scoring import ScoringSettings, all_probes
from chronofacts.editing.scoring import evaluate as score_probes
from chronofacts.editing.small_world.pretrain import WorldSettings
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.tables import SENTENCES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluation", "Run", "evaluate", "experiment", "open_run"]

AGAINST_BASE = ("locality", "history_kept")
"""Metrics that compare with the unedited model's own answers."""


@dataclass(frozen=True)
class Evaluation:
    """One model state's answers and what they amount to."""

    scores: pa.Table
    """`scoring.SCORES`: a row per wording of a question, with what the model said."""
    metrics: pa.Table
    """`metrics.summary.METRICS`"""

    def summary(self) -> pd.DataFrame:
        """Over all questions: metric, value, low and high (95 %, over facts), n (questions)."""
        return _over_all(self.metrics).select(["metric", "value", "low", "high", "n"]).to_pandas()  # type: ignore[no-any-return]


@sleep_beside_others()
def evaluate(
    model: Any,
    questions: pa.Table,
    tokenizer: Any = None,
    *,
    base: Evaluation | None = None,
    scoring: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen
    sentences: pa.Table | None = None,
    changes: Mapping[str, Change] | None = None,
    chat: Chat = "auto",
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Ask a model, or an `Edited` one, and measure its answers.

    questions: `tables.QUESTIONS`. tokenizer: of a model that is not `Edited`. base: the same questions, asked before
    the edit; without it, what compares with the model's former answers (locality, history kept) is left out.
    Raises BadInput when a tokenizer is missing or a question does not fit the context.
    """
    trained: frozenset[str] = frozenset()
    if isinstance(model, Edited):
        model, tokenizer, trained = model.model, model.tokenizer, model.change.trained_prompts
    if tokenizer is None:
        raise BadInput("evaluate needs the model's tokenizer: evaluate(model, questions, tokenizer)")
    speaking = speaking_tokenizer(tokenizer, chat, model)
    probes = all_probes(questions, SENTENCES.empty_table() if sentences is None else sentences, scoring)
    scores = score_probes(model, speaking, probes, scoring, progress=progress)
    metrics = summarise(scores, base.scores if base else scores, trained, seed=seed, changes=changes or {})
    if base is None:
        metrics = metrics.filter(pc.invert(pc.is_in(metrics["metric"], pa.array(AGAINST_BASE))))
    return Evaluation(scores, metrics)


@dataclass(frozen=True)
class Run:
    """A finished experiment in its folder."""

    folder: Path

    @cached_property
    def metrics(self) -> pa.Table:
        """`METRICS` with the editor in front: over all questions and by group."""
        return pq.read_table(self.folder / "metrics.parquet")

    @cached_property
    def warnings(self) -> list[str]:
        """Why its figures say less than they seem to, a sentence each; none for a sound run."""
        return list(json.loads((self.folder / "run.json").read_text(encoding="utf-8")).get("warnings", ()))

    @cached_property
    def scores(self) -> pa.Table:
        """All answers of all model states: `scoring.SCORES` with editor, state and what was trained."""
        files = sorted((self.folder / "scores").glob("*.parquet"))
        return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])

    def summary(self) -> pd.DataFrame:
        """Over all questions: editor, metric, value, low and high (95 %, over facts), n (questions)."""
        return _over_all(self.metrics).select(["editor", "metric", "value", "low", "high", "n"]).to_pandas()  # type: ignore[no-any-return]

    def report(self, out: str | os.PathLike[str]) -> Path:
        """Write the report page of the run into a new folder; returns the page."""
        from chronofacts.editing.report import write_report

        return write_report([self.folder], Path(out))


def experiment(
    snapshot: str | os.PathLike[str],
    model: str = SMALL_WORLD,
    editors: str | Any | Iterable[Any] = ("none", "lora", "lora+replay"),
    out: str | os.PathLike[str] = "run",
    *,
    scoring: ScoringSettings | None = None,
    world: WorldSettings | None = None,
    progress: Callable[[str], None] = lambda line: None,
    **run: Any,
) -> Run:
    """A snapshot's changes taught to a model by several editors, measured before and after, in a new folder.

    model: a folder, a name on the Hub, a GGUF file, a short name or `small-world`. editors: names or settings
    (`LoraSettings(rank=4)`). run: of `RunSettings`, as `seed=1` or `chunk=10`. Raises BadInput as the command does;
    after an interruption the same call goes on.
    """
    several = [editors] if isinstance(editors, str) or not isinstance(editors, Iterable) else list(editors)
    if unknown := sorted(set(run) - set(option_names(RunSettings))):
        raise BadInput(f"the run has no option {unknown[0]!r}{nearest(unknown[0], option_names(RunSettings))}")
    settings = RunSettings(**run)
    resolved = [resolve_editor(editor, settings.seed) for editor in several]
    read = read_settings([editor.name for editor in resolved], {"seed": str(settings.seed)})
    run_words = {name: _spell(value) for name, value in run.items()}
    numbered = _number(resolved)
    editor_words: dict[str, str] = {}
    for editor in numbered:
        editor_words |= _list_chosen(editor.name, editor.settings, type(editor.settings)())
    chosen = replace(
        read,
        run=settings,
        editors=numbered,
        scoring=scoring or read.scoring,
        world=world or read.world,
        given=run_words
        | _list_chosen("scoring", scoring, read.scoring)
        | _list_chosen("world", world, read.world)
        | editor_words,
    )
    return Run(run_experiment(Path(snapshot), str(model), chosen, Path(out), progress).out)


def _list_chosen(owner: str, chosen: Any, default: Any) -> dict[str, str]:
    """The `--set` words for what was chosen otherwise than by default; nothing was chosen: none."""
    names = [] if chosen is None else [one.name for one in fields(chosen)]
    values = {name: (getattr(chosen, name), getattr(default, name)) for name in names}
    return {f"{owner}.{name}": _spell(new) for name, (new, old) in values.items() if new != old}


def _spell(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def open_run(folder: str | os.PathLike[str]) -> Run:
    """A run that the command or `experiment` wrote. Raises BadInput for a folder that holds none."""
    if not (Path(folder) / "run.json").is_file():
        raise BadInput(f"{folder} holds no finished run (it has no run.json); name the --out of an experiment")
    return Run(Path(folder))


def _number(editors: Iterable[EditorSettings]) -> tuple[EditorSettings, ...]:
    """Editors of one name get numbers: lora, lora-2."""
    counts: dict[str, int] = {}
    named = []
    for editor in editors:
        counts[editor.name] = count = counts.get(editor.name, 0) + 1
        named.append(editor if count == 1 else replace(editor, name=f"{editor.name}-{count}"))
    return tuple(named)


def _over_all(metrics: pa.Table) -> pa.Table:
    return metrics.filter(pc.equal(metrics["by"], "all"))
