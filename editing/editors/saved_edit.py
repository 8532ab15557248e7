"""A saved edit (RUN/adapters/EDITOR) back on its model: loaded, merged into the weights, undone, or scored again.

    model, tokenizer = load_model("R/model")
    edited = load_edit(model, tokenizer, Path("R/adapters/lora"))  # edited.model answers with the new facts
    edited.undo()                                                  # … and the model is as before, bit for bit
    merged = merge_edit(load_edit(model, tokenizer, Path("R/adapters/lora")))
    save_model(merged.model, tokenizer, Path("llama-of-2025"))     # an ordinary model folder

`card.json` beside the change says which edits it holds, of which snapshot, made how, and for which weights; no other
base model takes it. Each editor writes its own change (`save`). A folder may come from a stranger: no name in it
becomes a path unchecked, and what does not fit the model is refused before anything of the model changes.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from chronofacts.editing.editors import EditBatch, EditedModel, EditorSettings, ModelCache, read_editor_settings
from chronofacts.editing.editors.foreign_edit import (
    Foreign,
    ForeignEdit,
    base_of_foreign,
    check_foreign,
    find_foreign,
)
from chronofacts.editing.editors.located.grace import CODEBOOK, load_grace
from chronofacts.editing.editors.located.side_memory import SIDE_MEMORY, load_wise
from chronofacts.editing.editors.prompted.rewritten_model import STORE
from chronofacts.editing.editors.trained.gradient import DELTA, WeightEdit, change_weights, merge_edit
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.library_errors import first_line, library_errors
from chronofacts.editing.models.load import model_hash
from chronofacts.editing.models.weight_files import read_shapes
from chronofacts.schemas.documents import read_json
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.names import check_name
from chronofacts.schemas.tables import EDITS, SENTENCES, conform

__all__ = [
    "CARD",
    "SavedSettings",
    "base_of",
    "check_base",
    "check_editor",
    "editor_name",
    "load_edit",
    "merge_edit",
    "read_card",
    "read_saved_editors",
]

CARD = "card.json"
PREFIX = "saved-"
"""Before the editor's name, where a run scores a saved edit."""
VECTORS, ADAPTER = "prompt.safetensors", "adapter_model.safetensors"
STORED = ("in-context", "memory", "ike", "rag", "mello")
"""Editors whose change is a store of facts beside the model."""


@dataclass(frozen=True)
class SavedSettings:
    folder: str
    sha256: str
    """Of the change and its card, 16 hex digits."""
    foreign: bool = False
    """Whether others made it (`foreign_edit`)."""


class Saved:
    """An editor that loads a saved edit and makes nothing new."""

    Settings = SavedSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: SavedSettings, cache: ModelCache | None = None
    ) -> EditedModel:
        edited = load_edit(model, tokenizer, Path(settings.folder))
        if foreign := read_card(Path(settings.folder)).get("foreign"):
            edited.report = {"foreign": foreign}
        return edited


def load_edit(model: Any, tokenizer: Any, folder: Path) -> EditedModel:
    """The model with the edit saved in `folder`; `undo` takes it off again, `merge_edit` writes it into the weights.

    Raises BadInput when the folder holds no edit, or one made with the other form of prompts (chat or plain), and
    CheckFailed when the edit was made for another base model.
    """
    card = read_card(folder)
    check_base(folder, model_hash(model))
    chats = isinstance(tokenizer, ChatTokenizer)
    if card.get("chat", chats) != chats:
        wanted = "yes" if card["chat"] else "no"
        raise BadInput(f"{folder} was taught with --set chat={wanted}; load the model the same way")
    with library_errors(lambda reason: CheckFailed(f"{folder} is damaged ({reason}); copy it again")):
        return _load_change(model, tokenizer, folder, card)


def _load_change(model: Any, tokenizer: Any, folder: Path, card: dict[str, Any]) -> EditedModel:
    """By the file that is there."""
    trained = frozenset(map(str, card.get("trained_prompts", ())))
    if (folder / DELTA).is_file():
        return _load_weights(model, folder, trained)
    if (folder / STORE).is_file():
        return _load_store(model, tokenizer, folder, card)
    if (folder / VECTORS).is_file():
        from chronofacts.editing.editors.trained.prompt_tuning import load_vectors

        return load_vectors(model, folder, trained)
    if (folder / ADAPTER).is_file():
        from chronofacts.editing.editors.trained.lora import load_lora

        return load_lora(model, folder, trained)
    if (folder / CODEBOOK).is_file():
        return load_grace(model, folder, trained)
    if (folder / SIDE_MEMORY).is_file():
        return load_wise(model, folder, trained)
    raise BadInput(f"{folder} has a {CARD} but no edit beside it; copy the whole folder")


def editor_name(card: dict[str, Any], folder: Path) -> str:
    """The name of the saved edit's editor, fit for a file's name. Raises CheckFailed for any other."""
    return check_name(card.get("editor", "edit"), f"the editor of {folder / CARD}")


def check_base(folder: Path, base_model_hash: str) -> None:
    """Raises CheckFailed when the edit saved in `folder` belongs to another base model than that of this hash."""
    card = read_card(folder)
    if card.get("base_model_hash") != base_model_hash:
        made_for = f"{card.get('base_model')} in {card.get('dtype')}, " if card.get("base_model") else ""
        raise CheckFailed(
            f"{folder} was made for the model {card.get('base_model_hash')} ({made_for}the hash of its weights), and "
            f"this is {base_model_hash}; load that"
        )


