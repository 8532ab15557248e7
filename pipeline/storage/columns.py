"""Columns of Arrow tables replaced, and faults of `STATEMENTS` marked."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

__all__ = ["mark_fault", "replace_column"]


def replace_column(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The table with other values in one column."""
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)


def mark_fault(statements: pa.Table, where: Iterable[bool | None], fault: str) -> pa.Table:
    """`STATEMENTS` with a fault added in the rows where it holds, and taken away elsewhere."""
    faults = [
        sorted({*row, fault}) if holds else [other for other in row if other != fault]
        for row, holds in zip(statements["faults"].to_pylist(), where, strict=True)
    ]
    return replace_column(statements, "faults", pa.array(faults, pa.list_(pa.string())))
