"""The plots of a report, each a function from figures to SVG; empty text where there is nothing to show."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from chronofacts.editing.report.drawing import colour, draw, marker, plain, plain_dates, plain_numbers, spread, ticks
from chronofacts.editing.report.runs import Interval
from chronofacts.editing.report.staleness import Cutoff, Month

__all__ = [
    "before_and_after",
    "forgetting_curve",
    "grouped_bars",
    "metric_bars",
    "over_time",
    "relation_bars",
    "staleness",
    "trade_off",
    "training_time",
]

Figures = Sequence[tuple[str, Mapping[str, Interval]]]
"""(label, {metric or group: figure}) of every model state"""

SHOWN = {
    "edit_success": "learnt",
    "paraphrase": "reworded",
    "portability": "spread",
    "multi_hop": "multi-hop",
    "locality": "neighbours\nkept",
    "history": "history\nkept",
    "preservation": "rest of\nset kept",
    "stale_rate": "still stale",
}
RELATIONS = 12
WIDE, NORMAL = (7.2, 4.0), (7.2, 3.6)


def metric_bars(figures: Figures) -> str:
    """Bars of the main metrics, one colour per editor, with intervals."""
    keys = [key for key in SHOWN if any(key in values for _, values in figures)]
    return _bars(figures, keys, [SHOWN[key] for key in keys], "metrics")


def grouped_bars(figures: Figures, keys: Sequence[str], names: Sequence[str], salt: str) -> str:
    """Bars of some groups, one colour per editor."""
    return _bars(figures, keys, names, salt) if keys else ""


def relation_bars(figures: Figures) -> str:
    """Edit success by relation, lying bars, the first relations given."""
    keys = list(dict.fromkeys(key for _, values in figures for key in values))[:RELATIONS]
    if not keys:
        return ""

    def paint(axes: Any) -> None:
        height = 0.8 / len(figures)
        for place, (label, values) in enumerate(figures):
            at = [index + place * height for index in range(len(keys))]
            widths = [values[key].value if key in values else 0.0 for key in keys]
            axes.barh(at, widths, height=height, color=colour(place + 1), label=plain(label))
        axes.set_yticks([index + 0.4 - height / 2 for index in range(len(keys))], [plain(key, 28) for key in keys])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("edit success")

    return draw((7.2, 1.6 + 0.12 * len(keys) * max(3, len(figures))), paint, "relations")


def trade_off(figures: Figures) -> str:
    """Edit success against history retention, one point per model state."""
    points = [
        (label, v["edit_success"], v["history"]) for label, v in figures if {"edit_success", "history"} <= v.keys()
    ]
    if not points:
        return ""

    def paint(axes: Any) -> None:
        for place, (label, learnt, kept) in enumerate(points):
            axes.errorbar(
                learnt.value, kept.value, xerr=spread(*learnt[:3]), yerr=spread(*kept[:3]), fmt=marker(place), ms=8,
                color=colour(place), label=plain(label),
            )  # fmt: skip
        _unit(axes, "edit success", "history still known")

    return draw(WIDE, paint, "tradeoff")


def training_time(points: Sequence[tuple[str, float, Interval]]) -> str:
    """Edit success against the seconds that editing took, on a logarithmic scale: (label, seconds, edit success)."""
    shown = [(place, *point) for place, point in enumerate(points, 1) if point[1] > 0]
    if not shown:
        return ""

    def paint(axes: Any) -> None:
        for place, label, seconds, learnt in shown:
            axes.errorbar(
                seconds, learnt.value, yerr=spread(*learnt[:3]), fmt=marker(place), ms=8, color=colour(place),
                label=plain(label),
            )  # fmt: skip
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
        low, high = min(point[2] for point in shown), max(point[2] for point in shown)
        axes.set_xlim(low / 2, high * 2)
        axes.set_ylim(-0.05, 1.05)
        axes.set_xlabel("seconds of editing")
        axes.set_ylabel("edit success")

    return draw(NORMAL, paint, "time")


def before_and_after(figures: Figures) -> str:
    """The untouched model and every editor on one line per metric."""
    keys = [key for key in SHOWN if any(key in values for _, values in figures)]
    if len(figures) < 2 or not keys:
        return ""

    def paint(axes: Any) -> None:
        for row, key in enumerate(keys):
            found = [values[key].value for _, values in figures if key in values]
            axes.plot([min(found), max(found)], [row, row], color="#d9dee5", lw=3, zorder=0)
        for place, (label, values) in enumerate(figures):
            rows = [row for row, key in enumerate(keys) if key in values]
            at = [values[keys[row]].value for row in rows]
            axes.plot(at, rows, marker(place), ms=8, color=colour(place), label=plain(label), alpha=0.9)
        axes.set_yticks(range(len(keys)), [SHOWN[key].replace("\n", " ") for key in keys])
        axes.invert_yaxis()
        axes.set_xlim(-0.05, 1.05)

    return draw(WIDE, paint, "before")


def forgetting_curve(curves: Sequence[tuple[str, Mapping[str, Mapping[int, Interval]]]]) -> str:
    """Edit success of each chunk, right after it and at the end: (label, {metric: {chunk: figure}})."""
    shown = [(place, label, of) for place, (label, of) in enumerate(curves, 1) if of]
    if not shown:
        return ""

    def paint(axes: Any) -> None:
        for place, label, of in shown:
            for metric, style, said in (("success_at_once", "--", "at once"), ("success_at_end", "-", "at the end")):
                chunks = sorted(of.get(metric, {}))
                values = [of[metric][chunk].value for chunk in chunks]
                at = [chunk + 1 for chunk in chunks]
                axes.plot(at, values, style, marker=marker(place), color=colour(place), label=f"{plain(label)}, {said}")
        axes.set_ylim(-0.05, 1.05)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("chunk of edits, in the order they were made")
        axes.set_ylabel("edit success")

    return draw(NORMAL, paint, "curve")


def staleness(found: Sequence[Month], cutoff: Cutoff | None, salt: str) -> str:
    """Answers of the untouched model by the month in which the facts changed."""
    if len(found) < 2:
        return ""

    def paint(axes: Any) -> None:
        days = [month.day for month in found]
        sizes = [12 + 4 * min(month.n, 40) for month in found]
        for place, name, values in (
            (2, "gives the new answer", [month.new for month in found]),
            (1, "gives the outdated one", [month.old for month in found]),
        ):
            told = [point for point in zip(days, values, sizes, strict=True) if point[1] is not None]
            at, shares, areas = zip(*told, strict=True) if told else ((), (), ())
            axes.plot(at, shares, color=colour(place), lw=1.5)
            axes.scatter(at, shares, s=areas, color=colour(place), alpha=0.7, label=name)
        preferred = [(month.day, month.prefers_new) for month in found if month.prefers_new is not None]
        axes.plot(
            *zip(*preferred, strict=True), ":", color=colour(7), label="finds the new one likelier"
        ) if preferred else None
        if cutoff is not None:
            axes.axvspan(cutoff.low, cutoff.high, color="#eef1f5", zorder=0)
            axes.axvline(cutoff.day, color=colour(7), lw=1)
        axes.set_ylim(-0.05, 1.05)
        plain_dates(axes.xaxis)
        axes.set_xlabel("month in which the fact changed")
        axes.set_ylabel("share of the facts")

    return draw(NORMAL, paint, f"stale{salt}")


def over_time(lines: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """Balance by the snapshot's day, one line per model and editor: {label: [(day, balance)]}."""
    if len({day for points in lines.values() for day, _ in points}) < 2:
        return ""

    def paint(axes: Any) -> None:
        for place, (label, points) in enumerate(lines.items(), 1):
            ordered = sorted(points)
            days = [datetime.date.fromisoformat(day) for day, _ in ordered]
            axes.plot(
                days, [mark for _, mark in ordered], "-", marker=marker(place), color=colour(place), label=plain(label)
            )
        axes.set_ylim(-0.05, 1.05)
        plain_dates(axes.xaxis)
        axes.set_xlabel("day of the snapshot")
        axes.set_ylabel("balance")

    return draw(NORMAL, paint, "overtime")


def _bars(figures: Figures, keys: Sequence[str], names: Sequence[str], salt: str) -> str:
    if not keys:
        return ""

    def paint(axes: Any) -> None:
        width = 0.8 / max(1, len(figures))
        for place, (label, values) in enumerate(figures):
            at = [index + place * width for index, key in enumerate(keys) if key in values]
            found = [values[key] for key in keys if key in values]
            errors = [spread(*one[:3]) for one in found]
            sides = [[one[side][0] for one in errors] for side in (0, 1)]
            axes.bar(
                at, [one.value for one in found], width=width, yerr=sides, color=colour(place), ecolor="#333",
                capsize=1 if len(figures) > 4 else 2, label=plain(label),
            )  # fmt: skip
        ticks(axes, [index + 0.4 - width / 2 for index in range(len(keys))], names)
        axes.set_ylim(0, 1.05)

    return draw(WIDE if len(figures) > 4 else NORMAL, paint, salt)


def _unit(axes: Any, horizontal: str, vertical: str) -> None:
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
