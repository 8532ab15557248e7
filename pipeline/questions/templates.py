"""Words: a relation, a name and a date to the sentence that a person would write.

The catalogue's wordings are cut at their placeholders once, here, and put together again in SQL by
`concat`; no name is ever read as a pattern, so braces and quotes in names are harmless.
Works on a connection: `create_wordings` makes the tables `wordings` and `relation_facts` and the macros `worded`,
`capital`, `date_phrase`, `number_phrase`, `listed_name`, `list_text` and `plain_words` that the other stages use.
Leaves out: which names may stand in a question (`pipeline.questions.names`).
"""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa

from chronofacts.schemas.catalogue import Catalogue
from chronofacts.schemas.catalogue_entries import Article, Language, Relation, Words

__all__ = ["OFFICE", "create_chain_texts", "create_wordings", "vocabulary"]

_SLOTS = re.compile(r"\{s\}'s|\{[sndo]\}")
_SLOT_NAMES = {"{s}": "subject", "{n}": "bare", "{d}": "date", "{o}": "object", "{s}'s": "possessive"}
_FORM = pa.struct([(name, pa.string()) for name in ("lead", "slot", "middle", "other_slot", "tail")])
_NESTED_WORDINGS = 3
"""Classes of places: country, sovereign state, city, human settlement, administrative territorial entity."""
OFFICE = "Q4164871"
"""The class of offices: position."""


def create_wordings(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue, language: str) -> None:
    """Create `wordings` (relation, use, number, form), `relation_facts`, `moves`, `joins` and the macros.

    use: now, cloze, on_date, cloze_on_date, before, reverse, noun, noun_named, nested, nested_short, and of many-valued
    relations all_now, all_cloze, all_on_date, all_cloze_on_date, all_preservation; number from 0.
    Raises BadInput when a relation has no words in the language.
    """
    catalogue.require_language(language)
    connection.register("wordings_arrow", _wording_table(catalogue, language))
    connection.register("relation_facts_arrow", _relation_table(catalogue, language))
    connection.register("moves_arrow", _moves_table(catalogue))
    connection.register("joins_arrow", _joins_table(catalogue))
    for name in ("wordings", "relation_facts", "moves", "joins"):
        connection.execute(f"CREATE TEMP TABLE {name} AS SELECT * FROM {name}_arrow")
        connection.unregister(f"{name}_arrow")
    _create_macros(connection, catalogue.language(language))
    connection.execute("CREATE TEMP TABLE alias_clozes (number TINYINT, lead VARCHAR, tail VARCHAR)")
    for number, cloze in enumerate(catalogue.language(language).alias_clozes):
        lead, tail = cloze.split("{a}")
        connection.execute("INSERT INTO alias_clozes VALUES ($1, $2, $3)", [number, lead, tail])


def create_chain_texts(connection: duckdb.DuckDBPyConnection, chains: str, texts: str) -> None:
    """Create the table `texts` (number, texts): the wordings of each chain as one question.

    chains: a table with number, start (QID), path (relations joined by /), day (that the first fact names, or null)
    and hops from 2 to 4.
    "the spouse of" + "the head of government of" + France; the last fact is asked.
    """
    connection.execute(CHAIN_TEXTS.replace("<chains>", chains).replace("<texts>", texts))


# One level at a time: a macro's text is copied into its place, and three levels in one would grow eightfold each.
CHAIN_TEXTS = """
CREATE OR REPLACE TEMP TABLE <texts> AS
WITH chains AS (SELECT number, start, day, hops, string_split(path, '/') AS relations FROM <chains>),
one AS MATERIALIZED (
    SELECT c.*, worded(w.form, named_subject(r.article, s), s.label, day_told(c.day), '') AS phrase,
        CASE WHEN c.hops = 2 AND is_short(w.form) THEN 'nested_short' ELSE 'nested' END AS use
    FROM chains c JOIN names s ON s.id = c.start AND s.kind = 'item'
    JOIN relation_facts r ON r.relation = c.relations[1]
    JOIN wordings w ON w.relation = c.relations[1] AND w.use = 'noun_named'
),
two AS MATERIALIZED (
    SELECT o.* REPLACE (
        CASE WHEN o.hops > 2 THEN worded(w.form, o.phrase, o.phrase, '', '') ELSE o.phrase END AS phrase)
    FROM one o LEFT JOIN wordings w ON o.hops > 2 AND w.relation = o.relations[2] AND w.use = 'noun'
),
three AS MATERIALIZED (
    SELECT t.* REPLACE (
        CASE WHEN t.hops > 3 THEN worded(w.form, t.phrase, t.phrase, '', '') ELSE t.phrase END AS phrase)
    FROM two t LEFT JOIN wordings w ON t.hops > 3 AND w.relation = t.relations[3] AND w.use = 'noun'
)
SELECT t.number, list(capital(worded(w.form, t.phrase, t.phrase, '', '')) ORDER BY w.number) AS texts
FROM three t JOIN wordings w ON w.relation = t.relations[t.hops] AND w.use = t.use
GROUP BY t.number
"""


