"""Charts of the edits by month and by relation as SVG text: no plotting library, the same bytes for the same rows.

Leaves out: every other plot (`editing.report`).
"""

from __future__ import annotations

import datetime
import html
from collections import Counter

import pyarrow as pa

__all__ = ["edits_by_month", "edits_by_month_svg", "edits_by_relation_svg"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 240, 46, 12, 34, 30  # pixels
_MAX_BARS = 240
_ROW, _NAMES, _FIGURES = 20, 220, 60  # pixels: height of a bar with its gap, width for names and for figures


def edits_by_month(edits: pa.Table) -> dict[datetime.date, int]:
    """First day of a month -> edits that began in it; every month between the first and the last is named.

    edits: `EDITS`. An edit known to the year only counts in the first month that it may have begun in.
    """
    counted = Counter(day.replace(day=1) for day in edits["changed_on_earliest"].to_pylist() if day)
    if not counted:
        return {}
    month, last = min(counted), max(counted)
    found = {}
    while month <= last:
        found[month] = counted[month]
        month = (month + datetime.timedelta(days=31)).replace(day=1)
    return found


def edits_by_month_svg(edits: pa.Table) -> str:
    """Bars of `edits_by_month`, the last 240 months of them; readable on light and dark pages."""
    months = dict(list(edits_by_month(edits).items())[-_MAX_BARS:])
    high = max(months.values(), default=0) or 1
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(months), 1)
    floor = _HEIGHT - _BOTTOM
    parts = _head(_HEIGHT, f"Edits by month: {sum(months.values())}", _LEFT, "Edits by the month in which they began")
    for value in sorted({0, high // 2, high}):
        y = floor - (floor - _TOP) * value / high
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8884"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value}</text>')
    label_every = -(-len(months) // 10) or 1
    for index, (month, count) in enumerate(months.items()):
        x, height = _LEFT + index * step, (floor - _TOP) * count / high
        parts.append(
            f'<rect x="{x + step * 0.1:.1f}" y="{floor - height:.1f}" width="{step * 0.8:.1f}" '
            f'height="{height:.1f}" fill="#4878a8"><title>{month:%Y-%m}: {count}</title></rect>'
        )
        if index % label_every == 0:
            parts.append(f'<text x="{x + step / 2:.1f}" y="{floor + 16}" text-anchor="middle">{month:%Y-%m}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def edits_by_relation_svg(edits: pa.Table) -> str:
    """A bar per relation, the most edited first; readable on light and dark pages."""
    counted = sorted(Counter(edits["relation"].to_pylist()).items(), key=lambda pair: (-pair[1], pair[0]))
    high = max((count for _, count in counted), default=0) or 1
    height = _TOP + _ROW * len(counted) + 8
    parts = _head(height, f"Edits by relation: {edits.num_rows}", _NAMES, "Edits by relation")
    for index, (relation, count) in enumerate(counted):
        y, width = _TOP + index * _ROW, (_WIDTH - _NAMES - _FIGURES) * count / high
        parts.append(f'<text x="{_NAMES - 6}" y="{y + 13}" text-anchor="end">{html.escape(relation)}</text>')
        parts.append(f'<rect x="{_NAMES}" y="{y + 2}" width="{width:.1f}" height="{_ROW - 5}" fill="#4878a8"/>')
        parts.append(f'<text x="{_NAMES + width + 5:.1f}" y="{y + 13}">{count}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(height: int, title: str, left: int, heading: str) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="12" fill="#777">',
        f"<title>{title}</title>",
        f'<text x="{left}" y="18" font-size="14">{heading}</text>',
    ]
