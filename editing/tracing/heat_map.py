"""The heat map of a causal trace: token roles down, layers across, one panel per kind of state, as in ROME's paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from chronofacts.editing.tracing.trace import KINDS, ROLES

__all__ = ["draw_heat_map"]

PANELS = {
    "state": ("one block's output restored", "Purples"),
    "mlp": ("feed-forward outputs restored", "Greens"),
    "attention": ("attention outputs restored", "Reds"),
}


def draw_heat_map(averages: pa.Table, folder: Path, title: str) -> list[Path]:
    """Write `heat_map.svg` and `heat_map.png` into the folder, and return their paths.

    averages: `layers.MAP`. The panels share one scale, from zero to the strongest effect; what is below zero is white.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {"svg.hashsalt": "trace", "svg.fonttype": "path", "text.parse_math": False}
    rows = averages.to_pylist()
    roles = [role for role in ROLES if any(row["role"] == role for row in rows)]
    layers = sorted({row["layer"] for row in rows})
    most = max([row["indirect_effect"] for row in rows] + [1e-6])
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(4.0 + 3 * max(2.0, 0.16 * len(layers)), 3.0), layout="constrained")
        panels = figure.subplots(1, len(KINDS), sharey=True)
        for axes, kind in zip(panels, KINDS, strict=True):
            _paint(axes, [row for row in rows if row["kind"] == kind], kind, roles, layers, most)
        panels[0].set_yticks(range(len(roles)), [_mark_subject(role) for role in roles], fontsize=9)
        figure.suptitle(title, fontsize=10)
        paths = [folder / "heat_map.svg", folder / "heat_map.png"]
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=150)
    return paths


def _paint(axes: Any, rows: list[dict[str, Any]], kind: str, roles: list[str], layers: list[int], most: float) -> None:
    grid = np.full((len(roles), len(layers)), np.nan)
    for row in rows:
        grid[roles.index(row["role"]), layers.index(row["layer"])] = row["indirect_effect"]
    title, colours = PANELS[kind]
    image = axes.imshow(grid, cmap=colours, vmin=0.0, vmax=most, aspect="auto", interpolation="nearest")
    step = max(1, len(layers) // 8)
    axes.set_xticks(range(0, len(layers), step), layers[::step], fontsize=8)
    axes.set_xlabel("layer", fontsize=9)
    axes.set_title(title, fontsize=9)
    bar = axes.figure.colorbar(image, ax=axes, location="bottom", shrink=0.8, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("indirect effect on P(answer)", fontsize=8)


def _mark_subject(role: str) -> str:
    """Subject tokens carry the paper's asterisk: they are the ones with noise."""
    return f"{role}*" if "subject token" in role else role
