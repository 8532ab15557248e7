"""The relation catalogue: what `data/relations.toml` may say, and its validation.

A relation is a Wikidata property read in one direction, with what the pipeline must know of it (is it
single-valued, how long may it stay open, what else moves with it) and with the words of every language.
Everything is checked when it is loaded, so that no stage meets a half-written entry.
Leaves out: putting a subject and a date into the words (`pipeline.questions.templates`).
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from chronofacts.schemas.catalogue_checks import (
    LONGEST_CHAIN,
    Entry,
    check_joins,
    check_language,
    check_qids,
    check_relation,
    check_words,
    wordings_of,
)
from chronofacts.schemas.errors import BadInput

__all__ = ["CATALOGUE_PATH", "Article", "Catalogue", "Language", "PluralWords", "Relation", "Words", "load_catalogue"]

CATALOGUE_PATH = Path(__file__).resolve().parent.parent / "data" / "relations.toml"


@dataclass(frozen=True)
class PluralWords:
    """A many-valued relation asked for all its values at once; {s} {n} subject, {d} date phrase."""

    now: str
    """The question in the present tense; the prompt of additions and removals."""
    paraphrases: tuple[str, ...]
    """Other wordings of `now`, at least three."""
    preservation: str
    """One wording more, which no edit is taught in: it asks what stays."""
    cloze: str
    """A sentence about now that ends right before the values."""
    on_date: str
    """The question about a past day."""
    on_date_paraphrases: tuple[str, ...]
    cloze_on_date: str


@dataclass(frozen=True)
class Words:
    """One relation in one language. Placeholders: {s} {n} subject, {d} date phrase, {o} object."""

    answer: str
    """What the question asks for: who, what, which or where."""
    now: str
    """The question in the present tense; the edit prompt."""
    paraphrases: tuple[str, ...]
    """Other wordings of `now`, at least four."""
    cloze: str
    """A sentence about now that ends right before the answer."""
    noun: str
    """The object as a phrase: "the spouse of {s}"; hops are composed from it."""
    on_date: str | None = None
    """The question about a past day; None for a fact that is true for ever."""
    on_date_paraphrases: tuple[str, ...] = ()
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
    subject: str = "name"
    """Article of the subject: `the` always takes it (offices), `name` by the language's lists, `none` never."""
    plural: PluralWords | None = None
    """The words for all values at once; every many-valued relation that may change has them."""

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
    names: frozenset[str]
    starts: tuple[str, ...]
    ends: tuple[str, ...]


@dataclass(frozen=True)
class Language:
    """How a language writes dates, numbers and articles."""

    code: str
    months: tuple[str, ...]
    in_year: str
    in_month: str
    on_day: str
    articles: tuple[Article, ...]
    """Those that names may want; the first is the one of offices. Empty for a language without."""
    possessive: str
    possessive_after_s: str
    alias_clozes: tuple[str, ...]
    """Sentences about another name {a}, which end right before the usual name."""
    article_never: frozenset[str]
    """Names that begin or end like those that want an article, and yet take none."""
    thousands: str
    """Stands between the thousands of a number."""
    decimal: str
    scripts: tuple[str, ...]
    """In which its names are written: Latin. Empty: any."""
    linking: str
    """The word between nouns, of which a question bears only so many: of."""
    small_words: tuple[str, ...]
    """Words that no name has twice in a row but by mistake: "Minister of of Health"."""
    islands: tuple[str, ...]
    """Places on which one is, rather than in them."""
    on_island: str
    """The words that lead their names instead of `in_place`; empty where no place is special."""
    in_place: str
    """The word before a place that wordings use: in."""
    office_in: str
    """An office whose name does not say where: "{office} in {place}"."""
    office_of: str
    """One of `offices_of`: "{office} of {place}"."""
    offices_of: tuple[str, ...]
    """Whole names of offices, in small letters, that are of a place rather than in it: king."""
    place_heads: tuple[str, ...]
    """Words, in small letters, after which "of" and a name say which place it is: mayor."""
    place_topics: tuple[str, ...]
    """Words, in small letters, that say no place although they follow such a word: senate."""
    generic_offices: tuple[str, ...]
    """Beginnings of office names that many places share."""
    demonyms: tuple[str, ...]
    """Words, in small letters, that say which place it is and do not begin as its name does: danish, knesset."""
    place_never: tuple[str, ...]
    """Words of place names that do not say which place: republic."""
    list_style: str
    """How the last of several names follows the others, which commas divide: "{first} and {last}"."""
    alias_never: tuple[str, ...]
    """Words that make another name speak of the holder rather than of the office: queen, chairwoman."""


