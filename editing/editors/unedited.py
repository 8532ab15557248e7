"""`none`: the model as it is, the measure of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chronofacts.editing.editors import Material

__all__ = ["Untouched", "UntouchedConfig"]


@dataclass(frozen=True)
class UntouchedConfig:
    """There is nothing to set."""


@dataclass
class _UntouchedModel:
    model: Any
    trained_prompts: frozenset[str] = frozenset()
    report: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """There is no change to write."""

    def undo(self) -> Any:
        return self.model


class Untouched:
    Config = UntouchedConfig

    def edit(self, model: Any, tokenizer: Any, edits: Material, config: UntouchedConfig) -> _UntouchedModel:
        """Returns the model itself, in eval mode."""
        return _UntouchedModel(model.eval())
