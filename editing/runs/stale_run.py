"""How stale is a model, as no editor has touched it: its answers to what changed, and the oldest and best-known of its
stale ones.

The edit questions alone are asked. A model in conversation likes to answer in sentences, which exact match cannot
count: it is shown other questions with bare answers first, unless the settings say what stands before a question.
Answers that name somebody within a sentence all the same are counted beside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from chronofacts.editing.facts import changes_of, drop_duplicates, facts_of
from chronofacts.editing.metrics.answer_states import judge_answer
from chronofacts.editing.metrics.staleness import Cutoff, Month, estimate_cutoff, months
from chronofacts.editing.metrics.state_shares import share_states
from chronofacts.editing.models.load import load_model, model_hash
from chronofacts.editing.progress import steady
from chronofacts.editing.runs.results import PreparedModel
from chronofacts.editing.runs.settings import ExperimentSettings
from chronofacts.editing.runs.unedited import ask_edits, make_base_answers, unedited_cache
from chronofacts.editing.scoring.answer_sets import named
from chronofacts.editing.snapshot import Snapshot, load_snapshot
from chronofacts.editing.threads import fit_threads, threads_restored
from chronofacts.schemas.dates import spell_days
from chronofacts.schemas.manifest import SnapshotManifest

__all__ = ["StaleAnswer", "Staleness", "run_stale"]

SHOWN = 10
POPULAR = (0, 10, 30, 100)
"""Pages of Wikipedia and its sisters about the subject from which a group of popularity begins."""
VAGUE_DAYS = 31
"""A day of change that is known less exactly than to a month is in no month."""


@dataclass(frozen=True)
class StaleAnswer:
    """An outdated answer, and why it is an embarrassing one."""

    question: str
    generated: str
    answer: str
    """The right one."""
    relation: str
    changed_on: str
    """As exactly as it is known: `2024-09-03`, `2024-09`, `2024`."""
    years: float
    """From the last day on which it may have happened to that of the snapshot."""
    sitelinks: int | None
    """Popularity of the subject; None: the snapshot does not say."""
    questions: int
    """Of the snapshot that rest on the fact."""


@dataclass(frozen=True)
class Staleness:
    """What one unedited model answers to a snapshot's changes."""

    model: str
    model_hash: str
    manifest: SnapshotManifest
    facts: int
    with_old_answer: int
    """Facts of which an old answer is known; no other can be answered with it."""
    scores: pa.Table
    """`scoring.SCORES` with the days of the change."""
    shares: pa.Table
    """`metrics.state_shares.STATE_SHARES`: over all, by month, relation and popularity."""
    months: Sequence[Month]
    cutoff: Cutoff | None
    embarrassing: Sequence[StaleAnswer]
    in_sentences: Mapping[str, int]
    """Answers of the state `other` that name the `new` answer, and those that name the `old` one instead."""
    base_answers: pa.Table
    """`schemas.base_answers.BASE_ANSWERS` of the edit questions."""


def run_stale(
    snapshot_dir: Path,
    model: str,
    settings: ExperimentSettings,
    progress: Callable[[str], None] = lambda line: None,
) -> Staleness:
    """Ask a model what changed. settings: the run's (limit, dtype, device, chat, cache, seed) and scoring's.

    Raises BadInput as `load_snapshot` and `load_model`.
    """
    run = settings.run
    with steady(progress) as steadied, threads_restored():
        steadied(f"reading {snapshot_dir}")
        snapshot = run.cut(load_snapshot(snapshot_dir))
        steadied(f"loading {model}")
        loaded, tokenizer = load_model(model, run.dtype, run.device, run.revision, run.device_map, run.chat)
        fit_threads(loaded.num_parameters(), run.threads)
        prepared = PreparedModel(loaded, tokenizer, model, model_hash(loaded), {}, 0.0, 0.0)
        scoring = settings.scoring
        if prepared.chats and not {"prefix", "scoring.prefix"} & set(settings.given):
            steadied("its chat template makes sentences of answers: other questions with bare answers come first "
                     "(--set scoring.prefix=none leaves them out)")  # fmt: skip
            scoring = replace(scoring, prefix="few-shot")
        cache = unedited_cache(prepared, run)
        scores = ask_edits(snapshot.questions, prepared, scoring, cache, steadied)
    return summarise_staleness(snapshot, scores, prepared.public_name, prepared.hash, run.seed)


