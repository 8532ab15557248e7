"""The tables of a report, whatever they are written as: columns, their meaning, cells; the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from chronofacts.editing.report.runs import Interval, Run, State, intervals, states

__all__ = [
    "MEANING", "NAMES", "Table", "breakdown_tables", "kind_table", "leaderboard",
    "leaderboard_table", "main_metrics", "metric_table", "more_metrics",
]  # fmt: skip

COLUMNS = {
    "edit_success": "edit success",
    "paraphrase": "paraphrase",
    "portability": "portability",
    "multi_hop": "multi-hop",
    "locality": "locality",
    "history": "history",
    "preservation": "preserved",
    "stale_rate": "stale",
    "seconds": "seconds",
    "peak_memory_mb": "peak MB",
}
"""Metric -> heading of its column."""
OPTIONAL = ("preservation",)
"""Columns of the first table only where some state has a figure for them."""
DETAILS = {
    "edit_wise": "edit-wise (cloze)",
    "instance_wise": "instance-wise",
    "hop_by_hop": "hop by hop",
    "chain_of_thought": "chain of thought",
    "locality_gold": "locality (gold)",
    "history_kept": "history kept",
    "preservation_share": "preserved values",
    "date_sensitivity": "date sensitivity",
    "token_accuracy": "token accuracy",
    "forced_gap": "forced gap",
    "new_over_old": "new over old",
    "fluency": "fluency",
    "perplexity": "perplexity",
    "success_at_once": "success at once",
    "forgotten": "forgotten",
}
"""The second table: what explains the first."""
NAMES = COLUMNS | DETAILS
MEANING = {
    "edit_success": "the new fact is given, asked in the wording of the edit",
    "paraphrase": "the new fact is given in wordings that no editor was trained on",
    "portability": "it is used: by another name, in reverse, over several hops",
    "multi_hop": "a question over several facts is answered rightly in any of its wordings",
    "locality": "facts that did not change are answered as before the edit",
    "history": "the past is still known: who it was on a date before the change",
    "preservation": "of a set that was added to or taken from, every value that stays is still named",
    "stale_rate": "the outdated answer is still given to a question about now (less is better)",
    "seconds": "editing, without scoring",
    "peak_memory_mb": "most memory of the process while editing or scoring",
    "edit_wise": "the new fact completes a sentence",
    "instance_wise": "every single fact of a multi-hop question is known",
    "hop_by_hop": "the same questions, asked one fact after the other with the model's own answers put in",
    "chain_of_thought": "the same questions, after worked examples that think aloud",
    "locality_gold": "facts that did not change are answered rightly",
    "history_kept": "of the past that the untouched model knew, what is still known",
    "preservation_share": "of the values of such a set that stay, so many are still named",
    "date_sensitivity": "a question about now and one about then get different answers, as they should",
    "token_accuracy": "teacher-forced: share of the answer's tokens that come first, the figure of other tools",
    "forced_gap": "by how much teacher forcing flatters: token accuracy less edit success",
    "new_over_old": "the new answer is likelier than the old one",
    "fluency": "n-gram entropy in bits of texts written freely (repetition lowers it)",
    "perplexity": "of texts that no edit touches (less is better; a small world learns answers alone, not questions)",
    "success_at_once": "edits in chunks: edit success right after each chunk",
    "forgotten": "edits in chunks: right after the chunk, and wrong at the end",
}
BREAKDOWNS = {
    "By hops": (("multi_hop", "hop_by_hop", "chain_of_thought", "instance_wise"), "hops"),
    "By edited hops": (("multi_hop", "hop_by_hop"), "edited_hops"),
    "Locality by kind": (("locality", "locality_gold"), "locality_kind"),
}
"""Title of a table -> its metrics, and their groups."""
BY_KIND = ("edit_success", "paraphrase", "stale_rate", "preservation")
"""Metrics that a table shows for each kind of change."""
BALANCED = ("edit_success", "paraphrase", "locality", "history")


class Table(NamedTuple):
    """Cells are a text and its interval; the first column names the row."""

    headings: Sequence[str]
    rows: Sequence[Sequence[tuple[str, str]]]
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
        texts = [str(number), state.run.as_of, state.run.model, state.editor, f"{mark:.2f}"]
        texts += [_cell(state, metric)[0] for metric in metrics]
        rows.append([(text, "") for text in texts])
    return Table(["", "snapshot", "model", "editor", "balance", *(COLUMNS[metric] for metric in metrics)], rows)


def main_metrics(found: Sequence[State]) -> list[str]:
    """The metrics of the first table."""
    return [name for name in COLUMNS if name not in OPTIONAL or _is_measured(name, found)]


def more_metrics(found: Sequence[State]) -> list[str]:
    """The metrics of the second table that some state has."""
    return [name for name in DETAILS if _is_measured(name, found)]


def metric_table(found: Sequence[State], metrics: Sequence[str]) -> Table:
    """One row per state."""
    rows = [[(state.label, ""), *(_cell(state, metric) for metric in metrics)] for state in found]
    return Table(["editor", *(NAMES[metric] for metric in metrics)], rows)


def kind_table(found: Sequence[State]) -> Table | None:
    """One row per state and kind of change (modification, injection, update, addition, removal).

    None where all changes are of one kind.
    """
    by_state = {state.label: intervals(state, "kind") for state in found}
    metrics = [name for name in BY_KIND if any((name, kind) in one for one in by_state.values() for _, kind in one)]
    kinds, rows = set[str](), []
    for label, one in by_state.items():
        for kind in sorted({str(kind) for _, kind in one}):
            kinds.add(kind)
            counted = one.get(("edit_success", kind))
            figures = (one.get((metric, kind)) for metric in metrics)
            texts = [label, kind, f"{counted.n:,}" if counted else "–"]
            texts += ["–" if one is None else f"{_figure(one.value)} [{_span(one)}]" for one in figures]
            rows.append([(text, "") for text in texts])
    headings = ["editor", "kind of change", "questions", *(COLUMNS[metric] for metric in metrics)]
    return Table(headings, rows, "By kind of change") if len(kinds) > 1 else None


def breakdown_tables(found: Sequence[State]) -> list[Table]:
    """One row per state, one column per metric and group; only tables with figures."""
    tables = []
    for title, (metrics, by) in BREAKDOWNS.items():
        of = [intervals(state, by) for state in found]
        groups = {key for one in of for key in one if key[0] in metrics}
        columns = sorted(groups, key=lambda key: (metrics.index(key[0]), key[1]))
        rows = [
            [(state.label, ""), *((f"{one[key].value:.2f}" if key in one else "–", "") for key in columns)]
            for state, one in zip(found, of, strict=True)
        ]
        if columns:
            tables.append(Table(["editor", *(f"{NAMES[metric]}: {group}" for metric, group in columns)], rows, title))
    return tables


def _is_measured(metric: str, found: Sequence[State]) -> bool:
    return any(_cell(state, metric)[0] != "–" for state in found)


def _cell(state: State, metric: str) -> tuple[str, str]:
    """A figure and its interval as text; a dash where there is none."""
    if metric in ("seconds", "peak_memory_mb"):
        value = state.figures.get(metric)
        return ("–" if value is None else f"{value:,.1f}" if metric == "seconds" else f"{value:,.0f}"), ""
    found = intervals(state).get((metric, None))
    return ("–", "") if found is None else (_figure(found.value), _span(found))


def _span(found: Interval) -> str:
    return f"{_figure(found.low)}–{_figure(found.high)}"


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
