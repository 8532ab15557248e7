"""What a timeline says of one statement on a day is the three-valued truth of DESIGN, "The meaning of time"."""

from __future__ import annotations

import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.timelines.build import values_at
from chronofacts.schemas.catalogue import load_catalogue
from tests.pipeline.timelines.statement_world import world
from tests.pipeline.whole_tables import draw_timelines

CATALOGUE = load_catalogue().select(["office_holder"])
AS_OF = datetime.date(2025, 1, 1)
CERTAINTY = {"yes": ["certain"], "maybe": ["unknown"], "no": []}


@st.composite
def dates(draw: st.DrawFn) -> str:
    """A day, a month or a year, as `statement_world` spells it."""
    day = draw(st.dates(datetime.date(1990, 1, 1), datetime.date(2024, 12, 31))).isoformat()
    return day[: draw(st.sampled_from((4, 7, 10)))]


def days_of(date: str) -> tuple[datetime.date, datetime.date]:
    """The first and the last day that a date may mean."""
    year, month, day = (*map(int, date.split("-")), 0, 0)[:3]
    if day:
        return datetime.date(year, month, day), datetime.date(year, month, day)
    after = datetime.date(year + (month == 12 or not month), month % 12 + 1 if month else 1, 1)
    return datetime.date(year, month or 1, 1), after - datetime.timedelta(days=1)


def has_come(date: str, day: datetime.date) -> str:
    first, last = days_of(date)
    return "yes" if last <= day else "no" if first > day else "maybe"


def holds(start: str, end: str, day: datetime.date) -> str:
    """Validity is half-open: on the day of its end a statement no longer holds."""
    begun = has_come(start, day)
    ended = {"none": "no", "unknown": "maybe"}.get(end) or has_come(end, day)
    if begun == "no" or ended == "yes":
        return "no"
    return "yes" if (begun, ended) == ("yes", "no") else "maybe"


@settings(max_examples=25, deadline=None)
@given(dates(), st.one_of(dates(), st.sampled_from(("none", "unknown"))), st.lists(st.dates(
    datetime.date(1989, 1, 1), AS_OF), min_size=1, max_size=5))  # fmt: skip
def test_a_value_is_certain_when_it_holds_for_every_day_that_its_dates_may_mean(
    start: str, end: str, days: list[datetime.date]
) -> None:
    if end not in ("none", "unknown") and days_of(end)[0] <= days_of(start)[1]:
        start, end = end, start
    if end not in ("none", "unknown") and days_of(end)[0] <= days_of(start)[1]:
        end = "none"  # neither certainly follows the other
    timelines, _ = draw_timelines(*world().office("Q1").held_by("Q2", start, end).tables(), CATALOGUE, AS_OF)
    days += [day for date in (start, end) if date[0].isdigit() for day in days_of(date)]
    for day in days:
        found = values_at(timelines, day)["certainty"].to_pylist()
        assert found == CERTAINTY[holds(start, end, day)], (start, end, day)