def vocabulary(catalogue: Catalogue, language: str) -> list[str]:
    """The words of the wordings themselves, small and sorted: a name made of these alone gives itself away."""
    texts = " ".join(text for r in catalogue.relations for _, _, text in _uses(r.words_in(language)))
    return sorted(set(re.findall(r"\w+", _SLOTS.sub(" ", texts).lower())))


def _uses(words: Words) -> list[tuple[str, int, str]]:
    """(use, number, wording) of one relation."""
    single: list[tuple[str, str | None]] = [
        ("cloze", words.cloze),
        ("noun", words.noun),
        ("noun_named", words.noun_named or words.noun),
    ]
    single += [("cloze_on_date", words.cloze_on_date), ("before", words.before), ("reverse", words.reverse)]
    uses = [(use, 0, text) for use, text in single if text is not None]
    uses += [("now", i, text) for i, text in enumerate((words.now, *words.paraphrases))]
    if words.on_date is not None:
        uses += [("on_date", i, text) for i, text in enumerate((words.on_date, *words.on_date_paraphrases))]
    uses += [("nested", i, text) for i, text in enumerate(words.nested_questions[:_NESTED_WORDINGS])]
    uses += [("nested_short", i, text) for i, text in enumerate(words.short_questions[:_NESTED_WORDINGS])]
    if (plural := words.plural) is not None:
        uses += [("all_now", i, text) for i, text in enumerate((plural.now, *plural.paraphrases))]
        uses += [("all_on_date", i, text) for i, text in enumerate((plural.on_date, *plural.on_date_paraphrases))]
        uses += [("all_preservation", 0, plural.preservation)]
        uses += [("all_cloze", 0, plural.cloze), ("all_cloze_on_date", 0, plural.cloze_on_date)]
    return uses


def _wording_table(catalogue: Catalogue, language: str) -> pa.Table:
    in_place = catalogue.language(language).in_place
    rows = [
        {"relation": r.id, "use": use, "number": number, "form": _cut(text, in_place)}
        for r in catalogue.relations
        for use, number, text in _uses(r.words_in(language))
    ]
    schema = pa.schema([("relation", pa.string()), ("use", pa.string()), ("number", pa.int8()), ("form", _FORM)])
    return pa.Table.from_pylist(rows, schema=schema)


def _cut(text: str, in_place: str) -> dict[str, str]:
    """The pieces between the (one or two) placeholders of a wording.

    "in {s}" is one slot: of an island one may say "on".
    """
    slots = [_SLOT_NAMES[slot] for slot in _SLOTS.findall(text)] + ["", ""]
    pieces = [*_SLOTS.split(text), "", ""]
    for place, slot in enumerate(slots[:2]):
        if in_place and slot == "subject" and re.search(rf"(^| ){re.escape(in_place)} $", pieces[place]):
            pieces[place] = pieces[place].removesuffix(f"{in_place} ")
            slots[place] = "within"
    return {"lead": pieces[0], "slot": slots[0], "middle": pieces[1], "other_slot": slots[1], "tail": pieces[2]}


