"""Rows for `rejections`: everything left out has a stage, a reason and ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from chronofacts.schemas.reasons import REASONS, STAGES
from chronofacts.schemas.tables import REJECTIONS

__all__ = ["rejection_rows"]

LONGEST = 2000
"""Characters of a detail or an id."""


def rejection_rows(rows: Iterable[tuple[str, str, str | None, str | None, Sequence[str], str]]) -> pa.Table:
    """A table of `REJECTIONS` from (stage, reason, subject, relation, ids, detail) tuples.

    Raises KeyError for a stage or reason outside the closed list: a slip of ours, not of the data.
    """
    values = []
    for stage, reason, subject, relation, ids, detail in rows:
        if stage not in STAGES or reason not in REASONS:
            raise KeyError(f"{stage}/{reason} is not in schemas.reasons")
        values.append((stage, reason, _text(subject), _text(relation), sorted(map(_whole, ids)), _text(detail)))
    return pa.Table.from_pylist([dict(zip(REJECTIONS.names, row, strict=True)) for row in values], schema=REJECTIONS)


def _text(text: str | None) -> str | None:
    return None if text is None else _whole(text)


def _whole(text: str) -> str:
    """What is rejected may be anything: half characters become question marks, and of an endless text the beginning
    tells enough."""
    return text[:LONGEST].encode("utf-8", "replace").decode()
