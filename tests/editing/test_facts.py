"""Which facts a part of a snapshot takes: each relation's share, and of two parts the larger holds the smaller."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.editing.facts import choose_facts
from chronofacts.schemas.tables import EDITS


def edits_of(sizes: list[int]) -> pa.Table:
    """So many edits of each relation, all of other subjects."""
    rows = [
        {
            "edit_id": f"{relation}-{n}",
            "subject": f"Q{relation}-{n}",
            "relation": f"r{relation}",
            "kind": "modification",
        }
        | {"prompt": f"Who is r{relation} of {n}?", "target_new": "Ada"}
        for relation, size in enumerate(sizes)
        for n in range(size)
    ]
    return pa.Table.from_pylist(rows, schema=EDITS)


sizes = st.lists(st.integers(1, 30), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(0, 9), st.integers(1, 60), st.integers(1, 60))
def test_a_larger_part_holds_the_smaller_one(sizes: list[int], seed: int, one: int, other: int) -> None:
    edits = edits_of(sizes)
    small, large = (set(choose_facts(edits, n, seed)["edit_id"].to_pylist()) for n in sorted((one, other)))
    assert small <= large
    assert len(large) == min(max(one, other), edits.num_rows)


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(0, 9), st.integers(1, 100))
def test_each_relation_has_its_share_of_a_part(sizes: list[int], seed: int, most: int) -> None:
    edits = edits_of(sizes)
    chosen = choose_facts(edits, most, seed)
    counted = Counter(chosen["relation"].to_pylist())
    for relation, size in enumerate(sizes):
        share = size * chosen.num_rows / edits.num_rows
        assert abs(counted[f"r{relation}"] - share) < len(sizes) + 1


def test_another_seed_takes_other_facts() -> None:
    edits = edits_of([40, 20])
    assert not choose_facts(edits, 10, 0).equals(choose_facts(edits, 10, 1))
