"""One edit at a time: each fact alone on the unedited model, with the questions about it alone.

The protocol of most papers. LoRA trains many single edits in one pass (`trained.lora_batched`), each with an adapter of
its own; every other editor edits, answers and starts over. Leaves out questions about several edits, which have no
answer after one of them, and texts that no edit touches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from chronofacts.editing.editors import EditBatch, EditorSettings, ModelCache
from chronofacts.editing.editors.sequential import edit_singly
from chronofacts.editing.editors.trained.examples import trained_prompts
from chronofacts.editing.editors.trained.lora import LoraSettings
from chronofacts.editing.editors.trained.lora_batched import LoraBatchSettings, edit_in_parallel
from chronofacts.editing.facts import choose_facts, facts_of
from chronofacts.editing.progress import duration
from chronofacts.editing.scoring import ScoreCache, ScoringSettings, all_probes, evaluate
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.tables import SENTENCES

__all__ = ["SingleEditScores", "batch_settings", "choose_single_edits", "score_single_edits"]

RATE = 5e-3
"""Learning rate of a single LoRA edit at a width of 128; less the wider the model, as its reciprocal (muP)."""
STEPS = 30
LEARNT = 0.1
"""Mean loss below which the fact is learnt. More steps say it no better, and spoil what stands beside it
(benchmarks/editors_small_world.md)."""
PATIENCE = 5.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class SingleEditScores:
    scores: pa.Table
    """`scoring.SCORES`, in the order of the edits"""
    trained_prompts: frozenset[str]
    report: Mapping[str, Any]
    seconds: float
    """Of editing."""
    scoring_seconds: float


def choose_single_edits(snapshot: Snapshot, edits: int | None, seed: int) -> tuple[Snapshot, dict[str, Any]]:
    """The part of a snapshot whose questions need one edit alone, and what is left out of it.

    A seeded choice of `edits` facts (None: all), and the questions that need or guard exactly one of them: edits that
    say one and the same are one fact. Raises BadInput when there is no such question.
    """
    chosen = choose_facts(snapshot.edits, edits, seed)
    ids, facts = set(chosen["edit_id"].to_pylist()), facts_of(snapshot.edits)
    needs = [{facts.get(one, one) for one in several or ()} for several in snapshot.questions["edit_ids"].to_pylist()]
    questions = snapshot.questions.filter(pa.array([len(need) == 1 and need <= ids for need in needs], pa.bool_()))
    if not questions.num_rows:
        raise BadInput("no question is about one edit alone; take mode=all")
    several = sum(len(need) > 1 for need in needs)
    left_out = {
        "edits": snapshot.edits.num_rows - chosen.num_rows,
        "questions about several edits": several,
        "questions about other edits or none": snapshot.questions.num_rows - questions.num_rows - several,
        "after an edit": "perplexity and tasks of lm-evaluation-harness, which no single edit is about",
    }
    return replace(snapshot, edits=chosen, questions=questions), left_out


def batch_settings(config: Any, model: Any) -> LoraBatchSettings | None:
    """LoRA's settings as those of many single edits in one pass; None for DoRA, replay, DPO, uses and other editors."""
    if type(config) is not LoraSettings or config.dora or config.replay or config.dpo or config.uses:
        return None
    if config.rank < 1:
        raise BadInput(f"editor lora: rank = {config.rank}; it must be at least 1")
    width = model.get_input_embeddings().weight.shape[1]
    return LoraBatchSettings(
        rank=config.rank,
        alpha=config.alpha * config.rank**0.5 if config.rslora else config.alpha,  # alpha / √rank (Kalajdzievski 2023)
        targets=config.targets,
        layers=config.layers,
        learning_rate=RATE * 128 / width if config.learning_rate is None else config.learning_rate,
        steps=config.steps or config.epochs or STEPS,  # a step reads every wording of the fact
        stop_loss=LEARNT if config.stop_loss is None else config.stop_loss,
        wordings=config.wordings,
        paraphrases=config.paraphrases,
        seed=config.seed,
    )


