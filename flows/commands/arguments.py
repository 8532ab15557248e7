"""Arguments that several commands have, and their checks before anything slow begins."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from chronofacts.schemas.errors import BadInput

__all__ = ["Out", "Snapshot", "parse_settings", "require_editing", "require_report", "settings_option", "split_names"]

Snapshot = Annotated[Path, typer.Argument(help="A snapshot folder, made by `refresh`.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder to make; it must not hold anything.", show_default=False)]


def settings_option(command: str, help_: str, complete: Callable[[str], list[str]] | None = None) -> Any:
    """`--set` of a command, which its own variable in the environment also gives."""
    return typer.Option("--set", help=help_, envvar=f"CHRONOFACTS_{command.upper()}_SET", autocompletion=complete)


def parse_settings(words: list[str]) -> dict[str, str]:
    """`key=value` words as a mapping; BadInput for a word without a sign of equality."""
    settings = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key.strip():
            raise BadInput(f"--set {word!r} is not key=value; write for example --set lora.rank=8")
        settings[key.strip()] = value.strip()
    return settings


def split_names(text: str) -> tuple[str, ...]:
    """Names that commas separate."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def require_editing() -> None:
    """Raises BadInput where the libraries that edit models are not installed."""
    _require("editing", "torch", "transformers", "peft", "matplotlib")


def require_report() -> None:
    """Raises BadInput where what makes a report and draws its plots is not installed; it needs no torch."""
    _require("a report", "jinja2", "matplotlib")


def _require(what: str, *libraries: str) -> None:
    missing = [name for name in libraries if find_spec(name) is None]
    if missing:
        raise BadInput(f"{what} needs {', '.join(missing)}; install them with: pip install 'chronofacts[edit]'")
