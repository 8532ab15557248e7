"""The tables of a report, whatever they are written as: headings, cells; the leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from chronofacts.editing.judging.agreement import compare_verdicts
from chronofacts.editing.metrics.answer_states import STATES
from chronofacts.editing.metrics.definitions import LIFELONG
from chronofacts.editing.report.names import DETAILS, MAIN, NAMES, heading
from chronofacts.editing.report.runs import Interval, Run, State, differences, intervals, states

__all__ = [
    "COSTS", "Cell", "Table", "breakdown_tables", "difference_tables", "judge_tables", "kind_table",
    "leaderboard", "leaderboard_table", "main_metrics", "metric_table", "more_metrics", "state_table",
]  # fmt: skip

OPTIONAL = ("preservation",)
"""Columns of the first table only where some state has a figure for them."""
BREAKDOWNS = {
    "By relation": (("edit_success", "paraphrase", "history"), "relation", "{}"),
    "By hops": (("multi_hop", "hop_by_hop", "chain_of_thought", "instance_wise"), "hops", "{} hops"),
    "By edited hops": (("multi_hop", "hop_by_hop"), "edited_hops", "{} edited"),
    "By place of the edited facts": (("multi_hop", "multi_hop_known"), "edited_at", "{}"),
    "By chunk of edits": (("success_at_once", "success_at_end"), "chunk", "chunk {}"),
    "After so many edits": (LIFELONG, "edits", "after {} edits"),
    "The same questions at the end": (LIFELONG, "edits_at_end", "asked first after {} edits"),
    "Means over batches": (
        ("multi_hop", "instance_wise", "edit_wise", "edit_success", "locality"), "batches", "{} batches",
    ),
    "Locality by kind": (("locality", "locality_gold"), "locality_kind", "{}"),
}  # fmt: skip
"""Title of a table -> its metrics, their groups, and how a group is named."""
BY_KIND = ("edit_success", "paraphrase", "stale_rate", "preservation")
"""Metrics that a table shows for each kind of change."""
BALANCED = ("edit_success", "paraphrase", "locality", "history")
COSTS = ("seconds", "peak_memory_mb")


class Cell(NamedTuple):
    """A figure or a word; an empty interval and no n where it has none."""

    text: str
    span: str = ""
    n: int = 0
    value: float | None = None
    """What it is sorted by; None: its text."""
    best: bool = False
    """Of the editors in its column (or row)."""


class Table(NamedTuple):
    """The first column names the row."""

    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""


def _balance(state: State) -> float | None:
    """Harmonic mean of edit success, paraphrase, locality and history, as far as they were measured.

    As ROME's score (Meng et al. 2022): whoever gives one up for the others comes last. None for the unedited model
    and where nothing was measured.
    """
    values = [state.figures[name] for name in BALANCED if name in state.figures]
    if state.editor == "none" or not values:
        return None
    return len(values) / sum(1 / value for value in values) if min(values) > 0 else 0.0


def leaderboard(runs: Sequence[Run]) -> list[tuple[State, float]]:
    """All editors of all runs with their balance, the newest snapshot first, within it the best first."""
    ranks = [(state, mark) for state in states(runs) if (mark := _balance(state)) is not None]
    by_mark = sorted(ranks, key=lambda rank: (-rank[1], rank[0].label))
    return sorted(by_mark, key=lambda rank: rank[0].run.as_of, reverse=True)


def leaderboard_table(runs: Sequence[Run], metrics: Sequence[str] = ()) -> Table:
    """The leaderboard, with columns of metrics."""
    rows = []
    for number, (state, mark) in enumerate(leaderboard(runs), 1):
        words = [Cell(text) for text in (str(number), state.run.as_of, state.run.model, state.editor)]
        rows.append([*words, Cell(f"{mark:.2f}", value=mark), *(_cell(state, metric) for metric in metrics)])
    return Table(["rank", "snapshot", "model", "editor", "balance ↑", *map(heading, metrics)], rows)


def main_metrics(found: Sequence[State]) -> list[str]:
    """The metrics of the first table."""
    return [name for name in MAIN if name not in OPTIONAL or _is_measured(name, found)]


def more_metrics(found: Sequence[State]) -> list[str]:
    """The metrics of the second table that some state has."""
    return [name for name in DETAILS if _is_measured(name, found)]


def metric_table(found: Sequence[State], metrics: Sequence[str]) -> Table:
    """One row per state."""
    edited = [state for state in found if state.editor != "none"]
    best = {metric: _best(metric, [_cell(state, metric).value for state in edited]) for metric in metrics}

    def mark(state: State, metric: str) -> Cell:
        cell = _cell(state, metric)
        return cell._replace(best=state.editor != "none" and cell.value is not None and cell.value == best[metric])

    rows = [[Cell(state.label), *(mark(state, metric) for metric in metrics)] for state in found]
    return Table(["editor", *map(heading, metrics)], rows)


def kind_table(found: Sequence[State]) -> Table | None:
    """One row per state and kind of change (modification, injection, update, addition, removal).

    None where all changes are of one kind.
    """
    by_state = {state.label: intervals(state, "kind") for state in found}
    metrics = [name for name in BY_KIND if any((name, kind) in one for one in by_state.values() for _, kind in one)]
    kinds, rows = set[str](), []
    for name, one in by_state.items():
        for kind in sorted({str(kind) for _, kind in one}):
            kinds.add(kind)
            counted = one.get(("edit_success", kind))
            words = [Cell(name), Cell(kind), Cell(f"{counted.n:,}" if counted else "–")]
            rows.append([*words, *(_show(one.get((metric, kind))) for metric in metrics)])
    headings = ["editor", "kind of change", "questions", *map(heading, metrics)]
    return Table(headings, rows, "By kind of change") if len(kinds) > 1 else None


def state_table(found: Sequence[State]) -> Table | None:
    """One row per state and per answer that the unedited model gave to the edit; None in runs of older versions."""
    by_state = {state.label: intervals(state, "base_state") for state in found}
    metrics = [name for name in NAMES if any((name, answer) in one for one in by_state.values() for answer in STATES)]
    rows = []
    for answer in STATES:
        for name, one in by_state.items():
            if (counted := one.get(("edit_success", answer))) is not None:
                words = [Cell(answer), Cell(name), Cell(f"{counted.n:,}", value=counted.n)]
                rows.append([*words, *(_show(one.get((metric, answer))) for metric in metrics)])
    headings = ["before the edit", "editor", "edits", *map(heading, metrics)]
    return Table(headings, rows, "By the state before the edit") if rows else None


def breakdown_tables(found: Sequence[State]) -> list[Table]:
    """One row per metric and group, one column per state; only tables with figures."""
    tables = []
    for title, (metrics, by, name) in BREAKDOWNS.items():
        of = [intervals(state, by) for state in found]
        if by == "edits":
            metrics = (*metrics, *sorted({name for one in of for name, _ in one} - set(metrics)))
        groups = {key for one in of for key in one if key[0] in metrics}
        rows = []
        for metric, group in sorted(groups, key=lambda key: (metrics.index(key[0]), _natural(str(key[1])))):
            cells = [_show(one.get((metric, group))) for one in of]
            best = _best(metric, [c.value for s, c in zip(found, cells, strict=True) if s.editor != "none"])
            marked = [
                cell._replace(best=state.editor != "none" and cell.value is not None and cell.value == best)
                for state, cell in zip(found, cells, strict=True)
            ]
            rows.append([Cell(f"{heading(metric)}: {name.format(group)}"), *marked])
        if rows:
            tables.append(Table(["metric", *(state.label for state in found)], rows, title))
    return tables


def judge_tables(runs: Sequence[Run]) -> list[Table]:
    """One row per model state and judge: how far the judge and exact match agree; no table where nobody judged."""
    headings = ["editor", "judge", "answers", "agreement", "kappa", "exact match", "right by judge"]
    rows = []
    for state in states(runs):
        found = compare_verdicts(state.run.scores[state.editor], state.run.verdicts)
        for judge, one in found.items():
            figures = (one.agreed, one.kappa, one.matched, one.judged_right)
            shown = [Cell("–" if value is None else f"{value:.2f}", value=value) for value in figures]
            rows.append([Cell(state.label), Cell(judge), Cell(f"{one.n:,}", value=one.n), *shown])
    return [Table(headings, rows, "Exact match and judges")] if rows else []


def difference_tables(runs: Sequence[Run]) -> list[Table]:
    """For every editor, the others less it; the best by the leaderboard first. Only editors of one run are compared.

    A difference whose interval leaves out 0 is marked.
    """
    order = [state for state, _ in leaderboard(runs)]
    all_states = states(runs)
    order += [state for state in all_states if state.editor == "none"]
    tables = []
    for second in order:
        found = differences(second.run)
        metrics = [name for name in MAIN if any(metric == name for metric, _, _ in found)]
        others = [one for one in all_states if one.run is second.run and one.label != second.label]
        if not metrics or not others:
            continue
        rows = []
        for first in others:
            of = [found.get((metric, first.editor, second.editor)) for metric in metrics]
            rows.append([Cell(f"{first.label} − {second.label}"), *(_show(one, signed=True) for one in of)])
        tables.append(Table(["difference", *map(heading, metrics)], rows, second.label))
    return tables


def _is_measured(metric: str, found: Sequence[State]) -> bool:
    return any(_cell(state, metric).value is not None for state in found)


def _cell(state: State, metric: str) -> Cell:
    """A figure of all questions; a dash where there is none."""
    if metric in COSTS:
        value = state.figures.get(metric)
        if value is None:
            return Cell("–")
        return Cell(f"{value:,.1f}" if metric == "seconds" else f"{value:,.0f}", value=value)
    return _show(intervals(state).get((metric, None)))


def _show(found: Interval | None, signed: bool = False) -> Cell:
    if found is None:
        return Cell("–")
    write: Callable[[float], str] = _format_signed if signed else _figure
    sure = signed and (found.low > 0 or found.high < 0)
    between = " to " if signed else "–"
    return Cell(write(found.value), f"{write(found.low)}{between}{write(found.high)}", found.n, found.value, sure)


def _best(metric: str, values: Sequence[float | None]) -> float | None:
    """The best of several; None where there is nothing to choose from, since all are equal."""
    found, better = [value for value in values if value is not None], NAMES[metric].better if metric in NAMES else ""
    if len(set(found)) < 2 or not better:
        return None
    return max(found) if better == "↑" else min(found)


def _natural(group: str) -> tuple[int, str]:
    """Numbers by their size, before words."""
    return (int(group), "") if group.isascii() and group.isdigit() else (10**9, group)


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def _format_signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")
