"""What an experiment is told, and what its stages hand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from chronofacts.editing.editors import Plan
from chronofacts.editing.models.chat import Chat, ChatTokenizer
from chronofacts.editing.runs.lm_eval_tasks import TaskFigure
from chronofacts.editing.scoring import ScoringSettings
from chronofacts.editing.small_world.pretrain import WorldSettings
from chronofacts.schemas.errors import BadInput

__all__ = ["SMALL_WORLD", "EditorResult", "ExperimentSettings", "Prepared", "RunSettings", "RunSummary"]

SMALL_WORLD = "small-world"
"""Name of the model that is made from the snapshot's own sentences."""


@dataclass(frozen=True)
class RunSettings:
    quick: bool = False
    """Only a part of the edits and sentences, for a result within a minute."""
    quick_edits: int = 60
    quick_sentences: int = 1500
    seed: int = 0
    threads: int | None = None
    """Of torch on a CPU; none: torch's own choice."""
    mode: Literal["all", "one-at-a-time", "chunks"] = "all"
    """`all`: one edit of all facts; `one-at-a-time`: each fact alone on the untouched model, asked only about itself;
    `chunks`: `chunk` facts at a time, each chunk on what the ones before it left."""
    chunk: int | None = None
    """Facts of a chunk; given alone it means `mode=chunks`."""
    alone_edits: int | None = None
    """One at a time: so many of the facts, a seeded choice; none: all."""
    sweep: str | None = None
    """A grid of settings of the first editor that trains, `rank=4,8 layers=all,1`; it then edits with the best."""
    dtype: str = "float32"
    """Of the model's weights: float32, bfloat16, float16, or auto, as they were saved."""
    device: str = "auto"
    """auto: a GPU where there is one, else the CPU."""
    device_map: str | None = None
    """`auto` spreads a model that is too large for one GPU over all of them."""
    revision: str | None = None
    """Of a Hub model: branch, tag or commit."""
    chat: Chat = "auto"
    """Ask and teach through the model's chat template; auto: where it has one."""
    cache: str | None = "auto"
    """Folder that keeps what the untouched model said, for other editors and runs; auto: the user's own; none."""

    def __post_init__(self) -> None:
        """`chunk` alone means chunks; raises BadInput for options that contradict the mode."""
        if self.chunk is not None and self.mode == "all":
            object.__setattr__(self, "mode", "chunks")
        if self.mode == "chunks" and self.chunk is None:
            raise BadInput("mode = chunks needs their size; write --set chunk=10")
        if self.mode == "one-at-a-time" and self.chunk is not None:
            raise BadInput("mode = one-at-a-time has no chunks; leave out chunk, or take mode=chunks")
        if self.alone_edits is not None and self.mode != "one-at-a-time":
            raise BadInput("alone_edits is for --set mode=one-at-a-time; quick_edits takes a part of the facts else")
        for name in ("chunk", "alone_edits"):
            if (given := getattr(self, name)) is not None and given < 1:
                raise BadInput(f"{name} = {given}; it must be at least 1")


@dataclass(frozen=True)
class ExperimentSettings:
    run: RunSettings
    world: WorldSettings
    scoring: ScoringSettings
    plans: tuple[Plan, ...]
    given: Mapping[str, str] = field(default_factory=dict)
    """The `--set` words, as they were given."""
    left_out: Mapping[str, Any] = field(default_factory=dict)
    """What the mode does not ask, and how much of it there was."""


@dataclass(frozen=True)
class Prepared:
    """A model that is ready to be asked and edited."""

    model: Any
    tokenizer: Any
    name: str
    hash: str
    report: Mapping[str, Any]
    """How it was made: pretraining's report for a small world, else empty."""
    seconds: float
    peak_memory_mb: float
    place: str = ""
    """Folder or Hub name from which another process loads the same model."""

    @property
    def chats(self) -> bool:
        """Whether prompts go through a chat template."""
        return isinstance(self.tokenizer, ChatTokenizer)


@dataclass(frozen=True)
class EditorResult:
    """One model state: `none` (before), or after an editor."""

    name: str
    scores: pa.Table
    trained_prompts: frozenset[str]
    config: Mapping[str, Any]
    report: Mapping[str, Any]
    seconds: float
    """Of editing, without scoring."""
    scoring_seconds: float
    peak_memory_mb: float
    curve: pa.Table | None = None
    """Edits in chunks: scores of each chunk's own questions right after it, with `chunk`."""
    tasks: Mapping[str, TaskFigure] = field(default_factory=dict)
    """Figures of lm-evaluation-harness, where it was asked for."""


@dataclass(frozen=True)
class RunSummary:
    out: Path
    metrics: Mapping[str, Mapping[str, float]]
    """editor -> metric -> value"""
    seconds: float
    peak_memory_mb: float
