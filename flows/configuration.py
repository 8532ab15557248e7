"""Options from a file and from the environment, with one rule: option > environment > file > default.

`chronofacts.toml` in the working folder, or the file that --config or CHRONOFACTS_CONFIG names:

    [refresh]
    source = "qlever"
    relations = "P6,P39"
    [publish]
    repo = "my-org/what-changed"

A table is a command, a key one of its options without the dashes in front. In the environment the same option is
CHRONOFACTS_REFRESH_SOURCE. A token belongs into neither: log in to the Hub by `hf auth login`.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from chronofacts.schemas.errors import BadInput

__all__ = ["FILE", "PREFIX", "read_configuration", "unread_variables"]

FILE = "chronofacts.toml"
PREFIX = "CHRONOFACTS"


def read_configuration(
    file: Path | None, options: Mapping[str, Mapping[str, str]], here: Path | None = None
) -> dict[str, dict[str, Any]]:
    """command -> parameter -> value, as the command line's own defaults.

    file: by default `chronofacts.toml` of the folder `here`, if there is one.
    options: command -> option (`as-of`) -> parameter (`as_of`).
    Raises BadInput for a file that cannot be read, a command or an option that does not exist, and a value of no
    simple type.
    """
    path = file or (here or Path.cwd()) / FILE
    if file is None and not path.is_file():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--config {path} cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"--config {path} is no TOML ({error})") from error
    return {command: _of_command(path, command, table, options) for command, table in tables.items()}


def unread_variables(environment: Mapping[str, str], known: Collection[str]) -> list[str]:
    """A line for each variable `CHRONOFACTS_…` that nothing reads: most likely a typing error."""
    lines = []
    for name in sorted(environment):
        if name.startswith(f"{PREFIX}_") and name not in known and not name.endswith("_COMPLETE"):
            near = difflib.get_close_matches(name, known, n=1)
            lines.append(f"{name} is set, but nothing reads it" + (f"; did you mean {near[0]}?" if near else ""))
    return lines


def _of_command(path: Path, command: str, table: Any, options: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    if command not in options or not isinstance(table, dict):
        raise BadInput(f"{path}: [{command}] is no command{_meant(command, options)}")
    found: dict[str, Any] = {}
    for name, value in table.items():
        known = options[command]
        option = name.replace("_", "-")
        if option not in known:
            raise BadInput(f"{path}: {command} has no option {name!r}{_meant(option, known)}")
        if not isinstance(value, str | int | float | bool | list):
            raise BadInput(f"{path}: {name} of [{command}] must be a text, a number, true or false, or a list of texts")
        if isinstance(value, list):
            found[known[option]] = [str(one) for one in value]
        else:
            found[known[option]] = value if isinstance(value, bool) else str(value)
    return found


def _meant(word: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; it may be {', '.join(sorted(known))}"
