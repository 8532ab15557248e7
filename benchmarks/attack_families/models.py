"""Model folders, adapters, saved edits of strangers (`benchmarks.hostile_models`): loaded or told; no pickle opened."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.attack_families import LONGEST_LINE, Attack, Broken
from benchmarks.hostile_models import BOMB, Bases, Try, hostile_edits, hostile_models, make_bases, outcome


def attacks(folder: Path) -> Iterator[Attack]:
    bases = make_bases(folder / "bases")
    for number, one in enumerate([*hostile_models(bases), *hostile_edits(bases)]):
        yield Attack(one.name, partial(_load, one, bases, folder / str(number)))


def _load(one: Try, bases: Bases, place: Path) -> str:
    found = outcome(one, bases, place)
    if list(place.rglob(BOMB)):
        raise Broken("a pickle was opened")
    if not found.startswith(one.expected) or "\n" in found or len(found) > LONGEST_LINE:
        raise Broken(f"expected to be {one.expected}: {found[:200]!r}")
    return found
