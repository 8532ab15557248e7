"""One protocol for every way to bring a model up to date, and the editors by name.

An editor takes a model, what changed and its own settings, and returns an `EditedModel`, which can be scored, saved
as just the change, and undone. Adding an editor is adding a module and one line in `EDITORS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from chronofacts.editing.editors.presets import with_preset
from chronofacts.editing.facts import distinct, facts_of
from chronofacts.editing.options import nearest, option_names, parse_options
from chronofacts.schemas.errors import BadInput

if TYPE_CHECKING:
    from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache

__all__ = ["EDITORS", "EditedModel", "Editor", "Material", "Plan", "make_plan"]

EDITORS = {
    "none": "chronofacts.editing.editors.unedited:Untouched",
    "lora": "chronofacts.editing.editors.trained.lora:Lora",
    "p-tuning": "chronofacts.editing.editors.trained.prompt_tuning:PromptTuning",
    "freeze": "chronofacts.editing.editors.trained.freeze:Freeze",
    "finetune": "chronofacts.editing.editors.trained.finetune:Finetune",
    "rome": "chronofacts.editing.editors.located.rome:Rome",
    "memit": "chronofacts.editing.editors.located.memit:Memit",
    "in-context": "chronofacts.editing.editors.prompted.in_context:InContext",
    "memory": "chronofacts.editing.editors.prompted.memory:Memory",
}
"""Name of an editor -> module and class; loaded when it is asked for."""

REPLAY = "+replay"
"""After a trained editor's name: train what must be kept together with what is new."""


@dataclass(frozen=True)
class Material:
    """What an editor may look at."""

    edits: pa.Table
    """`tables.EDITS`; of those that say one and the same, the first by id alone."""
    sentences: pa.Table
    """`tables.SENTENCES`, for replay"""
    probes: frozenset[str] = frozenset()
    """Texts of all questions: what is asked is never replayed."""
    progress: Callable[[str], None] = lambda line: None
    prefix: HiddenStateCache | None = None
    """What frozen layers gave for these edits' wordings, where several trainings of one model share it."""
    known: pa.Table | None = None
    """Edits whose old facts the model should know, where `edits` are a part of them; None: `edits`."""
    traced: dict[str, Any] = field(default_factory=dict)
    """What a causal trace of this model found, once for all parts."""
    counted: dict[str, Any] | None = None
    """Covariances of keys by matrix, where every edit starts from one and the same model; None: counted each time."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Id of every edit that was given -> id of the one among `edits` that says the same."""

    def __post_init__(self) -> None:
        """What several edits say is taught once (`editing.facts`)."""
        if not self.facts:
            object.__setattr__(self, "facts", facts_of(self.edits))
            object.__setattr__(self, "edits", distinct(self.edits))

    def part(self, begin: int, size: int) -> Material:
        """The same about `size` of the edits alone."""
        known = self.edits if self.known is None else self.known
        return replace(self, edits=self.edits.slice(begin, size), known=known)


class EditedModel(Protocol):
    """A model after an edit. `model` is what is scored, and it is in eval mode."""

    model: Any
    trained_prompts: frozenset[str]
    """Wordings that were trained, word for word: no measure of generalization."""
    report: Mapping[str, Any]
    """What the editor says about its work: steps, loss, trained parameters."""

    def save(self, folder: Path) -> None:
        """Write just the change (safetensors)."""

    def undo(self) -> Any:
        """The model as it was, bit for bit. The edited model is then of no more use."""


class Editor(Protocol):
    """A way to edit. `Config` is its frozen settings dataclass, whose fields are the `--set` keys."""

    Config: type[Any]

    def edit(self, model: Any, tokenizer: Any, edits: Material, config: Any) -> EditedModel:
        """Teach the model the edits. The model given may be changed in place until `undo`."""


@dataclass(frozen=True)
class Plan:
    """One editor with its settings, under the name it has in a report."""

    name: str
    editor: Editor
    config: Any


def make_plan(name: str, values: Mapping[str, str], seed: int) -> Plan:
    """The editor called `name` (`lora`, `lora+replay`) with settings from text.

    values: options of this editor. Raises BadInput for an unknown editor, option or value, naming the nearest.
    """
    stem, _, suffix = name.partition("+")
    if stem not in EDITORS or (suffix and f"+{suffix}" != REPLAY):
        known = [*EDITORS, *(f"{known}{REPLAY}" for known in EDITORS if known != "none")]
        raise BadInput(f"there is no editor {name!r}{nearest(name, known)}")
    module, _, kind = EDITORS[stem].partition(":")
    editor: Editor = getattr(importlib.import_module(module), kind)()
    values = with_preset(stem, values)
    config = parse_options(editor.Config, values, f"editor {stem}")
    names = option_names(editor.Config)
    if suffix and "replay" not in names:
        raise BadInput(f"the editor {stem!r} trains nothing, so that {name!r} has no meaning; use {stem!r}")
    if suffix:
        config = replace(config, replay=True)
    if "seed" in names and "seed" not in values:
        config = replace(config, seed=seed)
    return Plan(name, editor, config)
