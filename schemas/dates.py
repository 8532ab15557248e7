"""What a Wikidata date and an end can be: intervals of days.

A date is read from either of Wikidata's forms into one `DayInterval`, and several qualifiers of one
kind into one `Bound`. Days are integers, counted from 1970-01-01 in the proleptic Gregorian calendar
(Arrow's `date32`), so that years before 1 need no special type while something is decided; how a finished table
holds them is said in `schemas.tables`. A day after `LAST_DAY` is a fault.
Sources: DESIGN "The meaning of time"; Wikibase docs/topics/json.md and its DateTimeValueCleaner for
what the RDF form does to a stored date.
Leaves out: time zones and hours (Wikidata stores days), uncertainty given by `before`/`after`.
"""

from __future__ import annotations

import datetime
import re
from calendar import isleap, monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chronofacts.schemas.errors import BadInput

__all__ = [
    "ABSENT", "FIRST_DAY", "LAST_DAY", "MONTHS", "YEAR", "Bound", "DayInterval", "Fault", "check_dates", "combine",
    "gregorian", "parse_day", "read_json_time", "read_rdf_time", "spell_days", "spell_interval", "tell_days",
    "to_day_number",
]  # fmt: skip

EndKind = Literal["known", "none", "unknown", "absent"]
Fault = Literal["malformed_time", "absurd_year", "unknown_calendar"]

