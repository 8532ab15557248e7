"""Edits that others made, put on the model that an experiment edits, and scored like ours.

`--load` takes, beside our own saved edits,

    a PEFT adapter's folder     adapter_config.json and adapter_model.safetensors, LoRA alone (`models.adapters`)
    BASE..EDITED                a second checkpoint of the same architecture and vocabulary; what differs is the edit
    FILE.safetensors            differences, by the names of the parameters; new values where the file says for which
                                model (`base_model_hash` in its metadata), as our own `delta.safetensors` does

Everything is safetensors and is looked at before anything of the model changes: names, sizes, finite numbers, and the
base model where the edit names one. What is not ours is marked in `run.json` and in the report, since nobody knows on
which texts it was trained. Undoing is exact, and the run saves the change as it would one of ours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from chronofacts.editing.editors import EditBatch, EditedModel, ModelCache, undo_on_error
from chronofacts.editing.editors.trained.gradient import WeightEdit, change_weights
from chronofacts.editing.editors.trained.lora import load_lora
from chronofacts.editing.models.adapters import ADAPTER, base_name, is_adapter
from chronofacts.editing.models.chat import plain_tokenizer
from chronofacts.editing.models.folder_checks import ADAPTER_CONFIG, weight_names
from chronofacts.editing.models.library_errors import library_errors
from chronofacts.editing.models.load import load_model
from chronofacts.editing.models.weight_files import read_shapes
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.ids import is_hub_repo

__all__ = ["Foreign", "ForeignEdit", "base_of_foreign", "check_foreign", "find_foreign"]

Kind = Literal["adapter", "checkpoint", "delta"]
PREFIX = "foreign-"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ForeignEdit:
    """An edit that others made, by what it is and where it lies."""

    kind: Kind
    path: Path
    """The adapter's folder, the edited checkpoint's, or the file."""
    base: str | None
    """The model that it names as its own; None where it names none."""
    base_hash: str | None = None

    @property
    def name(self) -> str:
        """For a report: `foreign-`, and the last part of the path as far as it is plain."""
        plain = re.sub(r"[^A-Za-z0-9]+", "-", self.path.name.removesuffix(SUFFIX)).strip("-")
        return f"{PREFIX}{plain[:60] or self.kind}"

    @property
    def mark(self) -> dict[str, Any]:
        """What `run.json` and the saved change's card say of it."""
        return {"kind": self.kind, "made_for": self.base_hash or self.base}

    def content_hash(self) -> str:
        """sha256 of all that is read, 16 hex digits."""
        digest = hashlib.sha256(self.kind.encode())
        for file in self._files():
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()[:16]

    def _files(self) -> Iterator[Path]:
        if self.kind == "delta":
            yield self.path
        elif is_adapter(self.path):
            yield from (file for name in (ADAPTER_CONFIG, ADAPTER) if (file := self.path / name).is_file())
        elif self.path.is_dir():
            yield from (self.path / name for name in weight_names(self.path))


def find_foreign(path: Path) -> ForeignEdit | None:
    """What `--load PATH` means where it is none of our saved edits; None where it is no edit of others either.

    Raises BadInput for a file that is no safetensors.
    """
    if path.is_dir():
        if not is_adapter(path):
            return None
        with suppress(BadInput):  # it need not name one where the user does
            return ForeignEdit("adapter", path, base_name(path))
        return ForeignEdit("adapter", path, None)
    if path.is_file():
        if path.suffix != SUFFIX:
            raise BadInput(f"--load {path} is no {SUFFIX} file; others are not opened (a pickle can run code)")
        return ForeignEdit("delta", path, None, _metadata(path).get("base_model_hash"))
    text = str(path)
    for found in re.finditer(r"(?=\.\.)", text):
        base, edited = text[: found.start()], Path(text[found.start() + 2 :])
        if base and edited.is_dir() and (Path(base).is_dir() or not base.startswith((".", "/"))):
            return ForeignEdit("checkpoint", edited, base)
    return None


def _metadata(file: Path) -> dict[str, str]:
    read_shapes(file)
    with (
        library_errors(lambda reason: BadInput(f"{file} is damaged ({reason}); download it again")),
        safe_open(file, framework="pt") as opened,
    ):
        return dict(opened.metadata() or {})


def base_of_foreign(edit: ForeignEdit) -> str:
    """The model to load where the user names none. Raises BadInput where the edit does not say."""
    if edit.base is None:
        raise BadInput(f"{edit.path} does not say which model it belongs to; name it with --model")
    return edit.base


