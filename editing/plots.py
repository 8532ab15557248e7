"""Figures as SVG text for the report. Leaves out what they mean: `report` writes that beside them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["metric_bars", "relation_bars", "trade_off"]

Figures = Sequence[tuple[str, Mapping[str, tuple[float, float, float]]]]
"""(label, {metric or group: (value, low, high)}) of every model state"""

SHOWN = {
    "edit_success": "learnt",
    "paraphrase": "reworded",
    "portability": "spread",
    "multi_hop": "multi-hop",
    "locality": "neighbours\nkept",
    "history": "history\nkept",
    "stale_rate": "still stale",
}
COLOURS = ("#9aa5b1", "#c44e2f", "#1f6f8b", "#5a8f3c", "#7b4fa3", "#b8860b", "#d1578c", "#3f4a5a")
"""The first is for the unedited model, which comes first."""
RELATIONS = 12


def metric_bars(figures: Figures) -> str:
    """Bars of the main metrics, one colour per editor, with intervals."""
    keys = [key for key in SHOWN if any(key in values for _, values in figures)]
    return _draw((7.2, 3.6), lambda axes: _bars(axes, figures, keys, [SHOWN[key] for key in keys]), "metrics")


def relation_bars(figures: Figures) -> str:
    """Edit success by relation, lying bars, the first relations given; empty text when there is nothing to show."""
    keys = list(dict.fromkeys(key for _, values in figures for key in values))[:RELATIONS]
    if not keys:
        return ""

    def paint(axes: Any) -> None:
        height = 0.8 / len(figures)
        for place, (label, values) in enumerate(figures):
            at = [index + place * height for index in range(len(keys))]
            widths = [values.get(key, (0.0, 0.0, 0.0))[0] for key in keys]
            axes.barh(at, widths, height=height, color=COLOURS[(place + 1) % len(COLOURS)], label=_plain(label))
        axes.set_yticks([index + 0.4 - height / 2 for index in range(len(keys))], [_plain(key, 28) for key in keys])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("edit success")

    return _draw((7.2, 1.4 + 0.34 * len(keys)), paint, "relations")


def trade_off(figures: Figures) -> str:
    """Edit success against history retention, one point per model state."""
    points = [
        (label, v["edit_success"], v["history"]) for label, v in figures if {"edit_success", "history"} <= v.keys()
    ]
    if not points:
        return ""

    def paint(axes: Any) -> None:
        for place, (label, learnt, kept) in enumerate(points):
            errors = [[[max(0.0, v - low)], [max(0.0, high - v)]] for v, low, high in (learnt, kept)]
            colour = COLOURS[place % len(COLOURS)]
            axes.errorbar(
                learnt[0], kept[0], xerr=errors[0], yerr=errors[1], fmt="o", ms=9, color=colour, label=_plain(label)
            )
        axes.set_xlim(-0.05, 1.05)
        axes.set_ylim(-0.05, 1.05)
        axes.set_xlabel("edit success")
        axes.set_ylabel("history still known")

    return _draw((7.2, 3.6), paint, "tradeoff")


def _bars(axes: Any, figures: Figures, keys: Sequence[str], names: Sequence[str]) -> None:
    width = 0.8 / max(1, len(figures))
    for place, (label, values) in enumerate(figures):
        at = [index + place * width for index, key in enumerate(keys) if key in values]
        found = [values[key] for key in keys if key in values]
        heights = [value for value, _, _ in found]
        spread = [[max(0.0, v - low) for v, low, _ in found], [max(0.0, high - v) for v, _, high in found]]
        colour = COLOURS[place % len(COLOURS)]
        axes.bar(at, heights, width=width, yerr=spread, color=colour, ecolor="#333", capsize=2, label=_plain(label))
    axes.set_xticks([index + 0.4 - width / 2 for index in range(len(keys))], names)
    axes.set_ylim(0, 1.05)


def _draw(size: tuple[float, float], paint: Callable[[Any], None], salt: str) -> str:
    """The SVG element alone: no prologue, no metadata, identifiers that differ between the plots of a page."""
    import matplotlib
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.hashsalt": salt, "svg.id": f"plot-{salt}", "text.parse_math": False, "font.size": 11,
        "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        paint(axes)
        axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = written.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{salt}-", svg)


def _plain(text: str, most: int = 40) -> str:
    """Short, on one line, and never hidden: matplotlib leaves a label out when it begins with an underscore."""
    line = " ".join(text.split())
    line = line if len(line) <= most else f"{line[: most - 1]}…"
    return f" {line}" if line.startswith("_") else line
