"""What an experiment is told, and what its stages hand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from editing.editors import Plan
from editing.general_ability import TaskFigure
from editing.scoring import ScoringSettings
from editing.world import WorldSettings

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
    chunk: int | None = None
    """Edit so many facts at a time, each chunk on what the ones before it left; none: all at once."""
    sweep: str | None = None
    """A grid of settings of the first editor that trains, `rank=4,8 layers=all,1`; it then edits with the best."""
    dtype: str = "float32"
    device: str = "auto"
    revision: str | None = None
    """Of a Hub model: branch, tag or commit."""
    cache: str | None = "auto"
    """Folder that keeps what the untouched model said, for other editors and runs; auto: the user's own; none."""


@dataclass(frozen=True)
class ExperimentSettings:
    run: RunSettings
    world: WorldSettings
    scoring: ScoringSettings
    plans: tuple[Plan, ...]
    given: Mapping[str, str] = field(default_factory=dict)
    """The `--set` words, as they were given."""


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
