"""Figures as SVG text that can stand side by side in one page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from chronofacts.editing.report.runs import Interval

__all__ = ["colour", "draw", "error_bar", "marker", "set_dates", "set_numbers", "set_ticks", "shorten"]

COLOURS = (
    "#9aa5b1", "#c44e2f", "#1f6f8b", "#5a8f3c", "#7b4fa3", "#b8860b", "#d1578c", "#3f4a5a", "#2fa8a0", "#8c6d5a",
)  # fmt: skip
"""The first is for the unedited model, which comes first."""
MARKERS = "osD^vPX<>*"
MANY = 6
"""With more labels than these, the legend stands below the plot in small letters."""
FITTING = 66
"""Letters that stand side by side under the horizontal axis, about."""


def colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def marker(index: int) -> str:
    return MARKERS[index % len(MARKERS)]


def error_bar(figures: Sequence[Interval]) -> list[list[float]]:
    """Lengths of the error bars below and above, for matplotlib."""
    return [[max(0.0, one.value - one.low) for one in figures], [max(0.0, one.high - one.value) for one in figures]]


def draw(size: tuple[float, float], paint: Callable[[Any], None], salt: str, legend: bool = True) -> str:
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
        _, labels = axes.get_legend_handles_labels()
        if legend and labels:
            small = len(labels) > MANY
            axes.legend(
                frameon=False, ncols=4 if small else 3, fontsize=9 if small else 11, loc="lower center",
                bbox_to_anchor=(0.5, 1.0), columnspacing=1.0, handletextpad=0.4,
            )  # fmt: skip
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _isolate(written.getvalue(), salt)


def shorten(text: str, most: int = 40) -> str:
    """Short, on one line, and never hidden: matplotlib leaves a label out when it begins with an underscore."""
    line = " ".join(text.split())
    line = line if len(line) <= most else f"{line[: most - 1]}…"
    return f" {line}" if line.startswith("_") else line


def set_ticks(axes: Any, positions: Sequence[float], names: Sequence[str]) -> None:
    """Names under the horizontal axis, turned where two of them would run into each other."""
    lengths = [max(map(len, name.split("\n"))) for name in names]
    room = FITTING / max(1, len(names))
    turned = any((one + other) / 2 > room for one, other in pairwise(lengths))
    shown = [name.replace("\n", " ") if turned else name for name in names]
    axes.set_xticks(positions, shown, rotation=35 if turned else 0, ha="right" if turned else "center")


def set_dates(axis: Any) -> None:
    """As few dates as do not run into each other."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)
    axis.set_major_locator(locator)
    axis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def set_numbers(axis: Any) -> None:
    """0.1, 1, 10 on a logarithmic axis: powers of ten are set as mathematics else, which is off."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _isolate(svg: str, salt: str) -> str:
    """Identifiers that no other plot of the page has."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{salt}-", svg)
