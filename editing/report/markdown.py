"""The report as Markdown, for a paper or an issue, and as a plain table for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from chronofacts.editing.report.runs import Run, State, states
from chronofacts.editing.report.summary import command, headline
from chronofacts.editing.report.tables import (
    BREAKDOWNS,
    COLUMNS,
    DETAILS,
    MEANING,
    breakdown,
    by_kind,
    cell,
    columns_of,
    leaderboard,
)

__all__ = ["as_markdown", "text_table"]


def text_table(runs: Sequence[Run]) -> str:
    """Editors by metrics, in plain text."""
    found = states(runs)
    metrics = columns_of(found)
    rows = [["editor", *(COLUMNS[metric] for metric in metrics)]]
    rows += [[state.label, *(cell(state, metric)[0] for metric in metrics)] for state in found]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(one.rjust(width) for one, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_markdown(runs: Sequence[Run]) -> str:
    """Headline, tables, leaderboard, meanings and commands."""
    found = states(runs)
    lines = ["# What changed, and did the model learn it?", ""]
    lines += [part for line in headline(runs) for part in (_safe(line), "")]
    main = columns_of(found)
    lines += _metric_table(found, main, COLUMNS)
    headings, kinds = by_kind(found)
    if headings:
        lines += ["", "## By kind of change", "", *_table(headings, kinds)]
    measured = [name for name in DETAILS if any(cell(state, name)[0] != "–" for state in found)]
    if measured:
        lines += ["", "## More figures", "", *_metric_table(found, measured, DETAILS)]
    for title, (metrics, by) in BREAKDOWNS.items():
        headings, rows = breakdown(found, metrics, by)
        if headings:
            named = ([state.label, *row] for state, row in zip(found, rows, strict=True))
            lines += ["", f"## {title}", "", *_table(["editor", *headings], named)]
    if len(runs) > 1:
        lines += ["", "## Leaderboard", "", *_leaderboard(runs)]
    lines += ["", "In brackets: 95 % bootstrap interval over facts.", ""]
    lines += [f"- **{(COLUMNS | DETAILS)[name]}**: {MEANING[name]}" for name in [*main, *measured]]
    lines += ["", "## How to reproduce", "", *(f"    {command(run)}" for run in runs)]
    return "\n".join(lines) + "\n"


def _metric_table(found: Sequence[State], metrics: Sequence[str], names: dict[str, str]) -> list[str]:
    rows = (
        [state.label, *(" ".join(_bracketed(cell(state, metric))).strip() for metric in metrics)] for state in found
    )
    return _table(["editor", *(names[metric] for metric in metrics)], rows)


def _leaderboard(runs: Sequence[Run]) -> list[str]:
    rows = (
        [place.state.run.as_of, place.state.run.model, place.state.editor, f"{place.balance:.2f}"]
        for place in leaderboard(runs)
    )
    return _table(["snapshot", "model", "editor", "balance"], rows)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(map(_safe, headings)) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    return lines + ["| " + " | ".join([_safe(row[0]), *map(_safe_cell, row[1:])]) + " |" for row in rows]


def _safe(text: str) -> str:
    return re.sub(r"([|<>`*_\[\]])", r"\\\1", " ".join(text.split()))


def _safe_cell(text: str) -> str:
    """Figures keep the brackets of their intervals."""
    return text if re.fullmatch(r"[-–\d.,% \[\]]*", text) else _safe(text)


def _bracketed(one: tuple[str, str]) -> tuple[str, str]:
    return one[0], f"[{one[1]}]" if one[1] else ""
