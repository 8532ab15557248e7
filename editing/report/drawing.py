"""Figures as SVG text that can stand side by side in one page."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from chronofacts.editing.report.runs import Interval

__all__ = ["ON_DARK", "colour", "draw", "error_bar", "marker", "set_dates", "set_numbers", "set_ticks", "shorten"]

COLOURS = (
    "#9aa5b1", "#c44e2f", "#1f6f8b", "#5a8f3c", "#7b4fa3", "#b8860b", "#d1578c", "#3f4a5a", "#2fa8a0", "#8c6d5a",
)  # fmt: skip
"""The first is for the unedited model, which comes first."""
ON_DARK = {
    "#c44e2f": "#e2714f", "#1f6f8b": "#4aa8c9", "#5a8f3c": "#7fb85e", "#7b4fa3": "#b08ad6", "#3f4a5a": "#c3ccd8",
    "#d9dee5": "#3b4552", "#eef1f5": "#262e38",
}  # fmt: skip
"""What stands for a colour on a dark page, where it would hardly be seen."""
SVG, LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
INK = {"#000000": "currentColor", "#333333": "currentColor", "#ffffff": "none"}
"""Lines and letters are of the page's ink, and the ground is the page's."""
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
        "svg.hashsalt": salt, "svg.id": f"plot-{salt}", "svg.fonttype": "none", "text.parse_math": False,
        "font.size": 11, "axes.spines.top": False, "axes.spines.right": False,
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
    return _fit_page(written.getvalue(), salt)


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
    """0.5, 1, 2 on a logarithmic axis: powers of ten are set as mathematics else, which is off."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _fit_page(svg: str, salt: str) -> str:
    """As it may stand in a page that allows no inline style, with identifiers that no other plot of the page has."""
    ET.register_namespace("", SVG)
    root = ET.fromstring(svg[svg.index("<svg") :])  # noqa: S314 (matplotlib wrote it)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        for name, value in _read_style(element.attrib.pop("style", "")).items():
            element.set(name, value)
        if "id" in element.attrib:
            element.set("id", f"{salt}-{element.get('id')}")
        if LINK in element.attrib:
            element.set("href", f"#{salt}-{element.attrib.pop(LINK)[1:]}")
        if (clip := element.get("clip-path", "")).startswith("url(#"):
            element.set("clip-path", f"url(#{salt}-{clip[5:]}")
    return ET.tostring(root, encoding="unicode")


def _read_style(style: str) -> dict[str, str]:
    """Attributes of the same meaning. Letters have the page's font."""
    found = {}
    for name, _, value in (part.partition(":") for part in style.split(";") if ":" in part):
        name, value = name.strip(), value.strip()
        if name in ("font", "font-size"):
            if size := re.search(r"[\d.]+px", value):
                found["font-size"] = size[0]
        elif not name.startswith("font"):
            found[name] = INK.get(value, value)
    return found