@dataclass(frozen=True)
class Relation:
    """One property in one direction."""

    id: str
    property: str
    inverse: bool
    """True when the property is read backwards: the relation's subject is the statement's value."""
    subject_types: tuple[str, ...]
    """QIDs of the classes of a subject; empty: any."""
    object_types: tuple[str, ...]
    object_classes: tuple[str, ...]
    """QIDs of P31: an object of none of these is no answer (but may be one, unless the next key rules it out); empty:
    any. So one property is several relations: the clubs of a player and the national team."""
    not_object_classes: tuple[str, ...]
    """QIDs of P31: an object of one of these is certainly none of this relation (a reserve team is no club)."""
    object_kind: str
    """item, string, quantity, or year: the year of a date value, where the date lies within one."""
    single_valued: bool
    max_years: float | None
    """The usual longest tenure: beyond it an open end is not believed. None: no bound."""
    undated: str
    """A statement without dates: `always` holds for ever, `single` holds if it is the timeline's only one,
    `unknown` decides nothing."""
    ends_with_subject: bool
    ends_with_object: bool
    ends_of: str | None
    """The relation whose ends this one tells: from its object, by the day on which it ended ({d} in the words), to
    its subject: "the office that {s} left {d}". True for ever; only the first hop of a chain."""
    agrees_with: tuple[str, ...]
    """Where Wikidata says the same: a relation, or a path `office_of_head_of_government/office_holder`."""
    moves_with: tuple[str, ...]
    """Relations whose value may move when this one does: they prove nothing about locality."""
    joins: tuple[str, ...]
    """Relations that people ask of this one's object: of a head of government the spouse, of a country the capital.
    A chain walks over these pairs alone."""
    joins_of_leaders: tuple[str, ...]
    """Those of `joins` that a chain from an office asks only where its holder leads a country, a government or an
    organization by it: when a president was born, and no minister."""
    longest_chain: int
    """Facts in the longest chain that this one is part of."""
    start_share: float | None
    """At most this part of all chains begins with it, so that none crowds out the others. None: no bound."""
    end_share: float | None
    """At most this part of all chains ends with it."""
    restrictive_qualifiers: tuple[str, ...]
    """PIDs, or PIDs with one value (`P1642=Q2914547`), that make a statement true only in part."""
    words: tuple[tuple[str, Words], ...]
    """(language code, words) pairs."""

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


@dataclass(frozen=True)
class Catalogue:
    """All relations, in the file's order."""

    relations: tuple[Relation, ...]
    languages: tuple[Language, ...]
    acting_roles: tuple[str, ...]
    """QIDs of roles that make a holder one for the time being (acting, interim)."""
    hash: str
    """sha256 of the file."""

    @cached_property
    def by_id(self) -> dict[str, Relation]:
        return {relation.id: relation for relation in self.relations}

    def language(self, code: str) -> Language:
        """One language. Raises BadInput naming those that the catalogue has."""
        for language in self.languages:
            if language.code == code:
                return language
        known = ", ".join(language.code for language in self.languages)
        raise BadInput(f"no language {code!r} in the catalogue; it has {known}: add [languages.{code}]")

    def require_language(self, code: str) -> None:
        """Raises BadInput unless the catalogue has the language, and words in it for every relation."""
        self.language(code)
        for relation in self.relations:
            relation.words_in(code)

    def select(self, names: Iterable[str]) -> Catalogue:
        """The catalogue with only the named relations, by id (`ceo`) or property (`P169`), in the file's order.

        A property selects every relation that reads it. Raises BadInput naming the unknown one and the nearest.
        """
        chosen: set[str] = set()
        for name in names:
            found = {r.id for r in self.relations if name in (r.id, r.property)}
            if not found:
                raise BadInput(_unknown(name, self))
            chosen |= found
        if not chosen:
            raise BadInput("no relation was chosen; name at least one, for example head_of_government or P6")
        return replace(self, relations=tuple(r for r in self.relations if r.id in chosen))