def read_card(folder: Path) -> dict[str, Any]:
    """Raises BadInput when there is none, CheckFailed when it is damaged."""
    path = folder / CARD
    if not path.is_file():
        raise BadInput(
            f"{folder} holds no saved edit (it has no {CARD}); name RUN/adapters/EDITOR, or of others a PEFT adapter, "
            "BASE..EDITED or a .safetensors file of differences"
        )
    try:
        card = read_json(path)
    except (ValueError, OSError) as error:
        raise CheckFailed(f"{path} is damaged ({first_line(error)}); make the edit again") from error
    if not isinstance(card, dict):
        raise CheckFailed(f"{path} is damaged (it holds no object); make the edit again")
    for name, kind in (("trained_prompts", list), ("config", dict), ("chat", bool), ("foreign", dict)):
        if name in card and not isinstance(card[name], kind):
            raise CheckFailed(f"{path} is damaged ({name} is {card[name]!r:.40}); make the edit again")
    return card


def check_editor(editor: EditorSettings, name: str, base_model_hash: str, model: Any, tokenizer: Any) -> None:
    """Refuse a saved edit before the unedited model is asked for minutes: it is put on the model and taken off again.

    A second checkpoint is as large as the model, and only what it says of itself is looked at.
    name, base_model_hash: of the model. Raises CheckFailed where it belongs to another base model, or is damaged, and
    BadInput as `load_edit`.
    """
    if not isinstance(editor.method, Saved | Foreign):
        return
    if isinstance(editor.method, Foreign):
        check_foreign(editor.method.foreign, name, base_model_hash)
        if editor.method.foreign.kind == "checkpoint":
            return
    nothing = EditBatch(EDITS.empty_table(), SENTENCES.empty_table())
    editor.method.edit(model, tokenizer, nothing, editor.settings).undo()


def base_of(folder: Path) -> str:
    """The model that a saved edit belongs to: its name, or for a small world the folder beside RUN/adapters.

    Raises BadInput where the card, or an edit of others, does not say, or the folder is gone.
    """
    if foreign := _of_others(folder):
        return base_of_foreign(foreign)
    name = str(read_card(folder).get("base_model", ""))
    if name == "small-world":
        beside = folder.resolve().parent.parent / "model"
        name = str(beside) if beside.is_dir() else ""
    if not name:
        raise BadInput(f"{folder} does not say where its base model is; name it with --model")
    return name


def read_saved_editors(folders: Sequence[Path], taken: Sequence[str] = ()) -> tuple[EditorSettings, ...]:
    """Each saved edit as an editor of an experiment, under a name (`saved-lora`, `foreign-alpaca`) that is not taken.

    Raises BadInput for a folder that holds no saved edit, CheckFailed for one whose card is damaged.
    """
    editors, names = list[EditorSettings](), set(taken)
    for folder in folders:
        foreign = _of_others(folder)
        stem = foreign.name if foreign else f"{PREFIX}{editor_name(read_card(folder), folder)}"
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        name = next(name for name in itertools.chain([stem], numbered) if name not in names)
        names.add(name)
        if foreign:
            editors.append(
                EditorSettings(name, Foreign(foreign), SavedSettings(str(folder), foreign.content_hash(), True))
            )
        else:
            editors.append(EditorSettings(name, Saved(), SavedSettings(str(folder), _content_hash(folder))))
    return tuple(editors)


def _of_others(path: Path) -> ForeignEdit | None:
    return None if (path / CARD).is_file() else find_foreign(path)


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        with file.open("rb") as opened:
            digest.update(f"{file.name} {hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def _load_weights(model: Any, folder: Path, trained: frozenset[str]) -> WeightEdit:
    """Raises CheckFailed for weights that the model does not have, of other sizes, or that are no numbers."""
    parameters = dict(model.named_parameters())
    for name, saved in read_shapes(folder / DELTA).items():
        own = parameters.get(name)
        if own is None or tuple(own.shape) != saved.shape:
            size = None if own is None else tuple(own.shape)
            raise CheckFailed(
                f"{folder / DELTA}: {name:.100} is {saved.shape}, the model's {size}; make the edit again"
            )
    new = load_file(folder / DELTA)
    if not all(bool(torch.isfinite(value).all()) for value in new.values()):
        raise CheckFailed(f"{folder / DELTA} holds what is no number; make the edit again")
    edited = change_weights(model.eval(), list(new), trained)
    edited.write(new)
    return edited


def _load_store(model: Any, tokenizer: Any, folder: Path, card: dict[str, Any]) -> EditedModel:
    """Raises CheckFailed for a store of an editor that has none: a saved edit trains nothing."""
    name = editor_name(card, folder)
    if name not in STORED:
        raise CheckFailed(f"{folder} holds a store of facts, which the editor {name} has none of; make the edit again")
    values = {option: _as_text(value) for option, value in card.get("config", {}).items() if value is not None}
    editor = read_editor_settings(name, values, seed=0)
    batch = EditBatch(conform(pq.read_table(folder / STORE), EDITS, "edits"), SENTENCES.empty_table())
    load = getattr(editor.method, "load", None)  # of an editor that saves more than the edits
    if load is not None:
        return load(model, tokenizer, folder, batch, editor.settings)  # type: ignore[no-any-return]
    return editor.method.edit(model, tokenizer, batch, editor.settings)


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
