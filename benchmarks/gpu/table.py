"""The figures of all sections as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["render_table"]

COLUMNS = {
    "section": "section", "measure": "what", "facts_per_s": "facts/s", "probes_per_s": "probes/s",
    "tokens_per_s": "tokens/s", "matrix_share": "of matrix rate", "peak_gb": "peak GB", "seconds": "s",
    "ours_over_peer": "ours / peer", "rest": "",
}  # fmt: skip
EXPECTED = {
    ("7b", "LoRA, all layers"): {"matrix_share": 0.40, "facts_per_s": 25.0},
    ("7b", "LoRA, top quarter"): {"facts_per_s": 100.0},
}
"""What the project aims at on an H100 or H200."""


def render_table(whole: Mapping[str, Any]) -> str:
    """Machine, then a row per figure; what was aimed at stands behind it."""
    machine = whole["machine"]
    where = machine["gpu"] or f"{machine['processor']}, NO GPU"
    head = f"{where}; torch {machine['versions']['torch']}, transformers {machine['versions']['transformers']}"
    if whole["tiny"]:
        head += "; tiny shapes, whose figures mean nothing"
    lines = [list(COLUMNS.values()), *(_cells(row) for row in whole["rows"])]
    widths = [max(len(line[index]) for line in lines) for index in range(len(COLUMNS))]
    return "\n".join([head, *(_align(line, widths) for line in lines), f"{whole['seconds']} s in all"])


def _cells(row: Mapping[str, Any]) -> list[str]:
    aims = EXPECTED.get((row["section"], row.get("measure", "")), {})
    cells = []
    for key in COLUMNS:
        value = row.get(key)
        if key == "rest":
            others = {name: kept for name, kept in row.items() if name not in COLUMNS and kept not in ("", None)}
            cells.append(", ".join(f"{name} {kept}" for name, kept in others.items()))
        else:
            text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
            cells.append(f"{text} (aim {aims[key]:g})" if key in aims and value is not None else text)
    return cells


def _align(line: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    first = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(line[2:-1], widths[2:-1], strict=True)]
    return "  ".join([*first, *numbers, line[-1]]).rstrip()
