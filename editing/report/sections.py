"""Which plots a report has, of which figures, and their captions."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from chronofacts.editing.metrics.definitions import DEFINITIONS, LIFELONG
from chronofacts.editing.metrics.staleness import estimate_cutoff, months
from chronofacts.editing.report import plots
from chronofacts.editing.report.cutoff import describe_cutoff
from chronofacts.editing.report.names import label
from chronofacts.editing.report.runs import Interval, Run, State, intervals, states
from chronofacts.editing.report.tables import leaderboard

__all__ = ["Plot", "all_plots", "cutoff_sentence"]

CURVE = ("success_at_once", "success_at_end")
HOPS = ("multi_hop", "hop_by_hop", "chain_of_thought")


class Plot(NamedTuple):
    title: str
    svg: str
    caption: str


def all_plots(runs: Sequence[Run]) -> list[Plot]:
    """Those for which there is something to show."""
    found = states(runs)
    edited = [state for state in found if state.editor != "none"]
    main = [(state.label, _main(state)) for state in found]
    keys, names = _hop_groups(found)
    hops = plots.grouped_bars([(state.label, _hops(state)) for state in found], keys, names, "hops")
    relations = plots.relation_bars([(state.label, _relations(state)) for state in edited])
    curve = plots.forgetting_curve([(state.label, _curve(state)) for state in edited])
    drawn = [
        Plot("Learnt, spread, kept", plots.metric_bars(main), "What each editor taught, what followed, what stayed."),
        Plot(
            "Learning against remembering",
            plots.trade_off(main),
            "Up and to the right is better: new facts, past intact.",
        ),
        Plot(
            "Before and after", plots.before_and_after(main), "The unedited model and every editor, metric by metric."
        ),
        Plot("By relation", relations, "Edit success by kind of fact, the commonest relations."),
        Plot(
            "By hops", hops, "Questions over several facts: asked at once, and hop by hop with the model's own answers."
        ),
        Plot(
            "Against editing time",
            plots.training_time(_times(edited)),
            "Edit success by the seconds that editing took; up and to the left is better.",
        ),
        Plot("Forgetting curve", curve, "Edits in chunks: each chunk right after it was made, and when all were made."),
        *_plot_lifelong(edited),
        Plot("Over time", plots.over_time(_balances(runs)), "Balance of every model and editor by the snapshot's day."),
        *(_plot_staleness(run, number, several=len(runs) > 1) for number, run in enumerate(runs)),
    ]
    return [plot for plot in drawn if plot.svg]


def cutoff_sentence(run: Run) -> str:
    """Where the knowledge of the unedited model seems to end; empty where no fact has a day."""
    scores = run.scores["none"]
    return describe_cutoff(months(scores), estimate_cutoff(scores), run.model)


def _plot_lifelong(edited: Sequence[State]) -> list[Plot]:
    """One plot a metric, by the number of edits that were made."""
    by_state = {state.label: (_by_edits(state, "edits"), _by_edits(state, "edits_at_end")) for state in edited}
    drawn = []
    tasks = sorted({metric for then, _ in by_state.values() for metric in then} - set(LIFELONG))
    for metric in (*LIFELONG, *tasks):
        lines = [(name, then.get(metric, []), end.get(metric, [])) for name, (then, end) in by_state.items()]
        svg = plots.lifelong(lines, metric, metric in DEFINITIONS and DEFINITIONS[metric].is_share)
        caption = (
            "A task of lm-evaluation-harness, run when so many edits were made, with 95 % intervals."
            if metric in tasks
            else "A sample of the questions, asked when so many edits were made (whole lines, with 95 % intervals); "
            "dashed: the same questions at the end."
        )
        drawn.append(Plot(f"After so many edits: {label(metric)}", svg, caption))
    return drawn


def _by_edits(state: State, by: str) -> dict[str, list[tuple[int, Interval]]]:
    """Metric -> (number of edits, figure)."""
    found: dict[str, list[tuple[int, Interval]]] = {}
    for (metric, edits), one in intervals(state, by).items():
        found.setdefault(metric, []).append((int(str(edits)), one))
    return {metric: sorted(points) for metric, points in found.items()}


def _plot_staleness(run: Run, number: int, several: bool) -> Plot:
    scores = run.scores["none"]
    title = f"How stale is {run.model}?" if several else "How stale is the model, month by month?"
    return Plot(title, plots.staleness(months(scores), estimate_cutoff(scores), str(number)), cutoff_sentence(run))


def _main(state: State) -> dict[str, Interval]:
    return {metric: figure for (metric, _), figure in intervals(state).items()}


def _relations(state: State) -> dict[str, Interval]:
    """Edit success by relation, the relation with the most edits first."""
    found = {str(of): figure for (m, of), figure in intervals(state, "relation").items() if m == "edit_success"}
    return dict(sorted(found.items(), key=lambda item: (-item[1].n, item[0])))


def _hops(state: State) -> dict[str, Interval]:
    return {f"{metric} {hops}": figure for (metric, hops), figure in intervals(state, "hops").items() if metric in HOPS}


def _hop_groups(found: Sequence[State]) -> tuple[list[str], list[str]]:
    measured = {key for state in found for key in _hops(state)}
    counts = sorted({key.split()[1] for key in measured})
    pairs = [(metric, hops) for hops in counts for metric in HOPS if f"{metric} {hops}" in measured]
    return [f"{metric} {hops}" for metric, hops in pairs], [f"{hops} hops\n{label(metric)}" for metric, hops in pairs]


def _times(edited: Sequence[State]) -> list[tuple[str, float, Interval]]:
    successes = ((state, _main(state).get("edit_success")) for state in edited if "seconds" in state.figures)
    return [(state.label, state.figures["seconds"], success) for state, success in successes if success]


def _curve(state: State) -> dict[str, dict[int, Interval]]:
    curve: dict[str, dict[int, Interval]] = {}
    for (metric, chunk), figure in intervals(state, "chunk").items():
        if metric in CURVE and chunk is not None:
            curve.setdefault(metric, {})[int(chunk)] = figure
    return curve


def _balances(runs: Sequence[Run]) -> dict[str, list[tuple[datetime.date, float]]]:
    """model / editor -> (day of the snapshot, balance); without runs of a snapshot that has no day."""
    lines: dict[str, list[tuple[datetime.date, float]]] = {}
    for state, balance in leaderboard(runs):
        with suppress(ValueError):
            day = datetime.date.fromisoformat(state.run.as_of)
            lines.setdefault(f"{state.run.model} / {state.editor}", []).append((day, balance))
    return lines
