"""Checksums beside a dump: `X.sha1`, `X.md5` and their like, or a list such as `wikidata-YYYYMMDD-sha1sums.txt`.

The sums inside compressed files are checked by what reads them (`pipeline.sources.dump.lines`).
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from chronofacts.pipeline.sources.dump.lines import DamagedDump
from chronofacts.schemas.errors import BadInput

__all__ = ["WrittenSum", "check_sum", "is_sums_file", "read_written_sum"]

log = logging.getLogger("chronofacts.refresh")

# strongest first; hexadecimal digits
_DIGITS = {"sha512": 128, "sha256": 64, "sha1": 40, "md5": 32}
_OF_ONE = re.compile(r".+\.(sha512|sha256|sha1|md5)(?:\.txt)?", re.IGNORECASE)
_OF_MANY = re.compile(r"(?:.*[-_.])?(sha512|sha256|sha1|md5)sums?(?:\.txt)?", re.IGNORECASE)
_LARGEST = 16 << 20  # bytes; a list of sums is far smaller


class WrittenSum(NamedTuple):
    """What a file's sum should be, and the file that says so."""

    algorithm: str
    digest: str
    written_in: Path


def is_sums_file(name: str) -> bool:
    """True for the name of a file of checksums, which is no part of a dump."""
    return _OF_ONE.fullmatch(name) is not None or _OF_MANY.fullmatch(name) is not None


def read_written_sum(path: Path) -> WrittenSum | None:
    """The strongest sum of this file that stands in a file beside it; None where there is none.

    Raises BadInput for a file `X.sha1` (and the like) that holds no such sum.
    """
    return min(_find_sums(path), key=lambda found: list(_DIGITS).index(found.algorithm), default=None)


def check_sum(path: Path) -> None:
    """Compare a file with the sum that is written beside it, if any; reads the file once.

    Raises DamagedDump when they differ.
    """
    wanted = read_written_sum(path)
    if wanted is None:
        return
    log.info("comparing %s with its %s in %s", path.name, wanted.algorithm, wanted.written_in.name)
    try:
        with path.open("rb", buffering=0) as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.new(wanted.algorithm, usedforsecurity=False))
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror or error})") from error
    if digest.hexdigest() != wanted.digest:
        raise DamagedDump(
            f"{path} is not the file that {wanted.written_in.name} speaks of (its {wanted.algorithm} differs); "
            "fetch it again, or use what can be read with --keep-damaged"
        )


def _find_sums(path: Path) -> Iterator[WrittenSum]:
    for file in sorted(path.absolute().parent.iterdir()):
        of_one, of_many = _OF_ONE.fullmatch(file.name), _OF_MANY.fullmatch(file.name)
        kind = of_one or of_many
        ours = of_many or file.name.lower().removesuffix(".txt") == f"{path.name}.{kind[1]}".lower() if kind else False
        if kind is None or not ours or not file.is_file() or file.stat().st_size > _LARGEST:
            continue
        algorithm = kind[1].lower()
        digest = _digest_of(file, path.name, _DIGITS[algorithm], bare=of_many is None)
        if digest is not None:
            yield WrittenSum(algorithm, digest, file)
        elif of_many is None:
            raise BadInput(f"{file} holds no {algorithm} of {path.name}; fetch it again, or take it away")


def _digest_of(file: Path, name: str, digits: int, bare: bool) -> str | None:
    """The sum of `name` by a line `SUM  NAME` (`*NAME` when read as bytes), or by `SUM` alone where that is allowed."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, rest = line.strip().partition(" ")
        if len(digest) != digits or not re.fullmatch(r"[0-9a-fA-F]+", digest):
            continue
        named = rest.strip().removeprefix("*").rpartition("/")[2]
        if named == name or (bare and not named):
            return digest.lower()
    return None
