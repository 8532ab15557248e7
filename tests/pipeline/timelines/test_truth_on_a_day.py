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


@st.composite
def tenures(draw: st.DrawFn) -> tuple[str, str]:
    """A start and an end that follows it, or "none" or "unknown"."""
    start, end = draw(dates()), draw(st.one_of(dates(), st.sampled_from(("none", "unknown"))))
    if end in ("none", "unknown"):
        return start, end
    for first, last in ((start, end), (end, start)):
        if days_of(last)[0] > days_of(first)[1]:
            return first, last
    return start, "none"  # neither certainly follows the other


# Each world has many offices, one statement each, since drawing a world takes longer than all that is looked up in it.
@settings(max_examples=8, deadline=None)
@given(
    st.lists(tenures(), min_size=8, max_size=20),
    st.lists(st.dates(datetime.date(1989, 1, 1), AS_OF), min_size=1, max_size=4),
)
def test_a_value_is_certain_when_it_holds_for_every_day_that_its_dates_may_mean(
    told: list[tuple[str, str]], days: list[datetime.date]
) -> None:
    made = world()
    for number, (start, end) in enumerate(told):
        made.office(f"Q1{number:02}").held_by(f"Q2{number:02}", start, end)
    timelines, _ = draw_timelines(*made.tables(), CATALOGUE, AS_OF)
    bounds = [day for tenure in told for date in tenure if date[0].isdigit() for day in days_of(date)]
    for day in {*days, *bounds}:
        found: dict[str, list[str]] = {}
        for row in values_at(timelines, day).to_pylist():
            found.setdefault(row["subject"], []).append(row["certainty"])
        for number, (start, end) in enumerate(told):
            assert found.get(f"Q1{number:02}", []) == CERTAINTY[holds(start, end, day)], (start, end, day)
