"""Templates: the catalogue's texts about a relation, cut at their placeholders, and its other facts as tables.

The macros `fill` and `sentence` (`pipeline.questions.macros`) put a name and a date into a template.
Leaves out: which names may stand in a question (`pipeline.questions.names`).
"""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa

from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.catalogue_checks import choose_wording
from chronofacts.schemas.catalogue_entries import Relation, Words
from chronofacts.schemas.reasons import REASONS

__all__ = ["CATALOGUE_TABLES", "OFFICE", "create_catalogue_tables", "list_vocabulary"]

_SLOTS = re.compile(r"\{s\}'s|\{[sndo]\}")
_SLOT_NAMES = {"{s}": "subject", "{n}": "bare", "{d}": "date", "{o}": "object", "{s}'s": "possessive"}
_NESTED_TEMPLATES = 3
OFFICE = "Q4164871"
"""The class of offices: position."""

CATALOGUE_TABLES = {
    # use: now, cloze, on_date, cloze_on_date, before, reverse, noun, noun_named, nested, nested_short, and of
    # many-valued relations all_now, all_cloze, all_on_date, all_cloze_on_date, all_preservation, of open ones joined,
    # several_joined, left, several_left and the same with _cloze; number: from 0.
    "templates": "relation VARCHAR, use VARCHAR, number TINYINT, "
    "form STRUCT(lead VARCHAR, slot VARCHAR, middle VARCHAR, other_slot VARCHAR, tail VARCHAR)",
    # duplicate_of: of two relations that say the same of the same subject, the earlier one, which asks.
    # links_…: how often the linking word stands in what a chain says of the relation, at most.
    # closed_…: whether words follow the subject, as in "the party that {s} belongs to" but not in "{s}'s spouse".
    # open_set: nobody can name all its values, so that what joined and left is asked by its day.
    "relation_facts": "relation VARCHAR, property VARCHAR, inverse BOOLEAN, for_ever BOOLEAN, article VARCHAR, "
    "paraphrases TINYINT, duplicate_of VARCHAR, ends_of VARCHAR, of_offices BOOLEAN, longest_chain TINYINT, "
    "start_share DOUBLE, end_share DOUBLE, links_named TINYINT, links_noun TINYINT, links_asked TINYINT, "
    "closed_named BOOLEAN, closed_noun BOOLEAN, open_set BOOLEAN, in_doubt_for VARCHAR, certain_for VARCHAR",
    # `next` may be asked of the object of `relation`, or of a leader alone.
    "joins": "relation VARCHAR, next VARCHAR, leaders_only BOOLEAN",
    # `other` may move when `relation` does, in both directions, itself included.
    "moves": "relation VARCHAR, other VARCHAR",
    "alias_clozes": "number TINYINT, lead VARCHAR, tail VARCHAR",
    # The stage that gives each reason.
    "stages": "reason VARCHAR, stage VARCHAR",
}
"""Table -> columns."""


def create_catalogue_tables(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, language: str) -> None:
    """Create `CATALOGUE_TABLES`. Raises BadInput when a relation has no words in the language."""
    catalogue.require_language(language)
    rows: dict[str, list[dict[str, object]]] = {
        "templates": _list_templates(catalogue, language),
        "relation_facts": _list_relation_facts(catalogue, language),
        "joins": [
            {"relation": r.id, "next": name, "leaders_only": name in r.joins_of_leaders}
            for r in catalogue.relations
            for name in r.joins
        ],
        "moves": [{"relation": one, "other": other} for one, other in sorted(_pair_moving(catalogue))],
        "alias_clozes": [
            {"number": number, "lead": cloze.split("{a}")[0], "tail": cloze.split("{a}")[1]}
            for number, cloze in enumerate(catalogue.language(language).alias_clozes)
        ],
        "stages": [{"reason": reason, "stage": stage} for reason, (stage, _) in REASONS.items()],
    }
    for table, columns in CATALOGUE_TABLES.items():
        connection.execute(f"CREATE TEMP TABLE {table} ({columns})")
        if rows[table]:
            connection.register("catalogue_rows", pa.Table.from_pylist(rows[table]))
            connection.execute(f"INSERT INTO {table} BY NAME FROM catalogue_rows")
            connection.unregister("catalogue_rows")


def list_vocabulary(catalogue: Catalogue, language: str) -> list[str]:
    """The words of the templates themselves, small and sorted: a name made of these alone gives itself away."""
    texts = " ".join(text for r in catalogue.relations for _, _, text in _list_uses(r.words_in(language)))
    return sorted(set(re.findall(r"\w+", _SLOTS.sub(" ", texts).lower())))


