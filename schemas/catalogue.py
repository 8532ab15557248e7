"""The relation catalogue: `data/relations.toml` read, checked and looked up in.

A relation is a Wikidata property read in one direction, with what the pipeline must know of it (is it
single-valued, how long may it stay open, what else moves with it) and with the words of every language.
Everything is checked when it is loaded, so that no stage meets a half-written entry.
Leaves out: putting a subject and a date into the words (`pipeline.questions.templates`).
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from chronofacts.schemas.catalogue_checks import Entry, check_joins, check_language, check_words, wordings_of
from chronofacts.schemas.catalogue_entries import Article, ChangeWords, Language, PluralWords, Qid, Relation, Words
from chronofacts.schemas.documents import parse_toml
from chronofacts.schemas.errors import BadInput

__all__ = ["CATALOGUE_PATH", "Catalogue", "load_catalogue"]

CATALOGUE_PATH = Path(__file__).resolve().parent.parent / "data" / "relations.toml"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


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

    Raises BadInput naming the file, the line and the fix for the first entry that is wrong.
    """
    path = path or CATALOGUE_PATH
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read the relation catalogue {path}: {error.strerror}; give an existing file") from error
    return _parse(path, raw)


@lru_cache(maxsize=4)  # each command asks several times, and checking every wording takes a third of a second
def _parse(path: Path, raw: bytes) -> Catalogue:
    try:
        text = raw.decode("utf-8-sig")
        tables = parse_toml(raw)
    except ValueError as error:
        raise BadInput(f"{path} is not TOML in UTF-8: {error}") from error
    file = Entry(str(path), text)
    file.only_keys(tables, ("acting_roles", "languages", "relations"))
    acting_roles = file.value("acting_roles", tables.get("acting_roles", []), tuple[Qid, ...])
    languages = {
        code: _language(file.at("languages", code), code, table) for code, table in file.tables(tables, "languages")
    }
    relations = tuple(
        _relation(file.at("relations", name), name, table, languages)
        for name, table in file.tables(tables, "relations")
    )
    _check_together(file, relations)
    return Catalogue(relations, tuple(languages.values()), acting_roles, hashlib.sha256(raw).hexdigest())


def _language(entry: Entry, code: str, table: dict[str, Any]) -> Language:
    further = [
        entry.at("articles", text).read(Article, lists, text=text)
        for text, lists in entry.tables(table, "articles", needed=False)
    ]
    if further and not table.get("article"):
        entry.fail("articles", "articles needs `article`, the article of offices; add it")
    values = {key: value for key, value in table.items() if key != "articles"}
    read = entry.read(Language, values, code=code, articles=())
    of_offices = Article(read.article, read.article_names, read.article_starts, read.article_ends)
    articles = (of_offices, *further) if read.article else ()
    language = replace(read, articles=articles, office_of=read.office_of or read.office_in)
    check_language(entry, language)
    return language


def _relation(entry: Entry, name: str, table: dict[str, Any], languages: Mapping[str, Language]) -> Relation:
    if not _NAME.fullmatch(name):
        entry.fail(name, f"{name!r} is not an id: use small letters, digits and _")
    facts = {key: value for key, value in table.items() if not isinstance(value, dict)}
    read = entry.read(Relation, facts, id=name, words=())
    words = []
    for code, wording in table.items():
        if code in facts:
            continue
        if code not in languages:
            entry.at(code).fail(name, f"no [languages.{code}] in the file; add it, or correct the key {code!r}")
        words.append((code, _words(entry.at(code), wording)))
        check_words(entry.at(code), read, words[-1][1], languages[code])
    if not words:
        entry.fail(name, f"has no words; add [relations.{name}.en]")
    return replace(read, words=tuple(words))


def _words(entry: Entry, table: dict[str, Any]) -> Words:
    values = {key: value for key, value in table.items() if key not in ("plural", "changes")}
    for key in ("plural", "changes"):
        if table.get(key) is not None and not isinstance(table[key], dict):
            entry.fail(key, f"{key} is {table[key]!r}: give a table")
    plural, changes = table.get("plural"), table.get("changes")
    return entry.read(
        Words,
        values,
        plural=plural and entry.at("plural").read(PluralWords, plural),
        changes=changes and entry.at("changes").read(ChangeWords, changes),
    )


def _check_together(file: Entry, relations: tuple[Relation, ...]) -> None:
    """What can only be seen with all relations side by side: unknown names, one wording twice."""
    known = {relation.id for relation in relations}
    seen: dict[tuple[str, str], str] = {}
    for relation in relations:
        entry = file.at("relations", relation.id)
        for named in (
            *relation.named_relations(),
            *(part for path in relation.agrees_with for part in path.split("/")),
        ):
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


def _check_ends(entry: Entry, relation: Relation, ended: Relation | None) -> None:
    """A relation of ends is the other direction of one that has ends."""
    if ended is None or ended.undated == "always" or ended.object_kind != "item":
        entry.fail("ends_of", f"ends_of names {relation.ends_of!r}; use the id of another entry whose items have dates")
    if (relation.property, relation.inverse) != (ended.property, not ended.inverse):
        entry.fail("ends_of", f"must read {ended.property} in the other direction than {ended.id}")
    if relation.undated != "always":
        entry.fail("ends_of", 'is true for ever, since it names its day; add undated = "always"')


def _unknown(name: str, catalogue: Catalogue) -> str:
    names = sorted({*catalogue.by_id, *(relation.property for relation in catalogue.relations)})
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    fix = f"did you mean {near[0]}?" if near else f"known relations: {', '.join(catalogue.by_id)}"
    return f"unknown relation {name!r}; {fix}"
