"""A model through the months, for a terminal, as a page and as JSON (`runs.follow`)."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from chronofacts.editing.metrics.following import flipped_back
from chronofacts.editing.report import plots
from chronofacts.editing.report.document import label_plot, render_page
from chronofacts.editing.report.runs import Interval
from chronofacts.editing.report.sections import Plot
from chronofacts.editing.report.tables import Cell, Table
from chronofacts.editing.runs.follow import Followed

__all__ = ["follow_as_json", "follow_as_text", "write_follow_page"]

FIGURES = {
    "at_once": "right at once ↑",
    "at_end": "right at the end ↑",
    "lost": "lost ↓",
    "flipped_back": "flipped back ↓",
    "then": "changed again: then ↑",
    "today": "changed again: today ↑",
    "both_days": "changed again: both days ↑",
}
EXAMPLES = 30


def write_follow_page(found: Followed) -> Path:
    """Write `index.html` into the run's folder; returns its path."""
    page = found.out / "index.html"
    page.write_text(_as_page(found), encoding="utf-8")
    return page


def follow_as_json(found: Followed) -> dict[str, Any]:
    """{editor: {metric: figure}} over all facts, {editor: {month: {metric: figure}}}, and how the months went by."""
    over_all, by_month, after = (_figures(found, by) for by in ("all", "month", "after"))
    return {
        "model": found.about["model"]["name"],
        "months": found.about["months"],
        "warnings": found.about["warnings"],
        "editors": {
            editor: {
                "figures": {metric: one._asdict() for (metric, _), one in over_all[editor].items()},
                "months": _nest(by_month[editor]),
                "after": _nest(after[editor]),
                "seconds": sum(found.about["editors"][editor]["seconds"]),
                "flipped_back": len(_flipped(found, editor)),
            }
            for editor in found.about["editors"]
        },
    }


def follow_as_text(found: Followed) -> str:
    """Editors by figures, then each month's own changes at once and at the end."""
    table, months = _editor_table(found), _month_table(found)
    lines = [f"warning: {text}" for text in found.about["warnings"]]
    return "\n\n".join([_headline(found), _plain(table), _plain(months), *lines])


def _headline(found: Followed) -> str:
    months = found.about["months"]
    return (
        f"{found.about['model']['name']} through {len(months)} months, {months[0]['day']} to {months[-1]['day']}: "
        f"{sum(month['facts'] for month in months)} changed facts, each month taught on top of the last."
    )


def _figures(found: Followed, by: str) -> dict[str, dict[tuple[str, str | None], Interval]]:
    """Editor -> (metric, group) -> figure."""
    figures: dict[str, dict[tuple[str, str | None], Interval]] = {editor: {} for editor in found.about["editors"]}
    for row in found.figures.filter(pc.equal(found.figures["by"], by)).to_pylist():
        one = Interval(row["value"], row["low"], row["high"], row["n"])
        figures[row["editor"]][row["metric"], row["group"]] = one
    return figures


