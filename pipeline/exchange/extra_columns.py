"""What a foreign format has no field for, carried under an extra key that other tools do not look at.

So an export that comes back has the same edits, with the same ids, dates and statements, and is a set of the same days
and language.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from chronofacts.pipeline.exchange.collector import Benchmark, Edit, OwnSet
from chronofacts.pipeline.exchange.records import Record
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.names import is_name

__all__ = ["carry_edit", "carry_set", "read_edit", "take_set"]

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
            columns[column] = _read_day(carried, column)
    return Edit(pid=columns.pop("property"), **columns)


def carry_set(manifest: SnapshotManifest) -> dict[str, Any]:
    """What an `OwnSet` is read from."""
    return {"since": manifest.since, "as_of": manifest.as_of, "language": manifest.language}


def take_set(benchmark: Benchmark, own: Record) -> None:
    """Note the snapshot that a record was exported from; nothing where the export is of before it was told.

    Raises BadInput for a record of another set than those before it: its answers are of other days.
    """
    if not own.has("set"):
        return
    told = own.record("set")
    found = OwnSet(_read_day(told, "since"), _read_day(told, "as_of"), told.text("language"))
    if not is_name(found.language):
        raise told.wrong("language", "a language's code", found.language)
    if benchmark.own_set not in (None, found):
        raise BadInput(
            f"{own.file}, record {own.number}: it was exported from another snapshot ({found.since} to {found.as_of}, "
            f"{found.language}) than the records before it; import the exports one by one"
        )
    benchmark.own_set = found


def _read_day(carried: Record, column: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(str(carried.values.get(column)))
    except ValueError:
        raise carried.wrong(column, "a day, YYYY-MM-DD", carried.values.get(column)) from None
