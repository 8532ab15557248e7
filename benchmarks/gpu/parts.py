"""A file that is too large to be sent at once: split where it comes from, joined where all of its parts have arrived.

Uses the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

__all__ = ["join_parts", "split_file"]

LIST = "parts.json"


def split_file(file: Path, folder: Path, most: int) -> list[Path]:
    """`folder / "0"`, `"1"` …, of equal size and at most so many bytes each, and a list that names the whole."""
    folder.mkdir(parents=True, exist_ok=True)
    size = file.stat().st_size
    count = -(-size // most)
    each, parts = -(-size // count), []
    with file.open("rb") as opened:
        for number in range(count):
            parts.append(folder / str(number))
            parts[-1].write_bytes(opened.read(each))
    about = {"name": file.name, "parts": count, "sha256": _sha256(file)}
    (folder / LIST).write_text(json.dumps(about), encoding="utf-8")
    return parts


def join_parts(folder: Path, kept: Path) -> Path | str:
    """The whole file in `kept`, or what is missing.

    Parts that have arrived are kept there too, for where the rest comes later. Raises ValueError when the parts are
    not those of the file.
    """
    kept.mkdir(parents=True, exist_ok=True)
    for part in folder.iterdir() if folder.is_dir() else ():
        if not (kept / part.name).exists():
            shutil.copyfile(part, kept / part.name)
    if not (kept / LIST).exists():
        return "no model was sent"
    about = json.loads((kept / LIST).read_text(encoding="utf-8"))
    missing = [str(number) for number in range(about["parts"]) if not (kept / str(number)).exists()]
    if missing:
        return f"of {about['name']} part {', '.join(missing)} has not arrived"
    whole = kept / str(about["name"])
    if not whole.exists():
        with whole.open("wb") as out:
            for number in range(about["parts"]):
                out.write((kept / str(number)).read_bytes())
    if _sha256(whole) != about["sha256"]:
        whole.unlink()
        raise ValueError(f"the parts of {about['name']} do not give the file that was split; send them again")
    return whole


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
