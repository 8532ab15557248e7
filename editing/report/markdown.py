"""The report as Markdown, for a paper or an issue, and as a plain table for a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chronofacts.editing.report import tables
from chronofacts.editing.report.names import NAMES, label
from chronofacts.editing.report.runs import Run, states
from chronofacts.editing.report.summary import command, explain_intervals, summarise, warnings
from chronofacts.editing.report.tables import Cell, Table

__all__ = ["as_markdown", "text_table"]


def text_table(runs: Sequence[Run]) -> str:
    """Editors by metrics, in plain text."""
    found = states(runs)
    table = tables.metric_table(found, tables.main_metrics(found))
    rows = [table.headings, *([cell.text for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *figures in rows:
        cells = [name.ljust(widths[0]), *(one.rjust(width) for one, width in zip(figures, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_markdown(runs: Sequence[Run]) -> str:
    """Summary, tables, leaderboard, meanings and commands."""
    found = states(runs)
    main, more = tables.main_metrics(found), tables.more_metrics(found)
    sections = [table for table in (tables.kind_table(found), tables.state_table(found)) if table]
    if more:
        sections.append(tables.metric_table(found, more)._replace(title="More figures"))
    sections += [one._replace(title=f"Differences to {one.title}") for one in tables.difference_tables(runs)[:1]]
    sections += [*tables.breakdown_tables(found), *tables.judge_tables(runs)]
    if len(runs) > 1:
        headings, rows, _ = tables.leaderboard_table(runs)
        sections.append(Table(headings[1:], [row[1:] for row in rows], "Leaderboard"))
    lines = ["# What changed, and did the model learn it?", ""]
    lines += [part for line in warnings(runs) for part in (f"**Mind:** {_escape(line)}", "")]
    lines += [part for line in summarise(runs) for part in (_escape(line), "")]
    lines += _format_table(tables.metric_table(found, main))
    for table in sections:
        lines += ["", f"## {table.title}", "", *_format_table(table)]
    lines += ["", *(part for note in explain_intervals(runs) for part in (note, ""))]
    lines += [f"- **{label(name)}**: {NAMES[name].meaning}" for name in (*main, *more)]
    lines += ["", "## How to reproduce", "", *(f"    {command(run)}" for run in runs)]
    return "\n".join(lines) + "\n"


def _format_table(table: Table) -> list[str]:
    lines = ["| " + " | ".join(map(_escape, table.headings)) + " |", "|---|" + "---:|" * (len(table.headings) - 1)]
    for name, *cells in table.rows:
        lines.append("| " + " | ".join([_escape(name.text), *map(_format_cell, cells)]) + " |")
    return lines


def _format_cell(cell: Cell) -> str:
    """Figures keep the brackets of their intervals."""
    text = f"**{_escape(cell.text)}**" if cell.best else _escape(cell.text)
    return f"{text} [{cell.span}] n {cell.n:,}" if cell.span else text


def _escape(text: str) -> str:
    return re.sub(r"([|<>`*_\[\]])", r"\\\1", " ".join(text.split()))
