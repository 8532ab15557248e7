"""What the steps of an experiment share, and what they hand to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pyarrow as pa

from chronofacts.editing.editors import ModelCache
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.runs.lm_eval_tasks import TaskFigure
from chronofacts.editing.runs.parallel_scoring import ShardRunner, run_in_processes
from chronofacts.editing.runs.settings import ExperimentSettings
from chronofacts.editing.snapshot import Snapshot

__all__ = ["EditorResult", "Experiment", "PreparedModel", "RunSummary"]


@dataclass(frozen=True)
class PreparedModel:
    """A model that is ready for questions and edits."""

    model: Any
    tokenizer: Any
    name: str
    hash: str
    report: Mapping[str, Any]
    """How it was made: pretraining's report for a small world, else empty."""
    seconds: float
    peak_memory_mb: float
    location: str = ""
    """Folder or Hub name from which another process loads the same model."""

    @property
    def public_name(self) -> str:
        """Its name for others: of a folder the last two parts, since where it lies is nobody's business."""
        folder = Path(self.name)
        return "/".join(folder.absolute().parts[-2:]) if folder.exists() else self.name

    @property
    def warnings(self) -> list[str]:
        """Why figures of this model say less than they seem to, a sentence each."""
        if self.report.get("target_reached", True):
            return []
        recall, target = self.report["recall"], self.report["target_recall"]
        return [
            f"the small world knows {recall:.2f} of its sentences after {self.report['steps']} steps of pretraining, "
            f"less than its target of {target:.2f}: what it does not know, no edit can change and no figure can show "
            f"as kept; "
            f"give it more steps (--set world.steps={2 * self.report['steps']}) or fewer facts (--limit 60)"
        ]

    @property
    def chats(self) -> bool:
        """Whether prompts go through a chat template."""
        return isinstance(self.tokenizer, ChatTokenizer)


@dataclass(frozen=True)
class Experiment:
    """What every step works on."""

    snapshot: Snapshot
    settings: ExperimentSettings
    prepared: PreparedModel
    folder: Path
    """The unfinished run folder."""
    progress: Callable[[str], None] = lambda line: None
    run_shards: ShardRunner = run_in_processes
    covariances: dict[str, Any] = field(default_factory=dict)
    """Of the base model's keys, shared by all editors that count them."""
    further_probes: pa.Table | None = None
    """`PROBES` about dates and in another language, beside those of the questions."""

    def model_cache(self) -> ModelCache:
        """What an editor may know of the base model before it begins."""
        hashes = WeakKeyDictionary({self.prepared.model: self.prepared.hash})
        return ModelCache(covariances=self.covariances, hashes=hashes)


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
    lifelong: pa.Table | None = None
    """Edits in chunks: scores of a sample of all probes (`runs.lifelong`), with `edits`, the number made before."""
    batch_of: Mapping[str, int] | None = None
    """Edits in batches: question id -> its batch."""
    tasks: Mapping[str, TaskFigure] = field(default_factory=dict)
    """Figures of lm-evaluation-harness, where the settings name tasks."""
    task_curve: Mapping[int, Mapping[str, TaskFigure]] = field(default_factory=dict)
    """Edits in chunks: number of edits made before -> those figures then."""


@dataclass(frozen=True)
class RunSummary:
    out: Path
    metrics: Mapping[str, Mapping[str, float]]
    """editor -> metric -> value"""
    seconds: float
    peak_memory_mb: float
