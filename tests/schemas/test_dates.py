"""Dates as intervals of days."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.schemas.dates import (
    ABSENT,
    Bound,
    DayInterval,
    combine,
    days_from_gregorian,
    days_from_julian,
    gregorian,
    parse_day,
    read_json_time,
    read_rdf_time,
    spell_days,
    spell_interval,
    tell_days,
    to_day_number,
)
from chronofacts.schemas.errors import BadInput

GREGORIAN = "http://www.wikidata.org/entity/Q1985727"
JULIAN = "http://www.wikidata.org/entity/Q1985786"

day_numbers = st.integers(-200_000, 60_000)


@st.composite
def intervals(draw: st.DrawFn) -> DayInterval:
    first = draw(day_numbers)
    return DayInterval(first, first + draw(st.integers(0, 400)), 9)


@st.composite
def bounds(draw: st.DrawFn) -> Bound:
    kind = draw(st.sampled_from(["known", "none", "unknown", "absent"]))
    return Bound(kind, draw(intervals())) if kind == "known" else Bound(kind)


def day(text: str) -> int:
    return to_day_number(datetime.date.fromisoformat(text))


def read(time: str, precision: int = 11, calendar: str = GREGORIAN) -> DayInterval:
    date = read_json_time(time, precision, calendar)
    assert isinstance(date, DayInterval), date
    return date


@given(st.dates())
def test_day_numbers_are_those_of_the_standard_library(date: datetime.date) -> None:
    number = days_from_gregorian(date.year, date.month, date.day)
    assert number == to_day_number(date)
    assert gregorian(number) == (date.year, date.month, date.day)


def test_the_julian_calendar_ends_where_the_gregorian_began() -> None:
    assert days_from_julian(1582, 10, 5) == days_from_gregorian(1582, 10, 15)
    assert days_from_julian(1917, 10, 25) == days_from_gregorian(1917, 11, 7)


def test_a_precision_of_day_month_or_year_gives_that_many_days() -> None:
    assert read("+2022-04-01T00:00:00Z") == DayInterval(day("2022-04-01"), day("2022-04-01"), 11)
    assert read("+2022-04-01T00:00:00Z", 10) == DayInterval(day("2022-04-01"), day("2022-04-30"), 10)
    assert read("+2022-04-01T00:00:00Z", 9) == DayInterval(day("2022-01-01"), day("2022-12-31"), 9)


def test_a_part_written_00_is_unknown_whatever_the_precision_says() -> None:
    assert read("+2022-00-00T00:00:00Z", 11).precision == 9
    assert read("+2022-05-00T00:00:00Z", 11) == read("+2022-05-01T00:00:00Z", 10)


def test_a_date_coarser_than_a_year_is_kept_and_decides_nothing() -> None:
    decade = read("+1990-00-00T00:00:00Z", 8)
    assert decade.precision == 8 and not decade.decides


def test_a_february_of_a_leap_year_has_29_days() -> None:
    assert read("+2024-02-00T00:00:00Z", 10).latest == day("2024-02-29")
    assert read("+1900-02-00T00:00:00Z", 10).latest == day("1900-02-28")


def test_years_before_1_are_read_from_both_forms() -> None:
    json_form = read("-0044-03-15T00:00:00Z")
    assert json_form == read_rdf_time("-0043-03-15T00:00:00Z", 11, GREGORIAN)
    assert json_form.earliest == days_from_gregorian(-43, 3, 15)


def test_a_julian_day_is_converted_once_in_json_and_is_already_converted_in_rdf() -> None:
    converted = DayInterval(day("1917-11-07"), day("1917-11-07"), 11)
    assert read("+1917-10-25T00:00:00Z", 11, JULIAN) == converted
    assert read_rdf_time("1917-11-07T00:00:00Z", 11, JULIAN) == converted


@pytest.mark.parametrize(
    ("time", "precision", "calendar", "fault"),
    [
        ("2022-04-01", 11, GREGORIAN, "malformed_time"),
        ("+0000-00-00T00:00:00Z", 9, GREGORIAN, "malformed_time"),
        ("+2022-13-01T00:00:00Z", 11, GREGORIAN, "malformed_time"),
        ("+2022-01-01T00:00:00Z", 77, GREGORIAN, "malformed_time"),
        ("+20220-01-01T00:00:00Z", 11, GREGORIAN, "absurd_year"),
        ("+2022-01-01T00:00:00Z", 11, "http://www.wikidata.org/entity/Q12138", "unknown_calendar"),
    ],
)
def test_what_does_not_read_as_a_date_is_a_fault_by_name(time: str, precision: int, calendar: str, fault: str) -> None:
    assert read_json_time(time, precision, calendar) == fault


@given(st.integers(-3000, 3000).filter(bool), st.integers(1, 12), st.integers(1, 28), st.integers(9, 11), st.booleans())
def test_the_json_and_the_rdf_form_of_one_date_agree(
    year: int, month: int, dom: int, precision: int, is_julian: bool
) -> None:
    """The RDF form is made here by the exporter's rules (Wikibase DateTimeValueCleaner)."""
    calendar = JULIAN if is_julian else GREGORIAN
    astronomical = year + 1 if year < 0 else year
    rdf = (astronomical, month, dom) if precision == 11 else (astronomical, month if precision == 10 else 1, 1)
    if is_julian and precision == 11:
        rdf = gregorian(days_from_julian(astronomical, month, dom))
    literal = f"{'-' if rdf[0] < 0 else ''}{abs(rdf[0]):04d}-{rdf[1]:02d}-{rdf[2]:02d}T00:00:00Z"
    stored = f"{'-' if year < 0 else '+'}{abs(year):04d}-{month:02d}-{dom:02d}T00:00:00Z"
    assert read_json_time(stored, precision, calendar) == read_rdf_time(literal, precision, calendar)


