"""What a model answers to a question whose right answer changed: the new, the old, another one, or nothing.

Judged by the free greedy answer alone, by exact match under any name (`scoring.answer_match`, of sets `answer_sets`):

known    the new answer
stale    the old answer, where one is known
other    neither: any other text
silent   nothing but spaces and punctuation

An answer that is both (a name that the two share) counts as known. Where no old answer is known (injections, updates),
none can be stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from chronofacts.editing.metrics.summary import share_interval
from chronofacts.editing.scoring.answer_match import plain_words

__all__ = ["STATES", "STATE_SHARES", "AnswerState", "base_states", "judge_answer", "share_states"]

AnswerState = Literal["known", "stale", "other", "silent"]
STATES: tuple[AnswerState, ...] = get_args(AnswerState)
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


def judge_answer(row: Mapping[str, Any]) -> AnswerState:
    """The state of one answer. row: of `scoring.SCORES`."""
    if row["exact_match"]:
        return "known"
    if row["exact_match_before"]:
        return "stale"
    return "other" if plain_words(row["generated"] or "") else "silent"


def base_states(scores: pa.Table) -> dict[str, AnswerState]:
    """Fact -> what the unedited model answers to its `edit` question; of several, to the first.

    scores: `scoring.SCORES` of the unedited model. A fact without such a question has no state.
    """
    found: dict[str, AnswerState] = {}
    for row in _edit_rows(scores):
        found.setdefault(row["fact"], judge_answer(row))
    return found


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


def _edit_rows(scores: pa.Table) -> Iterable[dict[str, Any]]:
    columns = ["kind", "fact", "exact_match", "exact_match_before", "generated"]
    return (row for row in scores.select(columns).to_pylist() if row["kind"] == "edit")
