"""Text files that a user names: the text, or one line that names the file and the mend.

Leaves out: JSON and TOML (`schemas.documents`); compressed dumps, which are read as they are (`pipeline.sources.dump`).
"""

from __future__ import annotations

from pathlib import Path

from chronofacts.schemas.errors import BadInput

__all__ = ["read_lines", "read_text"]

_PACKED = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7z",
}  # fmt: skip
"""First bytes of a file -> what it was compressed by."""


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, without the mark that some editors put in front; its lines end with a newline alone.

    Raises BadInput for one that cannot be read, is compressed, or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        if packed := _packed_by(file):
            raise BadInput(f"{file} is compressed ({packed}); unpack it, and give the file that is in it") from error
        raise BadInput(f"{file} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error


def read_lines(file: Path) -> list[str]:
    """The lines of a text file that are not blank, stripped. Raises BadInput as `read_text` does."""
    lines = read_text(file).split("\n")  # splitlines() cuts at signs within a text, such as U+2028
    return [line.strip() for line in lines if line.strip()]


def _packed_by(file: Path) -> str:
    with file.open("rb") as stream:
        head = stream.read(max(map(len, _PACKED)))
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), "")
