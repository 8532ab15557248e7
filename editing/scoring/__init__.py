"""Score a model on every probe, all ways side by side: what it says freely, and what it thinks of the right answer.

`score` asks the questions themselves; `evaluate` also what the settings add (hop by hop, thinking aloud, fluency,
perplexity), and takes from a `ScoreStore` what is already known of this very model. Prompts of a batch stand at the
same position, nothing is padded on the left, and causal attention never sees the padding on the right: a score does
not depend on its batch. Leaves out chat templates and judgement by another model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from chronofacts.editing.scoring.cache import SLICE, ScoreStore, stored_results
from chronofacts.editing.scoring.generation import generate
from chronofacts.editing.scoring.probe_scorer import SCORES, as_scores, ask
from chronofacts.editing.scoring.probes import all_probes, direct_probes
from chronofacts.editing.scoring.settings import ScoringSettings
from chronofacts.editing.scoring.teacher_forcing import Forced, teacher_force

__all__ = [
    "SCORES",
    "Forced",
    "ScoreStore",
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

    questions: `tables.QUESTIONS`. The model is put into eval mode: dropout never scores.
    Raises BadInput when there are no questions or one is longer than the context, ChronoFactsError when the model
    answers with something that is no number.
    """
    probes = direct_probes(questions, settings)
    return as_scores(probes, ask(model, tokenizer, probes, settings, progress))


def evaluate(
    model: Any,
    tokenizer: Any,
    probes: pa.Table,
    settings: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen
    store: ScoreStore | None = None,
    progress: Callable[[str], None] = lambda line: None,
    in_shares: Callable[[pa.Table, ScoringSettings], pa.Table] | None = None,
) -> pa.Table:
    """One row (`SCORES`) per probe, in their order; each part is stored as soon as it is scored.

    probes: of `all_probes`, or a part of them. store: what is known of this model; None: nothing, and nothing is
    stored. in_shares: asks in place of `ask`, all at once. Raises as `score` does.
    """

    def answer(part: pa.Table) -> pa.Table:
        return in_shares(part, settings) if in_shares else ask(model, tokenizer, part, settings, progress)

    size = probes.num_rows if in_shares else SLICE
    return as_scores(probes, stored_results(store, probes, settings, answer, size))