def test_several_dates_that_can_all_be_true_narrow_each_other() -> None:
    year, exact = read("+2019-00-00T00:00:00Z", 9), read("+2019-05-03T00:00:00Z")
    assert combine([Bound("known", year), Bound("known", exact)]) == Bound("known", exact)


def test_several_dates_that_contradict_leave_their_hull() -> None:
    first, second = read("+2019-05-03T00:00:00Z"), read("+2020-05-03T00:00:00Z")
    bound = combine([Bound("known", first), Bound("known", second)])
    assert bound is not None and bound.date is not None
    assert (bound.date.earliest, bound.date.latest) == (first.earliest, second.latest)


@pytest.mark.parametrize(
    ("other", "precision"),
    [("+2019-05-03", 11), ("+2019-05-09", 10), ("+2019-06-01", 9), ("+2020-05-03", 8), ("-0044-05-03", 9)],
)
def test_a_hull_is_no_more_precise_than_the_unit_in_which_it_lies(other: str, precision: int) -> None:
    bound = combine([Bound("known", read("+2019-05-03T00:00:00Z")), Bound("known", read(f"{other}T00:00:00Z"))])
    assert bound is not None and bound.date is not None and bound.date.precision == precision


def test_a_date_beside_an_explicit_no_value_contradicts_it() -> None:
    assert combine([Bound("known", read("+2019-05-03T00:00:00Z")), Bound("none")]) is None
    assert combine([]) == ABSENT


@given(st.lists(intervals(), min_size=1, max_size=4))
def test_combined_dates_do_not_depend_on_their_order(dates: list[DayInterval]) -> None:
    told = [Bound("known", date) for date in dates]
    assert combine(told) == combine(told[::-1])


def test_a_date_is_spelled_alike_whatever_its_form() -> None:
    assert spell_interval(read("+1954-07-00T00:00:00Z", 10)) == "1954-07-01/1954-07-31"
    assert spell_interval(read("-0044-03-15T00:00:00Z")) == "-0043-03-15/-0043-03-15"


@pytest.mark.parametrize("text", ["2021-1-1", "yesterday", "2021-02-30", "", "2021-01-01T00:00:00Z"])
def test_a_malformed_option_names_itself_and_the_form(text: str) -> None:
    with pytest.raises(BadInput, match=r"--since .* YYYY-MM-DD"):
        parse_day(text, "--since")


@pytest.mark.parametrize(
    ("first", "last", "spelled", "told"),
    [
        ("2024-09-01", "2024-09-01", "2024-09-01", "on 2024-09-01"),
        ("2024-02-01", "2024-02-29", "2024-02", "in February 2024"),
        ("2024-01-01", "2024-12-31", "2024", "in 2024"),
        ("2024-09-03", "2024-10-02", "2024-09-03..2024-10-02", "between 2024-09-03 and 2024-10-02"),
        (None, None, "", ""),
    ],
)
def test_a_day_is_told_no_more_exactly_than_it_is_known(
    first: str | None, last: str | None, spelled: str, told: str
) -> None:
    days = [datetime.date.fromisoformat(day) if day else None for day in (first, last)]
    assert (spell_days(*days), tell_days(*days)) == (spelled, told)
