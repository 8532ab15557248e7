"""The plots of a report, each a function from figures to SVG; empty text where there is nothing to show."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from chronofacts.editing.metrics.staleness import Cutoff, Month
from chronofacts.editing.report.drawing import (
    colour,
    draw,
    error_bar,
    marker,
    set_dates,
    set_numbers,
    set_ticks,
    shorten,
)  # fmt: skip
from chronofacts.editing.report.names import heading
from chronofacts.editing.report.runs import Interval

__all__ = [
    "before_and_after", "followed", "forgetting_curve", "grouped_bars", "lifelong", "metric_bars", "month_grid",
    "over_time", "relation_bars", "stacked_bars", "staleness", "trade_off", "training_time",
]  # fmt: skip

Figures = Sequence[tuple[str, Mapping[str, Interval]]]
"""(label, {metric or group: figure}) of every model state"""

SHOWN = (
    "edit_success", "paraphrase", "portability", "multi_hop", "locality", "history", "preservation", "stale_rate",
)  # fmt: skip
OF_QUESTIONS = "share of the questions"
RELATIONS = 12
WIDE, NORMAL = (7.2, 4.0), (7.2, 3.6)
WIDE_RANGE = 20
"""Numbers of edits that differ by more than this factor stand on a logarithmic axis."""
STACKED = (2, 1, 0, 7)
"""Colours of known, stale, other and silent answers; the first two as in `staleness`."""
SHARE = (-0.05, 1.05)
"""Limits of an axis of shares."""


def metric_bars(figures: Figures) -> str:
    """Bars of the main metrics, one colour per state, with intervals."""
    keys = _shown_metrics(figures)
    return grouped_bars(figures, keys, [heading(key).replace(" ", "\n") for key in keys], "metrics")


def grouped_bars(figures: Figures, keys: Sequence[str], names: Sequence[str], salt: str) -> str:
    """Bars of some groups, one colour per state, with intervals."""
    if not keys:
        return ""

    def paint(axes: Any) -> None:
        width = 0.8 / max(1, len(figures))
        for index, (label, values) in enumerate(figures):
            at = [group + index * width for group, key in enumerate(keys) if key in values]
            found = [values[key] for key in keys if key in values]
            axes.bar(
                at, [one.value for one in found], width=width, yerr=error_bar(found), color=colour(index),
                ecolor="#333", capsize=1 if len(figures) > 4 else 2, label=shorten(label),
            )  # fmt: skip
        set_ticks(axes, [group + 0.4 - width / 2 for group in range(len(keys))], names)
        axes.set(ylim=(0, 1.05), ylabel=OF_QUESTIONS)

    return draw(WIDE if len(figures) > 4 else NORMAL, paint, salt)


def relation_bars(figures: Figures) -> str:
    """Edit success by relation, lying bars, the first relations given."""
    keys = list(dict.fromkeys(key for _, values in figures for key in values))[:RELATIONS]
    if not keys:
        return ""

    def paint(axes: Any) -> None:
        height = 0.8 / len(figures)
        for index, (label, values) in enumerate(figures):
            at = [row + index * height for row in range(len(keys))]
            widths = [values[key].value if key in values else 0.0 for key in keys]
            found = [values.get(key, Interval(0.0, 0.0, 0.0, 0)) for key in keys]
            axes.barh(
                at, widths, height=height, xerr=error_bar(found), color=colour(index + 1), ecolor="#333",
                error_kw={"lw": 0.7}, label=shorten(label),
            )  # fmt: skip
        axes.set_yticks([row + 0.4 - height / 2 for row in range(len(keys))], [shorten(key, 28) for key in keys])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.02), xlabel=f"{heading('edit_success')} ({OF_QUESTIONS})")

    return draw((7.2, 1.6 + 0.12 * len(keys) * max(3, len(figures))), paint, "relations")


def trade_off(figures: Figures) -> str:
    """Edit success against history, one point per model state."""
    points = [
        (label, v["edit_success"], v["history"]) for label, v in figures if {"edit_success", "history"} <= v.keys()
    ]
    if not points:
        return ""

    def paint(axes: Any) -> None:
        for index, (label, learnt, history) in enumerate(points):
            whiskers = {"xerr": error_bar([learnt]), "yerr": error_bar([history])}
            _draw_point(axes, index, label, (learnt.value, history.value), whiskers)
        axes.set(xlim=SHARE, ylim=SHARE, xlabel=f"{heading('edit_success')} ({OF_QUESTIONS})")
        axes.set_ylabel(f"{heading('history')} ({OF_QUESTIONS})")

    return draw(WIDE, paint, "tradeoff")


def training_time(points: Sequence[tuple[str, float, Interval]]) -> str:
    """Edit success against the seconds that editing took, on a logarithmic scale: (label, seconds, edit success)."""
    shown = [(index, *point) for index, point in enumerate(points, 1) if point[1] > 0]
    if not shown:
        return ""

    def paint(axes: Any) -> None:
        for index, label, seconds, learnt in shown:
            _draw_point(axes, index, label, (seconds, learnt.value), {"yerr": error_bar([learnt])})
        times = [seconds for _, _, seconds, _ in shown]
        axes.set_xscale("log")
        set_numbers(axes.xaxis)
        axes.set(xlim=(min(times) / 2, max(times) * 2), ylim=SHARE, xlabel="editing (seconds)")
        axes.set_ylabel(f"{heading('edit_success')} ({OF_QUESTIONS})")

    return draw(NORMAL, paint, "time")


def before_and_after(figures: Figures) -> str:
    """The unedited model and every editor on one line per metric."""
    keys = _shown_metrics(figures)
    if len(figures) < 2 or not keys:
        return ""

    def paint(axes: Any) -> None:
        for row, key in enumerate(keys):
            found = [values[key].value for _, values in figures if key in values]
            axes.plot([min(found), max(found)], [row, row], color="#d9dee5", lw=3, zorder=0)
        for index, (label, values) in enumerate(figures):
            rows = [row for row, key in enumerate(keys) if key in values]
            at = [values[keys[row]].value for row in rows]
            axes.plot(at, rows, marker(index), ms=8, color=colour(index), label=shorten(label), alpha=0.9)
        axes.set_yticks(range(len(keys)), [heading(key) for key in keys])
        axes.invert_yaxis()
        axes.set(xlim=SHARE, xlabel=OF_QUESTIONS)

    return draw(WIDE, paint, "before")


def forgetting_curve(curves: Sequence[tuple[str, Mapping[str, Mapping[int, Interval]]]]) -> str:
    """Edit success of each chunk, right after it and at the end: (label, {metric: {chunk: figure}})."""
    shown = [(index, label, of) for index, (label, of) in enumerate(curves, 1) if of]
    if not shown:
        return ""

    def paint(axes: Any) -> None:
        for index, label, of in shown:
            for metric, style, moment in (
                ("success_at_once", "--", "success at once"),
                ("success_at_end", "-", "success at end"),
            ):
                figures = sorted(of.get(metric, {}).items())
                axes.plot(
                    [chunk + 1 for chunk, _ in figures], [figure.value for _, figure in figures], style,
                    marker=marker(index), color=colour(index), label=f"{shorten(label)}, {moment}",
                )  # fmt: skip
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set(ylim=SHARE, xlabel="chunk of edits, in the order they were made", ylabel=OF_QUESTIONS)

    return draw(NORMAL, paint, "curve")


def lifelong(
    lines: Sequence[tuple[str, Sequence[tuple[int, Interval]], Sequence[tuple[int, Interval]]]],
    metric: str,
    is_share: bool,
) -> str:
    """One metric by the number of edits made: (label, figures right then, those of the same questions at the end)."""
    shown = [(index, *line) for index, line in enumerate(lines, 1) if line[1]]
    if not shown:
        return ""
    counts = [edits for _, _, then, _ in shown for edits, _ in then]

    def paint(axes: Any) -> None:
        for index, label, then, end in shown:
            found = [one for _, one in then]
            axes.errorbar(
                [edits for edits, _ in then], [one.value for one in found], yerr=error_bar(found), color=colour(index),
                marker=marker(index), elinewidth=0.7, label=shorten(label),
            )  # fmt: skip
            axes.plot([edits for edits, _ in end], [one.value for _, one in end], "--", color=colour(index), lw=0.9)
        if max(counts) > WIDE_RANGE * min(counts):
            axes.set_xscale("log")
            set_numbers(axes.xaxis)
        axes.set(xlabel="edits made", ylabel=heading(metric))
        if is_share:
            axes.set_ylim(SHARE)

    return draw(NORMAL, paint, f"lifelong-{metric}")


def staleness(found: Sequence[Month], cutoff: Cutoff | None, salt: str) -> str:
    """Answers of the unedited model by the month in which the facts changed."""
    if len(found) < 2:
        return ""

    def paint(axes: Any) -> None:
        for index, name, answers in (
            (2, "gives the new answer", [(month, month.new) for month in found]),
            (1, "gives the outdated one", [(month, month.old) for month in found if month.old is not None]),
        ):
            days, shares = [month.day for month, _ in answers], [share for _, share in answers]
            areas = [12 + 4 * min(month.n, 40) for month, _ in answers]
            axes.plot(days, shares, color=colour(index), lw=0.8, alpha=0.5)
            axes.scatter(days, shares, s=areas, color=colour(index), alpha=0.7, label=name)
        preferred = [(month.day, month.prefers_new) for month in found if month.prefers_new is not None]
        if preferred:
            axes.plot(*zip(*preferred, strict=True), ":", color=colour(7), label="finds the new one likelier")
        if cutoff is not None:
            axes.axvspan(cutoff.low, cutoff.high, color="#eef1f5", zorder=0)
            axes.axvline(cutoff.day, color=colour(7), lw=1)
        set_dates(axes.xaxis)
        axes.set(ylim=SHARE, xlabel="month in which the fact changed", ylabel="share of the facts")

    return draw(NORMAL, paint, f"stale{salt}")


def stacked_bars(groups: Mapping[str, Sequence[float]], parts: Sequence[str], salt: str) -> str:
    """Lying bars of shares that add up to 1, the first groups given: {group: a share for each of the parts}."""
    shown = dict(list(groups.items())[:RELATIONS])
    if not shown:
        return ""

    def paint(axes: Any) -> None:
        left = [0.0] * len(shown)
        for index, (part, tone) in enumerate(zip(parts, STACKED, strict=True)):
            widths = [values[index] for values in shown.values()]
            axes.barh(range(len(shown)), widths, left=left, height=0.7, color=colour(tone), label=part)
            left = [before + width for before, width in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(shown)), [shorten(group, 28) for group in shown])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.0), xlabel="share of the answers")

    return draw((7.2, 1.4 + 0.28 * len(shown)), paint, f"stacked-{salt}")


def over_time(lines: Mapping[str, Sequence[tuple[datetime.date, float]]]) -> str:
    """Balance by the snapshot's day, one line per model and editor: {label: [(day, balance)]}."""
    if len({day for points in lines.values() for day, _ in points}) < 2:
        return ""

    def paint(axes: Any) -> None:
        for index, (label, points) in enumerate(lines.items(), 1):
            days, marks = zip(*sorted(points), strict=True)
            axes.plot(days, marks, "-", marker=marker(index), color=colour(index), label=shorten(label))
        set_dates(axes.xaxis)
        axes.set(ylim=SHARE, xlabel="day of the snapshot", ylabel="balance ↑ (0 to 1)")

    return draw(NORMAL, paint, "overtime")


