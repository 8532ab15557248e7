"""Score a model on every probe: what it says freely, and how likely it finds the right answer.

`probes` makes the probes of a snapshot's questions, `probe_scorer` scores them by `generation` and `teacher_forcing`,
`answer_match` and `answer_sets` decide what is right. `score` takes the questions alone; `evaluate` takes any probes,
and from a `ScoreCache` what is already known of this very model. Prompts of a batch stand at the same position,
nothing is padded on the left, and causal attention never sees the padding on the right: a score does not depend on its
batch.

A name is imported when it is used: a report judges answers without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chronofacts.editing.scoring.cache import ScoreCache
    from chronofacts.editing.scoring.generation import generate
    from chronofacts.editing.scoring.probes import all_probes
    from chronofacts.editing.scoring.score_tables import SCORES
    from chronofacts.editing.scoring.scores import SLICE, evaluate, join_scores, score, score_with_cache
    from chronofacts.editing.scoring.settings import ScoringSettings
    from chronofacts.editing.scoring.teacher_forcing import teacher_force

__all__ = [
    "SCORES",
    "SLICE",
    "ScoreCache",
    "ScoringSettings",
    "all_probes",
    "evaluate",
    "generate",
    "join_scores",
    "score",
    "score_with_cache",
    "teacher_force",
]

_HOMES = {
    "SCORES": "score_tables",
    "ScoreCache": "cache",
    "ScoringSettings": "settings",
    "all_probes": "probes",
    "generate": "generation",
    "teacher_force": "teacher_forcing",
    **dict.fromkeys(("SLICE", "evaluate", "join_scores", "score", "score_with_cache"), "scores"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