def _nest(figures: dict[tuple[str, str | None], Interval]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for (metric, group), one in figures.items():
        nested.setdefault(str(group), {})[metric] = one._asdict()
    return nested


def _cell(one: Interval | None) -> Cell:
    if one is None:
        return Cell("–")
    return Cell(f"{one.value:.2f}", f"{one.low:.2f}–{one.high:.2f}", one.n, one.value)


def _editor_table(found: Followed) -> Table:
    """One row an editor: its figures over all months, and what is still known of the past."""
    rows, after, over_all = [], _figures(found, "after"), _figures(found, "all")
    last = found.about["months"][-1]["day"]
    metrics = [name for name in FIGURES if any((name, None) in of for of in over_all.values())]
    for editor, of in over_all.items():
        seconds = sum(found.about["editors"][editor]["seconds"])
        past = [_cell(after[editor].get(("past", last)))]
        rows.append(
            [
                Cell(editor),
                *(_cell(of.get((name, None))) for name in metrics),
                *past,
                Cell(f"{seconds:,.0f}", value=seconds),
            ]
        )
    return Table(["editor", *(FIGURES[name] for name in metrics), "past at the end ↑", "seconds ↓"], rows, "Editors")


def _month_table(found: Followed) -> Table:
    """One row a month: its own changes, right at once and at the end, by each editor."""
    by_month, editors = _figures(found, "month"), list(found.about["editors"])
    rows = []
    for month in found.about["months"]:
        cells = [
            _cell(by_month[editor].get((name, month["day"]))) for editor in editors for name in ("at_once", "at_end")
        ]
        rows.append([Cell(month["day"]), Cell(str(month["facts"]), value=month["facts"]), *cells])
    headings = [f"{editor} {when}" for editor in editors for when in ("at once ↑", "at the end ↑")]
    return Table(["month", "facts", *headings], rows, "Which months are kept")


def _flipped(found: Followed, editor: str) -> Sequence[Any]:
    return flipped_back(found.answers.filter(pc.equal(found.answers["editor"], editor)))


def _flipped_table(found: Followed) -> Table | None:
    rows = [
        [Cell(editor), *(Cell(str(row[name])) for name in ("prompt", "answer", "generated", "month"))]
        for editor in found.about["editors"]
        for row in _flipped(found, editor)[:EXAMPLES]
    ]
    return (
        Table(["editor", "question", "taught", "says at the end", "month"], rows, "Facts that flipped back")
        if rows
        else None
    )


def _as_page(found: Followed) -> str:
    lines = _lines(found)
    followed = Plot(
        "Through the months",
        plots.followed(lines["right"], lines["stale"]),
        "Of all facts changed so far, in their latest state: right after each month's edits (whole lines, with 95 % "
        "intervals), and answered with the state before (dotted).",
    )
    past = Plot(
        "The past",
        plots.followed(lines["past"], {}, "past"),
        "Questions about days before all months, after each month.",
    )
    grids = [
        Plot(f"Which months {editor} keeps", plots.month_grid(grid, f"grid{number}"),
             "Rows: the month that changed the facts. Columns: after which month they were asked. Share that is right.")
        for number, (editor, grid) in enumerate(_grids(found).items())
    ]  # fmt: skip
    return render_page(
        "follow.html",
        title=f"ChronoFacts: {found.about['model']['name']} through {len(found.about['months'])} months",
        lead=[_headline(found)],
        warnings=found.about["warnings"],
        plots=[(one, label_plot(one.svg, one.title, one.caption)) for one in (followed, past, *grids) if one.svg],
        editors=_editor_table(found),
        months=_month_table(found),
        flipped=_flipped_table(found),
        data=json.dumps(follow_as_json(found), ensure_ascii=False, default=str),
    )


def _lines(found: Followed) -> dict[str, dict[str, list[tuple[datetime.date, Interval]]]]:
    """Metric -> editor -> (day, figure)."""
    lines: dict[str, dict[str, list[tuple[datetime.date, Interval]]]] = {"right": {}, "stale": {}, "past": {}}
    for editor, of in _figures(found, "after").items():
        for (metric, day), one in of.items():
            lines[metric].setdefault(editor, []).append((datetime.date.fromisoformat(str(day)), one))
    return lines


def _grids(found: Followed) -> dict[str, dict[tuple[str, str], float]]:
    """Editor -> (month, after) -> share right."""
    grids: dict[str, dict[tuple[str, str], float]] = {}
    for editor, of in _figures(found, "month after").items():
        for (_, pair), one in of.items():
            month, after = str(pair).split()
            grids.setdefault(editor, {})[month, after] = one.value
    return grids


def _plain(table: Table) -> str:
    rows = [list(table.headings), *([cell.text for cell in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(one.rjust(w) for one, w in zip(row[1:], widths[1:], strict=True))]
        ).rstrip()
        for row in rows
    )
