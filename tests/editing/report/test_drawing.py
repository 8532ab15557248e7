"""What stands under and beside a plot can be read."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from chronofacts.editing.report.drawing import set_ticks
from chronofacts.editing.report.names import heading
from chronofacts.editing.report.plots import NORMAL, SHOWN

NAMES = st.lists(st.text("abehiknorstu", min_size=3, max_size=14), min_size=2, max_size=12)


def upright_names_overlap(names: list[str]) -> bool:
    figure = Figure(figsize=NORMAL, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    axes.tick_params(labelsize=11)  # as `draw` sets letters
    axes.set_xlim(-0.5, len(names) - 0.5)
    set_ticks(axes, range(len(names)), names)
    canvas.draw()
    labels = axes.get_xticklabels()
    boxes = [label.get_window_extent() for label in labels]
    return labels[0].get_rotation() == 0 and any(one.x1 > other.x0 for one, other in pairwise(boxes))


def test_the_names_of_all_metrics_do_not_run_into_each_other() -> None:
    assert not upright_names_overlap([heading(metric).replace(" ", "\n") for metric in SHOWN])


@settings(max_examples=40, deadline=None)
@given(NAMES)
def test_names_under_an_axis_do_not_run_into_each_other(names: list[str]) -> None:
    assert not upright_names_overlap(names)
