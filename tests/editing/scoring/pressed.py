"""Scores made by hand, and the figures that come of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from chronofacts.editing.facts import Change
from chronofacts.editing.metrics.summary import as_mapping, summarise
from chronofacts.editing.scoring.score_tables import SCORES


def scored(kind: str, question: str, generated: str, answer: str = "Li", old: str | None = "Wu", **more: Any) -> Any:
    row = dict.fromkeys(SCORES.names) | {
        "question_id": question, "phrasing": 0, "kind": kind, "fact": "e1", "prompt": question, "answer": answer,
        "answer_before": old, "generated": generated, "exact_match": generated == answer,
        "exact_match_before": None if old is None else generated == old, "hops": 2, "edited_hops": 1,
    }  # fmt: skip
    return row | more


def figures(*rows: Any, base: Any = ()) -> dict[str, float]:
    change = Change("modification", "known", None, None, ("Li", "L. Li"), ("Wu",))
    table = pa.Table.from_pylist(list(rows), schema=SCORES)
    before = pa.Table.from_pylist(list(base) or list(rows), schema=SCORES)
    return as_mapping(summarise(table, before, changes={"e1": change}))
