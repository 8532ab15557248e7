"""Names that data brings, checked before any of them becomes part of a path.

Cards, manifests, runs and configurations are written by strangers. A name from one of them is letters, digits and four
signs, or it is refused: no slash, no dot in front, no control character, nothing that a system could read otherwise.
Leaves out: paths that the user gives, which are as the user wants them (`schemas.files.check_out`).
"""

from __future__ import annotations

import re
from pathlib import Path

from chronofacts.schemas.errors import CheckFailed

__all__ = ["LONGEST_NAME", "check_name", "is_name", "path_within"]

LONGEST_NAME = 120
"""Characters; with what is put around it a name stays below the 255 bytes of a file system."""
_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.+=-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)


def is_name(text: object) -> bool:
    """Can this be one part of a path?"""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None and ".." not in text


def check_name(text: object, where: str) -> str:
    """The name. where: what holds it, for a person. Raises CheckFailed for what could be more than a name."""
    if isinstance(text, str) and is_name(text):
        return text
    raise CheckFailed(
        f"{where} is {str(text)[:60]!r}, which is no plain name (letters, digits, . _ + = -); it was not made by "
        "chronofacts, or it was changed"
    )


def path_within(folder: Path, name: object, where: str) -> Path:
    """The path of a file that data names, below the folder; CheckFailed as `check_name` for any part of it."""
    parts = name.split("/") if isinstance(name, str) else [name]
    return folder.joinpath(*(check_name(part, where) for part in parts))
