"""Asking the unedited model: its answers are kept by its weights' hash, for every editor and every later run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.facts import facts_of
from chronofacts.editing.metrics.answer_states import STATES, base_states, judge_answer
from chronofacts.editing.runs.results import PreparedModel
from chronofacts.editing.runs.settings import RunSettings
from chronofacts.editing.scoring import ScoreCache, ScoringSettings, score
from chronofacts.editing.scoring.cache import default_folder, state_key
from chronofacts.editing.snapshot import Snapshot, keep_edits
from chronofacts.schemas.base_answers import BASE_ANSWERS
from chronofacts.schemas.errors import BadInput

__all__ = ["ask_edits", "keep_state", "make_base_answers", "unedited_cache"]


def unedited_cache(prepared: PreparedModel, run: RunSettings, instead: Path | None = None) -> ScoreCache | None:
    """Where the model's answers are kept. instead: where the settings keep none; None: then there is no cache."""
    shared = default_folder() if run.cache == "auto" else Path(run.cache) if run.cache else None
    form = ("chat", *prepared.tokenizer.form) if prepared.chats else ()
    folder = shared or instead
    return None if folder is None else ScoreCache(folder, state_key(prepared.hash, *form))


def ask_edits(
    questions: pa.Table,
    prepared: PreparedModel,
    scoring: ScoringSettings,
    cache: ScoreCache | None,
    progress: Callable[[str], None] = lambda line: None,
) -> pa.Table:
    """The model's scores (`scoring.SCORES`) on the questions of the kind `edit` alone."""
    asked = questions.filter(pc.equal(questions["kind"], "edit"))
    return score(prepared.model, prepared.tokenizer, asked, scoring, progress, cache)


def keep_state(snapshot: Snapshot, wanted: str, scores: pa.Table) -> tuple[Snapshot, dict[str, int]]:
    """The edits that the unedited model answers in one way, their questions, and how many edits are in which state.

    scores: of `ask_edits`. Edits that are one fact are in one state. Raises BadInput where there is none.
    """
    facts, states = facts_of(snapshot.edits), base_states(scores)
    of_fact = {facts.get(one, one): state for one, state in states.items()}
    found = [of_fact.get(facts[one]) for one in snapshot.edits["edit_id"].to_pylist()]
    counts = {state: found.count(state) for state in STATES}
    if not counts[wanted]:  # type: ignore[index]
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        raise BadInput(f"the unedited model answers no edit as {wanted} ({said}); leave out --only, or take another")
    kept = snapshot.edits.filter(pa.array([state == wanted for state in found], pa.bool_()))
    return keep_edits(snapshot, kept), {str(state): count for state, count in counts.items()}


def make_base_answers(scores: pa.Table, model: str, model_hash: str) -> pa.Table:
    """`BASE_ANSWERS` of an unedited model: its answer to the first wording of every question.

    scores: `scoring.SCORES` with the days of the change. What is no question of the snapshot (a hop, a text that is
    read or written) has none.
    """
    kept = scores.filter(pc.and_(pc.equal(scores["phrasing"], 0), pc.is_in(scores["kind"], pa.array(QUESTIONS))))
    count = kept.num_rows
    made = {
        "model": pa.array([model] * count, pa.string()),
        "model_hash": pa.array([model_hash] * count, pa.string()),
        "question": kept["prompt"],
        "state": pa.array([judge_answer(row) for row in kept.to_pylist()], pa.string()),
    }
    columns = [made[one.name] if one.name in made else kept[one.name] for one in BASE_ANSWERS]
    return pa.table(columns, schema=BASE_ANSWERS)


QUESTIONS = (
    "edit", "paraphrase", "cloze", "alias", "reverse", "multi_hop", "locality", "history", "timeline", "preservation",
)  # fmt: skip
"""Kinds of probe that are questions of the snapshot in its own words."""
