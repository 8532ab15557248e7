"""What stands in the tables of a report: columns, their meaning, cells; the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chronofacts.editing.report.runs import Run, State, intervals, states

__all__ = [
    "BREAKDOWNS",
    "COLUMNS",
    "DETAILS",
    "MEANING",
    "Place",
    "balance",
    "breakdown",
    "by_kind",
    "cell",
    "columns_of",
    "leaderboard",
]

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
WHERE_MEASURED = ("preservation",)
"""Columns that stand only where some state has a figure in them."""
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
"""Title of a table -> its metrics, and what they are grouped by."""
BY_KIND = ("edit_success", "paraphrase", "stale_rate", "preservation")
"""What is told of every kind of change by itself."""
BALANCED = ("edit_success", "paraphrase", "locality", "history")


@dataclass(frozen=True)
class Place:
    """One row of the leaderboard."""

    state: State
    balance: float


def balance(state: State) -> float | None:
    """Harmonic mean of edit success, paraphrase, locality and history, as far as they were measured.

    As ROME's score (Meng et al. 2022): whoever gives one up for the others comes last. None for the untouched model
    and where nothing was measured.
    """
    values = [state.figures[name] for name in BALANCED if name in state.figures]
    if state.editor == "none" or not values:
        return None
    return len(values) / sum(1 / value for value in values) if min(values) > 0 else 0.0


def leaderboard(runs: Sequence[Run]) -> list[Place]:
    """All editors of all runs, the newest snapshot first, within it the best balance first."""
    places = [Place(state, mark) for state in states(runs) if (mark := balance(state)) is not None]
    by_mark = sorted(places, key=lambda place: (-place.balance, place.state.label))
    return sorted(by_mark, key=lambda place: place.state.run.as_of, reverse=True)


def cell(state: State, metric: str) -> tuple[str, str]:
    """A figure and its interval as text; a dash where it was not measured."""
    if metric in ("seconds", "peak_memory_mb"):
        value = state.figures.get(metric)
        return ("–" if value is None else f"{value:,.1f}" if metric == "seconds" else f"{value:,.0f}"), ""
    found = intervals(state).get((metric, None))
    return ("–", "") if found is None else (_figure(found.value), f"{_figure(found.low)}–{_figure(found.high)}")


def breakdown(found: Sequence[State], metrics: Sequence[str], by: str) -> tuple[list[str], list[list[str]]]:
    """Headings (metric, group) and one row of cells per state; no headings where nothing was measured."""
    of = [intervals(state, by) for state in found]
    groups = sorted({key for one in of for key in one if key[0] in metrics}, key=lambda k: (metrics.index(k[0]), k[1]))
    rows = [[f"{one[key].value:.2f}" if key in one else "–" for key in groups] for one in of]
    return [f"{(COLUMNS | DETAILS)[metric]}: {group}" for metric, group in groups], rows


def columns_of(found: Sequence[State]) -> list[str]:
    """The metrics of the first table."""
    return [
        name for name in COLUMNS if name not in WHERE_MEASURED or any(cell(state, name)[0] != "–" for state in found)
    ]


def by_kind(found: Sequence[State]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows, one row per state and kind of change (modification, injection, update, addition, removal).

    None where no run tells more than one kind apart.
    """
    rows, kinds = [], set[str]()
    measured = {name for state in found for name, _ in intervals(state, "kind")}
    metrics = [name for name in BY_KIND if name in measured]
    for state in found:
        of = intervals(state, "kind")
        for kind in sorted({str(kind) for _, kind in of}):
            cells = [of.get((metric, kind)) for metric in metrics]
            asked = of.get(("edit_success", kind))
            kinds.add(kind)
            rows.append(
                [state.label, kind, f"{asked.n:,}" if asked else "–"]
                + [
                    "–" if one is None else f"{_figure(one.value)} [{_figure(one.low)}–{_figure(one.high)}]"
                    for one in cells
                ]
            )
    if len(kinds) < 2:
        return [], []
    return ["editor", "kind of change", "questions", *(COLUMNS[metric] for metric in metrics)], rows


def _figure(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