def _relation_table(catalogue: Catalogue, language: str) -> pa.Table:
    schema = pa.schema(
        [
            ("relation", pa.string()),
            ("property", pa.string()),
            ("inverse", pa.bool_()),
            ("for_ever", pa.bool_()),
            ("article", pa.string()),
            ("paraphrases", pa.int8()),
            ("twin", pa.string()),
            ("ends_of", pa.string()),
            ("of_offices", pa.bool_()),
            ("longest_chain", pa.int8()),
            ("start_share", pa.float64()),
            ("end_share", pa.float64()),
            ("links_named", pa.int8()),
            ("links_noun", pa.int8()),
            ("links_asked", pa.int8()),
            ("closed_named", pa.bool_()),
            ("closed_noun", pa.bool_()),
        ]
    )
    ids = [relation.id for relation in catalogue.relations]
    rows = [
        {
            "relation": r.id,
            "property": r.property,
            "inverse": r.inverse,
            "for_ever": r.undated == "always",
            "article": r.words_in(language).subject,
            "paraphrases": len(r.words_in(language).paraphrases),
            # Of two relations that say the same of the same subject, the earlier one asks.
            "twin": next((name for name in r.agrees_with if name in earlier), None),
            "ends_of": r.ends_of,
            "of_offices": r.subject_types == (OFFICE,),
            "longest_chain": r.longest_chain,
            "start_share": r.start_share,
            "end_share": r.end_share,
            **_links(r.words_in(language), catalogue.language(language).linking),
        }
        for earlier, r in ((ids[:place], r) for place, r in enumerate(catalogue.relations))
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def _links(words: Words, linking: str) -> dict[str, int | bool]:
    """How often the linking word stands in what a chain says of the relation, at most, and whether words follow the
    subject in it: "the party that {s} belongs to"."""

    def most(*texts: str) -> int:
        return max(len(re.findall(rf"\b{re.escape(linking)}\b", text)) if linking else 0 for text in texts)

    return {
        "links_named": most(words.noun_named or words.noun),
        "links_noun": most(words.noun),
        "closed_named": _is_closed(words.noun_named or words.noun),
        "closed_noun": _is_closed(words.noun),
        "links_asked": most(*words.nested_questions[:_NESTED_WORDINGS], *words.short_questions[:_NESTED_WORDINGS]),
    }


def _is_closed(noun: str) -> bool:
    """Whether words follow the subject, as in "the party that {s} belongs to" but not in "{s}'s spouse"."""
    return re.search(r"\{[sn]\}(?!'s).", noun) is not None


def _joins_table(catalogue: Catalogue) -> pa.Table:
    """(relation, next, leaders_only): `next` may be asked of the object of `relation`, or of a leader alone."""
    schema = pa.schema([("relation", pa.string()), ("next", pa.string()), ("leaders_only", pa.bool_())])
    pairs = [
        {"relation": r.id, "next": name, "leaders_only": name in r.joins_of_leaders}
        for r in catalogue.relations
        for name in r.joins
    ]
    return pa.Table.from_pylist(pairs, schema=schema)


def _moves_table(catalogue: Catalogue) -> pa.Table:
    """(relation, other): `other` may move when `relation` does, in both directions, itself included."""
    pairs: set[tuple[str, str]] = set()
    for relation in catalogue.relations:
        for other in (relation.id, *_moving_with(relation, catalogue)):
            pairs |= {(relation.id, other), (other, relation.id)}
    schema = pa.schema([("relation", pa.string()), ("other", pa.string())])
    return pa.Table.from_pylist([{"relation": a, "other": b} for a, b in sorted(pairs)], schema=schema)


def _moving_with(relation: Relation, catalogue: Catalogue) -> list[str]:
    twins = [other.id for other in catalogue.relations if other.property == relation.property]
    return [*relation.moves_with, *(part for path in relation.agrees_with for part in path.split("/")), *twins]


def _create_macros(connection: duckdb.DuckDBPyConnection, language: Language) -> None:
    texts = {
        "begins": _quote(_any_of(tuple(_led(article) for article in language.articles), "(?i)^(", ")")),
        "article": _quote(_led(language.articles[0]) if language.articles else ""),
        "wanted": _wanted_article(language),
        "possessive": _quote(language.possessive),
        "after_s": _quote(language.possessive_after_s),
        "never": _list(language.article_never),
        "thousands": _quote(language.thousands),
        "decimal": _quote(language.decimal),
        "months": _list(language.months, in_order=True),
        "place_never": _list(language.place_never),
        "demonyms": _list(language.demonyms),
        "alias_never": _list(language.alias_never),
        "generic": _quote(_any_of(language.generic_offices, "^(", ")\\b")),
        "office_in": _list(tuple(language.office_in.split("{place}")[0].split("{office}")), in_order=True),
        "office_of": _list(tuple(language.office_of.split("{place}")[0].split("{office}")), in_order=True),
        "offices_of": _list(language.offices_of),
        "placed": _quote(_placed_head(language)),
        "place_topics": _list(language.place_topics),
        "small_words": _list(language.small_words),
        "islands": _list(language.islands),
        "on_island": _quote(f"{language.on_island} "),
        "in_place": _quote(f"{language.in_place} "),
        "links": _quote(f" {language.linking} "),
        "linking": _quote(rf"\b{re.escape(language.linking)}\b" if language.linking else "^\\b$"),
        "in_year": _quote(language.in_year),
        "last": _quote(language.list_style.removeprefix("{first}").removesuffix("{last}")),
        "in_month": _quote(language.in_month),
        "on_day": _quote(language.on_day),
    }
    for macro in MACROS:
        for key, text in texts.items():
            macro = macro.replace(f"<{key}>", text)
        connection.execute(macro)


MACROS = (
    # A sentence begins with a capital, whatever article its first name brought.
    "CREATE TEMP MACRO capital(phrase) AS upper(left(phrase, 1)) || substr(phrase, 2)",
    # A single space stays as it is: most are, and every match costs.
    """CREATE TEMP MACRO plain_words(name) AS concat(' ', trim(regexp_replace(lower(strip_accents(name)),
        ' *[^\\p{L}\\p{N} ][^\\p{L}\\p{N}]*|  +', ' ', 'g')), ' ')""",
    # The article that a name wants, with its space; null for a name that wants none.
    "CREATE TEMP MACRO wanted_article(name) AS CASE <wanted> END",
    # Within a sentence a name's own article is small, where the name would want one: the Bahamas, but The Hague.
    "CREATE TEMP MACRO small_first(name) AS lower(left(name, 1)) || substr(name, 2)",
    """CREATE TEMP MACRO with_the(name) AS CASE
        WHEN regexp_matches(name, <begins>) THEN small_first(name)
        ELSE concat(coalesce(wanted_article(name), <article>), name) END""",
    """CREATE TEMP MACRO listed_name(name) AS CASE
        WHEN list_contains(<never>, name) THEN name
        WHEN regexp_matches(name, <begins>)
            THEN CASE WHEN wanted_article(regexp_replace(name, <begins>, '')) IS NULL THEN name
                ELSE small_first(name) END
        WHEN wanted_article(name) IS NULL THEN name ELSE with_the(name) END""",
    "CREATE TEMP MACRO possessive(name) AS"
    " concat(name, CASE WHEN lower(right(name, 1)) = 's' THEN <after_s> ELSE <possessive> END)",
    "CREATE TEMP MACRO without_article(name) AS lower(regexp_replace(name, <begins>, ''))",
    """CREATE TEMP MACRO filled(slot, subject, bare, day, object) AS CASE slot
        WHEN 'subject' THEN subject
        WHEN 'within' THEN concat(
            CASE WHEN list_contains(<islands>, bare) THEN <on_island> ELSE <in_place> END, subject)
        WHEN 'bare' THEN bare WHEN 'possessive' THEN possessive(subject)
        WHEN 'date' THEN day WHEN 'object' THEN object ELSE '' END""",
    """CREATE TEMP MACRO worded(form, subject, bare, day, object) AS concat(
        form.lead, filled(form.slot, subject, bare, day, object),
        form.middle, filled(form.other_slot, subject, bare, day, object), form.tail)""",
    "CREATE TEMP MACRO is_short(form) AS form.slot = 'possessive' OR form.middle = ''",
    "CREATE TEMP MACRO links_in(text) AS len(regexp_extract_all(text, <linking>))",
    "CREATE TEMP MACRO is_generic_office(name) AS regexp_matches(name, <generic>)",
    # "Minister of Education" is nobody's name for one office: say where, unless the name does.
    """CREATE TEMP MACRO office_in(name, place) AS CASE WHEN list_contains(<offices_of>, lower(name))
        THEN concat(<office_of>[1], name, <office_of>[2], place)
        ELSE concat(<office_in>[1], name, <office_in>[2], place) END""",
    # "Governor of Alaska" names Alaska, "Governor of National Intelligence" no place.
    """CREATE TEMP MACRO names_place_after_head(name) AS
        len(list_filter(regexp_extract_all(name, <placed>, 2),
            lambda w: NOT list_contains(<place_topics>, lower(w)))) > 0""",
    # A place's usual name, then its others, as plain words; "United States of America" also without its end.
    # "Swedish" begins as Sweden does; of another name nearly all is wanted: "Commonwealth" is not "Communications".
    """CREATE TEMP MACRO says_place(words, place_names) AS
        len(list_filter(
            list_concat(place_names, list_transform(place_names, lambda p: split_part(p, <links>, 1) || ' ')),
            lambda p: length(p) > 5 AND contains(words, p) AND NOT list_contains(<place_never>, trim(p)))) > 0
        OR len(list_filter(string_split(trim(place_names[1]), ' '), lambda p: length(p) > 3
            AND NOT list_contains(<place_never>, p)
            AND contains(words, ' ' || left(p, least(6, greatest(4, length(p) - 3)))))) > 0
        OR len(list_filter(string_split(trim(array_to_string(place_names[2:], ' ')), ' '), lambda p: length(p) > 4
            AND NOT list_contains(<place_never>, p)
            AND contains(words, ' ' || left(p, greatest(5, length(p) - 1))))) > 0
        OR len(list_filter(<demonyms>, lambda d: contains(words, concat(' ', d, ' ')))) > 0""",
    """CREATE TEMP MACRO names_place(name, words, place_names) AS names_place_after_head(name) OR says_place(
        concat(' ', array_to_string(list_filter(string_split(trim(words), ' '),
            lambda w: NOT list_contains(<place_topics>, w)), ' '), ' '), place_names)""",
    # A slip of the keyboard in a name is not repeated: "Minister of of Health".
    """CREATE TEMP MACRO said_once(name) AS array_to_string(list_filter(string_split(name, ' '),
        lambda w, i: NOT (list_contains(<small_words>, w) AND i > 1 AND string_split(name, ' ')[i - 1] = w)), ' ')""",
    # A king's office is not called "Queen" any more: such a name speaks of its holder.
    "CREATE TEMP MACRO tells_holder(name_words, label_words) AS"
    " len(list_filter(<alias_never>, lambda w: contains(name_words, w) AND NOT contains(label_words, w))) > 0",
    # People write 1,234,567 and 12.5, or 1.234.567 and 12,5.
    """CREATE TEMP MACRO number_phrase(number) AS CASE WHEN number = trunc(number)
        THEN replace(format('{:,}', CAST(number AS HUGEINT)), ',', <thousands>)
        ELSE replace(rtrim(rtrim(CAST(number AS VARCHAR), '0'), '.'), '.', <decimal>) END""",
    # Several names as people write them: the first two, the third and the last.
    """CREATE TEMP MACRO list_text(names) AS CASE WHEN len(names) > 1
        THEN concat(array_to_string(names[1:len(names) - 1], ', '), <last>, names[len(names)]) ELSE names[1] END""",
    # precision: Wikidata's 11 day, 10 month, 9 year; the phrase says no more than it.
    """CREATE TEMP MACRO date_phrase(day, precision) AS replace(replace(replace(
        CASE precision WHEN 9 THEN <in_year> WHEN 10 THEN <in_month> ELSE <on_day> END,
        '{year}', CAST(year(day) AS VARCHAR)), '{month}', <months>[month(day)]), '{day}', CAST(day(day) AS VARCHAR))""",
    "CREATE TEMP MACRO day_told(day) AS coalesce(date_phrase(day, 11), '')",
)


def _led(article: Article) -> str:
    """The article as it leads a name: with a space, but for one that ends in an apostrophe."""
    return article.text if article.text.endswith(("'", "’")) else f"{article.text} "


def _placed_head(language: Language) -> str:
    """A pattern whose second group is the word after "of" and a head that leads names of places."""
    heads = "|".join(re.escape(head) for head in language.place_heads)
    return rf"\b(?i:({heads})) {re.escape(language.linking)} (\p{{Lu}}[\p{{L}}\p{{N}}'’-]*)" if heads else "^\\b(())$"


def _wanted_article(language: Language) -> str:
    """The branches of a CASE: a name's own word for it, then its beginning (its head), then its end."""
    named = ["WHEN false THEN ''"]  # a CASE has a branch even in a language without articles
    begun, ended = [], []
    for article in reversed(language.articles):
        lead = _quote(_led(article))
        named.append(f"WHEN list_contains({_list(article.names)}, name) THEN {lead}")
        begun.append(f"WHEN regexp_matches(name, {_quote(_any_of(article.starts, '^(', ')'))}) THEN {lead}")
        ended.append(f"WHEN regexp_matches(name, {_quote(_any_of(article.ends, '(', ')$'))}) THEN {lead}")
    return " ".join((*named, *begun, *ended))


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _list(texts: tuple[str, ...] | frozenset[str], *, in_order: bool = False) -> str:
    return f"([{', '.join(_quote(text) for text in (texts if in_order else sorted(texts)))}]::VARCHAR[])"


def _any_of(texts: tuple[str, ...], before: str, after: str) -> str:
    """A pattern for any of the texts; one that matches nothing when there are none."""
    return before + "|".join(re.escape(text) for text in texts) + after if texts else "^\\b$"
