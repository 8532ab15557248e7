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

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import pyarrow as pa

from chronofacts.editing.scoring.answer_match import plain_words

__all__ = ["STATES", "AnswerState", "base_states", "judge_answer"]

AnswerState = Literal["known", "stale", "other", "silent"]
STATES: tuple[AnswerState, ...] = get_args(AnswerState)


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


def _edit_rows(scores: pa.Table) -> Iterable[dict[str, Any]]:
    columns = ["kind", "fact", "exact_match", "exact_match_before", "generated"]
    return (row for row in scores.select(columns).to_pylist() if row["kind"] == "edit")
