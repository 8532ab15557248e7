"""What an experiment is going to do and about how long that takes, told before anything slow.

The time is counted in tokens: those that each model state reads and writes when it is scored, and those that each
editor trains. What a token of each kind costs is tried with this model on this machine: a small model waits for its
kernels, a large one for its products. Leaves out what the cache or an interrupted run already has, tasks of
lm-evaluation-harness, and a causal trace.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
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
from chronofacts.editing.models.key_value_cache import cache_of, cache_use, reading
from chronofacts.editing.models.library_errors import first_line
from chronofacts.editing.models.load import context_length, keeps_some_logits
from chronofacts.editing.progress import duration
from chronofacts.editing.runs.settings import ExperimentSettings
from chronofacts.editing.runs.sweep import find_grid
from chronofacts.editing.scoring import ScoringSettings, all_probes
from chronofacts.editing.small_world.pretrain import PASSES, blank_model
from chronofacts.editing.snapshot import Snapshot

__all__ = ["Costs", "describe_plan", "measure_costs", "plan_of_small_world"]

log = logging.getLogger("chronofacts.runs")

TRAINED = 3.0
"""What a token that is trained costs in tokens that are read, of a model with which it cannot be tried: a pass back
through the layers has twice the products of one forward."""
ALL_WEIGHTS = 1.5
"""What training every weight costs in training some: a pass back that finds each one's gradient, too, has three
products for two."""
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
TRIED_FLOP, TRIED_FLOP_GPU = 5e10, 5e12
"""Of a measured pass forward, at most: half a second of an ordinary processor; of a GPU, what fills it."""
FOUND_AGAIN = 0.6
"""Share of the vectors that ROME and MEMIT find once more in all their passes after the first."""
READ_FOR_VALUES = 0.5
"""Share of the texts' tokens that a step of ROME's and MEMIT's vectors reads: what stands before the subject's end was
read once, and a vector that is found takes no part (`benchmarks/experiment_estimate.md`)."""


@dataclass(frozen=True)
class Costs:
    """Seconds of a token, each kind in a batch as large as is usual."""

    read: float
    written: float
    trained: float


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
    trained = world.batch_size * texts.whole * (steps + copied * TOLD_IN_CONTEXT)
    name = f"small-world, made first by at most {world.steps_for(round(PASSES * sentences)):,} steps of pretraining"
    return _describe(snapshot, settings, name, model, texts, trained)


def describe_plan(snapshot: Snapshot, settings: ExperimentSettings, name: str, model: Any, tokenizer: Any) -> str:
    """One line: the model with its parameters, facts, editors, probes, and about how long all takes."""
    return _describe(snapshot, settings, name, model, _measure_text(snapshot, tokenizer, model), 0.0)


def _describe(
    snapshot: Snapshot, settings: ExperimentSettings, name: str, model: Any, texts: _Texts, before: float
) -> str:
    """before: tokens with which a model is made."""
    probes = all_probes(snapshot.questions, snapshot.sentences, settings.scoring)
    editors = [editor for editor in settings.editors if editor.name != "none"]
    costs = measure_costs(model, round(texts.whole), settings.scoring.batch_size)
    read, written = _count_scored_tokens(probes, texts, settings.scoring)
    scored = read * costs.read + written * costs.written
    alone = settings.run.mode == "one-at-a-time"
    seconds = before * costs.trained * ALL_WEIGHTS + scored
    for editor in editors:
        trained, read = _count_edited_tokens(editor, snapshot, settings, texts)
        of_editor = trained * costs.trained + read * costs.read
        of_editor += scored * (1.0 if _changes_weights(editor) else TOLD_IN_CONTEXT)
        seconds += of_editor * max(1, len(settings.run.batches))
    states = "the untouched model" + ("".join(f", {editor.name}" for editor in editors))
    return (
        f"the plan: {name}, {_count(model.num_parameters())} parameters; {snapshot.edits.num_rows:,} facts"
        f"{', each alone' if alone else ''}; {probes.num_rows:,} probes of {states}; about {duration(seconds)} in all"
    )


def measure_costs(model: Any, length: int, batch: int) -> Costs:
    """What a token costs with this model here: of each kind one pass is tried.

    length: tokens of a text. batch: texts that are written at once.
    """
    flop = TRIED_FLOP_GPU if model.device.type == "cuda" else TRIED_FLOP
    length = min(length, context_length(model) or length)
    vocabulary = model.get_input_embeddings().weight.shape[0]

    def texts(most: int, of: int) -> torch.Tensor:
        rows = max(1, min(most, int(flop / (2 * model.num_parameters() * of))))
        ids: torch.Tensor = torch.arange(rows * of, device=model.device).reshape(rows, of) % vocabulary
        return ids

    ids = texts(64, length)
    with torch.inference_mode():
        _seconds(lambda: model.base_model(ids[:1], use_cache=False)[0])  # to warm up
        read = _seconds(lambda: model.base_model(ids, use_cache=False)[0]) / ids.numel()
    written = _cost_of_writing(model, texts(batch, 1), read * length)
    return Costs(read, written, _cost_of_training(model, ids, read))


@torch.inference_mode()
def _cost_of_writing(model: Any, ids: torch.Tensor, whole: float) -> float:
    """Seconds of a token. ids: (rows, 1). whole: of a text, which a model without a cache reads for every token."""
    if not cache_use(model).steps:
        return whole
    only_last = {"logits_to_keep": 1} if keeps_some_logits(model) else {}
    cache = cache_of(model(input_ids=ids, use_cache=True, **only_last))
    return _seconds(lambda: model(input_ids=ids, **reading(model, cache), **only_last).logits) / len(ids)


def _cost_of_training(model: Any, ids: torch.Tensor, read: float) -> float:
    """Seconds of a token. ids: (rows, length). read: seconds of a token that is read."""
    with torch.no_grad():
        embedded = model.get_input_embeddings()(ids)
    embedded.requires_grad_()

    def step(rows: int) -> torch.Tensor:
        hidden: torch.Tensor = model.base_model(inputs_embeds=embedded[:rows], use_cache=False)[0]
        (gradient,) = torch.autograd.grad(hidden.float().sum(), embedded)
        return gradient  # type: ignore[no-any-return]

    try:
        _seconds(lambda: step(1))
        return _seconds(lambda: step(len(ids))) / ids.numel()
    except Exception as error:  # each family fails in its own way, and memory may be too small for it
        log.info("a token that is trained is taken to cost %s that are read (%s)", TRAINED, first_line(error))
        return TRAINED * read


def _seconds(run: Callable[[], torch.Tensor]) -> float:
    begun = time.perf_counter()
    run().sum().item()  # waits for a GPU
    return time.perf_counter() - begun


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


def _count_scored_tokens(probes: pa.Table, texts: _Texts, scoring: ScoringSettings) -> tuple[float, float]:
    """Of one model state: what it reads, prompts of answers that are written once more, and what it writes."""
    rows = probes.select(["way", "answer_before", "steps"]).to_pylist()
    ways = [row["way"] for row in rows]
    asked = ways.count("ask")
    before = sum(row["answer_before"] is not None for row in rows if row["way"] == "ask")
    hops = sum(len(row["steps"] or ()) for row in rows if row["way"] == "walk")
    limit = texts.answer + scoring.margin
    read = asked * (texts.whole + GENERATED * texts.prompt) + before * texts.answer
    read += (hops + ways.count("read")) * texts.whole
    written = (
        asked * GENERATED * limit
        + hops * limit
        + ways.count("write") * scoring.fluency_tokens
        + ways.count("think") * scoring.thought
    )
    return read, written


def _count_edited_tokens(
    editor: EditorSettings, snapshot: Snapshot, settings: ExperimentSettings, texts: _Texts
) -> tuple[float, float]:
    """What an editor trains and what it reads besides; 0 of an editor that trains nothing."""
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
        return parts * read * texts.whole * _members(editor, settings), 0.0
    if isinstance(given, LocatedSettings):
        values = wordings * given.value_steps * texts.whole * READ_FOR_VALUES
        again = FOUND_AGAIN if getattr(given, "passes", 1) > 1 else 0.0
        return values * (1 + again), parts * given.statistics_texts * texts.whole
    return 0.0, 0.0


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
