"""What is fuzzed by coverage is met here by what was found once, and by Hypothesis."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
SEEDS = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("file", SEEDS, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_was_found_once_is_met(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())


def test_every_target_has_a_corpus() -> None:
    assert {file.parent.name for file in SEEDS} == set(TARGETS)


def mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """A seed with a few bytes taken away, put in or repeated."""
    cuts = st.tuples(st.integers(0, len(seed)), st.integers(0, 40), st.binary(max_size=12))

    def change(several: list[tuple[int, int, bytes]]) -> bytes:
        text = seed
        for at, length, other in several:
            text = text[:at] + other + text[at + length :]
        return text

    return st.lists(cuts, min_size=1, max_size=4).map(change)


def values(depth: int = 3) -> st.SearchStrategy[Any]:
    """Anything that JSON can say."""
    words = st.sampled_from(["id", "claims", "P39", "value", "snaktype", "labels", "en", "prompt", "target", "files"])
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4), max_leaves=12
    )


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_anything_at_all_ends_well_or_in_an_error_of_ours(name: str) -> None:
    target: Callable[[bytes], None] = TARGETS[name]
    seeds = [file.read_bytes() for file in SEEDS if file.parent.name == name]
    near = st.sampled_from(seeds).flatmap(mutated)
    written = values().map(lambda value: json.dumps(value).encode("utf-8", "replace"))

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(data=near | st.binary(max_size=200) | written)
    def check(data: bytes) -> None:
        target(data)

    check()
