"""What the entries of `data/relations.toml` may say: a language, a relation, and its words in a language.

A field's type and default decide which keys an entry must have and what stands under them
(`schemas.catalogue_checks.Entry.read`); the description of a type says what is asked for where it is not met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.ids import PID, QID

__all__ = ["LONGEST_CHAIN", "Article", "ChangeWords", "Language", "PluralWords", "Relation", "Words"]

LONGEST_CHAIN = 4
"""Facts in a multi-hop question, at most."""

Pid: TypeAlias = Annotated[str, Meta(pattern=rf"\A{PID}\Z", description="not a property id like P39")]
Qid: TypeAlias = Annotated[str, Meta(pattern=rf"\A{QID}\Z", description="not an id like Q5")]
Qualifier: TypeAlias = Annotated[
    str, Meta(pattern=rf"\A{PID}(={QID})?\Z", description="not an id like P642 or P642=Q5")
]
ChainLength: TypeAlias = Annotated[int, Meta(ge=2, le=LONGEST_CHAIN, description=f"give 2 to {LONGEST_CHAIN}")]
Positive: TypeAlias = Annotated[float, Meta(gt=0, description="give a positive number, or leave it out")]
Share: TypeAlias = Annotated[float, Meta(gt=0, le=1, description="give a part of 1, such as 0.15")]
AtLeastOne: TypeAlias = Annotated[tuple[str, ...], Meta(min_length=1, description="give at least 1 wording")]
AtLeastTwo: TypeAlias = Annotated[tuple[str, ...], Meta(min_length=2, description="give at least 2 wordings")]
AtLeastThree: TypeAlias = Annotated[tuple[str, ...], Meta(min_length=3, description="give at least 3 wordings")]
AtLeastFour: TypeAlias = Annotated[tuple[str, ...], Meta(min_length=4, description="give at least 4 wordings")]
AtLeastFive: TypeAlias = Annotated[tuple[str, ...], Meta(min_length=5, description="give at least 5 wordings")]
Script: TypeAlias = Literal[
    "Arabic", "Armenian", "Cyrillic", "Devanagari", "Georgian", "Greek", "Han", "Hangul", "Hebrew", "Hiragana",
    "Katakana", "Latin", "Thai",
]  # fmt: skip


@dataclass(frozen=True)
class PluralWords:
    """A many-valued relation asked for all its values at once; {s} {n} subject, {d} date phrase."""

    now: str
    """The question in the present tense; the prompt of additions and removals."""
    paraphrases: AtLeastThree
    """Other wordings of `now`."""
    preservation: str
    """One wording more, which no edit is taught in: it asks what stays."""
    cloze: str
    """A sentence about now that ends right before the values."""
    on_date: str
    """The question about a past day."""
    on_date_paraphrases: AtLeastOne
    cloze_on_date: str


@dataclass(frozen=True)
class ChangeWords:
    """A many-valued relation of which nobody can name all values, asked for what joined or left on a day.

    {s} {n} subject, {d} date phrase; [one|several] is worded by the number of values in the answer.
    """

    joined: AtLeastFive
    """What joined {d}: the prompt of additions, and its other wordings."""
    joined_cloze: str
    left: AtLeastFive
    """What left {d}: the prompt of removals, and its other wordings."""
    left_cloze: str


@dataclass(frozen=True)
class Words:
    """One relation in one language. Placeholders: {s} {n} subject, {d} date phrase, {o} object."""

    answer: Literal["who", "what", "which", "where"]
    """What the question asks for."""
    now: str
    """The question in the present tense; the edit prompt."""
    paraphrases: AtLeastFour
    """Other wordings of `now`."""
    cloze: str
    """A sentence about now that ends right before the answer."""
    noun: str
    """The object as a phrase: "the spouse of {s}"; hops are composed from it."""
    on_date: str | None = None
    """The question about a past day; None for a fact that is true for ever."""
    on_date_paraphrases: AtLeastTwo = ()
    before: str | None = None
    """The question for the predecessor of {o}."""
    cloze_on_date: str | None = None
    noun_named: str | None = None
    """`noun` when the subject is a name rather than a phrase, where that differs."""
    nested: tuple[str, ...] = ()
    """Questions about now for a subject that is a phrase; empty: those of `now` and `paraphrases` that fit."""
    nested_short: tuple[str, ...] = ()
    """Those for a phrase that ends in a name ("the Mayor of Paris"), where its verb may follow; empty: `nested`."""
    reverse: str | None = None
    """Asks for the subject of {o}; None where that is not natural or not unique."""
    subject: Literal["the", "name", "none"] = "name"
    """Article of the subject: `the` always takes it (offices), `name` by the language's lists, `none` never."""
    plural: PluralWords | None = None
    """The words for all values at once, where all can be named: the official languages of a country."""
    changes: ChangeWords | None = None
    """The words for what joined and left, where no list is ever whole: the organisations that a country is in. Every
    many-valued relation that may change has either these or `plural`."""

    @property
    def short_questions(self) -> tuple[str, ...]:
        """The questions that fit a subject such as "the head of government of France"."""
        return self.nested_short or self.nested_questions

    @property
    def nested_questions(self) -> tuple[str, ...]:
        """The questions that fit a subject such as "the capital of the country of …"."""
        if self.nested:
            return self.nested
        return tuple(text for text in (self.now, *self.paraphrases) if "{s}'s" not in text and "{s}" in text)


