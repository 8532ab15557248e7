"""A seeded world of offices, countries and holders of which the whole truth is known, stated as messily as in Wikidata.

`make_world` decides who really held what on every day, and then how Wikidata states it: coarse dates, missing
ends, explicit "no value" and "some value", deprecated lies, duplicates, acting holders, Julian dates, mirrors
(P6, P1308) that agree or disagree. Every statement is true in its uncertain reading, or carries a defect that
the rules promise to find; the defects are listed by the reason they must be given (`World.planted`).
`benchmarks.synthetic_forms` writes the claims as Wikidata's JSON and RDF; `benchmarks.synthetic_bulk` makes
millions of rows. Uses none of the code under test.
"""

from __future__ import annotations

import datetime
import random
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["ACTING", "NO", "SOME", "Claim", "Item", "Text", "Time", "World", "WorldSettings", "make_world"]

ACTING = "Q4676846"
GREGORIAN, JULIAN = "Q1985727", "Q1985786"
HUMAN, POSITION, STATE = "Q5", "Q4164871", "Q6256"
_EPOCH = datetime.date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Item:
    qid: str


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Time:
    """A time as stated: a day number (days from 1970-01-01) at a precision, in a calendar; `raw` spells one that
    no day stands behind."""

    day: int
    precision: int = 11
    calendar: str = GREGORIAN
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Special:
    """A snak without a value."""

    snaktype: str


SOME, NO = Special("somevalue"), Special("novalue")
Value = Item | Text | Time | Special


