"""Which probes a model that rewrites prompts reads as the model behind it does, so that their scores are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from chronofacts.editing.models.encoding import render
from chronofacts.editing.scoring.score_tables import RESULTS

__all__ = ["score_what_differs"]

UNREWRITTEN = ("read",)
"""Ways of probes that no editor rewrites."""
REWRITTEN = ("ask", "write")
"""Those of which the text alone decides whether it does; others go on with the model's own words."""


def score_what_differs(
    model: Any, probes: pa.Table, before: pa.Table | None, score: Callable[[pa.Table], pa.Table]
) -> pa.Table:
    """The results (`RESULTS`) of the probes in their order: of the unedited model where the prompt is the same.

    before: scores (`SCORES`) of the unedited model; None: nothing is known. score: the results of other probes.
    """
    if before is None or not hasattr(model, "leaves_alone"):
        return score(probes)
    rows = probes.select(["probe_id", "way", "text", "form"]).to_pylist()
    known = {name: index for index, name in enumerate(before["probe_id"].to_pylist())}
    alone = model.leaves_alone([render(row["text"], row["form"]) for row in rows])
    same = [
        row["probe_id"] in known and (row["way"] in UNREWRITTEN or (row["way"] in REWRITTEN and unchanged))
        for row, unchanged in zip(rows, alone, strict=True)
    ]
    taken = [known[row["probe_id"]] for row, one in zip(rows, same, strict=True) if one]
    old = before.select(RESULTS.names).take(pa.array(taken, pa.int64()))
    others = probes.filter(pa.array([not one for one in same], pa.bool_()))
    new = score(others) if others.num_rows else RESULTS.empty_table()
    order, numbers = [], {True: 0, False: old.num_rows}  # rows of `old`, then of `new`
    for one in same:
        order.append(numbers[one])
        numbers[one] += 1
    return pa.concat_tables([old.cast(RESULTS), new.cast(RESULTS)]).take(pa.array(order, pa.int64()))
