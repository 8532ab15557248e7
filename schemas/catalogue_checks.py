"""How an entry of the relation catalogue is read and checked; each failure names the file, the line and the fix.

Types and defaults are those of `schemas.catalogue_entries`. Checks of all relations side by side are in
`schemas.catalogue`.
"""

from __future__ import annotations

import dataclasses
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from chronofacts.schemas.catalogue_entries import Article, ChangeWords, Language, PluralWords, Relation, Words
from chronofacts.schemas.errors import BadInput

__all__ = ["Entry", "check_joins", "check_language", "check_words", "choose_wording", "wordings_of"]

T = TypeVar("T")

# key -> placeholders that each of its texts has exactly once, and no others; {n} may stand for {s}.
PLACEHOLDERS = {
    "now": "s",
    "paraphrases": "s",
    "nested": "s",
    "nested_short": "s",
    "preservation": "s",
    "cloze": "s",
    "noun": "s",
    "noun_named": "s",
    "on_date": "sd",
    "on_date_paraphrases": "sd",
    "cloze_on_date": "sd",
    "before": "so",
    "reverse": "o",
    "joined": "sd",
    "joined_cloze": "sd",
    "left": "sd",
    "left_cloze": "sd",
}
NO_QUESTIONS = ("cloze", "noun", "noun_named", "cloze_on_date", "joined_cloze", "left_cloze")
_NUMBERED = re.compile(r"\[([^|\[\]]*)\|([^|\[\]]*)\]")
DAY_TOLD = ("now", "paraphrases", "cloze", "noun")
"""With {d} in a relation of the ends of another."""
DATED = ("on_date", "on_date_paraphrases", "cloze_on_date", "before")
_TYPES: dict[type, dict[str, Any]] = {
    kind: get_type_hints(kind, include_extras=True)
    for kind in (Article, ChangeWords, Language, PluralWords, Relation, Words)
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """A position in the catalogue's file, from which errors get their line."""

    path: str
    text: str
    keys: tuple[str, ...] = ()

    def at(self, *keys: str) -> Entry:
        return Entry(self.path, self.text, (*self.keys, *keys))

    def fail(self, near: str, problem: str) -> NoReturn:
        """Raise BadInput with the line on which `near` stands within this entry."""
        where = f"{self.path}, line {self._line(near)}"
        raise BadInput(f"{where}: [{'.'.join(self.keys)}] {problem}" if self.keys else f"{where}: {problem}")

    def _line(self, near: str) -> int:
        lines = self.text.split("\n")
        start = next((i for i, line in enumerate(lines) if line.strip() == f"[{'.'.join(self.keys)}]"), 0)
        # TOML may have written a quote or a backslash otherwise: look for the longest plain piece.
        plain = max(re.split(r'["\\\n\t]', near), key=len)
        for number in range(start, len(lines)):
            if plain and plain in lines[number]:
                return number + 1
        return start + 1

    def only_keys(self, table: dict[str, Any], known: Iterable[str]) -> None:
        for key in table:
            if key not in known:
                self.fail(key, f"unknown key {key!r}; known are {', '.join(known)}")

    def lacks(self, key: str) -> NoReturn:
        self.fail(self.keys[-1], f"lacks {key}; add it")

    def tables(self, parent: dict[str, Any], key: str, needed: bool = True) -> Iterator[tuple[str, dict[str, Any]]]:
        """The named tables under a key, of which there is at least one where they are needed."""
        tables = parent.get(key, {})
        if not isinstance(tables, dict):
            self.fail(key, f"{key} is {tables!r}: give a table")
        if needed and not tables:
            self.fail(key, f"has no [{key}.…] table; add at least one")
        for name, table in tables.items():
            if not isinstance(table, dict):
                self.at(key).fail(name, f"{name} must be a table [{'.'.join((*self.keys, key, name))}]")
            yield name, table

    def read(self, kind: type[T], table: dict[str, Any], **given: object) -> T:
        """An object of a dataclass from the table's keys; `given` are the fields that the caller makes.

        Raises BadInput for a key that is unknown or missing, and for a value that is not of its field's type.
        """
        types = {key: type_ for key, type_ in _TYPES[kind].items() if key not in given}
        self.only_keys(table, types)
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            if field.name in types and field.name not in table and field.default is dataclasses.MISSING:
                self.lacks(field.name)
        return kind(**{key: self.value(key, value, types[key]) for key, value in table.items()}, **given)

    def value(self, key: str, value: object, type_: Any) -> Any:
        """A value converted to a type: a list to a tuple or a set."""
        try:
            return msgspec.convert(value, type_)
        except msgspec.ValidationError:
            item = next((part for part in get_args(type_) if part is not Ellipsis), None)
            if isinstance(value, list) and get_origin(type_) is tuple:
                for one in value:
                    self.value(key, one, item)
            self.fail(value if isinstance(value, str) else key, f"{key} is {value!r}: {_describe_wanted(type_)}")


def _describe_wanted(type_: Any) -> str:
    """What a type asks for, as an order."""
    parts = get_args(type_)
    if get_origin(type_) is Annotated:
        return str(parts[1].description)
    if get_origin(type_) is Literal:
        return f"use one of {', '.join(parts)}"
    if parts and type(None) in parts:
        return _describe_wanted(parts[0])
    return {str: "give a text", bool: "give true or false"}.get(type_, "give a list of texts")


def wordings_of(words: Words) -> list[str]:
    """Every text that must not stand twice in the catalogue."""
    texts = [words.now, *words.paraphrases, words.on_date, *words.on_date_paraphrases, words.cloze]
    texts += [words.cloze_on_date, words.before, words.reverse, words.noun]
    if (all_of := words.plural) is not None:
        texts += [all_of.now, *all_of.paraphrases, all_of.preservation, all_of.on_date, *all_of.on_date_paraphrases]
        texts += [all_of.cloze, all_of.cloze_on_date]
    if (changes := words.changes) is not None:
        texts += [*changes.joined, changes.joined_cloze, *changes.left, changes.left_cloze]
    return [text for text in texts if text]


def check_joins(entry: Entry, relation: Relation, relations: Sequence[Relation]) -> None:
    """A relation is joined by others that ask something new of its object. Raises BadInput."""
    others = {other.id: other for other in relations}
    one_fact = {path for other in relations for path in other.agrees_with}
    if relation.joins and relation.object_kind != "item":
        entry.fail("joins", f"its objects are no items but of the kind {relation.object_kind}; remove joins")
    for name in relation.joins_of_leaders:
        if name not in relation.joins:
            entry.fail("joins_of_leaders", f"joins_of_leaders names {name!r}, which joins lacks; add it there too")
    for number, name in enumerate(relation.joins):
        joined = others.get(name)
        if joined is None:
            entry.fail("joins", f"joins names the unknown relation {name!r}; use the id of another entry")
        if name in relation.joins[:number]:
            entry.fail("joins", f"joins names {name!r} twice; keep it once")
        if joined.ends_of is not None:
            entry.fail("joins", f"joins names {name!r}, which tells ends by their day and can only begin a chain")
        same = joined.property == relation.property and relation.ends_of is None
        if same or f"{relation.id}/{name}" in one_fact:
            entry.fail("joins", f"joins names {name!r}, but the two together say one fact; remove it")


def check_words(entry: Entry, relation: Relation, words: Words, language: Language) -> None:
    """The words of a relation in a language. Raises BadInput."""
    for key in DATED:
        if relation.undated == "always" and getattr(words, key):
            entry.fail(key, f"{key} makes no sense for a fact that is true for ever; remove it, or change `undated`")
        if relation.undated != "always" and not getattr(words, key):
            entry.lacks(key)
    _check_texts(entry, words, language, DAY_TOLD if relation.ends_of is not None else ())
    several = {"plural": words.plural, "changes": words.changes}
    for key, table in several.items():
        if table is not None and not relation.may_change_in_part():
            entry.fail(key, f"{key} makes no sense for a relation whose values do not join and leave; remove it")
        if table is not None:
            _check_texts(entry.at(key), table, language)
    if all(several.values()):
        entry.fail("changes", "has plural and changes; keep changes unless every value can be named")
    if relation.may_change_in_part() and not any(several.values()):
        within = ".".join(entry.keys)
        entry.fail(entry.keys[-1], f"lacks the words for several values; add [{within}.plural] or [{within}.changes]")


def choose_wording(text: str, several: bool) -> str:
    """A wording of `ChangeWords` for one value or for several: "[an owner|owners]"."""
    return _NUMBERED.sub(r"\2" if several else r"\1", text)


def _check_texts(
    entry: Entry, words: Words | PluralWords | ChangeWords, language: Language, with_day: Sequence[str] = ()
) -> None:
    for key, placeholders in PLACEHOLDERS.items():
        texts = getattr(words, key, None) or ()
        numbered = (
            choose_wording(text, several)
            for text in ([texts] if isinstance(texts, str) else texts)
            for several in ((False, True) if isinstance(words, ChangeWords) else (False,))
        )
        for text in dict.fromkeys(numbered):
            _check_text(entry, key, text, placeholders + ("d" if key in with_day else ""))
            _check_subject(entry, key, text, language)


def _check_subject(entry: Entry, key: str, text: str, language: Language) -> None:
    """A subject brings its article, and a possessive where the language has one."""
    for article in language.articles:
        if re.search(rf"\b{re.escape(article.text)} \{{s\}}", text, re.IGNORECASE):
            entry.fail(text, f"{key} has the article {article.text!r} before {{s}}, which brings its own: {text!r}")
    if "{s}'s" in text and not language.possessive:
        entry.fail(text, f"{key} has {{s}}'s, but the language has no `possessive`; word it otherwise: {text!r}")


def _check_text(entry: Entry, key: str, text: str, placeholders: str) -> None:
    try:
        found = [name for _, name, spec, conversion in string.Formatter().parse(text) if name is not None]
        plain = not any(spec or conversion for _, _, spec, conversion in string.Formatter().parse(text))
    except ValueError:
        found, plain = [], False
    as_subject = ["s" if name == "n" and "s" in placeholders else name for name in found]
    for name in placeholders:
        if as_subject.count(name) != 1:
            entry.fail(text, f"{key} must have the placeholder {{{name}}} exactly once: {text!r}")
    if not plain or set(as_subject) - set(placeholders):
        allowed = ", ".join("{" + name + "}" for name in placeholders)
        entry.fail(text, f"{key} may have only the placeholders {allowed}: {text!r}")
    for slip, name in {"  ": "a double space", " ?": "a space before ?"}.items():
        if slip in text:
            entry.fail(text, f"{key} has {name}: {text!r}")
    if text != text.strip():
        entry.fail(text, f"{key} begins or ends with a space: {text!r}")
    if re.search(r"\b(\w+) \1\b", text, re.IGNORECASE):
        entry.fail(text, f"{key} repeats a word: {text!r}")
    if text.endswith("?") == (key in NO_QUESTIONS):
        entry.fail(text, f"{key} must {'not ' if key in NO_QUESTIONS else ''}end with a question mark: {text!r}")


def check_language(entry: Entry, language: Language) -> None:
    """How a language writes dates, offices, lists and articles. Raises BadInput."""
    for key, parts in (("in_year", {"year"}), ("in_month", {"year", "month"}), ("on_day", {"year", "month", "day"})):
        form = getattr(language, key)
        if set(re.findall(r"\{(\w+)\}", form)) != parts:
            entry.fail(key, f"{key} must have {', '.join('{' + part + '}' for part in sorted(parts))}: {form!r}")
    for key in ("office_in", "office_of"):
        form = getattr(language, key)
        if not re.fullmatch(r"[^{}]*\{office\}[^{}]*\{place\}", form):
            entry.fail(key, f"{key} must have {{office}} and end with {{place}}: {form!r}")
    if not re.fullmatch(r"\{first\}[^{}]+\{last\}", language.list_style):
        entry.fail("list_style", f"list_style must be {{first}}, some words and {{last}}: {language.list_style!r}")
    if language.islands and not (language.on_island and language.in_place):
        entry.fail("islands", "islands needs on_island and in_place, the words before their names and others; add them")
    for text in language.alias_clozes:
        if text.count("{a}") != 1:
            entry.fail(text, f"alias_clozes must have the placeholder {{a}} exactly once: {text!r}")
    _check_articles(entry, language)


def _check_articles(entry: Entry, language: Language) -> None:
    """Names want one article or none; a second article needs a first. Raises BadInput."""
    for key in ("article_names", "article_starts", "article_ends", "article_never"):
        if getattr(language, key) and not language.article:
            entry.fail(key, f"{key} needs `article`, the article of offices; add it")
    seen = set(language.article_never)
    for number, article in enumerate(language.articles):
        within = entry.at("articles", article.text) if number else entry
        if number and article.text == language.article:
            within.fail(article.text, f"{article.text!r} is the language's `article` already; move its names there")
        for name in sorted(seen & article.names):
            within.fail(name, f"{name!r} stands under two articles; keep it under one")
        seen |= article.names