def followed(
    lines: Mapping[str, Sequence[tuple[datetime.date, Interval]]],
    dotted: Mapping[str, Sequence[tuple[datetime.date, Interval]]],
    salt: str = "followed",
) -> str:
    """Shares by day, one line per editor with its intervals; dotted ones without."""
    if not lines:
        return ""

    def paint(axes: Any) -> None:
        for index, (label, points) in enumerate(lines.items(), 1):
            days, found = [day for day, _ in points], [one for _, one in points]
            axes.errorbar(
                days, [one.value for one in found], yerr=error_bar(found), color=colour(index), marker=marker(index),
                elinewidth=0.7, label=shorten(label),
            )  # fmt: skip
            if others := dotted.get(label):
                axes.plot([day for day, _ in others], [one.value for _, one in others], ":", color=colour(index))
        set_dates(axes.xaxis)
        axes.set(ylim=SHARE, xlabel="after the changes until this day", ylabel="share of the questions")

    return draw(NORMAL, paint, salt)


def month_grid(shares: Mapping[tuple[str, str], float], salt: str) -> str:
    """Share right by the month that changed the facts (rows) and the month after which they were asked (columns)."""
    if not shares:
        return ""
    months, after = (sorted({pair[side] for pair in shares}) for side in (0, 1))

    def paint(axes: Any) -> None:
        values = [[shares.get((month, day), float("nan")) for day in after] for month in months]
        axes.pcolormesh(values, vmin=0, vmax=1, cmap="viridis", edgecolors="white", linewidth=0.5)
        axes.set_yticks([row + 0.5 for row in range(len(months))], [month[:7] for month in months])
        axes.set_xticks([column + 0.5 for column in range(len(after))], [day[:7] for day in after], rotation=60)
        axes.invert_yaxis()
        axes.set(xlabel="asked after", ylabel="changed in")
        for row, line in enumerate(values):
            for column, value in enumerate(line):
                if not isnan(value):
                    ink = "#fffffe" if value < 0.6 else "#111111"
                    place = {"ha": "center", "va": "center", "fontsize": 8}
                    axes.text(column + 0.5, row + 0.5, f"{value:.0%}"[:-1], color=ink, **place)

    return draw((7.2, 5.0), paint, salt)


def _draw_point(axes: Any, index: int, label: str, at: tuple[float, float], whiskers: Mapping[str, Any]) -> None:
    """A marker and its error bars. The legend shows the marker alone: short error bars would change its shape there."""
    axes.errorbar(*at, fmt="none", ecolor=colour(index), **whiskers)
    axes.plot(*at, marker(index), ms=8, color=colour(index), label=shorten(label))


def _shown_metrics(figures: Figures) -> list[str]:
    return [key for key in SHOWN if any(key in values for _, values in figures)]
