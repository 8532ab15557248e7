"""Scores of a model on questions or probes, slice by slice, from what is known already where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from chronofacts.editing.scoring.cache import ScoreCache
from chronofacts.editing.scoring.probe_scorer import score_probes
from chronofacts.editing.scoring.probes import direct_probes
from chronofacts.editing.scoring.same_prompts import score_what_differs
from chronofacts.editing.scoring.score_tables import BEHIND, OF_PROBE, RESULTS, SCORES
from chronofacts.editing.scoring.settings import ScoringSettings

__all__ = ["SLICE", "evaluate", "join_scores", "score", "score_with_cache"]

SLICE = 2048
"""Probes that are scored, and stored, together."""


def score(
    model: Any,
    tokenizer: Any,
    questions: pa.Table,
    settings: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen
    progress: Callable[[str], None] = lambda line: None,
    cache: ScoreCache | None = None,
) -> pa.Table:
    """One row (`SCORES`) per wording of every question, in the order of the questions.

    questions: `tables.QUESTIONS`. cache: as of `evaluate`. Raises BadInput when there are none, and as `score_probes`.
    """
    return evaluate(model, tokenizer, direct_probes(questions, settings), settings, cache, progress)


def evaluate(
    model: Any,
    tokenizer: Any,
    probes: pa.Table,
    settings: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen
    cache: ScoreCache | None = None,
    progress: Callable[[str], None] = lambda line: None,
    in_shards: Callable[[pa.Table, ScoringSettings], pa.Table] | None = None,
    before: pa.Table | None = None,
) -> pa.Table:
    """One row (`SCORES`) per probe, in their order; the cache takes each part as soon as it is scored.

    probes: of `all_probes`, or a part of them. cache: of this model; None: nothing is known, and nothing is stored.
    in_shards: scores all probes at once, in place of `score_probes`. before: scores of the unedited model, which stand
    where the edited one does no more than read the same prompt with it. Raises as `score_probes`.
    """

    def score_part(part: pa.Table) -> pa.Table:
        if in_shards:
            return in_shards(part, settings)
        return score_what_differs(
            model, part, before, lambda some: score_probes(model, tokenizer, some, settings, progress)
        )

    size = probes.num_rows if in_shards else SLICE
    return join_scores(probes, score_with_cache(cache, probes, settings, score_part, size))


def score_with_cache(
    cache: ScoreCache | None,
    probes: pa.Table,
    settings: ScoringSettings,
    score_part: Callable[[pa.Table], pa.Table],
    size: int = SLICE,
) -> pa.Table:
    """The results (`RESULTS`) of the probes, in their order: from the cache, else scored and stored, slice by slice.

    A slice of which anything is missing is scored whole, so that an interrupted run ends with the very same figures.
    """
    known = cache.read(settings) if cache else None
    row_of = {name: row for row, name in enumerate(known["probe_id"].to_pylist())} if known else {}
    parts = []
    for begin in range(0, probes.num_rows, size):
        part = probes.slice(begin, size)
        rows = [row_of.get(name) for name in part["probe_id"].to_pylist()]
        if known is not None and None not in rows:
            parts.append(known.select(RESULTS.names).take(pa.array(rows, pa.int64())))
            continue
        parts.append(score_part(part))
        if cache:
            cache.write(settings, part["probe_id"], parts[-1])
    return pa.concat_tables([part.cast(RESULTS) for part in parts])


def join_scores(probes: pa.Table, results: pa.Table) -> pa.Table:
    """Probes and their results, row by row, as `SCORES`."""
    of_results = [results[name] for name in RESULTS.names]
    columns = [
        *(probes[name] for name in OF_PROBE),
        *of_results,
        probes["probe_id"],
        *(probes[name] for name in BEHIND),
    ]
    return pa.table(columns, schema=SCORES)
