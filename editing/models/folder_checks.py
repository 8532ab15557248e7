"""A model folder looked at before any library opens it: what will be read, whether it is whole, and whether it is safe.

Weights come from safetensors alone. Every name that a file of the folder gives of another is checked before that is
opened, so that no pickle is reached through an index or a configuration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chronofacts.editing.models.weight_files import TensorShape, read_json, read_shapes
from chronofacts.schemas.errors import BadInput

__all__ = ["ADAPTER_CONFIG", "WEIGHT_NAME", "check_config", "check_folder", "weight_names"]

CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
WEIGHT_NAME = re.compile(r"[A-Za-z0-9_][\w.=+-]{0,200}\.safetensors", re.ASCII)
"""A file beside the index, and no pickle."""
ATTENTIONS = {None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"}
"""Any other name is code of a repository on the Hub."""
LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_decoder_layers", "encoder_layers")
POSITIVE = (*LAYERS[:4], "num_attention_heads", "n_head", "n_heads", "hidden_size", "n_embd", "d_model", "vocab_size")
MOST_LAYERS = 1000
"""The deepest model in use has some 130; each takes time to build, whatever it holds."""


def check_folder(folder: Path) -> dict[str, TensorShape]:
    """Name -> type and shape of every tensor of the model in `folder`.

    Raises BadInput for a folder without a model, for a configuration that no model can have or that asks for foreign
    code, for weights that are no safetensors, and for files that are missing, cut short or mere pointers.
    """
    if not (folder / CONFIG).is_file():
        raise BadInput(_without_config(folder))
    for path in folder.iterdir():
        if path.exists() and not path.is_file() and not path.is_dir():
            raise BadInput(f"{path} is neither a file nor a folder; remove it")
    check_config(read_json(folder / CONFIG), folder / CONFIG)
    found: dict[str, TensorShape] = {}
    for name in weight_names(folder):
        found |= read_shapes(folder / name)
    return found


def weight_names(folder: Path) -> list[str]:
    """The files that hold the weights. Raises BadInput where there are none, or an index names anything else."""
    named = read_json(folder / CONFIG).get("transformers_weights")
    if named is not None and named not in (WHOLE, INDEX):
        raise BadInput(f"{folder / CONFIG} names {named!r:.100} for its weights; they must be {WHOLE} or {INDEX}")
    if named != INDEX and (folder / WHOLE).exists():
        return [WHOLE]
    if not (folder / INDEX).exists():
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        if pickled:
            raise BadInput(f"{folder} has pickled weights alone ({pickled[0]}), which can run code; take safetensors")
        raise BadInput(f"{folder} has no weights: there is no {WHOLE} and no {INDEX}; download the whole model")
    names = read_json(folder / INDEX).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise BadInput(f"{folder / INDEX} names no files; download it again")
    several = sorted({name if isinstance(name, str) else repr(name) for name in names.values()})
    for name in several:
        if not WEIGHT_NAME.fullmatch(name):
            raise BadInput(
                f"{folder / INDEX} names {name!r:.100}, which is no safetensors file beside it, and is not opened"
            )
    return several


def check_config(config: Mapping[str, Any], file: Path) -> None:
    """Raises BadInput for sizes that no model has, and for a kind of attention that is code of the Hub's."""
    for part in _parts(config, 0):
        for name in ("attn_implementation", "_attn_implementation", "_attn_implementation_internal"):
            if not _is_known_attention(part.get(name)):
                raise BadInput(f"{file} asks for the attention {part[name]!r:.100}, code of its own; remove {name}")
        for name in POSITIVE:
            size = part.get(name)
            if isinstance(size, int) and not isinstance(size, bool) and size < 1:
                raise BadInput(f"{file} says {name} = {size}; no model has that: download it again")
        for name in LAYERS:
            size = part.get(name)
            if isinstance(size, int | float) and size > MOST_LAYERS:
                raise BadInput(f"{file} says {name} = {size:.4g}, more than {MOST_LAYERS}; no model is as deep")


def _is_known_attention(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_known_attention(inner) for inner in value.values())
    return isinstance(value, str | None) and value in ATTENTIONS


def _parts(config: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """The configuration and those within it, of texts, images and so on."""
    yield config
    for value in config.values():
        if isinstance(value, dict) and depth < 4:
            yield from _parts(value, depth + 1)


def _without_config(folder: Path) -> str:
    """What is the matter with a folder that has no configuration."""
    if not folder.is_dir():
        return f"{folder} is no folder; name a model folder, a Hub model or a GGUF file"
    inner = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    if inner:
        return f"{folder} has no {CONFIG}, but {inner[-1]} has; name that folder"
    return f"{folder} has no {CONFIG}; name a folder with {CONFIG} and safetensors"