def load_catalogue(path: Path | None = None) -> Catalogue:
    """The catalogue from a TOML file; by default the one that ships with the project.

    Raises BadInput naming the file, the line and the mend for the first entry that is wrong.
    """
    path = path or CATALOGUE_PATH
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
        tables = tomllib.loads(text)
    except OSError as error:
        raise BadInput(f"cannot read the relation catalogue {path}: {error.strerror}; give an existing file") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path} is not TOML in UTF-8: {error}") from error
    file = Entry(str(path), text)
    file.only_keys(tables, ("acting_roles", "languages", "relations"))
    check_qids(file, tables, "acting_roles")
    languages = tuple(_language(file.at("languages", x), x, part) for x, part in file.tables(tables, "languages"))
    relations = tuple(
        _relation(file.at("relations", name), name, table, {x.code: x for x in languages})
        for name, table in file.tables(tables, "relations")
    )
    _check_together(file, relations)
    return Catalogue(relations, languages, tuple(tables.get("acting_roles", ())), hashlib.sha256(raw).hexdigest())


def _language(entry: Entry, code: str, table: dict[str, Any]) -> Language:
    check_language(entry, table)

    def texts(key: str) -> tuple[str, ...]:
        return tuple(table.get(key, ()))

    return Language(
        code=code,
        months=texts("months"),
        in_year=table["in_year"],
        in_month=table["in_month"],
        on_day=table["on_day"],
        articles=_articles(table),
        possessive=table.get("possessive", ""),
        possessive_after_s=table.get("possessive_after_s", ""),
        alias_clozes=texts("alias_clozes"),
        article_never=frozenset(texts("article_never")),
        thousands=table.get("thousands", ","),
        decimal=table.get("decimal", "."),
        scripts=texts("scripts"),
        linking=table.get("linking", ""),
        small_words=texts("small_words"),
        islands=texts("islands"),
        on_island=table.get("on_island", ""),
        in_place=table.get("in_place", ""),
        office_in=table.get("office_in", "{office}, {place}"),
        office_of=table.get("office_of", table.get("office_in", "{office}, {place}")),
        offices_of=texts("offices_of"),
        place_heads=texts("place_heads"),
        place_topics=texts("place_topics"),
        generic_offices=texts("generic_offices"),
        demonyms=texts("demonyms"),
        place_never=texts("place_never"),
        alias_never=texts("alias_never"),
        list_style=table.get("list_style", "{first}, {last}"),
    )


def _articles(table: dict[str, Any]) -> tuple[Article, ...]:
    """The article of `article` first, whose names stand in `article_names` …, then those of the table `articles`."""
    if "article" not in table:
        return ()
    main = {key: table.get(f"article_{key}", ()) for key in ("names", "starts", "ends")}
    return tuple(
        Article(text, frozenset(lists.get("names", ())), tuple(lists.get("starts", ())), tuple(lists.get("ends", ())))
        for text, lists in ((table["article"], main), *table.get("articles", {}).items())
    )


