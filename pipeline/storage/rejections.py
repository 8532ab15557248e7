"""Rows for `rejections`: everything left out has a stage, a reason and ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from chronofacts.schemas.reasons import REASONS, STAGES
from chronofacts.schemas.tables import REJECTIONS

__all__ = ["rejection_rows"]


def rejection_rows(rows: Iterable[tuple[str, str, str | None, str | None, Sequence[str], str]]) -> pa.Table:
    """A table of `REJECTIONS` from (stage, reason, subject, relation, ids, detail) tuples.

    Raises KeyError for a stage or reason outside the closed list: a slip of ours, not of the data.
    """
    values = []
    for stage, reason, subject, relation, ids, detail in rows:
        if stage not in STAGES or reason not in REASONS:
            raise KeyError(f"{stage}/{reason} is not in schemas.reasons")
        values.append((stage, reason, subject, relation, sorted(ids), detail))
    return pa.Table.from_pylist([dict(zip(REJECTIONS.names, row, strict=True)) for row in values], schema=REJECTIONS)
