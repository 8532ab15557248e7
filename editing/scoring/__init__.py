"""Score a model on every probe: what it says freely, and how likely it finds the right answer.

`probes` makes the probes of a snapshot's questions, `probe_scorer` scores them by `generation` and `teacher_forcing`,
`answer_match` and `answer_sets` decide what is right. `score` takes the questions alone; `evaluate` takes any probes,
and from a `ScoreCache` what is already known of this very model. Prompts of a batch stand at the same position,
nothing is padded on the left, and causal attention never sees the padding on the right: a score does not depend on its
batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from chronofacts.editing.scoring.cache import SLICE, ScoreCache, score_with_cache
from chronofacts.editing.scoring.generation import generate
from chronofacts.editing.scoring.probe_scorer import score_probes
from chronofacts.editing.scoring.probes import all_probes, direct_probes
from chronofacts.editing.scoring.same_prompts import score_what_differs
from chronofacts.editing.scoring.score_tables import SCORES, join_scores
from chronofacts.editing.scoring.settings import ScoringSettings
from chronofacts.editing.scoring.teacher_forcing import teacher_force

__all__ = [
    "SCORES",
    "ScoreCache",
    "ScoringSettings",
    "all_probes",
    "evaluate",
    "generate",
    "score",
    "teacher_force",
]


def score(
    model: Any,
    tokenizer: Any,
    questions: pa.Table,
    settings: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen
    progress: Callable[[str], None] = lambda line: None,
) -> pa.Table:
    """One row (`SCORES`) per wording of every question, in the order of the questions.

    questions: `tables.QUESTIONS`. Raises BadInput when there are none, and as `score_probes`.
    """
    return evaluate(model, tokenizer, direct_probes(questions, settings), settings, progress=progress)


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
