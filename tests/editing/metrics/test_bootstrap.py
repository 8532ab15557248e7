"""Intervals against closed forms, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.editing.metrics.bootstrap import paired_differences, share_interval


def ones(right: int, count: int) -> np.ndarray:
    return np.array([1.0] * right + [0.0] * (count - right))


def names(count: int, each: int = 1) -> list[str]:
    return [f"e{number // each}" for number in range(count)]


def test_all_right_and_all_wrong_are_as_sure_as_wilson_says() -> None:
    assert share_interval(ones(60, 60), names(60)) == pytest.approx((0.9398, 1.0), abs=0.0005)
    assert share_interval(ones(0, 60), names(60)) == pytest.approx((0.0, 0.0602), abs=0.0005)
    assert share_interval(ones(1, 1), names(1)) == pytest.approx((0.2065, 1.0), abs=0.0005)


def test_a_question_a_fact_is_wilsons_interval() -> None:
    assert share_interval(ones(45, 60), names(60)) == pytest.approx((0.6277, 0.8422), abs=0.001)


def test_more_questions_about_the_same_facts_make_nothing_surer() -> None:
    once, often = share_interval(ones(45, 60), names(60)), share_interval(ones(180, 240), names(240, each=4))
    assert often == pytest.approx(once, abs=0.002)
    assert share_interval(ones(240, 240), names(240, each=4)) == pytest.approx((0.9398, 1.0), abs=0.0005)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=60))
def test_the_interval_holds_the_share_and_has_a_width(answers: list[tuple[bool, int]]) -> None:
    values = np.array([float(right) for right, _ in answers])
    low, high = share_interval(values, [str(fact) for _, fact in answers])
    assert 0 <= low <= values.mean() <= high <= 1 and high - low > 0.01


@pytest.mark.parametrize("truth", [0.5, 0.9, 0.98])
def test_nineteen_of_twenty_intervals_hold_the_truth(truth: float) -> None:
    """Facts of four questions each that mostly stand or fall together."""
    chance = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        fact = np.repeat(chance.random(50) < truth, 4)
        own = chance.random(200) < truth
        low, high = share_interval(np.where(chance.random(200) < 0.8, fact, own).astype(float), names(200, each=4))
        held += low <= truth <= high
    assert held / 400 >= 0.92


def test_a_difference_is_of_the_same_questions() -> None:
    """Both answer half of the questions: the same half, or the other one."""
    half, other = ones(30, 60), 1 - ones(30, 60)
    same, apart = paired_differences(np.array([half, half]), np.array([half, other]), names(60), 0, "d")
    assert same[0] == apart[0] == 0.0
    assert same[2] - same[1] < 0.12 and apart[2] - apart[1] > 0.4


def test_a_difference_of_facts_that_are_all_alike_is_not_certain() -> None:
    ((mean, low, high),) = paired_differences(ones(60, 60)[None], ones(0, 60)[None], names(60), 0, "d")
    assert (mean, high) == (1.0, 1.0) and 0.85 < low < 0.99
