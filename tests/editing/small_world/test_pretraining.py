"""When pretraining stops (by steps and recall, never by the clock), and what it says of one that did not suffice."""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing.models.load import model_hash
from chronofacts.editing.runs.results import PreparedModel
from chronofacts.editing.small_world.pretrain import PretrainingReport, WorldSettings, pretrain
from chronofacts.editing.snapshot import Snapshot, load_snapshot
from tests.editing.invented_world import write_invented

TINY = WorldSettings(vocabulary=400, hidden=32, feed_forward=64, steps=30, check_every=10, sample=50)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return load_snapshot(write_invented(tmp_path_factory.mktemp("small") / "S", facts=8, edits=2, people=6))


def learn(snapshot: Snapshot, settings: WorldSettings = TINY) -> tuple[str, PretrainingReport]:
    model, _, report = pretrain(snapshot.sentences, snapshot.edits, snapshot.questions, settings)
    return model_hash(model), report


def test_a_clock_that_jumps_changes_neither_the_weights_nor_the_steps(
    small: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, report = learn(small)
    hours = itertools.count(0.0, 3600.0)
    for name in ("time", "monotonic", "perf_counter", "process_time"):
        monkeypatch.setattr(time, name, lambda: next(hours))
    again, slow = learn(small)
    assert slow.seconds >= 3600
    assert again == weights
    assert replace(slow, seconds=report.seconds) == report
    assert report.steps == TINY.steps


def test_another_seed_gives_other_weights(small: Snapshot) -> None:
    assert learn(small)[0] != learn(small, replace(TINY, seed=1))[0]


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_more_sentences_never_get_fewer_steps_and_never_more_than_the_bound(one: int, other: int) -> None:
    fewer, more = (WorldSettings().steps_for(count) for count in sorted((one, other)))
    assert 1000 <= fewer <= more <= 6000
    assert WorldSettings(steps=7).steps_for(one) == 7


def test_a_target_that_is_reached_stops_early_and_is_no_warning(small: Snapshot) -> None:
    _, report = learn(small, replace(TINY, target_recall=0.0))
    assert (report.steps, report.stopped, report.target_reached) == (TINY.check_every, "target", True)
    assert prepared(report).warnings == []


def test_a_target_that_is_not_reached_warns_with_its_figures_and_the_mend(small: Snapshot) -> None:
    _, report = learn(small)
    assert (report.stopped, report.target_reached, report.target_recall) == ("steps", False, 0.98)
    (warning,) = prepared(report).warnings
    for part in (f"knows {report.recall:.2f}", "after 30 steps", "target of 0.98", "--set world.steps=60", "--limit"):
        assert part in warning


def test_a_model_that_was_not_pretrained_here_warns_of_nothing() -> None:
    assert PreparedModel(None, None, "some/model", "0", {}, 0.0, 0.0).warnings == []


def prepared(report: PretrainingReport) -> PreparedModel:
    return PreparedModel(None, None, "small-world", "0", asdict(report), 0.0, 0.0)