@dataclass(slots=True)
class Claim:
    """One statement, in no form yet."""

    statement_id: str
    subject: str
    property: str
    value: Value
    rank: str = "normal"
    qualifiers: dict[str, list[Value]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Term:
    """Who really held an office from one day to the day before another; `end` None: still does."""

    holder: str
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class WorldSettings:
    seed: int = 0
    offices: int = 60
    as_of: datetime.date = datetime.date(2025, 1, 1)
    """The day on which Wikidata states it."""


@dataclass
class World:
    """What is true (`terms`), what is stated (`claims`, `labels`), and what is wrong with it (`planted`)."""

    settings: WorldSettings
    terms: dict[tuple[str, str], list[Term]] = field(default_factory=dict)
    """(subject, relation) -> the true terms by start; relations as in the catalogue."""
    claims: list[Claim] = field(default_factory=list)
    lifecycle: list[Claim] = field(default_factory=list)
    labels: dict[str, str | None] = field(default_factory=dict)
    """QID -> name; None for an entity that has none."""
    exact: set[tuple[str, str]] = field(default_factory=set)
    """Timelines stated completely, with exact dates and nothing beside the truth."""
    plural: set[tuple[str, str]] = field(default_factory=set)
    """Timelines with several holders at once."""
    planted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Reason code -> ids of the statements that must be rejected by that reason."""

    def holders_on(self, subject: str, relation: str, day: int) -> set[str]:
        """Who really held it on a day."""
        return {
            term.holder
            for term in self.terms[subject, relation]
            if term.start <= day and (term.end is None or term.end > day)
        }


def make_world(settings: WorldSettings) -> World:
    """The world of these settings: the same for the same seed, on every machine."""
    return _Maker(settings).make()


class _Maker:
    """The world while it is being made."""

    def __init__(self, settings: WorldSettings) -> None:
        self.random = random.Random(settings.seed)
        self.world = World(settings)
        self.today = settings.as_of.toordinal() - _EPOCH
        self.number = 0
        self.dead: dict[str, int] = {}

    def make(self) -> World:
        for number in range(self.world.settings.offices):
            office = self.entity("office", POSITION)
            truth = self.plural_terms() if number % 12 == 11 else self.terms(old=number % 10 == 9)
            self.world.terms[office, "office_holder"] = truth
            exact = number % 4 == 0
            if number % 12 == 11:
                self.world.plural.add((office, "office_holder"))
                self.state_exactly(office, "P39", truth)
            elif exact:
                self.world.exact.add((office, "office_holder"))
                self.state_exactly(office, "P39", truth)
            else:
                self.state(office, "P39", truth)
            if number % 4 < 2 and number % 12 != 11:
                self.mirror(office, truth, disagreeing=exact and number % 8 == 4)
        self.plant_defects()
        return self.world

    # Who really held what.

    def terms(self, old: bool) -> list[Term]:
        """Terms one after another: hand-overs on one day, vacancies, returns; the last one may go on.

        old: in the Julian centuries, and abolished since.
        """
        draw = self.random
        day = self.day(1500 if old else 1960, draw.randrange(365))
        until = self.day(1690) if old else self.today
        holders: list[str] = []
        found: list[Term] = []
        while day < until:
            again = [holder for holder in holders[:-1] if holder not in self.dead]
            holder = draw.choice(again) if again and draw.random() < 0.15 else self.entity("person", HUMAN)
            holders.append(holder)
            end = day + draw.randrange(200, 3000)
            current = not old and end >= until and draw.random() < 0.8
            found.append(Term(holder, day, None if current else min(end, until)))
            day = end + (draw.randrange(40, 500) if draw.random() < 0.2 else 0)
        return found

    def plural_terms(self) -> list[Term]:
        """Two seats, each with its own terms."""
        seats = [self.terms(old=False) for _ in range(2)]
        return sorted((term for seat in seats for term in seat), key=lambda term: (term.start, term.holder))

    # How Wikidata states it.

    def state_exactly(self, subject: str, property_: str, truth: list[Term]) -> None:
        for term in truth:
            end: Value = NO if term.end is None else Time(term.end)
            self.claim(subject, property_, term.holder, P580=[Time(term.start)], P582=[end])

    def state(self, subject: str, property_: str, truth: list[Term]) -> None:
        """All terms with the mess of Wikidata; nothing false that is not deprecated."""
        draw = self.random
        later = [next((t.start for t in truth[index + 1 :]), None) for index in range(len(truth))]
        calendar = JULIAN if truth[0].start < self.day(1700) else GREGORIAN
        for index, term in enumerate(truth):
            start: list[Value] = [self.coarse(term.start, calendar)]
            end = self.state_end(term, later[index], returns=any(t.holder == term.holder for t in truth[index + 1 :]))
            rank = "preferred" if term.end is None and draw.random() < 0.3 else "normal"
            if draw.random() < 0.08:
                start.append(Time(term.start, draw.choice((9, 10)), calendar))  # coarser, but true as well
            elif draw.random() < 0.05:
                # One of the two is true, and no day is both.
                start.append(Time(term.start + draw.choice((-1, 1)) * draw.randrange(400, 900), 11, calendar))
            elif draw.random() < 0.08 and end and isinstance(end[0], Time):
                start = draw.choice(([], [SOME]))
            self.claim(subject, property_, term.holder, rank, P580=start, P582=end)
            if draw.random() < 0.1:
                self.claim(subject, property_, term.holder, rank, P580=start, P582=end)
            if draw.random() < 0.06:
                self.claim(subject, property_, term.holder, P580=[Time(term.start, 9, calendar)])
            if term.end is not None and later[index] is not None and later[index] > term.end and draw.random() < 0.5:
                acting = self.entity("person", HUMAN)
                dates: dict[str, list[Value]] = {"P580": [Time(term.end)], "P582": [Time(later[index])]}
                made = self.claim(subject, property_, acting, **dates, P5102=[Item(ACTING)])
                self.world.planted["restricted"].append(made.statement_id)
            if draw.random() < 0.06:
                liar = self.entity("person", HUMAN)
                made = self.claim(subject, property_, liar, "deprecated", P580=[Time(term.start + 50)], P582=[NO])
                self.world.planted["deprecated"].append(made.statement_id)

    def state_end(self, term: Term, later: int | None, returns: bool) -> list[Value]:
        """The end as stated. It is left out only where the rules may fill it in: the successor began that day,
        the holder died that day, or the term goes on."""
        draw = self.random
        if term.end is None:
            return [NO] if draw.random() < 0.4 else []
        chance = draw.random()
        if chance < 0.2 and later == term.end:
            return []
        if chance < 0.4 and not returns and term.holder not in self.dead:
            self.die(term.holder, term.end)
            return []
        if chance < 0.45:
            return [SOME]
        return [self.coarse(term.end, GREGORIAN)]

    def mirror(self, office: str, truth: list[Term], disagreeing: bool) -> None:
        """A country that the office heads (P1313, P6) and the office's own list (P1308), of the same truth.

        disagreeing: P6 names another holder for the term of today, which only the other two properties decide.
        """
        country = self.entity("country", STATE)
        self.world.terms[country, "head_of_government"] = truth
        self.world.terms[office, "officeholder"] = truth
        self.claim(country, "P1313", office)
        self.world.terms[country, "office_of_head_of_government"] = [Term(office, -(10**6), None)]
        self.state(office, "P1308", truth)
        if not disagreeing:
            self.state(country, "P6", truth)
            return
        for term in truth:
            holder = self.entity("person", HUMAN) if term == truth[-1] else term.holder
            end: Value = NO if term.end is None else Time(term.end)
            self.claim(country, "P6", holder, P580=[Time(term.start)], P582=[end])

    def coarse(self, day: int, calendar: str) -> Time:
        return Time(day, self.random.choices((11, 10, 9), (60, 20, 20))[0], calendar)

    # What is wrong with it: an office for every kind of defect, so that defects do not hide each other.

    def plant_defects(self) -> None:
        zero, absurd = Time(0, 9, raw="+0000-00-00T00:00:00Z"), Time(0, 9, raw="+12019-00-00T00:00:00Z")
        good: list[Value] = [Time(self.day(2012))]
        end: list[Value] = [Time(self.day(2016))]
        dates: list[tuple[str, dict[str, list[Value]]]] = [
            ("malformed_time", {"P580": [zero]}),
            ("absurd_year", {"P580": good, "P582": [absurd]}),
            ("unknown_calendar", {"P580": [Time(self.day(2012), 11, "Q12138")]}),
            ("start_after_end", {"P580": end, "P582": good}),
            ("conflicting_dates", {"P580": good, "P582": [NO, *end]}),
            ("coarse_date", {"P580": [Time(self.day(2012), 8)], "P582": end}),
            ("restricted", {"P580": good, "P582": end, "P768": [Item(self.entity("district", STATE))]}),
            ("restricted", {"P580": good, "P582": end, "P5102": [Item(ACTING)]}),
        ]
        for reason, qualifiers in dates:
            for property_ in ("P39", "P6"):
                subject = self.defective(property_)
                made = self.claim(subject, property_, self.entity("person", HUMAN), **qualifiers)
                self.world.planted[reason].append(made.statement_id)
        self.plant_wrong_values(good, end)
        self.plant_cycles()

    def plant_wrong_values(self, good: list[Value], end: list[Value]) -> None:
        plant, country = self.world.planted, self.defective("P6")
        plant["wrong_object_type"].append(self.add(country, "P6", Text("Prime Minister"), P580=good).statement_id)
        plant["wrong_object_type"].append(self.add(self.entity("person", HUMAN), "P39", Text("mayor")).statement_id)
        plant["wrong_object_type"].append(self.add(country, "P6", Item(country), P580=good, P582=end).statement_id)
        plant["unknown_holder"].append(self.add(self.entity("person", HUMAN), "P39", SOME, P580=good).statement_id)
        office = self.defective("P39")
        holder = self.entity("person", HUMAN)
        self.claim(office, "P39", holder, P580=good, P582=end)
        plant["dateless"].append(self.claim(office, "P39", holder).statement_id)
        self.world.terms[office, "office_holder"].insert(0, Term(holder, self.day(2012), self.day(2016)))

    def plant_cycles(self) -> None:
        """Two and three holders, each replaced by the next and the last by the first; and a real return, which
        is none."""
        for size, returns in ((2, False), (3, False), (3, True)):
            office = self.entity("office", POSITION)
            holders = [self.entity("person", HUMAN) for _ in range(size)]
            days = [self.day(2010 + 2 * index) for index in range(size + 2)]
            truth = [Term(holder, days[index], days[index + 1]) for index, holder in enumerate(holders)]
            if returns:
                truth.append(Term(holders[0], days[size], days[size + 1]))
            self.world.terms[office, "office_holder"] = truth
            for index, term in enumerate(truth):
                follower = Item(holders[(index + 1) % size])
                last = {} if index == size else {"P1366": [follower]}
                made = self.claim(office, "P39", term.holder, P580=[Time(term.start)], P582=[Time(term.end)], **last)
                if not returns:
                    self.world.planted["replacement_cycle"].append(made.statement_id)

    def defective(self, property_: str) -> str:
        """A new subject with one true holder since 2016, beside whom a defect will stand."""
        subject = self.entity(*(("office", POSITION) if property_ == "P39" else ("country", STATE)))
        holder = self.entity("person", HUMAN)
        relation = "office_holder" if property_ == "P39" else "head_of_government"
        self.world.terms[subject, relation] = [Term(holder, self.day(2016), None)]
        self.claim(subject, property_, holder, P580=[Time(self.day(2016))], P582=[NO])
        return subject

    # Entities and claims.

    def entity(self, kind: str, class_: str) -> str:
        self.number += 1
        qid = f"Q{1_000_000 + self.number}"
        nameless = self.number % 37 == 0
        self.world.labels[qid] = None if nameless else f"{kind} {self.number}"
        self._live(qid, "P31", Item(class_))
        return qid

    def die(self, qid: str, day: int) -> None:
        self.dead[qid] = day
        self._live(qid, "P570", self.coarse(day, GREGORIAN))

    def _live(self, qid: str, property_: str, value: Value) -> None:
        self.world.lifecycle.append(Claim(self.statement_id(qid), qid, property_, value))

    def claim(
        self, subject: str, property_: str, holder: str, rank: str = "normal", **qualifiers: Iterable[Value]
    ) -> Claim:
        """A statement that `holder` holds `subject`, on the page where Wikidata keeps it."""
        if property_ == "P39":
            return self.add(holder, property_, Item(subject), rank, **qualifiers)
        return self.add(subject, property_, Item(holder), rank, **qualifiers)

    def add(
        self, page: str, property_: str, value: Value, rank: str = "normal", **qualifiers: Iterable[Value]
    ) -> Claim:
        given = {pid: list(values) for pid, values in qualifiers.items() if values}
        made = Claim(self.statement_id(page), page, property_, value, rank, given)
        self.world.claims.append(made)
        return made

    def statement_id(self, qid: str) -> str:
        return f"{qid}${str(uuid.UUID(int=self.random.getrandbits(128), version=4)).upper()}"

    def day(self, year: int, offset: int = 0) -> int:
        return datetime.date(year, 1, 1).toordinal() - _EPOCH + offset


def pages(world: World) -> Iterator[tuple[str, list[Claim]]]:
    """(entity, its claims), for every entity of the world, by QID."""
    found: dict[str, list[Claim]] = {qid: [] for qid in world.labels}
    for claim in (*world.claims, *world.lifecycle):
        found[claim.subject].append(claim)
    yield from sorted(found.items())
