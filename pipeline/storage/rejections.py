"""Rows for `rejections`: everything left out says at which stage, why and which ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from chronofacts.schemas.reasons import REASONS, STAGES
from chronofacts.schemas.tables import REJECTIONS

__all__ = ["collect", "rejection_rows"]


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


def collect(parts: Iterable[pa.Table]) -> pa.Table:
    """All rejections of a run, sorted so that the same run gives the same bytes.

    Raises KeyError for a reason that is not in the closed list.
    """
    table = pa.concat_tables([REJECTIONS.empty_table(), *(part.cast(REJECTIONS) for part in parts)])
    unknown = set(table["reason"].unique().to_pylist()) - set(REASONS)
    if unknown:
        raise KeyError(f"reasons {sorted(unknown)} are not in schemas.reasons")
    order = [(name, "ascending") for name in ("stage", "reason", "relation", "subject", "detail")]
    return table.sort_by(order)
