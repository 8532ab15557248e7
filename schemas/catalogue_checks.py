"""What an entry of the relation catalogue must satisfy; each failure names the file, the line and the mend.

Leaves out: building the objects (`schemas.catalogue`), and checks that need all relations at once.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from chronofacts.schemas.errors import BadInput

__all__ = [
    "LONGEST_CHAIN",
    "Entry",
    "check_joins",
    "check_language",
    "check_qids",
    "check_relation",
    "check_words",
    "wordings_of",
]

PID = re.compile(r"P[1-9][0-9]*")
QID = re.compile(r"Q[1-9][0-9]*")
QUALIFIER = re.compile(r"P[1-9][0-9]*(=Q[1-9][0-9]*)?")
NAME = re.compile(r"[a-z][a-z0-9_]*")
LEAST_PARAPHRASES, LEAST_DATED = 4, 2
LEAST_PLURAL_PARAPHRASES, LEAST_PLURAL_DATED = 3, 1
LONGEST_CHAIN = 4
"""Facts in a multi-hop question, at most."""
SCRIPTS = (
    "Arabic",
    "Armenian",
    "Cyrillic",
    "Devanagari",
    "Georgian",
    "Greek",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Katakana",
    "Latin",
    "Thai",
)
"""Names of scripts that patterns know."""
OBJECT_KINDS = ("item", "string", "quantity", "year")
UNDATED = ("always", "single", "unknown")
ANSWERS = ("who", "what", "which", "where")
SUBJECT_ARTICLES = ("the", "name", "none")

# key -> type of the value; a list holds strings.
RELATION_KEYS: dict[str, type | tuple[type, ...]] = {
    "property": str,
    "inverse": bool,
    "subject_types": list,
    "object_types": list,
    "object_classes": list,
    "not_object_classes": list,
    "object_kind": str,
    "single_valued": bool,
    "max_years": (int, float),
    "undated": str,
    "ends_with_subject": bool,
    "ends_with_object": bool,
    "ends_of": str,
    "agrees_with": list,
    "moves_with": list,
    "joins": list,
    "joins_of_leaders": list,
    "longest_chain": int,
    "start_share": (int, float),
    "end_share": (int, float),
    "restrictive_qualifiers": list,
}
# key -> (placeholders that the text must have, those that it may have besides); {n} may stand for {s}.
TEXT_KEYS: dict[str, tuple[str, str]] = {
    "now": ("s", ""),
    "paraphrases": ("s", ""),
    "nested": ("s", ""),
    "nested_short": ("s", ""),
    "cloze": ("s", ""),
    "noun": ("s", ""),
    "noun_named": ("s", ""),
    "on_date": ("sd", ""),
    "on_date_paraphrases": ("sd", ""),
    "cloze_on_date": ("sd", ""),
    "before": ("so", ""),
    "reverse": ("o", ""),
}
# The same of the table `plural`.
PLURAL_KEYS: dict[str, tuple[str, str]] = {
    "now": ("s", ""),
    "paraphrases": ("s", ""),
    "preservation": ("s", ""),
    "cloze": ("s", ""),
    "on_date": ("sd", ""),
    "on_date_paraphrases": ("sd", ""),
    "cloze_on_date": ("sd", ""),
}
LISTS = ("paraphrases", "on_date_paraphrases", "nested", "nested_short")
QUESTIONS = (
    "now",
    "paraphrases",
    "nested",
    "nested_short",
    "on_date",
    "on_date_paraphrases",
    "before",
    "reverse",
    "preservation",
)
DAY_TOLD = ("now", "paraphrases", "cloze", "noun")
"""With {d} in a relation that tells the ends of another."""
DATED = ("on_date", "on_date_paraphrases", "cloze_on_date", "before")
LANGUAGE_KEYS: dict[str, type | tuple[type, ...]] = {
    "months": list,
    "in_year": str,
    "in_month": str,
    "on_day": str,
    "article": str,
    "articles": dict,
    "thousands": str,
    "decimal": str,
    "possessive": str,
    "possessive_after_s": str,
    "alias_clozes": list,
    "article_names": list,
    "article_starts": list,
    "article_ends": list,
    "article_never": list,
    "scripts": list,
    "linking": str,
    "small_words": list,
    "islands": list,
    "on_island": str,
    "in_place": str,
    "office_in": str,
    "office_of": str,
    "offices_of": list,
    "place_heads": list,
    "place_topics": list,
    "generic_offices": list,
    "demonyms": list,
    "place_never": list,
    "alias_never": list,
    "list_style": str,
}
ARTICLE_KEYS: dict[str, type | tuple[type, ...]] = {"names": list, "starts": list, "ends": list}


class HasPluralWordings(Protocol):
    """What `wordings_of` reads of the table `plural`."""

    @property
    def now(self) -> str: ...
    @property
    def paraphrases(self) -> tuple[str, ...]: ...
    @property
    def preservation(self) -> str: ...
    @property
    def cloze(self) -> str: ...
    @property
    def on_date(self) -> str: ...
    @property
    def on_date_paraphrases(self) -> tuple[str, ...]: ...
    @property
    def cloze_on_date(self) -> str: ...


class HasWordings(Protocol):
    """What `wordings_of` reads: the words of one relation in one language."""

    @property
    def now(self) -> str: ...
    @property
    def paraphrases(self) -> tuple[str, ...]: ...
    @property
    def on_date(self) -> str | None: ...
    @property
    def on_date_paraphrases(self) -> tuple[str, ...]: ...
    @property
    def cloze(self) -> str: ...
    @property
    def cloze_on_date(self) -> str | None: ...
    @property
    def before(self) -> str | None: ...
    @property
    def reverse(self) -> str | None: ...
    @property
    def noun(self) -> str: ...
    @property
    def plural(self) -> HasPluralWordings | None: ...


@dataclass(frozen=True)
class Entry:
    """A place in the catalogue's file, from which errors get their line."""

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
        lines = self.text.splitlines()
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

    def typed(self, table: dict[str, Any], types: dict[str, type | tuple[type, ...]]) -> None:
        """Every key is known and of its type; lists hold strings."""
        self.only_keys(table, types)
        for key, value in table.items():
            wanted = types[key]
            wrong = not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool)
            if wrong or (isinstance(value, list) and not all(isinstance(item, str) for item in value)):
                self.fail(key, f"{key} has the wrong type; give {_type_name(wanted)}")

    def tables(self, parent: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The named tables under a key; there is at least one."""
        tables = parent.get(key)
        if not isinstance(tables, dict) or not tables:
            self.fail(key, f"has no [{key}.…] table; add at least one")
        for name, table in tables.items():
            if not isinstance(table, dict):
                self.at(key).fail(name, f"{name} must be a table [{key}.{name}]")
            yield name, table


def wordings_of(words: HasWordings) -> list[str]:
    """Every text that must not stand twice in the catalogue."""
    texts = [words.now, *words.paraphrases, words.on_date, *words.on_date_paraphrases, words.cloze]
    texts += [words.cloze_on_date, words.before, words.reverse, words.noun]
    if (all_of := words.plural) is not None:
        texts += [all_of.now, *all_of.paraphrases, all_of.preservation, all_of.on_date, *all_of.on_date_paraphrases]
        texts += [all_of.cloze, all_of.cloze_on_date]
    return [text for text in texts if text]


def check_qids(entry: Entry, table: dict[str, Any], key: str) -> None:
    """A list of QIDs, where it is given. Raises BadInput."""
    entry.typed({key: table.get(key, [])}, {key: list})
    for value in table.get(key, ()):
        if not QID.fullmatch(value):
            entry.fail(value, f"{key} holds {value!r}, which is not an id like Q5")


def check_relation(
    entry: Entry, name: str, facts: dict[str, Any], words: dict[str, Any], languages: Collection[str]
) -> None:
    """The facts of one relation, without its words. Raises BadInput."""
    if not NAME.fullmatch(name):
        entry.fail(name, f"{name!r} is not an id: use small letters, digits and _")
    entry.typed(facts, RELATION_KEYS)
    for key in ("property", "object_kind", "single_valued"):
        if key not in facts:
            entry.fail(name, f"lacks {key}; add it")
    if not PID.fullmatch(facts["property"]):
        entry.fail(facts["property"], f"property {facts['property']!r} is not a property id like P39")
    for key, form in (
        ("subject_types", QID), ("object_types", QID), ("object_classes", QID), ("not_object_classes", QID),
        ("restrictive_qualifiers", QUALIFIER),
    ):  # fmt: skip
        for value in facts.get(key, ()):
            if not form.fullmatch(value):
                like = "an id like Q5" if form is QID else "an id like P642 or P642=Q5"
                entry.fail(value, f"{key} holds {value!r}, which is not {like}")
    for key, allowed in (("object_kind", OBJECT_KINDS), ("undated", UNDATED)):
        if facts.get(key, allowed[0]) not in allowed:
            entry.fail(facts[key], f"{key} is {facts[key]!r}; use one of {', '.join(allowed)}")
    if facts.get("max_years", 1) <= 0:
        entry.fail("max_years", "max_years must be positive; leave it out where there is no bound")
    if not 2 <= facts.get("longest_chain", LONGEST_CHAIN) <= LONGEST_CHAIN:
        entry.fail("longest_chain", f"longest_chain is {facts['longest_chain']}; give 2 to {LONGEST_CHAIN}")
    for key in ("start_share", "end_share"):
        if not 0 < facts.get(key, 1) <= 1:
            entry.fail(key, f"{key} is {facts[key]}; give a part of 1, such as 0.15")
    if not words:
        entry.fail(name, f"has no words; add [relations.{name}.en]")
    for code in words:
        if code not in languages:
            entry.at(code).fail(name, f"no [languages.{code}] in the file; add it, or correct the key {code!r}")


class HasJoins(Protocol):
    """What `check_joins` reads of a relation."""

    @property
    def id(self) -> str: ...
    @property
    def object_kind(self) -> str: ...
    @property
    def ends_of(self) -> str | None: ...
    @property
    def agrees_with(self) -> tuple[str, ...]: ...
    @property
    def joins(self) -> tuple[str, ...]: ...
    @property
    def joins_of_leaders(self) -> tuple[str, ...]: ...
    @property
    def property(self) -> str: ...  # last, since it hides the decorator of its name


def check_joins(entry: Entry, relation: HasJoins, relations: Sequence[HasJoins]) -> None:
    """A relation is joined by others that ask something new of its object. Raises BadInput."""
    others = {other.id: other for other in relations}
    one_fact = {path for other in relations for path in other.agrees_with}
    if relation.joins and relation.object_kind != "item":
        entry.fail("joins", f"its objects are no items but of the kind {relation.object_kind}; remove joins")
    for name in relation.joins_of_leaders:
        if name not in relation.joins:
            entry.fail("joins_of_leaders", f"joins_of_leaders names {name!r}, which joins lacks; add it there too")
    for place, name in enumerate(relation.joins):
        joined = others.get(name)
        if joined is None:
            entry.fail("joins", f"joins names the unknown relation {name!r}; use the id of another entry")
        if name in relation.joins[:place]:
            entry.fail("joins", f"joins names {name!r} twice; keep it once")
        if joined.ends_of is not None:
            entry.fail("joins", f"joins names {name!r}, which tells ends by their day and can only begin a chain")
        same = joined.property == relation.property and relation.ends_of is None
        if same or f"{relation.id}/{name}" in one_fact:
            entry.fail("joins", f"joins names {name!r}, but the two together say one fact; remove it")


def check_words(
    entry: Entry,
    words: dict[str, Any],
    *,
    for_ever: bool,
    tells_day: bool,
    articles: Sequence[str],
    has_possessive: bool,
    many_valued: bool,
) -> None:
    """The words of one relation in a language with these articles, with or without a possessive. Raises BadInput.

    tells_day: the relation tells the ends of another, so that its words name the day. many_valued: its values join
    and leave, so that it is asked for all of them too.
    """
    types: dict[str, type | tuple[type, ...]] = {"answer": str, "subject": str, "plural": dict}
    entry.typed(words, types | {key: list if key in LISTS else str for key in TEXT_KEYS})
    needed = ["answer", "now", "paraphrases", "cloze", "noun"]
    if for_ever:
        for key in set(DATED) & words.keys():
            entry.fail(key, f"{key} makes no sense for a fact that is true for ever; remove it, or change `undated`")
    else:
        needed += DATED
    for key in needed:
        if key not in words:
            entry.fail(entry.keys[-1], f"lacks {key}; add it")
    for key, allowed in (("answer", ANSWERS), ("subject", SUBJECT_ARTICLES)):
        if words.get(key, allowed[0]) not in allowed:
            entry.fail(words[key], f"{key} is {words[key]!r}; use one of {', '.join(allowed)}")
    for key, least in (("paraphrases", LEAST_PARAPHRASES), ("on_date_paraphrases", LEAST_DATED)):
        if key in words and len(words[key]) < least:
            entry.fail(key, f"{key} has {len(words[key])} wordings; give at least {least}")
    for key in TEXT_KEYS:
        for text in words.get(key, ()) if key in LISTS else [words[key]] if key in words else []:
            must, may = TEXT_KEYS[key]
            _check_text(entry, key, text, must + "d" if tells_day and key in DAY_TOLD else must, may)
            _check_subject(entry, key, text, articles, has_possessive)
    if "plural" in words and not many_valued:
        entry.fail("plural", "plural makes no sense for a relation whose values do not join and leave; remove it")
    if many_valued:
        if "plural" not in words:
            entry.fail(entry.keys[-1], f"lacks the words for several values; add [{'.'.join(entry.keys)}.plural]")
        _check_plural(entry.at("plural"), words["plural"], articles, has_possessive)


def _check_plural(entry: Entry, words: dict[str, Any], articles: Sequence[str], has_possessive: bool) -> None:
    """The words for all values at once."""
    entry.typed(words, {key: list if key in LISTS else str for key in PLURAL_KEYS})
    for key in PLURAL_KEYS:
        if key not in words:
            entry.fail(entry.keys[-1], f"lacks {key}; add it")
    for key, least in (("paraphrases", LEAST_PLURAL_PARAPHRASES), ("on_date_paraphrases", LEAST_PLURAL_DATED)):
        if len(words[key]) < least:
            entry.fail(key, f"{key} has {len(words[key])} wordings; give at least {least}")
    for key, (must, may) in PLURAL_KEYS.items():
        for text in words[key] if key in LISTS else [words[key]]:
            _check_text(entry, key, text, must, may)
            _check_subject(entry, key, text, articles, has_possessive)


def _check_subject(entry: Entry, key: str, text: str, articles: Sequence[str], has_possessive: bool) -> None:
    """A subject brings its article, and a possessive where the language has one."""
    if slip := next((a for a in articles if re.search(rf"\b{re.escape(a)} \{{s\}}", text, re.IGNORECASE)), None):
        entry.fail(text, f"{key} has the article {slip!r} before {{s}}, which brings its own: {text!r}")
    if "{s}'s" in text and not has_possessive:
        entry.fail(text, f"{key} has {{s}}'s, but the language has no `possessive`; word it otherwise: {text!r}")


def _check_text(entry: Entry, key: str, text: str, must: str, may: str) -> None:
    try:
        found = [name for _, name, spec, conversion in string.Formatter().parse(text) if name is not None]
        plain = not any(spec or conversion for _, _, spec, conversion in string.Formatter().parse(text))
    except ValueError:
        found, plain = [], False
    as_subject = ["s" if name == "n" and "s" in must else name for name in found]
    for name in must:
        if as_subject.count(name) != 1:
            entry.fail(text, f"{key} must have the placeholder {{{name}}} exactly once: {text!r}")
    if not plain or set(as_subject) - set(must) - set(may):
        entry.fail(text, f"{key} may have only the placeholders {', '.join('{' + x + '}' for x in must)}: {text!r}")
    for slip, name in {"  ": "a double space", " ?": "a space before ?"}.items():
        if slip in text:
            entry.fail(text, f"{key} has {name}: {text!r}")
    if text != text.strip():
        entry.fail(text, f"{key} begins or ends with a space: {text!r}")
    if re.search(r"\b(\w+) \1\b", text, re.IGNORECASE):
        entry.fail(text, f"{key} repeats a word: {text!r}")
    if (key in QUESTIONS) != text.endswith("?"):
        entry.fail(text, f"{key} must {'end' if key in QUESTIONS else 'not end'} with a question mark: {text!r}")


def check_language(entry: Entry, table: dict[str, Any]) -> None:
    """How a language writes dates and articles. Raises BadInput."""
    entry.typed(table, LANGUAGE_KEYS)
    for key in ("months", "in_year", "in_month", "on_day"):
        if key not in table:
            entry.fail(entry.keys[-1], f"lacks {key}; add it")
    if len(table["months"]) != 12:
        entry.fail("months", f"months has {len(table['months'])} names; give twelve")
    for key, parts in (("in_year", {"year"}), ("in_month", {"year", "month"}), ("on_day", {"year", "month", "day"})):
        if set(re.findall(r"\{(\w+)\}", table[key])) != parts:
            entry.fail(key, f"{key} must have {', '.join('{' + part + '}' for part in sorted(parts))}: {table[key]!r}")
    _check_articles(entry, table)
    for key in ("office_in", "office_of"):
        if not re.fullmatch(r"[^{}]*\{office\}[^{}]*\{place\}", table.get(key, "{office}, {place}")):
            entry.fail(key, f"{key} must have {{office}} and end with {{place}}: {table[key]!r}")
    if not re.fullmatch(r"\{first\}[^{}]+\{last\}", table.get("list_style", "{first}, {last}")):
        entry.fail("list_style", f"list_style must be {{first}}, some words and {{last}}: {table['list_style']!r}")
    for script in table.get("scripts", ()):
        if script not in SCRIPTS:
            entry.fail(script, f"scripts holds {script!r}; use one of {', '.join(SCRIPTS)}")
    if table.get("islands") and not (table.get("on_island") and table.get("in_place")):
        entry.fail("islands", "islands needs on_island and in_place, the words before their names and others; add them")
    for text in table.get("alias_clozes", ()):
        if text.count("{a}") != 1:
            entry.fail(text, f"alias_clozes must have the placeholder {{a}} exactly once: {text!r}")


def _check_articles(entry: Entry, table: dict[str, Any]) -> None:
    """Names want one article or none; a second article needs a first. Raises BadInput."""
    further = table.get("articles", {})
    for key in ("article_names", "article_starts", "article_ends", "article_never", "articles"):
        if table.get(key) and not table.get("article"):
            entry.fail(key, f"{key} needs `article`, the article of offices; add it")
    wanted: dict[str, str] = {}
    for text, lists in [("article", table), *further.items()]:
        within = entry if lists is table else entry.at("articles", text)
        if not isinstance(lists, dict):
            entry.fail(text, f"articles.{text} must be a table [{'.'.join(within.keys)}]")
        if lists is not table:
            within.typed(lists, ARTICLE_KEYS)
            if text == table["article"]:
                within.fail(text, f"{text!r} is the language's `article` already; move its names to article_names …")
        for name in lists.get("article_names" if lists is table else "names", ()):
            if name in wanted or name in table.get("article_never", ()):
                within.fail(name, f"{name!r} stands under two articles; keep it under one")
            wanted[name] = text


def _type_name(wanted: type | tuple[type, ...]) -> str:
    names = {str: "a text", bool: "true or false", list: "a list of texts", dict: "a table"}
    return names.get(wanted, "a number") if isinstance(wanted, type) else "a number"
