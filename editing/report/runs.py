"""Reads run folders: the figures and scores of each model state, and its name in a report."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.judging.verdicts import VERDICTS, read_verdicts
from chronofacts.editing.report.run_document import check_differences, check_document, check_metrics, check_scores
from chronofacts.schemas.documents import read_json
from chronofacts.schemas.errors import BadInput, CheckFailed, ChronoFactsError
from chronofacts.schemas.names import path_within
from chronofacts.schemas.parquet import read_checked

__all__ = ["Interval", "Run", "State", "differences", "intervals", "read_runs", "shorten_paths", "states"]


class Interval(NamedTuple):
    """A figure with its 95 % interval, over `n` questions."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Run:
    """What a run folder holds."""

    folder: Path
    about: Mapping[str, Any]
    """`run.json`"""
    metrics: pa.Table
    scores: Mapping[str, pa.Table]
    """editor -> `scoring.SCORES` and more"""
    differences: pa.Table | None = None
    """`metrics.summary.DIFFERENCES`; None in runs of older versions."""

    verdicts: pa.Table = field(default_factory=VERDICTS.empty_table)
    """`judging.verdicts.VERDICTS`, as far as somebody judged its answers."""

    @property
    def as_of(self) -> str:
        return str(self.about["snapshot"]["as_of"])

    @property
    def model(self) -> str:
        return str(shorten_paths(self.about["model"]["name"]))

    @property
    def warnings(self) -> list[str]:
        """Why its figures say less than they seem to; a run of an older version has none."""
        return [str(text) for text in self.about.get("warnings", ())]


@dataclass(frozen=True)
class State:
    """One model state of one run: unedited (`none`), or after an editor."""

    label: str
    """Unique among the states of a report."""
    run: Run
    editor: str

    @property
    def figures(self) -> Mapping[str, float]:
        return self.run.about["metrics"][self.editor]  # type: ignore[no-any-return]


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Raises BadInput for a folder that is no run, CheckFailed for a damaged one or scores of another model."""
    return [_read_run(folder) for folder in folders]


def states(runs: Sequence[Run]) -> list[State]:
    """Every model state, in the order of the runs; each names its run where an editor is in several."""
    named = [(editor, run) for run in runs for editor in run.about["metrics"]]
    several = len({editor for editor, _ in named}) < len(named)
    found: dict[str, State] = {}
    for editor, run in named:
        label = f"{run.folder.name}/{editor}" if several else editor
        while label in found:
            label += "'"
        found[label] = State(label, run, editor)
    return list(found.values())


def intervals(state: State, by: str = "all") -> dict[tuple[str, str | None], Interval]:
    """(metric, group) -> its figure."""
    metrics = state.run.metrics
    table = metrics.filter(pc.and_(pc.equal(metrics["editor"], state.editor), pc.equal(metrics["by"], by)))
    return {(r["metric"], r["group"]): Interval(r["value"], r["low"], r["high"], r["n"]) for r in table.to_pylist()}


def differences(run: Run) -> dict[tuple[str, str, str], Interval]:
    """(metric, first, second) -> first - second, both ways round."""
    found = {}
    for r in run.differences.to_pylist() if run.differences is not None else ():
        found[r["metric"], r["first"], r["second"]] = Interval(r["value"], r["low"], r["high"], r["n"])
        found[r["metric"], r["second"], r["first"]] = Interval(-r["value"], -r["high"], -r["low"], r["n"])
    return found


def shorten_paths(value: Any) -> Any:
    """Absolute paths in texts, lists and mappings by their last two parts: a page is for others to read, too."""
    if isinstance(value, Mapping):
        return {key: shorten_paths(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shorten_paths(one) for one in value]
    if isinstance(value, str) and re.fullmatch(r"(/|[A-Za-z]:[\\/]|~)[^\n<>]*", value):
        return "/".join(re.split(r"[\\/]", value.rstrip("/\\"))[-2:])
    return value


def _read_run(folder: Path) -> Run:
    file = folder / "run.json"
    hidden = folder.name.startswith(".") and folder.name.endswith(".partial")
    if hidden or (not file.is_file() and (folder.absolute().parent / f".{folder.name}.partial").is_dir()):
        raise BadInput(f"{folder} is unfinished; run the same `chronofacts experiment` again, which goes on from there")
    if not file.is_file():
        raise BadInput(f"{folder} is not a run (it has no run.json); make one with `chronofacts experiment`")
    try:
        about = read_json(file)
        check_document(about)
        scores = {
            name: _read_table(path_within(folder / "scores", f"{name}.parquet", f"an editor of {file}"))
            for name in about["metrics"]
        }
        metrics, pairs = (
            _read_table(path) if path.is_file() else None
            for path in (folder / "metrics.parquet", folder / "differences.parquet")
        )
        if metrics is None:
            raise FileNotFoundError("it has no metrics.parquet")
        run = Run(folder, about, metrics, scores, pairs, read_verdicts(folder))
        for table in scores.values():
            check_scores(table)
        check_metrics(metrics)
        if pairs is not None:
            check_differences(pairs)
        model = str(about["model"]["hash"])
        hashes = {one for table in scores.values() for one in pc.unique(table["model_hash"]).to_pylist()}
    except ChronoFactsError:
        raise
    except (ValueError, KeyError, TypeError, OSError, AttributeError, pa.ArrowException) as error:
        raise CheckFailed(f"the run {folder} is damaged ({error}); run the experiment again") from error
    if others := hashes - {model}:
        other = sorted(map(str, others))[0]
        raise CheckFailed(f"{folder} has scores of the model {other} among those of {model}; run the experiment again")
    return run


def _read_table(path: Path) -> pa.Table:
    return read_checked(path, "run the experiment again")