def score_single_edits(
    editor: EditorSettings,
    model: Any,
    tokenizer: Any,
    batch: EditBatch,
    questions: pa.Table,
    settings: ScoringSettings = ScoringSettings(),  # noqa: B008 - frozen
    store_of: Callable[[str], ScoreCache | None] = lambda edit_id: None,
    cache: ModelCache | None = None,
) -> SingleEditScores:
    """Every question about exactly one of the edits, answered under that edit alone; restores the model.

    store_of: edit id -> the scores of the model with this edit alone; an edit that has all its scores is not made
    again. cache: what is known of the base model. Raises BadInput when no question is about one edit alone.
    """
    ids, probes = batch.edits["edit_id"].to_pylist(), _split_probes(batch, questions, settings)
    stores = {edit: store_of(ids[edit]) for edit in probes}
    missing = [edit for edit in probes if not _has_scores(stores[edit], probes[edit], settings)]
    options = batch_settings(editor.settings, model)
    watch = _Stopwatch(editor.name, len(missing), options.facts_at_once if options else 1, batch.progress)
    tables = {
        edit: evaluate(model, tokenizer, probes[edit], settings, stores[edit]) for edit in probes.keys() - set(missing)
    }
    taken = list[int]()
    with closing(_edit_each(editor, model, tokenizer, batch, missing, options, cache)) as states:
        for state in watch.measure(states):
            tables[state.edit] = evaluate(state.model, tokenizer, probes[state.edit], settings, stores[state.edit])
            taken.append(state.steps)
    report = {"mode": "one-at-a-time", "edits": len(probes), "in_one_pass": options is not None}
    if options:
        mean = round(sum(taken) / len(taken), 1) if taken else None
        report |= {"most_steps": options.steps, "mean_steps": mean, "learning_rate": options.learning_rate}
    return SingleEditScores(
        pa.concat_tables([tables[edit] for edit in sorted(tables)]),
        trained_prompts(batch.edits.take(pa.array(sorted(tables))), editor.settings),
        report,
        round(watch.edited_s, 3),
        round(watch.scored_s, 3),
    )


def _split_probes(batch: EditBatch, questions: pa.Table, settings: ScoringSettings) -> dict[int, pa.Table]:
    """Number of the edit -> `PROBES` about it alone, for those that have any."""
    needs = [{batch.facts.get(one, one) for one in ids or ()} for ids in questions["edit_ids"].to_pylist()]
    single = questions.filter(pa.array([len(need) == 1 for need in needs], pa.bool_()))
    if not single.num_rows:
        raise BadInput("no question is about one edit alone; take mode=all")
    probes = all_probes(single, SENTENCES.empty_table(), replace(settings, perplexity=0, text=None))
    facts = pa.array([batch.facts.get(one, one) for one in probes["fact"].to_pylist()], pa.string())
    found = {}
    for number, edit_id in enumerate(batch.edits["edit_id"].to_pylist()):
        mine = probes.filter(pc.equal(facts, edit_id))  # of a question about one edit, that edit
        if mine.num_rows:
            found[number] = mine
    return found


def _has_scores(store: ScoreCache | None, probes: pa.Table, settings: ScoringSettings) -> bool:
    wanted = set(probes["probe_id"].to_pylist())
    return store is not None and wanted <= set(store.read(settings)["probe_id"].to_pylist())


class _State(NamedTuple):
    edit: int
    model: Any
    """With this edit alone."""
    steps: int = 0
    """Of those made in one pass: that it took."""


def _edit_each(
    editor: EditorSettings,
    model: Any,
    tokenizer: Any,
    batch: EditBatch,
    edits: Sequence[int],
    options: LoraBatchSettings | None,
    cache: ModelCache | None,
) -> Generator[_State, None, None]:
    """The model with each of the edits alone, one after the other."""
    if options is None:
        quiet, cache = replace(batch, progress=lambda line: None), cache or ModelCache(covariances={})
        for edit in edits:
            with edit_singly(editor, model, tokenizer, quiet, edit, cache) as edited:
                yield _State(edit, edited.model)
        return
    for begin in range(0, len(edits), options.facts_at_once):
        group = edits[begin : begin + options.facts_at_once]
        chosen = batch.edits.take(pa.array(group))
        singles = edit_in_parallel(model, tokenizer, chosen, options, batch.progress)
        for index, (edit, steps) in enumerate(zip(group, singles.steps.tolist(), strict=True)):
            with singles.only(index) as edited_model:
                yield _State(edit, edited_model, steps)


@dataclass
class _Stopwatch:
    """The seconds of editing and of scoring, and how long both will go on."""

    name: str
    count: int
    batch: int
    """Edits that are made in one pass, before the first of them is scored."""
    progress: Callable[[str], None]
    edited_s: float = 0.0
    scored_s: float = 0.0

    def measure(self, states: Iterator[_State]) -> Iterator[_State]:
        """The states as they come; the time until each is that of editing, the rest that of scoring."""
        shown = begun = time.perf_counter()
        for done, state in enumerate(states, 1):
            edited = time.perf_counter()
            self.edited_s += edited - begun
            yield state
            begun = time.perf_counter()
            self.scored_s += begun - edited
            if begun - shown > PATIENCE or done in (1, self.count):
                made = min(self.count, -(-done // self.batch) * self.batch)
                left = self.edited_s / made * (self.count - made) + self.scored_s / done * (self.count - done)
                self.progress(f"{self.name}: {done} of {self.count} single edits asked about, {duration(left)} left")
                shown = begun
        self.edited_s += time.perf_counter() - begun  # restoring the model after the last edit
