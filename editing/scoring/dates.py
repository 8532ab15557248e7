"""Dates: is the right one likelier than a wrong one, since when is it so, and what is said where nobody can be named?

Made of a snapshot's Parquet alone. A change with a known day is put to the model as a sentence that ends in its date,
to the year, month and day as far as Wikidata's precision goes (TimeStress compares dates so); wrong dates are a few
units off, drawn by seed. Refusals: a question about a past date asked of a year before its subject existed, after it
had ended, in which it was certainly vacant, or of one that is not over on the snapshot's day. Then no name is right,
and what counts is that the model says so (`REFUSALS`); how often it says so where there is an answer stands beside it.
Leaves out changes of sets, and languages without words here (`WORDS`).
"""

from __future__ import annotations

import calendar
import datetime
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from chronofacts.schemas.dates import MONTHS

__all__ = [
    "DATE_KINDS",
    "LANGUAGES",
    "REFUSAL_KINDS",
    "DateProbe",
    "date_probes",
    "refusal_probes",
    "refuses",
    "vacant_years",
]

DATE_KINDS = ("date_year", "date_month", "date_day", "since_when")
REFUSAL_KINDS = ("refuse_before", "refuse_after", "refuse_vacant", "refuse_future")
PRECISION = {"year": 9, "month": 10, "day": 11}
WRONG = 4
"""Wrong dates for each right one."""
FAR = 4
"""Units that a wrong date is off, at most."""
LONGEST_BEFORE, SHORTEST_BEFORE = 100, 20
"""Years before the beginning that are asked about."""
AHEAD = 10
"""Years after the snapshot's day."""


class Wording(NamedTuple):
    since: str
    """What leads from the sentence to the date."""
    since_when: str
    months: Sequence[str]


WORDS = {
    "en": Wording("since", "Since when has it been true that {sentence}?", MONTHS),
    "nl": Wording(
        "sinds", "Sinds wanneer geldt: {sentence}?",
        ("", "januari", "februari", "maart", "april", "mei", "juni", "juli", "augustus", "september", "oktober",
         "november", "december"),
    ),
}  # fmt: skip
LANGUAGES = tuple(WORDS)
REFUSALS = re.compile(
    r"^\W*no\W*$|^\W*no,|^\W*(none|nobody|no one|no-one|unknown|vacant|nothing|niemand|geen|onbekend|niets|n/a)\b"
    r"|\b(did|does|do) not (yet )?(exist|know)|\b(didn't|doesn't|don't) (yet )?(exist|know)"
    r"|\b(not|never) (yet )?(known|existed|certain|possible|in office)|\bcannot (be )?(know|known|say|said|tell)"
    r"|\bhad not yet|\bno longer exist|\bwas vacant|\bunable to|\bbestond (nog )?niet|\bweet (ik )?niet",
    re.IGNORECASE,
)
"""Beginnings and phrases that say that nobody can be named."""


class DateProbe(NamedTuple):
    """A probe, before it becomes a row of `PROBES`."""

    kind: str
    fact: str
    question_id: str
    relation: str
    text: str
    answer: str
    names: Sequence[str]
    wrong: str | None
    """A date that is not right, whose likelihood is compared; None for questions to be answered."""
    phrasing: int = 0
    asked_on: datetime.date | None = None


def refuses(text: str) -> bool:
    """Does an answer say that nobody can be named? Silence does not."""
    return REFUSALS.search(text.strip()) is not None


def date_probes(edits: Sequence[Mapping[str, Any]], language: str, most: int, seed: int) -> list[DateProbe]:
    """Right against wrong dates of at most so many changes, and since when each is so.

    edits: rows of `tables.EDITS`, one of each fact.
    """
    words = WORDS.get(language)
    dated = [row for row in edits if words and _is_dated(row)]
    found: list[DateProbe] = []
    for row in _choose(dated, most):
        found += _of_change(row, WORDS[language], random.Random(f"{seed} {row['edit_id']}"))  # noqa: S311
    return found


def refusal_probes(
    questions: Sequence[Mapping[str, Any]],
    entities: Mapping[str, Mapping[str, Any]],
    vacancies: Mapping[tuple[str, str], Sequence[int]],
    as_of: datetime.date,
    most: int,
    seed: int,
) -> list[DateProbe]:
    """Questions about a past date, put to a year in which nobody can be named; at most so many of each kind.

    questions: rows of `tables.QUESTIONS`. entities: QID -> its row. vacancies: (subject, relation) -> years in which it
    was certainly held by nobody.
    """
    asked = [row for row in questions if row["kind"] == "history" and _names_year(row)]
    several: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in asked:
        several.setdefault((row["subject"], row["relation"]), row)
    found = []
    for kind in REFUSAL_KINDS:
        years = (
            (row, _impossible_year(kind, row, entities.get(row["subject"], {}), vacancies, as_of, seed))
            for row in several.values()
        )
        able = [(row, year) for row, year in years if year is not None]
        found += [_of_year(kind, row, year) for row, year in _choose(able, most)]
    return found


