"""Options from a file and from the environment, with one rule: option > environment > file > default.

The file that --config or CHRONOFACTS_CONFIG names; or the user's own, `~/.config/chronofacts/chronofacts.toml`, and
before it `chronofacts.toml` in the working folder:

    [refresh]
    source = "qlever"
    relations = "P6,P39"
    [publish]
    repo = "my-org/what-changed"

A table is a command, a key one of its options without the dashes in front. In the environment the same option is
CHRONOFACTS_REFRESH_SOURCE. A token belongs into neither: log in to the Hub by `hf auth login`.

A working folder may be somebody else's, such as a dataset that was downloaded: a file in it may not name where a token
or an address of one's own goes (`TRUSTED_ONLY`).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from chronofacts.schemas.documents import Unreadable, read_toml
from chronofacts.schemas.errors import BadInput

__all__ = ["FILE", "PREFIX", "read_configuration", "unread_variables"]

FILE = "chronofacts.toml"
PREFIX = "CHRONOFACTS"
TRUSTED_ONLY = frozenset({"endpoint", "webhook", "user-agent", "api"})
"""Options, and keys of `set`, that count only from a file that is surely the user's."""


def read_configuration(
    file: Path | None, options: Mapping[str, Mapping[str, str]], here: Path | None = None
) -> dict[str, dict[str, Any]]:
    """command -> parameter -> value, as the command line's own defaults.

    file: by default the user's own and `chronofacts.toml` of the folder `here`, each if it is there.
    options: command -> option (`as-of`) -> parameter (`as_of`).
    Raises BadInput for a file that cannot be read, a command or an option that does not exist, a value of no simple
    type, and a file of the working folder that names what it may not.
    """
    if file is not None:
        return _read_file(file, options)
    own, found = own_file(), (here or Path.cwd()) / FILE
    read = _read_file(own, options) if own is not None and own.is_file() else {}
    if found.is_file() and (own is None or not own.is_file() or not found.samefile(own)):
        for command, values in _read_file(found, options, trusted=False).items():
            read[command] = {**read.get(command, {}), **values}
    return read


def own_file() -> Path | None:
    """The user's own file, in the folder of their settings; None where they have no home."""
    base = os.environ.get("XDG_CONFIG_HOME")
    try:
        return (Path(base) if base else Path.home() / ".config") / "chronofacts" / FILE
    except RuntimeError:
        return None


def _read_file(path: Path, options: Mapping[str, Mapping[str, str]], trusted: bool = True) -> dict[str, dict[str, Any]]:
    try:
        tables = read_toml(path)
    except Unreadable as error:
        raise BadInput(f"{path} is no TOML ({error})") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error})") from error
    if not trusted:
        for command, table in tables.items():
            _check_untrusted(path, command, table)
    return {command: _of_command(path, command, table, options) for command, table in tables.items()}


def _check_untrusted(path: Path, command: str, table: Any) -> None:
    """Raises BadInput where a file of the working folder says where a token goes."""
    for name, value in table.items() if isinstance(table, dict) else ():
        words = [str(word).partition("=")[0].strip() for word in value] if isinstance(value, list) else []
        for key in (name, *words):
            if key.replace("_", "-").lower() in TRUSTED_ONLY:
                raise BadInput(
                    f"{path}: {key} of [{command}] says where a token or your address goes, and this folder may be "
                    f"somebody else's; put it into {own_file() or '--config FILE'}, or name the file by --config"
                )


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
