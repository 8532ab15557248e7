"""What each plot shows: its values read back from the SVG, and the names beside them."""

from __future__ import annotations

import datetime

import pytest

from chronofacts.editing.metrics.staleness import Cutoff, Month
from chronofacts.editing.report import plots
from chronofacts.editing.report.drawing import colour
from chronofacts.editing.report.runs import Interval
from tests.editing.report.plot_reader import read_plot

NONE, FIRST, SECOND = colour(0), colour(1), colour(2)


def figure(value: float, around: float = 0.1) -> Interval:
    return Interval(value, value - around, value + around, 10)


STATES = [
    ("none", {"edit_success": figure(0.1), "locality": figure(0.9), "history": figure(0.8)}),
    ("lora", {"edit_success": figure(0.85), "history": figure(0.3)}),
]


def test_bars_are_as_high_as_their_figures_with_whiskers_over_their_intervals() -> None:
    plot = read_plot(lambda: plots.metric_bars(STATES))
    assert plot.bars(NONE) == pytest.approx([0.1, 0.9, 0.8], abs=0.002)
    assert plot.bars(FIRST) == pytest.approx([0.85, 0.3], abs=0.002)
    assert plot.whiskers()[0] == pytest.approx((0.0, 0.2), abs=0.002) and len(plot.whiskers()) == 5
    assert "share of the questions" in plot.texts
    assert list(plot.ticks("x")) == ["edit success ↑", "locality ↑", "history ↑"]
    assert plot.texts[-2:] == ["none", "lora"]


def test_lying_bars_show_the_first_relations_and_nothing_for_a_state_without_one() -> None:
    relations = {f"relation {number}": figure(number / 20) for number in range(15)}
    plot = read_plot(lambda: plots.relation_bars([("lora", relations), ("memory", {"relation 3": figure(0.5)})]))
    assert list(plot.ticks("y")) == [f"relation {number}" for number in range(12)]
    assert plot.bars(FIRST, lying=True) == pytest.approx([number / 20 for number in range(12)], abs=0.002)
    assert plot.bars(SECOND, lying=True) == pytest.approx([0, 0, 0, 0.5, *([0] * 8)], abs=0.002)


def test_learning_stands_against_remembering_for_states_that_have_both() -> None:
    plot = read_plot(lambda: plots.trade_off([*STATES, ("memory", {"edit_success": figure(1.0)})]))
    assert plot.points(NONE) == [pytest.approx((0.1, 0.8), abs=0.002)]
    assert plot.points(FIRST) == [pytest.approx((0.85, 0.3), abs=0.002)]
    assert {"edit success ↑ (share of the questions)", "history ↑ (share of the questions)", "none", "lora"} <= set(
        plot.texts
    ) and "memory" not in plot.texts


def test_beside_a_name_stands_the_marker_of_its_points_and_no_error_bar_that_would_change_its_shape() -> None:
    times = [(label, 5.0, values["edit_success"]) for label, values in STATES]
    for plot in (read_plot(lambda: plots.trade_off(STATES)), read_plot(lambda: plots.training_time(times))):
        assert plot.legend_symbols(FIRST) == ["use"]
        assert plot.whiskers()


def test_before_and_after_has_a_row_for_each_metric_and_a_point_for_each_state_that_has_it() -> None:
    plot = read_plot(lambda: plots.before_and_after(STATES))
    assert list(plot.ticks("y")) == ["edit success ↑", "locality ↑", "history ↑"]
    assert [x for x, _ in plot.points(NONE)] == pytest.approx([0.1, 0.9, 0.8], abs=0.002)
    assert [x for x, _ in plot.points(FIRST)] == pytest.approx([0.85, 0.3], abs=0.002)


def test_seconds_are_told_as_plain_numbers_and_an_edit_without_any_is_not_shown() -> None:
    points = [("lora", 5.0, figure(0.9)), ("memory", 0.0, figure(1.0)), ("freeze", 50.0, figure(0.4))]
    plot = read_plot(lambda: plots.training_time(points))
    assert [y for _, y in plot.points(FIRST)] == pytest.approx([0.9], abs=0.002) and plot.points(SECOND) == []
    assert [y for _, y in plot.points(colour(3))] == pytest.approx([0.4], abs=0.002)
    assert {"10", "100"} <= set(plot.ticks("x")) and "memory" not in plot.texts


def test_a_forgetting_curve_shows_each_chunk_at_once_and_at_the_end() -> None:
    curve = {"success_at_once": {1: figure(0.9), 0: figure(1.0)}, "success_at_end": {0: figure(0.2), 1: figure(0.7)}}
    plot = read_plot(lambda: plots.forgetting_curve([("lora", curve), ("memory", {})]))
    assert plot.points(FIRST) == [pytest.approx(at, abs=0.002) for at in ((1, 1.0), (2, 0.9), (1, 0.2), (2, 0.7))]
    assert plot.texts[-2:] == ["lora, success at once", "lora, success at end"]


def test_staleness_shows_the_answers_of_each_month_and_leaves_out_a_month_without_old_answers() -> None:
    days = [datetime.date(2021, month, 1) for month in (1, 2, 3)]
    found = [
        Month(days[0], 4, 0.75, 0.25, 4, 0.9),
        Month(days[1], 2, 0.5, None, 0, None),
        Month(days[2], 8, 0.0, 1.0, 8, 0.1),
    ]
    cutoff = Cutoff(days[1], days[0], days[2], 0.75, 0.0)
    plot = read_plot(lambda: plots.staleness(found, cutoff, "0"))
    assert [y for _, y in plot.points(SECOND)] == pytest.approx([0.75, 0.5, 0.0], abs=0.002)
    assert [y for _, y in plot.points(FIRST)] == pytest.approx([0.25, 1.0], abs=0.002)
    assert plot.texts[-3:] == ["gives the new answer", "gives the outdated one", "finds the new one likelier"]


def test_balance_over_time_is_in_the_order_of_the_days() -> None:
    days = [datetime.date(2025, month, 1) for month in (1, 4, 7)]
    lines = {"llama / lora": [(days[2], 0.5), (days[0], 0.9), (days[1], 0.7)]}
    plot = read_plot(lambda: plots.over_time(lines))
    shown = plot.points(FIRST)
    assert [y for _, y in shown] == pytest.approx([0.9, 0.7, 0.5], abs=0.002)
    assert shown == sorted(shown) and "llama / lora" in plot.texts


def test_where_there_is_nothing_to_compare_there_is_no_plot() -> None:
    day = datetime.date(2025, 1, 1)
    drawn = [
        plots.metric_bars([]), plots.grouped_bars(STATES, [], [], "hops"), plots.relation_bars([]), plots.trade_off([]),
        plots.training_time([]), plots.before_and_after(STATES[:1]), plots.forgetting_curve([("lora", {})]),
        plots.staleness([Month(day, 1, 1.0, None, 0, None)], None, "0"), plots.over_time({"lora": [(day, 0.5)]}),
    ]  # fmt: skip
    assert drawn == [""] * 9


def test_names_are_shown_as_they_are_in_one_line_and_not_too_long() -> None:
    names = ["_hidden", "two\nlines", "$\\frac{1}$", "x" * 60]
    plot = read_plot(lambda: plots.metric_bars([(name, {"edit_success": figure(0.5)}) for name in names]))
    assert [text.strip() for text in plot.texts[-4:]] == ["_hidden", "two lines", "$\\frac{1}$", "x" * 39 + "…"]
