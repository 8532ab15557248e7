"""What a report reads of a run folder, checked before anything of it is used: runs come from strangers, too.

`run.json` by the kinds of its values (`SHAPE`), the tables by columns and their types. What runs of older versions lack
is optional.
Leaves out: whether the figures are those of the scores.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.metrics.summary import DIFFERENCES, METRICS
from chronofacts.editing.scoring.score_tables import SCORES

__all__ = ["check_differences", "check_document", "check_metrics", "check_scores"]

OF_SCORES = (
    "question_id", "phrasing", "kind", "relation", "hops", "fact", "text", "prompt", "answer", "exact_match",
    "exact_match_before", "generated", "p_new_over_old",
)  # fmt: skip
"""Columns of `SCORES` that the report cannot do without."""
CHANGED_ON = ("changed_on_earliest", "changed_on_latest")
"""Both, or in runs of older versions neither."""

NUMBER = (int, float)
ANY: dict[str, Any] = {}
FIGURES = {"seconds": NUMBER, "*": NUMBER}
SHAPE: dict[str, Any] = {
    "snapshot": {
        "name": str, "hash": str, "since": str, "as_of": str, "source?": str, "facts?": int, "edits?": int,
    },
    "model": {"name": str, "hash": str},
    "settings": {"given": ANY, "run?": ANY},
    "metrics": {"none": FIGURES, "*": FIGURES},
    "editors?": {"*": {"config?": ANY, "report?": ANY}},
    "machine?": {"versions?": ANY},
    "code?": {"version?": (str, type(None)), "commit?": (str, type(None))},
    "seconds?": NUMBER,
    "warnings?": list,
}  # fmt: skip
"""Keys of `run.json` that a report uses, and the kinds of their values; `?`: may be missing, `*`: every other key."""


def check_document(about: Any) -> None:
    """Raises ValueError that names what is missing in `run.json`, or of another kind."""
    _check_shape(about, SHAPE, "run.json")
    if not {"facts", "edits"} & set(about["snapshot"]):
        raise ValueError("run.json: snapshot counts neither facts nor edits")


def _check_shape(value: Any, shape: Any, place: str) -> None:
    if not isinstance(shape, dict):
        if not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
            raise ValueError(f"{place} is {value!r:.40}")
        return
    if not isinstance(value, dict):
        raise ValueError(f"{place} is {value!r:.40}, and no object")
    named = {key.removesuffix("?"): inner for key, inner in shape.items() if key != "*"}
    if missing := [key for key in shape if key != "*" and not key.endswith("?") and key not in value]:
        raise ValueError(f"{place} has no {missing[0]}")
    for key, inner in value.items():
        if key in named or "*" in shape:
            _check_shape(inner, named.get(key, shape.get("*")), f"{place}: {key}")


def check_metrics(table: pa.Table) -> None:
    """Raises ValueError for a table that is not `metrics.summary.METRICS` by editor."""
    schema = METRICS.insert(0, pa.field("editor", pa.string()))
    _check_columns("metrics", table, schema, schema.names)
    _check_filled("metrics", table, [name for name in schema.names if name != "group"])


def check_differences(table: pa.Table) -> None:
    """Raises ValueError for a table that is not `metrics.summary.DIFFERENCES`."""
    _check_columns("differences", table, DIFFERENCES, DIFFERENCES.names)
    _check_filled("differences", table, DIFFERENCES.names)


def check_scores(table: pa.Table) -> None:
    """Raises ValueError for a table that holds no scores."""
    beside = [("model_hash", pa.string()), *((day, pa.date32()) for day in CHANGED_ON)]
    schema = pa.schema([*SCORES, *(pa.field(*one) for one in beside)])
    days = CHANGED_ON if set(CHANGED_ON) & set(table.column_names) else ()
    _check_columns("scores", table, schema, ("model_hash", *OF_SCORES, *days))
    _check_filled("scores", table.filter(pc.equal(table["kind"], "edit")), ["exact_match"])


def _check_columns(name: str, table: pa.Table, schema: pa.Schema, wanted: Collection[str]) -> None:
    """Every wanted column is there, and those of the schema that are there have its type."""
    for field in schema:
        if field.name not in table.column_names:
            if field.name in wanted:
                raise ValueError(f"{name} has no column {field.name}")
        elif (found := table.schema.field(field.name).type) != field.type:
            raise ValueError(f"{name}.{field.name} is {found}, not {field.type}")


def _check_filled(name: str, table: pa.Table, columns: Sequence[str]) -> None:
    if empty := [column for column in columns if table[column].null_count]:
        raise ValueError(f"{name}.{empty[0]} lacks values")
