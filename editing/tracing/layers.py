"""Which layers a causal trace suggests to edit: its effects averaged over facts, and where they are strongest."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chronofacts.editing.metrics.summary import interval
from chronofacts.editing.tracing.trace import KINDS, ROLES
from chronofacts.schemas.errors import BadInput

__all__ = ["MAP", "MEMIT_LAYERS", "average", "suggest_layers"]

MEMIT_LAYERS = 5
"""Neighbouring layers that MEMIT edits in the paper's models (Meng et al. 2023, section 4.3)."""
MAP = pa.schema(
    [
        pa.field("kind", pa.string()),
        pa.field("role", pa.string()),
        pa.field("layer", pa.int16()),
        pa.field("indirect_effect", pa.float32()),  # mean over facts (of each, over its tokens of this role)
        pa.field("low", pa.float32()),  # 95 % bootstrap interval over facts
        pa.field("high", pa.float32()),
        pa.field("facts", pa.int32()),
    ]
)


def average(effects: pa.Table, seed: int = 0) -> pa.Table:
    """The average indirect effect by kind, role and layer (`MAP`), with intervals over facts. effects: `EFFECTS`."""
    cell = ["kind", "role", "layer"]
    of_fact = effects.group_by([*cell, "edit_id"], use_threads=False).aggregate([("indirect_effect", "mean")])
    cells = (
        of_fact.group_by(cell, use_threads=False)
        .aggregate([("edit_id", "list"), ("indirect_effect_mean", "list")])
        .to_pylist()
    )
    rows = []
    for one in sorted(cells, key=lambda one: (KINDS.index(one["kind"]), ROLES.index(one["role"]), one["layer"])):
        values, name = np.array(one["indirect_effect_mean_list"]), " ".join(str(one[part]) for part in cell)
        low, high = interval(values, np.ones(len(values)), one["edit_id_list"], seed, name)
        rows.append(one | {"indirect_effect": values.mean(), "low": low, "high": high, "facts": len(values)})
    return pa.Table.from_pylist(rows, schema=MAP)


def suggest_layers(averages: pa.Table, role: str = "last subject token", count: int = 1) -> list[int]:
    """The layers to edit, ascending: `count` neighbours that end at the strongest feed-forward effect at this token.

    ROME edits the layer of the peak, MEMIT a range that ends there (Meng et al. 2023, section 4.3). Where the role has
    no tokens, the last token stands in.
    """
    rows = [row for row in averages.to_pylist() if row["kind"] == "mlp"]
    there = [row for row in rows if row["role"] == role] or [row for row in rows if row["role"] == "last token"]
    if not there:
        raise BadInput("the trace has no feed-forward effects to choose a layer by; name one with layer=N")
    peak = max(there, key=lambda row: (row["indirect_effect"], -row["layer"]))["layer"]
    return list(range(max(0, peak - count + 1), peak + 1))
