"""What a foreign format has no field for, carried under an extra key that other tools do not look at.

So an export that comes back has the same edits, with the same ids, dates and statements.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from chronofacts.pipeline.exchange.collector import Edit
from chronofacts.pipeline.exchange.records import Record

__all__ = ["carry_edit", "read_edit"]

EDIT_COLUMNS = tuple("property" if field.name == "pid" else field.name for field in fields(Edit))
_DATES = ("changed_on_earliest", "changed_on_latest")


def carry_edit(row: Mapping[str, Any], own_fields: Collection[str]) -> dict[str, Any]:
    """The columns of a row of `tables.EDITS` that have no field in the format itself."""
    return {column: row[column] for column in EDIT_COLUMNS if column not in own_fields}


def read_edit(carried: Record, own_fields: Mapping[str, Any]) -> Edit:
    """The edit that `carry_edit` and the format's own fields make together.

    Raises BadInput when a column is missing or no edit can be made of what is there.
    """
    columns = dict(own_fields)
    for column in EDIT_COLUMNS:
        if column in columns:
            continue
        if column == "kind" and column not in carried.values:
            continue  # exports of before there were kinds
        if column not in carried.values:
            raise carried.wrong(column, "carried along, as our own exports do", None)
        columns[column] = carried.values[column]
    for column in _DATES:
        if columns[column] is not None:
            try:
                columns[column] = datetime.date.fromisoformat(str(columns[column]))
            except ValueError:
                raise carried.wrong(column, "a day, YYYY-MM-DD", columns[column]) from None
    return Edit(pid=columns.pop("property"), **columns)
