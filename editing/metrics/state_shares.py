"""The shares of known, stale, other and silent answers (`answer_states`), over all and by groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from chronofacts.editing.metrics.answer_states import STATES
from chronofacts.editing.metrics.summary import share_interval

__all__ = ["STATE_SHARES", "share_states"]

STATE_SHARES = pa.schema(
    [
        pa.field("by", pa.string()),  # all, month, relation or popularity
        pa.field("group", pa.string()),  # the month, the relation …; null for all
        pa.field("state", pa.string()),
        pa.field("value", pa.float64()),  # share of the answers; those of a group's states add up to 1
        pa.field("n", pa.int32()),  # answers of the group
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)


def share_states(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> pa.Table:
    """The share of each state among answers (`STATE_SHARES`), over all and by groups, each with its 95 % interval.

    rows: answers with `state`, `fact` and a key for each of by; None there: the answer is in no group of it.
    """
    found = []
    for kind in ("all", *by):
        groups = {None} if kind == "all" else {row[kind] for row in rows} - {None}
        for group in sorted(groups, key=str):
            members = [row for row in rows if kind == "all" or row[kind] == group]
            facts = [row["fact"] for row in members]
            for state in STATES if members else ():
                values = np.array([float(row["state"] == state) for row in members])
                low, high = share_interval(values, facts)
                found.append({"by": kind, "group": group, "state": state, "value": float(values.mean())})
                found[-1] |= {"n": len(members), "low": low, "high": high}
    return pa.Table.from_pylist(found, schema=STATE_SHARES)
