"""One protocol for every way to bring a model up to date, and the editors by name.

An editor takes a model, a batch of edits and its own settings, and returns an `EditedModel`, which can be scored, saved
as just the change, and undone. Adding an editor is adding a module and one record in `editing.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

import pyarrow as pa

from chronofacts.editing.editors.presets import with_preset
from chronofacts.editing.facts import drop_duplicates, facts_of
from chronofacts.editing.options import nearest, option_names, parse_options
from chronofacts.editing.registry import EDITORS, all_editors, load_editor, refused_editors
from chronofacts.schemas.errors import BadInput

if TYPE_CHECKING:
    from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache

__all__ = [
    "EDITORS",
    "EditBatch",
    "EditedModel",
    "Editor",
    "EditorSettings",
    "ModelCache",
    "read_editor_settings",
    "undo_on_error",
]

REPLAY = "+replay"
"""After a trained editor's name: train facts that must stay together with the new ones."""


@dataclass(frozen=True)
class EditBatch:
    """What an editor may read."""

    edits: pa.Table
    """`tables.EDITS`; of edits that say the same, the first by id alone."""
    sentences: pa.Table
    """`tables.SENTENCES`, for replay"""
    probes: frozenset[str] = frozenset()
    """Texts of all questions: replay never contains them."""
    progress: Callable[[str], None] = lambda line: None
    whole: pa.Table | None = None
    """All edits, where `edits` are a part of them; None: `edits`."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Id of every edit given -> id of the one among `edits` that says the same."""

    def __post_init__(self) -> None:
        """Edits that say the same become one (`editing.facts`)."""
        if not self.facts:
            object.__setattr__(self, "facts", facts_of(self.edits))
            object.__setattr__(self, "edits", drop_duplicates(self.edits))

    def part(self, begin: int, size: int) -> EditBatch:
        """A batch of `size` of the edits."""
        whole = self.edits if self.whole is None else self.whole
        return replace(self, edits=self.edits.slice(begin, size), whole=whole)


@dataclass
class ModelCache:
    """What was computed of one base model: editors that start from it share it, and add to it."""

    hidden_states: HiddenStateCache | None = None
    """What frozen layers give for training texts."""
    trace: tuple[pa.Table, int] | None = None
    """Averages of a causal trace, and how many facts it traced."""
    covariances: dict[str, Any] | None = None
    """Covariances of keys, and their null spaces, by the model's hash, the matrix and the text; None: forgotten."""
    earlier_chunks: dict[str, Any] | None = None
    """What editors remember of the chunks before; None where every edit starts from the base model."""
    hashes: WeakKeyDictionary[Any, str] = field(default_factory=WeakKeyDictionary)

    def base_hash(self, model: Any) -> str:
        """The hash of this very model when it was first asked for: chunks have changed its weights since."""
        from chronofacts.editing.models.load import model_hash

        if model not in self.hashes:
            self.hashes[model] = model_hash(model)
        return self.hashes[model]


@dataclass
class EditedModel:
    """A model after an edit; this class itself changes nothing."""

    model: Any
    """What is scored, in eval mode."""
    base: Any
    trained_prompts: frozenset[str] = frozenset()
    """Training texts, word for word: no measure of generalization."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """The editor's own figures: steps, loss, trained parameters."""
    in_weights: ClassVar[bool] = True
    """Whether the model's own parameters hold all of the change."""

    def save(self, folder: Path) -> None:
        """Write just the change (safetensors); without a change, nothing."""

    def undo(self) -> Any:
        """The model as it was, bit for bit. The edited model is then of no more use."""
        return self.base.eval()

    def forget_before(self) -> None:
        """Keep nothing of what earlier edits had made: they are undone together with this one."""


@contextmanager
def undo_on_error(edited: EditedModel) -> Iterator[None]:
    """Restores the model at any error inside, and raises it again."""
    try:
        yield
    except BaseException:
        edited.undo()
        raise


class Editor(Protocol):
    """A way to edit. `Settings` is its frozen dataclass, whose fields are the `--set` keys."""

    Settings: type[Any]

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: Any, cache: ModelCache | None = None
    ) -> EditedModel:
        """Teach the model the edits. It may change the model in place until `undo`; at any error it restores it."""


@dataclass(frozen=True)
class EditorSettings:
    """One editor with its settings, under the name it has in a report."""

    name: str
    method: Editor
    settings: Any
    """Of `method.Settings`."""


def read_editor_settings(name: str, values: Mapping[str, str], seed: int) -> EditorSettings:
    """The editor called `name` (`lora`, `lora+replay`) with settings from text.

    values: options of this editor. Raises BadInput for an unknown editor, option or value, naming the nearest.
    """
    stem, _, suffix = name.partition("+")
    names = all_editors()
    if stem not in names or (suffix and f"+{suffix}" != REPLAY):
        if stem in refused_editors():
            raise BadInput(refused_editors()[stem])
        known = [*names, *(f"{known}{REPLAY}" for known in names if known != "none")]
        raise BadInput(f"there is no editor {name!r}{nearest(name, known)}")
    editor: Editor = load_editor(stem)()
    values = with_preset(stem, values)
    settings = parse_options(editor.Settings, values, f"editor {stem}")
    options = option_names(editor.Settings)
    if suffix and "replay" not in options:
        raise BadInput(f"the editor {stem!r} trains nothing, so that {name!r} has no meaning; use {stem!r}")
    if suffix:
        settings = replace(settings, replay=True)
    if "seed" in options and "seed" not in values:
        settings = replace(settings, seed=seed)
    return EditorSettings(name, editor, settings)
