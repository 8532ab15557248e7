"""Load a saved edit back into a model: whatever editor made it, and only into the model that it was made for.

Leaves out writing, which each editor does (`save`), and the card, which the experiment writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from safetensors import safe_open

from editing.editors import EditedModel, Material, make_plan
from editing.editors.reading import STORE
from editing.editors.trained import DELTA, WeightEdit
from editing.models import model_hash
from schemas.errors import BadInput, CheckFailed
from schemas.tables import SENTENCES

__all__ = ["load_edit"]

CARD = "card.json"


@dataclass
class _Loaded:
    """An edit that stands around the model and is undone by leaving it."""

    model: Any
    base: Any
    trained_prompts: frozenset[str] = frozenset()
    report: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        raise BadInput(f"this edit was loaded; copy its folder instead of saving it to {folder}")

    def undo(self) -> Any:
        unload = getattr(self.model, "unload", None)
        return (unload() if unload else self.base).eval()


def load_edit(model: Any, tokenizer: Any, folder: Path) -> EditedModel:
    """The model with the edit saved in `folder` (RUN/adapters/EDITOR).

    Raises BadInput when the folder holds no edit, CheckFailed when it was made for another base model.
    """
    card = _read_card(folder)
    here = model_hash(model)
    if card.get("base_model_hash") != here:
        raise CheckFailed(
            f"{folder} was made for the model {card.get('base_model_hash')}, and this is {here}; load that"
        )
    if (folder / DELTA).is_file():
        return _load_weights(model, folder)
    if (folder / STORE).is_file():
        return _load_store(model, tokenizer, folder, card)
    if (folder / "prompt.safetensors").is_file():
        from editing.editors.prompt_tuning import load_prompted

        return _Loaded(load_prompted(model, folder), model)
    if (folder / "adapter_model.safetensors").is_file():
        from editing.editors.lora import load_lora

        return _Loaded(load_lora(model, folder), model)
    raise BadInput(f"{folder} has a {CARD} but no edit beside it; copy the whole folder")


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    if not path.is_file():
        raise BadInput(f"{folder} holds no saved edit (it has no {CARD}); name RUN/adapters/EDITOR")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckFailed(f"{path} is damaged ({error}); make the edit again") from error
    return card if isinstance(card, dict) else {}


def _load_weights(model: Any, folder: Path) -> WeightEdit:
    parameters = dict(model.named_parameters())
    with safe_open(folder / DELTA, framework="pt") as file:
        new = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    before = {name: parameters[name].detach().clone() for name in new}
    with torch.no_grad():
        for name, value in new.items():
            parameters[name].copy_(value)
    return WeightEdit(model.eval(), before)


def _load_store(model: Any, tokenizer: Any, folder: Path, card: dict[str, Any]) -> EditedModel:
    values = {name: _as_text(value) for name, value in card.get("config", {}).items() if value is not None}
    plan = make_plan(str(card["editor"]), values, seed=0)
    material = Material(pq.read_table(folder / STORE), SENTENCES.empty_table())
    return plan.editor.edit(model, tokenizer, material, plan.config)


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