def check_foreign(edit: ForeignEdit, model: str, base_model_hash: str) -> None:
    """Raises CheckFailed for an edit that says it belongs to another model than this.

    Names on the Hub are compared with names on the Hub; a folder may have any name, and sizes are compared later.
    """
    if edit.base_hash is not None and edit.base_hash != base_model_hash:
        raise CheckFailed(f"{edit.path} was made for the model {edit.base_hash}, and this is {base_model_hash}")
    if edit.kind == "checkpoint" and edit.base not in (None, model) and not _same_folder(str(edit.base), model):
        raise CheckFailed(
            f"{edit.base}..{edit.path} names its base, and the model of this run is {model}; name the same"
        )
    both_named = edit.base is not None and is_hub_repo(edit.base) and is_hub_repo(model)
    if both_named and not Path(model).exists() and edit.base != model:
        raise CheckFailed(f"{edit.path} says that it was made for {edit.base}, and this is {model}; load that model")


def _same_folder(one: str, other: str) -> bool:
    return Path(one).is_dir() and Path(one).resolve() == Path(other).resolve()


@dataclass
class Foreign:
    """An editor that puts on what others made, and makes nothing new."""

    foreign: ForeignEdit
    Settings = ForeignEdit

    def edit(
        self, model: Any, tokenizer: Any, batch: EditBatch, settings: Any, cache: ModelCache | None = None
    ) -> EditedModel:
        """Raises CheckFailed for what does not fit the model, BadInput for what is not read; the model is as before."""
        edit = self.foreign
        if edit.kind == "adapter":
            edited: EditedModel = load_lora(model, edit.path)
        elif edit.kind == "delta":
            edited = _add_delta(model, edit)
        else:
            edited = _take_checkpoint(model, tokenizer, edit)
        edited.report = {"foreign": edit.mark}
        return edited


def _add_delta(model: Any, edit: ForeignEdit) -> WeightEdit:
    parameters, file = dict(model.named_parameters()), edit.path
    for name, found in read_shapes(file).items():
        own = parameters.get(name)
        if own is None or tuple(own.shape) != found.shape or not found.kind.startswith(("F", "BF")):
            size = "no such parameter" if own is None else f"{tuple(own.shape)}"
            raise CheckFailed(
                f"{file}: {name:.100} is {found.kind} {found.shape}, the model has {size}; load its own base"
            )
    with library_errors(lambda reason: CheckFailed(f"{file} is damaged ({reason}); download it again")):
        tensors = load_file(file)
    if not tensors:
        raise BadInput(f"{file} holds no weights")
    if not all(bool(torch.isfinite(tensor.float()).all()) for tensor in tensors.values()):
        raise CheckFailed(f"{file} holds what is no number; download it again")
    edited = change_weights(model.eval(), list(tensors))
    with undo_on_error(edited):
        if edit.base_hash is None:
            before = edited.before
            tensors = {
                name: before[name].float() + part.to(before[name].device).float() for name, part in tensors.items()
            }
        edited.write(tensors)
    return edited


def _take_checkpoint(model: Any, tokenizer: Any, edit: ForeignEdit) -> WeightEdit:
    """The parameters in which the second checkpoint differs, in the model's own type of numbers."""
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    other, speaking = load_model(str(edit.path), dtype, "cpu")
    if plain_tokenizer(speaking).get_vocab() != plain_tokenizer(tokenizer).get_vocab():
        raise CheckFailed(f"{edit.path} has another vocabulary than its base; its figures could not be compared")
    theirs, ours = dict(other.named_parameters()), dict(model.named_parameters())
    if odd := sorted(name for name in {*theirs, *ours} if _shape(theirs, name) != _shape(ours, name)):
        raise CheckFailed(
            f"{edit.path} is no edit of this model: {odd[0]:.100} is {_shape(theirs, odd[0])} there and "
            f"{_shape(ours, odd[0])} here"
        )
    changed = [name for name, own in ours.items() if not torch.equal(own.detach().cpu(), theirs[name].detach())]
    if not changed:
        raise BadInput(f"{edit.path} has the weights of {edit.base}; there is no edit to score")
    if not all(bool(torch.isfinite(theirs[name]).all()) for name in changed):
        raise CheckFailed(f"{edit.path} holds what is no number; download it again")
    edited = change_weights(model.eval(), changed)
    with undo_on_error(edited):
        edited.write({name: theirs[name].detach() for name in changed})
    return edited


def _shape(parameters: dict[str, Any], name: str) -> tuple[int, ...] | None:
    return tuple(parameters[name].shape) if name in parameters else None