def _list_uses(words: Words) -> list[tuple[str, int, str]]:
    """(use, number, text) of one relation."""
    texts: dict[str, tuple[str | None, ...]] = {
        "cloze": (words.cloze,),
        "noun": (words.noun,),
        "noun_named": (words.noun_named or words.noun,),
        "cloze_on_date": (words.cloze_on_date,),
        "before": (words.before,),
        "reverse": (words.reverse,),
        "now": (words.now, *words.paraphrases),
        "on_date": (words.on_date, *words.on_date_paraphrases) if words.on_date is not None else (),
        "nested": words.nested_questions[:_NESTED_TEMPLATES],
        "nested_short": words.short_questions[:_NESTED_TEMPLATES],
    }
    if (plural := words.plural) is not None:
        texts["all_now"] = (plural.now, *plural.paraphrases)
        texts["all_on_date"] = (plural.on_date, *plural.on_date_paraphrases)
        texts["all_preservation"] = (plural.preservation,)
        texts["all_cloze"] = (plural.cloze,)
        texts["all_cloze_on_date"] = (plural.cloze_on_date,)
    if (changes := words.changes) is not None:
        for lead, several in (("", False), ("several_", True)):
            texts[f"{lead}joined"] = tuple(choose_wording(text, several) for text in changes.joined)
            texts[f"{lead}left"] = tuple(choose_wording(text, several) for text in changes.left)
            texts[f"{lead}joined_cloze"] = (choose_wording(changes.joined_cloze, several),)
            texts[f"{lead}left_cloze"] = (choose_wording(changes.left_cloze, several),)
    return [(use, i, text) for use, listed in texts.items() for i, text in enumerate(listed) if text is not None]


def _list_templates(catalogue: Catalogue, language: str) -> list[dict[str, object]]:
    in_place = catalogue.language(language).in_place
    return [
        {"relation": r.id, "use": use, "number": number, "form": _cut(text, in_place)}
        for r in catalogue.relations
        for use, number, text in _list_uses(r.words_in(language))
    ]


def _cut(text: str, in_place: str) -> dict[str, str]:
    """The pieces between the (one or two) placeholders of a text.

    "in {s}" is one slot: of an island one may say "on".
    """
    slots = [_SLOT_NAMES[slot] for slot in _SLOTS.findall(text)] + ["", ""]
    pieces = [*_SLOTS.split(text), "", ""]
    for i, slot in enumerate(slots[:2]):
        if in_place and slot == "subject" and re.search(rf"(^| ){re.escape(in_place)} $", pieces[i]):
            pieces[i] = pieces[i].removesuffix(f"{in_place} ")
            slots[i] = "within"
    return {"lead": pieces[0], "slot": slots[0], "middle": pieces[1], "other_slot": slots[1], "tail": pieces[2]}


def _list_relation_facts(catalogue: Catalogue, language: str) -> list[dict[str, object]]:
    ids = [relation.id for relation in catalogue.relations]
    return [
        {
            "relation": r.id,
            "property": r.property,
            "inverse": r.inverse,
            "for_ever": r.undated == "always",
            "article": r.words_in(language).subject,
            "paraphrases": len(r.words_in(language).paraphrases),
            "duplicate_of": next((name for name in r.agrees_with if name in ids[:i]), None),
            "ends_of": r.ends_of,
            "of_offices": r.subject_types == (OFFICE,),
            "longest_chain": r.longest_chain,
            "start_share": r.start_share,
            "end_share": r.end_share,
            "open_set": r.words_in(language).changes is not None,
            "in_doubt_for": r.in_doubt_for,
            "certain_for": r.certain_for,
            **_measure_nesting(r.words_in(language), catalogue.language(language).linking),
        }
        for i, r in enumerate(catalogue.relations)
    ]


def _measure_nesting(words: Words, linking: str) -> dict[str, int | bool]:
    """How much the relation's words burden a chain: its linking words, and clauses that close after the subject."""

    def count(*texts: str) -> int:
        return max(len(re.findall(rf"\b{re.escape(linking)}\b", text)) if linking else 0 for text in texts)

    named = words.noun_named or words.noun
    closed = re.compile(r"\{[sn]\}(?!'s).")
    return {
        "links_named": count(named),
        "links_noun": count(words.noun),
        "links_asked": count(*words.nested_questions[:_NESTED_TEMPLATES], *words.short_questions[:_NESTED_TEMPLATES]),
        "closed_named": closed.search(named) is not None,
        "closed_noun": closed.search(words.noun) is not None,
    }


def _pair_moving(catalogue: Catalogue) -> set[tuple[str, str]]:
    pairs = {(one.id, other) for one in catalogue.relations for other in (one.id, *_list_moving(one, catalogue))}
    return pairs | {(other, one) for one, other in pairs}


def _list_moving(relation: Relation, catalogue: Catalogue) -> list[str]:
    same_property = [other.id for other in catalogue.relations if other.property == relation.property]
    return [*relation.moves_with, *(part for path in relation.agrees_with for part in path.split("/")), *same_property]
