"""What decides the question set besides the facts: dates, language, seed and caps."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

__all__ = ["QuestionSettings"]


@dataclass(frozen=True, slots=True)
class QuestionSettings:
    """Caps bound both the size of the set and the cost of its joins."""

    since: datetime.date
    as_of: datetime.date
    language: str = "en"
    seed: int = 0
    hops_per_edit: int = 3
    """Multi-hop questions per edit and number of hops."""
    hops_per_subject: int = 12
    """Multi-hop questions that name one entity."""
    hops_per_path: int = 5_000
    """Multi-hop questions along one path of relations; in a large set more, up to `path_share`."""
    path_share: float = 0.1
    """Multi-hop questions along one path of relations, as a part of the number of edits."""
    locality_per_edit: int = 1
    """Probes per edit of each kind of locality."""
    history_per_edit: int = 3
    """Past dates per edit."""
    aliases_per_edit: int = 2
    train_share: float = 0.2
    """Part of the edited subjects whose questions are for training editors that need training."""
    sentences: int = 9_000
    """Upper bound on the sentences of the small world."""
    edits_per_part: int = 100_000
    """Edits whose questions are put into words at once: bounds memory, never the result."""
    threads: int = 2
    memory_gib: float = 3.0
    spill: Path | None = None
    """Folder for DuckDB to spill joins to; None: no spilling."""
