"""What an experiment is going to do and about how long that takes, told before anything slow.

The time is counted in tokens: those that each model state reads and writes when it is scored, and those that each
editor trains. One forward pass, measured on this machine, says what a token costs. Leaves out what the cache or an
interrupted run already has, tasks of lm-evaluation-harness, and a causal trace.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from chronofacts.editing.editors import EditBatch, EditorSettings
from chronofacts.editing.editors.located.key_value import LocatedSettings
from chronofacts.editing.editors.trained.examples import make_examples
from chronofacts.editing.editors.trained.gradient import TrainedSettings
from chronofacts.editing.forward.prompt_prefix_cache import SHORTEST
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.encoding import common_length, encode, render
from chronofacts.editing.models.key_value_cache import cache_use
from chronofacts.editing.progress import duration
from chronofacts.editing.runs.settings import ExperimentSettings
from chronofacts.editing.runs.sweep import find_grid
from chronofacts.editing.scoring import ScoringSettings, all_probes
from chronofacts.editing.small_world.pretrain import PASSES, blank_model
from chronofacts.editing.snapshot import Snapshot

__all__ = ["describe_plan", "plan_of_small_world", "seconds_per_token"]

WRITTEN, TRAINED = 5.0, 4.0
"""What a token that is written, or trained, costs in tokens that are read (`benchmarks/experiment_estimate.md`)."""
GENERATED = 0.5
"""Share of the probes whose answer is written: of the others the greedy answer shows while they are read."""
MOST_PASSES, CHAT_PASSES = 40, 6
"""Of an editor's training, before its loss usually ends it; and of a model that chats, which is trained until it says
its facts (lora of 60 facts of SmolLM2: 5.4)."""
LEARNT_AFTER = 0.5
"""Share of its steps after which a small world usually knows its sentences."""
CHARACTERS = 5.0
"""Of a token of the small world, whose names are often one token."""
TOLD_IN_CONTEXT = 2.0
"""How much longer prompts become by facts that are put before them."""
SAMPLE = 200
TRIED_FLOP = 5e10
"""Of the measured pass, at most: half a second of an ordinary processor."""


FOUND_AGAIN = 0.6
"""Share of the vectors that ROME and MEMIT find once more in all their passes after the first."""


@dataclass(frozen=True)
class _Texts:
    """Mean lengths in tokens."""

    prompt: float
    """Without the beginning that all prompts share (a chat template's), which is read once."""
    answer: float
    chats: bool = False

    @property
    def whole(self) -> float:
        return self.prompt + self.answer + 1


def plan_of_small_world(snapshot: Snapshot, settings: ExperimentSettings) -> str:
    """As `describe_plan`, of a small world that is yet to be made."""
    world = settings.world
    model = blank_model(world)
    sentences = snapshot.sentences.num_rows
    contexts = (world.contexts or 0.0) * PASSES * sentences
    steps = world.steps_for(round(PASSES * sentences * (1 + world.names) + contexts)) * LEARNT_AFTER
    copied = world.reading_steps if world.contexts else 0
    texts = _measure_text(snapshot, None)
    tokens = world.batch_size * texts.whole * (steps + copied * TOLD_IN_CONTEXT) * TRAINED
    name = f"small-world, made first by at most {world.steps_for(round(PASSES * sentences)):,} steps of pretraining"
    return _describe(snapshot, settings, name, model, texts, tokens)


def describe_plan(snapshot: Snapshot, settings: ExperimentSettings, name: str, model: Any, tokenizer: Any) -> str:
    """One line: the model with its parameters, facts, editors, probes, and about how long all takes."""
    return _describe(snapshot, settings, name, model, _measure_text(snapshot, tokenizer, model), 0.0)


def _describe(
    snapshot: Snapshot, settings: ExperimentSettings, name: str, model: Any, texts: _Texts, before: float
) -> str:
    probes = all_probes(snapshot.questions, snapshot.sentences, settings.scoring)
    editors = [editor for editor in settings.editors if editor.name != "none"]
    scored = _count_scored_tokens(probes, texts, settings.scoring)
    alone = settings.run.mode == "one-at-a-time"
    tokens = before + scored
    for editor in editors:
        of_editor = _count_edited_tokens(editor, snapshot, settings, texts)
        of_editor += scored * (1.0 if _changes_weights(editor) else TOLD_IN_CONTEXT)
        tokens += of_editor * max(1, len(settings.run.batches))
    seconds = tokens * seconds_per_token(model, round(texts.whole))
    states = "the untouched model" + ("".join(f", {editor.name}" for editor in editors))
    return (
        f"the plan: {name}, {_count(model.num_parameters())} parameters; {snapshot.edits.num_rows:,} facts"
        f"{', each alone' if alone else ''}; {probes.num_rows:,} probes of {states}; about {duration(seconds)} in all"
    )


def seconds_per_token(model: Any, length: int) -> float:
    """What a token costs that is read, by one pass through the layers after another to warm up."""
    rows = int(TRIED_FLOP / (2 * model.num_parameters() * length))
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(max(1, min(64, rows)) * length, device=model.device).reshape(-1, length) % vocabulary
    with torch.inference_mode():
        model.base_model(ids[:1], use_cache=False)
        begun = time.perf_counter()
        model.base_model(ids, use_cache=False)[0].sum().item()  # waits for a GPU
        return float((time.perf_counter() - begun) / ids.numel())


def _measure_text(snapshot: Snapshot, tokenizer: Any, model: Any = None) -> _Texts:
    """model: None where no prompts share a beginning."""
    rows = snapshot.questions.select(["question", "answer"]).to_pylist()
    rows = rows[:: max(1, len(rows) // SAMPLE)]
    if tokenizer is None:
        return _Texts(
            _mean([len(row["question"]) / CHARACTERS for row in rows]),
            _mean([len(row["answer"]) / CHARACTERS for row in rows]),
        )
    prompts = [render(row["question"], "question") for row in rows]
    encoded = encode(tokenizer, prompts, [row["answer"] or "?" for row in rows])
    shared = common_length([one.ids[: one.start] for one in encoded])
    read_once = shared if model is not None and shared >= SHORTEST and cache_use(model).texts else 0
    return _Texts(
        _mean([one.start - read_once for one in encoded]),
        _mean([one.end - one.start for one in encoded]),
        isinstance(tokenizer, ChatTokenizer),
    )


def _count_scored_tokens(probes: pa.Table, texts: _Texts, scoring: ScoringSettings) -> float:
    """Of one model state: what it reads, and what it writes in tokens read."""
    rows = probes.select(["way", "answer_before", "steps"]).to_pylist()
    ways = [row["way"] for row in rows]
    asked = ways.count("ask")
    before = sum(row["answer_before"] is not None for row in rows if row["way"] == "ask")
    hops = sum(len(row["steps"] or ()) for row in rows if row["way"] == "walk")
    limit = texts.answer + scoring.margin
    read = asked * texts.whole + before * texts.answer + (hops + ways.count("read")) * texts.whole
    written = (
        asked * GENERATED * limit
        + hops * limit
        + ways.count("write") * scoring.fluency_tokens
        + ways.count("think") * scoring.thought
    )
    return read + written * WRITTEN


def _count_edited_tokens(
    editor: EditorSettings, snapshot: Snapshot, settings: ExperimentSettings, texts: _Texts
) -> float:
    """What an editor trains, in tokens read; 0 of an editor that trains nothing."""
    batch, given, mode = EditBatch(snapshot.edits, snapshot.sentences), editor.settings, settings.run.mode
    wordings = len(make_examples(batch.edits, given.wordings, given.paraphrases)) if hasattr(given, "wordings") else 0
    facts, parts = batch.edits.num_rows, 1.0
    if mode == "one-at-a-time":
        parts = float(facts)
    elif mode == "chunks":
        parts = max(1.0, facts / (settings.run.chunk or facts))
    if isinstance(given, TrainedSettings):
        examples = max(1, round((wordings + sum(given.count_replayed(wordings, texts.chats))) / parts))
        steps = given.steps if given.steps is not None else given.steps_for(examples)
        passes = CHAT_PASSES if texts.chats and given.stop_loss is None else MOST_PASSES
        read = min(steps * min(examples, given.batch_for(examples)), passes * examples)
        return parts * read * texts.whole * TRAINED * _members(editor, settings)
    if isinstance(given, LocatedSettings):
        values = wordings * given.value_steps * texts.whole * TRAINED
        again = FOUND_AGAIN if getattr(given, "passes", 1) > 1 else 0.0
        return values * (1 + again) + parts * given.statistics_texts * texts.whole
    return 0.0


def _members(editor: EditorSettings, settings: ExperimentSettings) -> int:
    """How often the first editor that trains is trained: a sweep tries every combination, then takes the best."""
    if settings.run.sweep is None:
        return 1
    grid = find_grid(settings.editors, settings.run.sweep)
    return len(grid) + 1 if grid[0].editor.name == editor.name else 1


def _changes_weights(editor: EditorSettings) -> bool:
    return isinstance(editor.settings, TrainedSettings | LocatedSettings)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def _count(parameters: int) -> str:
    """`135 million`, as a person would say it."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if parameters >= size:
            return f"{parameters / size:.3g} {word}"
    return f"{parameters:,}"
