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


def begin(steps: int) -> tuple[list[float], list[str], SteadyReport, Progress]:
    """A clock to be set, the lines so far, and a training whose progress they tell."""
    now, lines = [0.0], list[str]()
    report = SteadyReport(lines.append, lambda: now[0])
    return now, lines, report, Progress(report, "training: step", steps, lambda: now[0])


def test_long_work_is_reported_before_ten_seconds_are_over_with_the_time_left() -> None:
    assert reported(10, 3.0) == [
        "training: step 3 of 10, loss 0.50, at most 21 s left",
        "training: step 6 of 10, loss 0.50, at most 12 s left",
        "training: step 9 of 10, loss 0.50, at most 3 s left",
    ]


def test_short_work_is_not_reported_and_very_long_work_in_minutes_and_hours() -> None:
    assert reported(10, 0.7) == []
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
    now, lines, report, progress = begin(10)
    now[0] = 6.0
    progress.update(3, ", loss 0.50")
    for now[0] in (12.0, 22.0):
        report.remind()
    assert lines == [
        "training: step 3 of 10, loss 0.50, at most 14 s left",
        "still training: step 3 of 10, loss 0.50, at most 14 s left (16 s so far)",
    ]


def test_steps_that_end_between_reminders_are_told_as_steps_and_not_as_one_that_goes_on() -> None:
    now, lines, report, progress = begin(100)
    for step in range(1, 12):  # of five seconds each, with a reminder at every second
        for _ in range(5):
            now[0] += 1.0
            report.remind()
        progress.update(step)
    assert [line.split(",")[0] for line in lines] == [f"training: step {step} of 100" for step in (1, 3, 5, 7, 9)]


def test_what_a_reminder_has_just_said_is_not_said_again_at_the_end_of_the_step() -> None:
    now, lines, report, progress = begin(10)
    for now[0], done in ((6.0, 1), (12.0, None), (12.5, 2), (19.0, 3), (21.0, 4)):
        report.remind() if done is None else progress.update(done)
    assert lines == [
        "training: step 1 of 10, at most 54 s left",
        "training: step 4 of 10, at most 32 s left",
    ]


def test_a_thread_reminds_while_one_call_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chronofacts.editing.progress.EVERY_S", 1.0)
    said = threading.Event()
    with steady(lambda line: said.set() if line.startswith("still reading") else None) as report:
        report("reading a file")
        assert said.wait(20)
    assert not any(thread.name == "progress" for thread in threading.enumerate())


def test_no_time_is_told_of_the_first_hundredth_of_the_work() -> None:
    assert reported(1000, 1.2)[:2] == [
        "training: step 7 of 1000, loss 0.50",
        "training: step 14 of 1000, loss 0.50, at most 20 min left",
    ]