def vacant_years(spans: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[int]]:
    """(subject, relation) -> years that lie wholly within a span of nobody. spans: rows of `tables.TIMELINES`."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in spans:
        first, last = row["valid_from_latest"], row["valid_to_earliest"]
        if row["object_kind"] != "novalue" or first is None or last is None or row["valid_to_kind"] != "known":
            continue
        whole = range(first.year + (first > datetime.date(first.year, 1, 1)), last.year)
        found.setdefault((row["subject"], row["relation"]), []).extend(whole)
    return {key: years for key, years in found.items() if years}


def _is_dated(row: Mapping[str, Any]) -> bool:
    first, last = row["changed_on_earliest"], row["changed_on_latest"]
    single = row["kind"] in ("modification", "injection", "update")
    return bool(single and row["cloze"] and first and last and first.year == last.year)


def _of_change(row: Mapping[str, Any], words: Wording, chance: random.Random) -> Iterator[DateProbe]:
    day, precision = row["changed_on_earliest"], row["changed_on_precision"] or 9
    sentence = f"{row['cloze'].rstrip()} {row['new_label']}"
    for unit, needed in PRECISION.items():
        if precision < needed:
            continue
        right = _write(day, unit, words)
        for number, off in enumerate(chance.sample([n for n in range(-FAR, FAR + 1) if n], WRONG)):
            wrong = _write(_shift(day, unit, off), unit, words)
            text = f"{sentence}, {words.since}"
            yield DateProbe(
                f"date_{unit}", row["edit_id"], row["edit_id"], row["relation"], text, right, [right], wrong, number
            )
    names = [_write(day, unit, words) for unit, needed in PRECISION.items() if precision >= needed]
    lower = sentence[0].lower() + sentence[1:] if re.match(r"(The|De|Het) ", sentence) else sentence
    text = words.since_when.format(sentence=lower)
    yield DateProbe("since_when", row["edit_id"], row["edit_id"], row["relation"], text, names[0], names, None)


def _write(day: datetime.date, unit: str, words: Wording) -> str:
    parts = {"year": "", "month": f"{words.months[day.month]} ", "day": f"{day.day} {words.months[day.month]} "}
    return f"{parts[unit]}{day.year}"


def _shift(day: datetime.date, unit: str, off: int) -> datetime.date:
    """So many years, months or days off; the last day of a month stays in it."""
    if unit == "day":
        return day + datetime.timedelta(days=off)
    months = day.year * 12 + day.month - 1 + off * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    return datetime.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _names_year(row: Mapping[str, Any]) -> bool:
    """Only a question that names a year alone can be asked of another one: "on 29 February" may not exist."""
    year = str(row["asked_on"].year) if row["asked_on"] else ""
    others = re.findall(r"\d+", row["question"].replace(year, "", 1)) if year else ["?"]
    return bool(year) and row["question"].count(year) == 1 and not others and not row["answer_set"]


def _impossible_year(
    kind: str,
    row: Mapping[str, Any],
    entity: Mapping[str, Any],
    vacancies: Mapping[tuple[str, str], Sequence[int]],
    as_of: datetime.date,
    seed: int,
) -> int | None:
    chance = random.Random(f"{seed} {kind} {row['question_id']}")  # noqa: S311
    began, ended = entity.get("began_earliest"), entity.get("ended_latest")
    if kind == "refuse_before":
        year = began.year - chance.randint(SHORTEST_BEFORE, LONGEST_BEFORE) if began else 0
        return year if year >= 1000 else None
    if kind == "refuse_after":
        years = range(ended.year + 1, as_of.year) if ended else range(0)
        return chance.choice(years) if years else None
    if kind == "refuse_vacant":
        vacant = vacancies.get((row["subject"], row["relation"]), ())
        return chance.choice(vacant) if vacant else None
    return as_of.year + chance.randint(1, AHEAD) if not ended else None


def _of_year(kind: str, row: Mapping[str, Any], year: int) -> DateProbe:
    fact = row["edit_ids"][0] if row["edit_ids"] else row["question_id"]
    text = row["question"].replace(str(row["asked_on"].year), str(year))
    return DateProbe(
        kind, fact, row["question_id"], row["relation"], text, row["answer"], [], None, 0, datetime.date(year, 7, 1)
    )


def _choose(items: list[Any], most: int) -> list[Any]:
    count = min(most, len(items))
    return [items[index * len(items) // count] for index in range(count)]
