"""Short names of models (`data/models.toml`): where each is found, under which licence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chronofacts.schemas.documents import Unreadable, read_toml
from chronofacts.schemas.errors import BadInput

__all__ = ["MODELS_PATH", "NamedModel", "named_models"]

MODELS_PATH = Path(__file__).resolve().parent.parent / "data" / "models.toml"


@dataclass(frozen=True)
class NamedModel:
    """A model that has a short name."""

    name: str
    licence: str
    about: str
    package: str | None = None
    """The Python package that carries `file`, a GGUF file."""
    file: str | None = None
    extra: str | None = None
    """Which extra of chronofacts installs the package."""
    hub: str | None = None
    """A repository on the Hugging Face Hub, read at `revision`."""
    revision: str | None = None
    until: str | None = None
    """The last month (YYYY-MM) that its makers say it knows; None where they say nothing."""


def named_models(path: Path = MODELS_PATH) -> dict[str, NamedModel]:
    """name -> model. Raises BadInput naming the entry that has neither a packaged file nor a repository on the Hub."""
    try:
        entries = read_toml(path)
        found = {name: NamedModel(name, **entry) for name, entry in entries.items()}
    except (Unreadable, TypeError) as error:
        raise BadInput(f"{path}: {error}; each entry takes the keys that the head of the file names") from error
    for model in found.values():
        if (model.package is None) != (model.file is None) or (model.package is None) == (model.hub is None):
            raise BadInput(f"{path}: [{model.name}] needs package and file, or hub and revision; give one of the two")
        if model.hub is not None and model.revision is None:
            raise BadInput(f"{path}: [{model.name}] names no revision of {model.hub}; add the commit")
    return found