def _relation(entry: Entry, name: str, table: dict[str, Any], languages: dict[str, Language]) -> Relation:
    facts = {key: value for key, value in table.items() if not isinstance(value, dict)}
    words = {key: value for key, value in table.items() if isinstance(value, dict)}
    check_relation(entry, name, facts, words, languages)
    undated = facts.get("undated", "unknown")
    read = []
    for code, wording in words.items():
        within = entry.at(code)
        language = languages[code]
        check_words(
            within,
            wording,
            for_ever=undated == "always",
            tells_day="ends_of" in facts,
            articles=[article.text for article in language.articles],
            has_possessive=bool(language.possessive),
            many_valued=not facts["single_valued"] and undated != "always",
        )
        plural = PluralWords(**_texts(wording["plural"])) if "plural" in wording else None
        read.append((code, Words(**_texts(wording) | {"plural": plural})))
    return Relation(
        id=name,
        property=facts["property"],
        inverse=facts.get("inverse", False),
        subject_types=tuple(facts.get("subject_types", ())),
        object_types=tuple(facts.get("object_types", ())),
        object_classes=tuple(facts.get("object_classes", ())),
        not_object_classes=tuple(facts.get("not_object_classes", ())),
        object_kind=facts["object_kind"],
        single_valued=facts["single_valued"],
        max_years=facts.get("max_years"),
        undated=undated,
        ends_with_subject=facts.get("ends_with_subject", True),
        ends_with_object=facts.get("ends_with_object", True),
        ends_of=facts.get("ends_of"),
        agrees_with=tuple(facts.get("agrees_with", ())),
        moves_with=tuple(facts.get("moves_with", ())),
        joins=tuple(facts.get("joins", ())),
        joins_of_leaders=tuple(facts.get("joins_of_leaders", ())),
        longest_chain=facts.get("longest_chain", LONGEST_CHAIN),
        start_share=facts.get("start_share"),
        end_share=facts.get("end_share"),
        restrictive_qualifiers=tuple(facts.get("restrictive_qualifiers", ())),
        words=tuple(read),
    )


def _texts(wording: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in wording.items()}


def _check_together(file: Entry, relations: tuple[Relation, ...]) -> None:
    """What can only be seen with all relations side by side: unknown names, one wording twice."""
    known = {relation.id for relation in relations}
    seen: dict[tuple[str, str], str] = {}
    for relation in relations:
        entry = file.at("relations", relation.id)
        for named in (*relation.moves_with, *(part for path in relation.agrees_with for part in path.split("/"))):
            if named not in known:
                entry.fail(named, f"names the unknown relation {named!r}; use the id of another entry")
        check_joins(entry, relation, relations)
        if relation.ends_of is not None:
            _check_ends(entry, relation, next((r for r in relations if r.id == relation.ends_of), None))
        for code, words in relation.words:
            for text in wordings_of(words):
                key = (code, re.sub(r"\W+", " ", text.replace("{n}", "{s}")).casefold().strip())
                if key in seen:
                    entry.at(code).fail(text, f"the wording {text!r} is already used by {seen[key]}; word it otherwise")
                seen[key] = relation.id


def _check_ends(entry: Entry, relation: Relation, told: Relation | None) -> None:
    """A relation that tells ends is the other direction of one that has ends."""
    if told is None or told.undated == "always" or told.object_kind != "item":
        entry.fail("ends_of", f"ends_of names {relation.ends_of!r}; use the id of another entry whose items have dates")
    if (relation.property, relation.inverse) != (told.property, not told.inverse):
        entry.fail("ends_of", f"must read {told.property} in the other direction than {told.id}")
    if relation.undated != "always":
        entry.fail("ends_of", 'is true for ever, since it names its day; add undated = "always"')


def _unknown(name: str, catalogue: Catalogue) -> str:
    names = sorted({*catalogue.by_id, *(relation.property for relation in catalogue.relations)})
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    mend = f"did you mean {near[0]}?" if near else f"known relations: {', '.join(catalogue.by_id)}"
    return f"unknown relation {name!r}; {mend}"
