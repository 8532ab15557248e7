"""A saved edit (RUN/adapters/EDITOR) back on its model: loaded, merged into the weights, undone, or scored again.

    model, tokenizer = load_model("R/model")
    edited = load_edit(model, tokenizer, Path("R/adapters/lora"))  # edited.model answers with the new facts
    edited.undo()                                                  # … and the model is as before, bit for bit
    merged = merge_edit(load_edit(model, tokenizer, Path("R/adapters/lora")))
    save_model(merged.model, tokenizer, Path("llama-of-2025"))     # an ordinary model folder

`card.json` beside the change says which edits it holds, of which snapshot, made how, and for which weights; no other
base model takes it. Each editor writes its own change (`save`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from safetensors.torch import load_file

from chronofacts.editing.editors import EditBatch, EditedModel, ModelCache, Plan, make_plan
from chronofacts.editing.editors.located.grace import CODEBOOK, load_grace
from chronofacts.editing.editors.prompted.rewritten_model import STORE
from chronofacts.editing.editors.trained.gradient import DELTA, WeightEdit, change_weights, merge_edit
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.load import model_hash
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.tables import SENTENCES

__all__ = ["CARD", "SavedSettings", "base_of", "check_base", "load_edit", "merge_edit", "read_card", "saved_plans"]

CARD = "card.json"
PREFIX = "saved-"
"""Before the editor's name, where a run scores a saved edit."""
VECTORS, ADAPTER = "prompt.safetensors", "adapter_model.safetensors"


@dataclass(frozen=True)
class SavedSettings:
    folder: str
    sha256: str
    """Of the change and its card, 16 hex digits."""


class Saved:
    """An editor that loads a saved edit and makes nothing new."""

    Settings = SavedSettings

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: SavedSettings, cache: ModelCache | None = None
    ) -> EditedModel:
        return load_edit(model, tokenizer, Path(settings.folder))


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
    trained = frozenset(card.get("trained_prompts", ()))
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
    raise BadInput(f"{folder} has a {CARD} but no edit beside it; copy the whole folder")


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
        raise BadInput(f"{folder} holds no saved edit (it has no {CARD}); name RUN/adapters/EDITOR")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckFailed(f"{path} is damaged ({error}); make the edit again") from error
    return card if isinstance(card, dict) else {}


def base_of(folder: Path) -> str:
    """The model that a saved edit belongs to: its name, or for a small world the folder beside RUN/adapters.

    Raises BadInput where the card does not say, or the folder is gone.
    """
    name = str(read_card(folder).get("base_model", ""))
    if name == "small-world":
        beside = folder.resolve().parent.parent / "model"
        name = str(beside) if beside.is_dir() else ""
    if not name:
        raise BadInput(f"{folder} does not say where its base model is; name it with --model")
    return name


def saved_plans(folders: Sequence[Path], taken: Sequence[str] = ()) -> tuple[Plan, ...]:
    """Each saved edit as a plan of an experiment, under names (`saved-lora`) of which none is taken.

    Raises BadInput for a folder that holds no saved edit.
    """
    plans, names = list[Plan](), set(taken)
    for folder in folders:
        stem = f"{PREFIX}{read_card(folder).get('editor', 'edit')}"
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        name = next(name for name in itertools.chain([stem], numbered) if name not in names)
        names.add(name)
        plans.append(Plan(name, Saved(), SavedSettings(str(folder), _content_hash(folder))))
    return tuple(plans)


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        with file.open("rb") as opened:
            digest.update(f"{file.name} {hashlib.file_digest(opened, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def _load_weights(model: Any, folder: Path, trained: frozenset[str]) -> WeightEdit:
    new = load_file(folder / DELTA)
    edited = change_weights(model.eval(), list(new), trained)
    edited.write(new)
    return edited


def _load_store(model: Any, tokenizer: Any, folder: Path, card: dict[str, Any]) -> EditedModel:
    values = {name: _as_text(value) for name, value in card.get("config", {}).items() if value is not None}
    plan = make_plan(str(card["editor"]), values, seed=0)
    batch = EditBatch(pq.read_table(folder / STORE), SENTENCES.empty_table())
    return plan.editor.edit(model, tokenizer, batch, plan.settings)


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
