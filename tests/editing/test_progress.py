"""What is reported of long work: seldom, and with the time left."""

from __future__ import annotations

import threading

import pytest

from chronofacts.editing.progress import Progress, SteadyReport, steady


def reported(total: int, seconds_each: float) -> list[str]:
    now, lines = [0.0], []
    progress = Progress(lines.append, "training: step", total, lambda: now[0])
    for done in range(1, total + 1):
        now[0] += seconds_each
        progress.update(done, ", loss 0.50")
    return lines


def test_long_work_is_reported_every_ten_seconds_with_the_time_left() -> None:
    assert reported(10, 4.0) == [
        "training: step 3 of 10, loss 0.50, at most 28 s left",
        "training: step 6 of 10, loss 0.50, at most 16 s left",
        "training: step 9 of 10, loss 0.50, at most 4 s left",
    ]


def test_short_work_is_not_reported_and_very_long_work_in_minutes_and_hours() -> None:
    assert reported(10, 0.9) == []
    assert reported(100, 60.0)[0].endswith("at most 1.6 h left")
    assert reported(20, 60.0)[0].endswith("at most 19 min left")


def test_a_long_silence_is_broken_by_what_is_still_being_done() -> None:
    now, lines = [0.0], []
    report = SteadyReport(lines.append, lambda: now[0])
    report("loading a model")
    for now[0] in (4.0, 9.0, 11.0, 15.0, 22.0):
        report.remind()
    assert lines == [
        "loading a model",
        "still loading a model (11 s so far)",
        "still loading a model (22 s so far)",
    ]


def test_a_reminder_says_how_far_the_work_has_come_since_the_last_line() -> None:
    now, lines = [0.0], []
    report = SteadyReport(lines.append, lambda: now[0])
    progress = Progress(report, "training: step", 10, lambda: now[0])
    now[0] = 6.0
    progress.update(3, ", loss 0.50")
    now[0] = 12.0
    report.remind()
    assert lines == ["still training: step 3 of 10, loss 0.50, at most 14 s left (12 s so far)"]


def test_a_thread_reminds_while_one_call_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronofacts.editing.progress.EVERY_S", 1.0)
    said = threading.Event()
    with steady(lambda line: said.set() if line.startswith("still reading") else None) as report:
        report("reading a file")
        assert said.wait(20)
    assert not any(thread.name == "progress" for thread in threading.enumerate())


def test_no_time_is_told_of_the_first_hundredth_of_the_work() -> None:
    assert reported(1000, 1.2)[:2] == [
        "training: step 9 of 1000, loss 0.50",
        "training: step 18 of 1000, loss 0.50, at most 20 min left",
    ]
