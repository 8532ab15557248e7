"""Statements edited so lately that they may yet be reverted."""

from __future__ import annotations

import datetime

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.pipeline.storage.columns import mark_fault

__all__ = ["mark_recent_edits"]


def mark_recent_edits(statements: pa.Table, source_day: datetime.date, days: int) -> pa.Table:
    """`STATEMENTS`, with the fault `young_statement` where the subject was edited less than `days` days before
    source_day; 0 days marks none.

    5 % of the edits of P6 and 13 % of those of P35 were reverted (WiDiff, 2026). `pipeline.timelines.build` takes such
    a statement as possible but never as an answer. Wikidata tells the time of an edit per entity only.
    """
    if days <= 0 or not statements.num_rows:
        return statements
    first = datetime.datetime.combine(source_day, datetime.time(), datetime.UTC) - datetime.timedelta(days=days - 1)
    edited = statements["modified_at"]
    return mark_fault(statements, pc.greater(edited, pa.scalar(first, edited.type)).to_pylist(), "young_statement")
