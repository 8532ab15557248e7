"""Reads a plot back from its SVG: the texts on it, and its bars, points and whiskers in the units of its axes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

__all__ = ["PlotReader", "read_plot"]

SVG = "{http://www.w3.org/2000/svg}"


def read_plot(draw: Callable[[], str]) -> PlotReader:
    return PlotReader(draw())


class PlotReader:
    def __init__(self, svg: str) -> None:
        self._root = ET.fromstring(svg)
        groups = [group for group in self._root.iter(f"{SVG}g") if "-text_" in group.get("id", "")]
        self.texts = [_text_of(group) for group in groups]

    def bars(self, colour: str, lying: bool = False) -> list[float]:
        """Length of every bar of a colour."""
        axis = "x" if lying else "y"
        drawn = [path for path in self._root.iter(f"{SVG}path") if path.get("fill") == colour]
        corners = [_numbers(path) for path in drawn if path.get("clip-path")]
        ends = [max(x for x, _ in points) if lying else min(y for _, y in points) for points in corners]
        return [self._value(axis, end) for end in ends]

    def points(self, colour: str) -> list[tuple[float, float]]:
        """(horizontal, vertical) of every marker of a colour; the horizontal in points of the page where its axis is
        no plain number."""
        groups = list(self._root.iter(f"{SVG}g"))
        used = [one for group in groups if group.get("clip-path") for one in group]
        discs = [one for group in groups if "-PathCollection_" in group.get("id", "") for one in group]
        marks = [one for one in (*used, *discs) if one.get("fill") == colour]
        return [(self._value("x", x), self._value("y", y)) for x, y in map(_centre, marks)]

    def whiskers(self) -> list[tuple[float, float]]:
        """(low, high) of every upright error bar."""
        groups = [group for group in self._root.iter(f"{SVG}g") if "-LineCollection_" in group.get("id", "")]
        lines = [_numbers(path) for group in groups for path in group]
        return [(self._value("y", a[1]), self._value("y", b[1])) for a, b in lines if a[0] == b[0]]

    def legend_symbols(self, colour: str) -> list[str]:
        """What draws each shape of a colour in the legend: `use` for a marker, `path` for a line."""
        legend = (group for group in self._root.iter(f"{SVG}g") if "-legend_" in group.get("id", ""))
        shapes = (part for group in legend for part in group.iter() if colour in (part.get("fill"), part.get("stroke")))
        return [part.tag.removeprefix(SVG) for part in shapes]

    def ticks(self, axis: str) -> dict[str, float]:
        """Text beside a tick -> where it stands, in points of the page."""
        groups = [group for group in self._root.iter(f"{SVG}g") if f"-{axis}tick_" in group.get("id", "")]
        marks = [(_text_of(group), next(group.iter(f"{SVG}use"))) for group in groups]
        return {text: float(mark.get(axis, "")) for text, mark in marks if text}

    def _value(self, axis: str, position: float) -> float:
        """By the first and the last tick; the position itself where these are no numbers."""
        (first, a), *_, (last, b) = self.ticks(axis).items()
        if not re.fullmatch(r"[\d.]+", first + last):
            return position
        return round(float(first) + (position - a) / (b - a) * (float(last) - float(first)), 3)


def _text_of(group: ET.Element) -> str:
    return " ".join(text.text or "" for text in group.iter(f"{SVG}text"))


def _centre(mark: ET.Element) -> tuple[float, float]:
    if mark.tag == f"{SVG}use":
        return float(mark.get("x", "")), float(mark.get("y", ""))
    numbers = [float(number) for number in re.findall(r"[-\d.]+", mark.get("d", ""))]
    xs, ys = numbers[::2], numbers[1::2]
    return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2


def _numbers(path: ET.Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path.get("d", ""))]