@dataclass(frozen=True)
class Article:
    """One article of a language, and the names that want it."""

    text: str
    names: frozenset[str] = frozenset()
    starts: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Language:
    """How a language writes dates, numbers and articles."""

    code: str
    months: Annotated[tuple[str, ...], Meta(min_length=12, max_length=12, description="give twelve names")]
    in_year: str
    in_month: str
    on_day: str
    article: str = ""
    """The one of offices; empty for a language without. Its names, their beginnings and endings follow."""
    article_names: frozenset[str] = frozenset()
    article_starts: tuple[str, ...] = ()
    article_ends: tuple[str, ...] = ()
    articles: tuple[Article, ...] = ()
    """All that names may want; the first is `article`."""
    possessive: str = ""
    possessive_after_s: str = ""
    alias_clozes: tuple[str, ...] = ()
    """Sentences about another name {a}, which end right before the usual name."""
    article_never: frozenset[str] = frozenset()
    """Names that begin or end like those that want an article, and yet take none."""
    thousands: str = ","
    """Stands between the thousands of a number."""
    decimal: str = "."
    scripts: tuple[Script, ...] = ()
    """In which its names are written: Latin. Empty: any."""
    linking: str = ""
    """The word between nouns, of which a question bears only so many: of."""
    small_words: tuple[str, ...] = ()
    """Words that no name has twice in a row but by mistake: "Minister of of Health"."""
    islands: tuple[str, ...] = ()
    """Places on which one is, rather than in them."""
    on_island: str = ""
    """The words that lead their names instead of `in_place`; empty where no place is special."""
    in_place: str = ""
    """The word before a place that wordings use: in."""
    office_in: str = "{office}, {place}"
    """An office whose name does not say where: "{office} in {place}"."""
    office_of: str = ""
    """One of `offices_of`: "{office} of {place}"; where it is not given, as `office_in`."""
    offices_of: tuple[str, ...] = ()
    """Whole names of offices, in small letters, that are of a place rather than in it: king."""
    place_heads: tuple[str, ...] = ()
    """Words, in small letters, after which "of" and a name say which place it is: mayor."""
    place_topics: tuple[str, ...] = ()
    """Words, in small letters, that say no place although they follow such a word: senate."""
    generic_offices: tuple[str, ...] = ()
    """Beginnings of office names that many places share."""
    demonyms: tuple[str, ...] = ()
    """Words, in small letters, that say which place it is and do not begin as its name does: danish, knesset."""
    place_never: tuple[str, ...] = ()
    """Words of place names that do not say which place: republic."""
    list_style: str = "{first}, {last}"
    """How the last of several names follows the others, which commas divide: "{first} and {last}"."""
    alias_never: tuple[str, ...] = ()
    """Words that make another name speak of the holder rather than of the office: queen, chairwoman."""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One property in one direction."""

    id: str
    property: Pid
    inverse: bool = False
    """True when the property is read backwards: the relation's subject is the statement's value."""
    subject_types: tuple[Qid, ...] = ()
    """QIDs of the classes of a subject; empty: any."""
    subject_classes: tuple[Qid, ...] = ()
    """QIDs of P31: a subject of one of these is asked by this relation and by no other one that reads the property in
    this direction (the mayor of a city is its head of government); empty: any other."""
    not_subject_classes: tuple[Qid, ...] = ()
    """QIDs of P31: a subject of one of these is none of those after all: Singapore is a city and a state."""
    object_types: tuple[Qid, ...] = ()
    object_classes: tuple[Qid, ...] = ()
    """QIDs of P31: an object of none of these is no answer (but may be one, unless the next key rules it out); empty:
    any. So one property is several relations: the clubs of a player and the national team."""
    not_object_classes: tuple[Qid, ...] = ()
    """QIDs of P31: an object of one of these is certainly none of this relation (a reserve team is no club)."""
    object_kind: Literal["item", "string", "quantity", "year"]
    """year: that of a date value, where the date lies within one."""
    single_valued: bool
    max_years: Positive | None = None
    """The usual longest tenure: beyond it an open end is not believed. None: no bound."""
    undated: Literal["always", "single", "unknown"] = "unknown"
    """A statement without start and end: `always` holds for ever, `single` holds if it is the timeline's only one and
    is not dated otherwise (by a point in time it is known for that day alone), `unknown` decides nothing."""
    ends_with_subject: bool = True
    ends_with_object: bool = True
    ends_of: str | None = None
    """The relation whose ends this one tells: from its object, by the day on which it ended ({d} in the words), to
    its subject: "the office that {s} left {d}". True for ever; only the first hop of a chain."""
    agrees_with: tuple[str, ...] = ()
    """Where Wikidata says the same: a relation, or a path `office_of_head_of_government/office_holder`."""
    moves_with: tuple[str, ...] = ()
    """Relations whose value may move when this one does: they prove nothing about locality."""
    in_doubt_for: str | None = None
    """The relation whose objects have no certain value of this one: the party of a president, who often leaves it or
    lets it rest while in office."""
    certain_for: str | None = None
    """The relation whose objects have one all the same: a president who is head of government too."""
    joins: tuple[str, ...] = ()
    """Relations that people ask of this one's object: of a head of government the spouse, of a country the capital.
    A chain walks over these pairs alone."""
    joins_of_leaders: tuple[str, ...] = ()
    """Those of `joins` that a chain from an office asks only where its holder leads a country, a government or an
    organization by it: when a president was born, and no minister."""
    longest_chain: ChainLength = LONGEST_CHAIN
    """Facts in the longest chain that this one is part of."""
    start_share: Share | None = None
    """At most this part of all chains begins with it, so that none crowds out the others. None: no bound."""
    end_share: Share | None = None
    """At most this part of all chains ends with it."""
    restrictive_qualifiers: tuple[Qualifier, ...] = ()
    """PIDs, or PIDs with one value (`P1642=Q2914547`), that make a statement true only in part."""
    words: tuple[tuple[str, Words], ...]
    """(language code, words) pairs."""

    def named_relations(self) -> tuple[str, ...]:
        """Ids of other relations that it names, besides those that it agrees with or is joined by."""
        return (*self.moves_with, *(name for name in (self.in_doubt_for, self.certain_for) if name is not None))

    def may_change_in_part(self) -> bool:
        """Has it several values at once, which join and leave?"""
        return not self.single_valued and self.undated != "always"

    def words_in(self, language: str) -> Words:
        """The words of one language. Raises BadInput naming the relation and the languages that it has."""
        for code, words in self.words:
            if code == language:
                return words
        known = ", ".join(code for code, _ in self.words)
        raise BadInput(
            f"relation {self.id} has no words in {language!r}; it has {known}: add [relations.{self.id}.{language}]"
        )
