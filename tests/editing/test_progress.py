"""What is reported of long work: seldom, and with the time left."""

from __future__ import annotations

from chronofacts.editing.progress import Progress


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
