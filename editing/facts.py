"""Which edits say one and the same, and what kind of change a fact is.

Each value that joined or left a subject's set is an edit of its own, but they share their question and the whole new
answer: for an editor and for statistics they are one *fact*, named by the lowest of their ids. Any other edit is a fact
by itself.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["Change", "changes_of", "choose_facts", "drop_duplicates", "facts_of", "spread_evenly"]

SAME = ("subject", "relation", "prompt", "target_new")
"""Edits that agree in these are one fact."""


@dataclass(frozen=True)
class Change:
    """What happened to a fact."""

    kind: str | None
    """modification, injection, update, addition or removal; `addition+removal` where both happened to one set."""
    before: str | None
    """known, nobody or unknown"""
    first: datetime.date | None
    """Of the days on which it may have happened; of several changes, the first of all."""
    last: datetime.date | None
    new_names: tuple[str, ...] = ()
    """Of what is there now and was not before, under all names."""
    old_names: tuple[str, ...] = ()


def facts_of(edits: pa.Table) -> dict[str, str]:
    """Edit id -> the fact that it belongs to. edits: `tables.EDITS`."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for edit_id, *same in _columns(edits, "edit_id", *SAME):
        groups.setdefault(tuple(same), []).append(edit_id)
    return {edit_id: min(ids) for ids in groups.values() for edit_id in ids}


def drop_duplicates(edits: pa.Table) -> pa.Table:
    """One edit of every fact, in the order of the table."""
    facts = facts_of(edits)
    if len(set(facts.values())) == edits.num_rows:
        return edits
    return edits.filter(pa.array([facts[edit_id] == edit_id for edit_id in edits["edit_id"].to_pylist()], pa.bool_()))


def choose_facts(edits: pa.Table, most: int | None, seed: int) -> pa.Table:
    """All edits of so many facts by chance (None: of all), in the order of the table.

    Each relation and kind of change has its share, as nearly as so many facts allow. The same seed with a greater
    number chooses the same facts and more.
    """
    facts = facts_of(edits)
    chosen = set(_stratified_order(drop_duplicates(edits), seed)[:most])
    return edits.filter(pa.array([facts[edit_id] in chosen for edit_id in edits["edit_id"].to_pylist()], pa.bool_()))


def _stratified_order(facts: pa.Table, seed: int) -> list[str]:
    """Ids of the facts in an order of which every beginning has about the shares of the whole."""
    strata: dict[tuple[str, ...], list[str]] = {}
    for edit_id, relation, kind in _columns(facts, "edit_id", "relation", "kind"):
        strata.setdefault((relation or "", kind or ""), []).append(edit_id)
    return spread_evenly(strata, seed)


def spread_evenly(strata: Mapping[tuple[str, ...], Sequence[str]], seed: int) -> list[str]:
    """The members of all strata in an order of which every beginning has about the shares of the whole.

    The members of a stratum are shuffled and spread evenly, from a random place on (systematic sampling).
    """
    generator = np.random.default_rng(seed)
    places: list[tuple[float, str]] = []
    for stratum in sorted(strata):
        members = generator.permutation(strata[stratum]).tolist()
        first = generator.random()
        places += [((first + number) / len(members), edit_id) for number, edit_id in enumerate(members)]
    return [edit_id for _, edit_id in sorted(places)]


def changes_of(edits: pa.Table) -> dict[str, Change]:
    """Edit id -> what happened to the fact that it belongs to. edits: `tables.EDITS`."""
    facts = facts_of(edits)
    several: dict[str, list[tuple[str | None, ...]]] = {}
    for edit_id, *values in _columns(edits, "edit_id", "kind", "before", "changed_on_earliest", "changed_on_latest"):
        several.setdefault(facts[edit_id], []).append(tuple(values))
    sides: dict[str, dict[str, list[str]]] = {fact: {"new": [], "old": []} for fact in several}
    for side in ("new", "old"):
        for edit_id, label, aliases in _columns(edits, "edit_id", f"{side}_label", f"{side}_aliases"):
            sides[facts[edit_id]][side] += [name for name in (label, *(aliases or ())) if name]
    found = {}
    for fact, members in several.items():
        kinds, befores, firsts, lasts = (
            [one for one in column if one is not None] for column in zip(*members, strict=True)
        )
        whole = len(firsts) == len(lasts) == len(members)
        days = (min(firsts), max(lasts)) if whole else (None, None)
        names = [tuple(dict.fromkeys(sides[fact][side])) for side in ("new", "old")]
        found[fact] = Change(
            "+".join(sorted(set(kinds))) or None, "+".join(sorted(set(befores))) or None, *days, *names
        )
    return {edit_id: found[fact] for edit_id, fact in facts.items()}


def _columns(edits: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(edits[name].to_pylist() for name in names), strict=True))