GREGORIAN = "Q1985727"
JULIAN = "Q1985786"
DAY, MONTH, YEAR, DECADE = 11, 10, 9, 8  # Wikidata's precision codes; 7 century, 6 millennium
MONTHS = (
    "", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
"""In English, by number; `calendar.month_name` has them in the language of the process."""
_FURTHEST_YEAR = 9999  # beyond it a date is a slip (or geology), not part of a timeline
FIRST_DAY, LAST_DAY = datetime.date.min, datetime.date.max
"""The days of years 1 to 9999: what Python, and so pandas and `datasets`, can hold."""
_EPOCH = datetime.date(1970, 1, 1).toordinal()
_ERA = 146_097  # days of 400 Gregorian years
_LAST_DAY_NUMBER = LAST_DAY.toordinal() - _EPOCH

_JSON_TIME = re.compile(r"([+-])(\d{1,16})-(\d\d)-(\d\d)T\d\d:\d\d:\d\dZ", re.ASCII)
_RDF_TIME = re.compile(r"([+-]?)(\d{4,16})-(\d\d)-(\d\d)T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class DayInterval:
    """One date: some day in [earliest, latest]. Both are null for a date coarser than a year,
    which is kept (its precision says so) but never decides anything; the hull of several dates has its days."""

    earliest: int | None
    latest: int | None
    precision: int

    @property
    def decides(self) -> bool:
        return self.earliest is not None


@dataclass(frozen=True, slots=True)
class Bound:
    """A start, an end or a point in time of a statement: its kind, and its date when it is known."""

    kind: EndKind
    date: DayInterval | None = None


ABSENT = Bound("absent")


def days_from_gregorian(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a proleptic Gregorian date; year 0 is 1 BCE (astronomical years)."""
    era, year_of_era = divmod(year - 1, 400)  # the calendar repeats itself, and Python's begins with year 1
    return datetime.date(year_of_era + 1, month, day).toordinal() + era * _ERA - _EPOCH


def days_from_julian(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 (Gregorian) to a Julian date; year 0 is 1 BCE."""
    shifted = year - (month <= 2)
    cycle, year_of_cycle = divmod(shifted, 4)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return cycle * 1461 + year_of_cycle * 365 + day_of_year - 719470  # 2 days: the calendars' gap in year 0


def month_length(year: int, month: int, julian: bool) -> int:
    leap = year % 4 == 0 if julian else isleap(year)
    return monthrange(4 if leap else 1, month)[1]


def read_json_time(time: str, precision: int, calendar: str) -> DayInterval | Fault:
    """The date of a JSON time value.

    time: `+2022-04-01T00:00:00Z`, year of 1 to 16 digits, month and day may be `00`, 1 BCE is year -1;
    a Julian date is as written on paper, not converted.
    calendar: IRI or QID of the calendar model.
    """
    match = _JSON_TIME.fullmatch(time)
    if not match:
        return "malformed_time"
    sign, digits, month, day = match.groups()
    year = int(digits)
    if year == 0:  # neither calendar has a year 0, and the JSON form counts -1 as 1 BCE
        return "malformed_time"
    return _interval(1 - year if sign == "-" else year, int(month), int(day), precision, calendar, converted=False)


def read_rdf_time(literal: str, precision: int, calendar: str) -> DayInterval | Fault:
    """The date of an RDF value node.

    literal: lexical form of `wikibase:timeValue`; XSD 1.1 years (0000 is 1 BCE). A Julian date of day
    precision is already converted to Gregorian, a coarser one is not (Wikibase JulianDateTimeValueCleaner).
    """
    match = _RDF_TIME.fullmatch(literal)
    if not match or match[1] == "+":  # the exporter writes a date it cannot clean as a plain "+0000-00-00…"
        return "malformed_time"
    sign, digits, month, day = match.groups()
    year = -int(digits) if sign == "-" else int(digits)
    if precision < YEAR and year <= 0:
        year -= 1  # such years are not shifted by the exporter; it decides nothing, but must not be a fault
    return _interval(year, int(month), int(day), precision, calendar, converted=True)


def _interval(year: int, month: int, day: int, precision: int, calendar: str, converted: bool) -> DayInterval | Fault:
    model = calendar.rsplit("/", 1)[-1]
    if model not in (GREGORIAN, JULIAN):
        return "unknown_calendar"
    if not 0 <= precision <= 14 or month > 12 or day > 31:
        return "malformed_time"
    if precision < YEAR:
        return DayInterval(None, None, precision)
    if abs(year) > _FURTHEST_YEAR:
        return "absurd_year"
    # `-00-` says that the part is unknown, whatever the precision claims.
    precision = min(precision, DAY, YEAR if month == 0 else MONTH if day == 0 else DAY)
    julian = model == JULIAN and not (converted and precision == DAY)
    to_days = days_from_julian if julian else days_from_gregorian
    length = month_length(year, month or 12, julian)
    if precision == YEAR:
        date = DayInterval(to_days(year, 1, 1), to_days(year, 12, 31), YEAR)
    elif precision == MONTH:
        date = DayInterval(to_days(year, month, 1), to_days(year, month, length), MONTH)
    else:
        number = to_days(year, month, min(day, length))  # 31 April is exported to RDF as 30 April
        date = DayInterval(number, number, DAY)
    # The last months of a Julian 9999 are Gregorian days of 10000.
    return "absurd_year" if date.latest is not None and date.latest > _LAST_DAY_NUMBER else date


def combine(bounds: Sequence[Bound]) -> Bound | None:
    """One bound from several qualifiers of one kind on one statement; None when they contradict.

    Dates that can all be true together (2019 and 3 May 2019) give their intersection; dates that cannot
    give their hull, which is true whichever of them is meant and also when the statement tells of
    two terms, with the calendar's unit in which all of it lies as precision. A date beside an explicit
    "no value" or "unknown value" is a contradiction.
    """
    if len(bounds) == 1 and (bounds[0].date is None or bounds[0].kind == "known"):  # nearly always, and at once
        return bounds[0]
    kinds = {bound.kind for bound in bounds} - {"absent"}
    if not kinds:
        return ABSENT
    if len(kinds) > 1:
        return None
    dates = [bound.date for bound in bounds if bound.date is not None]
    if not dates:
        return Bound(next(iter(kinds)))
    if not all(date.decides for date in dates):
        return Bound("known", min(dates, key=lambda date: date.precision))
    earliest = [date.earliest for date in dates if date.earliest is not None]
    latest = [date.latest for date in dates if date.latest is not None]
    if max(earliest) <= min(latest):
        return Bound("known", DayInterval(max(earliest), min(latest), max(date.precision for date in dates)))
    hull = min(earliest), max(latest)
    return Bound("known", DayInterval(*hull, min(_unit_around(*hull), *(date.precision for date in dates))))


def _unit_around(earliest: int, latest: int) -> int:
    """Precision of the smallest unit of the calendar in which all days lie."""
    first, last = gregorian(earliest), gregorian(latest)
    if first == last:
        return DAY
    if first[:2] == last[:2]:
        return MONTH
    # In a table only a precision of a year or better tells a day before year 1 from one that nobody knows.
    return YEAR if first[0] == last[0] or first[0] < 1 else DECADE


def to_day_number(day: datetime.date) -> int:
    return day.toordinal() - _EPOCH


def parse_day(text: str, option: str) -> datetime.date:
    """The date of an option such as `--since 2021-01-01`; BadInput names the option and the form."""
    try:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
            raise ValueError(text)
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{option} {text!r} is not a date; write it as YYYY-MM-DD, for example 2021-01-01") from None


def check_dates(since: datetime.date, as_of: datetime.date) -> None:
    """Raises BadInput unless since lies before as_of."""
    if since >= as_of:
        raise BadInput(f"--since {since} is not before --as-of {as_of}; give two dates with since the earlier one")


def spell_days(first: datetime.date | None, last: datetime.date | None) -> str:
    """A date as exactly as it is known, for a table: `2024-09-01`, `2024-09`, `2024`, `2024-09-03..2024-10-02`, or
    nothing."""
    if first is None or last is None:
        return str(first or last or "")
    spelled = {DAY: f"{first}", MONTH: f"{first}"[:7], YEAR: f"{first}"[:4]}
    return spelled.get(_whole_unit(first, last), f"{first}..{last}")


def tell_days(first: datetime.date | None, last: datetime.date | None) -> str:
    """The same for a sentence: `on 2024-09-01`, `in September 2024`, `in 2024`, `between 2024-09-03 and 2024-10-02`."""
    if first is None or last is None:
        return f"on {first or last}" if first or last else ""
    told = {DAY: f"on {first}", MONTH: f"in {MONTHS[first.month]} {first.year}", YEAR: f"in {first.year}"}
    return told.get(_whole_unit(first, last), f"between {first} and {last}")


def _whole_unit(first: datetime.date, last: datetime.date) -> int:
    """Precision of the unit of the calendar that begins and ends with these days; 0: none does."""
    if first == last:
        return DAY
    if (first.day, last) == (1, first.replace(day=monthrange(first.year, first.month)[1])):
        return MONTH
    return YEAR if (first.month, first.day, last) == (1, 1, datetime.date(first.year, 12, 31)) else 0


def gregorian(day: int) -> tuple[int, int, int]:
    """(year, month, day) of a day number; astronomical years (0 is 1 BCE)."""
    era, day_of_era = divmod(day + _EPOCH - 1, _ERA)
    date = datetime.date.fromordinal(day_of_era + 1)
    return date.year + era * 400, date.month, date.day


def spell_interval(date: DayInterval) -> str:
    """One spelling of a date value, the same for both of Wikidata's forms: `1954-07-01/1954-07-31`."""
    if date.earliest is None or date.latest is None:
        return f"precision {date.precision}"
    spelled = (
        f"{'-' if year < 0 else ''}{abs(year):04d}-{month:02d}-{day:02d}"
        for year, month, day in (gregorian(date.earliest), gregorian(date.latest))
    )
    return "/".join(spelled)