def summarise_staleness(snapshot: Snapshot, scores: pa.Table, model: str, hash_: str, seed: int) -> Staleness:
    """The figures of an unedited model. scores: `scoring.SCORES` of the snapshot's edit questions."""
    changes, edits = changes_of(snapshot.edits), {row["edit_id"]: row for row in snapshot.edits.to_pylist()}
    of = [changes.get(fact) for fact in scores["fact"].to_pylist()]
    scores = scores.append_column("changed_on_earliest", pa.array([one and one.first for one in of], pa.date32()))
    scores = scores.append_column("changed_on_latest", pa.array([one and one.last for one in of], pa.date32()))
    rows = [row | {"state": judge_answer(row)} | _groups(row, edits.get(row["fact"], {})) for row in scores.to_pylist()]
    return Staleness(
        model,
        hash_,
        snapshot.manifest,
        drop_duplicates(snapshot.edits).num_rows,
        sum(row["exact_match_before"] is not None for row in rows),
        scores,
        share_states(rows, ("month", "relation", "popularity")),
        months(scores),
        estimate_cutoff(scores, seed),
        _most_embarrassing(rows, snapshot),
        _count_in_sentences(rows, edits),
        make_base_answers(scores, model, hash_),
    )


def _groups(row: Mapping[str, Any], edit: Mapping[str, Any]) -> dict[str, Any]:
    """The month of the change, where it is known, and the popularity of the subject."""
    first, last, sitelinks = row["changed_on_earliest"], row["changed_on_latest"], edit.get("sitelinks")
    dated = first is not None and last is not None and (last - first).days <= VAGUE_DAYS
    return {
        "month": f"{last:%Y-%m}" if dated else None,
        "popularity": None if sitelinks is None else _popularity(sitelinks),
        "sitelinks": sitelinks,
    }


def _popularity(sitelinks: int) -> str:
    at = max(number for number, begin in enumerate(POPULAR) if sitelinks >= begin or not number)
    return f"{POPULAR[at]}–{POPULAR[at + 1] - 1} pages" if at + 1 < len(POPULAR) else f"{POPULAR[at]} or more pages"


def _count_in_sentences(rows: Sequence[Mapping[str, Any]], edits: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    counts = {"new": 0, "old": 0}
    for row in rows:
        edit = edits.get(row["fact"], {})
        new, old = ([edit.get(f"{side}_label"), *(edit.get(f"{side}_aliases") or ())] for side in ("new", "old"))
        if row["state"] == "other":
            says_new, says_old = named(row["generated"] or "", [new, old])
            counts["new"] += says_new
            counts["old"] += says_old and not says_new
    return counts


def _most_embarrassing(rows: Sequence[Mapping[str, Any]], snapshot: Snapshot) -> list[StaleAnswer]:
    """The stale answers with the greatest product of the days since the change, the logarithm of the questions that
    rest on the fact, and that of its subject's popularity, where it is known. One event that is asked about as two
    facts (who governs Oregon, and who is its governor) is told once."""
    facts, day = facts_of(snapshot.edits), snapshot.manifest.as_of
    asked = Counter(facts.get(one, one) for ids in snapshot.questions["edit_ids"].to_pylist() for one in set(ids or ()))
    found = []
    for row in rows:
        first, last = row["changed_on_earliest"], row["changed_on_latest"]
        if row["state"] != "stale" or last is None:
            continue
        days, count = max(0, (day - last).days), asked[facts.get(row["fact"], row["fact"])]
        weight = days * math.log(1 + count) * math.log(2 + (row["sitelinks"] or 0))
        answer = StaleAnswer(
            row["prompt"], row["generated"], row["answer"], row["relation"] or "", spell_days(first, last),
            round(days / 365.25, 1), row["sitelinks"], count,
        )  # fmt: skip
        found.append((-weight, row["fact"], answer))
    events: dict[tuple[str, ...], StaleAnswer] = {}
    for _, _, answer in sorted(found, key=lambda one: one[:2]):
        events.setdefault((answer.generated, answer.answer, answer.changed_on), answer)
    return list(events.values())[:SHOWN]
