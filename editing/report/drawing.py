"""Figures as SVG text that can stand side by side in one page. Leaves out what they mean (`sections`)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["COLOURS", "MARKERS", "colour", "draw", "marker", "plain", "plain_dates", "plain_numbers", "spread", "ticks"]

COLOURS = (
    "#9aa5b1", "#c44e2f", "#1f6f8b", "#5a8f3c", "#7b4fa3", "#b8860b", "#d1578c", "#3f4a5a", "#2fa8a0", "#8c6d5a",
)  # fmt: skip
"""The first is for the unedited model, which comes first."""
MARKERS = "osD^vPX<>*"
MANY = 6
"""With more labels than these, the legend stands below the plot in small letters."""


def colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def marker(place: int) -> str:
    return MARKERS[place % len(MARKERS)]


def spread(value: float, low: float, high: float) -> list[list[float]]:
    """Lengths of an error bar, for matplotlib."""
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


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
    return _alone(written.getvalue(), salt)


def plain(text: str, most: int = 40) -> str:
    """Short, on one line, and never hidden: matplotlib leaves a label out when it begins with an underscore."""
    line = " ".join(text.split())
    line = line if len(line) <= most else f"{line[: most - 1]}…"
    return f" {line}" if line.startswith("_") else line


def ticks(axes: Any, places: Sequence[float], names: Sequence[str]) -> None:
    """Names under the horizontal axis; many are turned, so that they do not run into each other."""
    longest = max((len(line) for name in names for line in name.split("\n")), default=0)
    turned = len(names) > 8 or longest > 14
    shown = [name.replace("\n", " ") if turned else name for name in names]
    axes.set_xticks(places, shown, rotation=35 if turned else 0, ha="right" if turned else "center")


def plain_dates(axis: Any) -> None:
    """As few dates as do not run into each other."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)
    axis.set_major_locator(locator)
    axis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def plain_numbers(axis: Any) -> None:
    """0.1, 1, 10 on a logarithmic axis: powers of ten are set as mathematics else, which is off."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _alone(svg: str, salt: str) -> str:
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{salt}-", svg)
