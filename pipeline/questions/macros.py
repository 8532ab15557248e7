"""All SQL macros of the question stage: the grammar of a language, comparisons of names, and draws from the seed.

A name is always an argument and never part of a pattern, so that braces and quotes in names are harmless.
"""

from __future__ import annotations

import re

import duckdb

from chronofacts.schemas.catalogue_entries import Article, Language

__all__ = ["create_macros"]

LONGEST_NAME = 100
# Control characters and marks of direction, brackets that formats and templates read as their own, new lines.
UNUSABLE = r"[\x00-\x1F\x7F-\x{9F}\x{200B}-\x{200F}\x{2028}-\x{202E}\x{2066}-\x{2069}\x{FEFF}\x{FFFD}{}\[\]<>|\\`_]"
# Letters that have a script of their own; the ʻokina and the like have none.
LETTERS = r"[\p{Lu}\p{Ll}\p{Lt}\p{Lo}]"


def create_macros(connection: duckdb.DuckDBPyConnection, language: Language) -> None:
    """Create every macro of `MACROS`; `<key>` in one stands for what the language says, as SQL."""
    literals = _literals(language)
    for signature, body in MACROS.items():
        for key, literal in literals.items():
            body = body.replace(f"<{key}>", literal)
        connection.execute(f"CREATE TEMP MACRO {signature} AS {body}")


# A macro stands below those that it uses.
MACROS = {
    # The same draw for the same seed and key, on every machine and with any number of threads.
    "draw_for(key)": "md5_number_lower(concat(getvariable('seed'), '/', key))",
    "content_id(parts)": "left(sha256(parts), 16)",
    # A sentence begins with a capital, whatever article its first name brought.
    "capital(phrase)": "upper(left(phrase, 1)) || substr(phrase, 2)",
    # A single space stays as it is: most are, and every match costs.
    "plain_words(name)": """concat(' ', trim(regexp_replace(lower(strip_accents(name)),
        ' *[^\\p{L}\\p{N} ][^\\p{L}\\p{N}]*|  +', ' ', 'g')), ' ')""",
    "unusable(name)": f"""regexp_matches(name, '{UNUSABLE}') OR length(name) > {LONGEST_NAME}
        OR regexp_full_match(name, '[QPL][0-9]+') OR name <> trim(name) OR contains(name, '  ')
        OR NOT regexp_matches(name, '[\\p{{L}}\\p{{N}}]')
        OR regexp_matches(regexp_replace(name, '<scripts>', '', 'g'), '{LETTERS}')""",
    # The article that a name wants, with its space; null for a name that wants none.
    "wanted_article(name)": "CASE <wanted> END",
    # Within a sentence a name's own article is small, where the name would want one: the Bahamas, but The Hague.
    "small_first(name)": "lower(left(name, 1)) || substr(name, 2)",
    "with_the(name)": """CASE WHEN regexp_matches(name, <begins>) THEN small_first(name)
        ELSE concat(coalesce(wanted_article(name), <article>), name) END""",
    "listed_name(name)": """CASE
        WHEN list_contains(<never>, name) THEN name
        WHEN regexp_matches(name, <begins>)
            THEN CASE WHEN wanted_article(regexp_replace(name, <begins>, '')) IS NULL THEN name
                ELSE small_first(name) END
        ELSE coalesce(wanted_article(name), '') || name END""",
    "named_subject(article, name)": """CASE article
        WHEN 'the' THEN with_the(name.label) WHEN 'none' THEN name.label ELSE name.shown END""",
    "possessive(name)": "concat(name, CASE WHEN lower(right(name, 1)) = 's' THEN <after_s> ELSE <possessive> END)",
    "without_article(name)": "lower(regexp_replace(name, <begins>, ''))",
    "fill_slot(slot, subject, bare, day, object)": """CASE slot
        WHEN 'subject' THEN subject
        WHEN 'within' THEN concat(
            CASE WHEN list_contains(<islands>, bare) THEN <on_island> ELSE <in_place> END, subject)
        WHEN 'bare' THEN bare WHEN 'possessive' THEN possessive(subject)
        WHEN 'date' THEN day WHEN 'object' THEN object ELSE '' END""",
    "fill(form, subject, bare, day, object)": """concat(
        form.lead, fill_slot(form.slot, subject, bare, day, object),
        form.middle, fill_slot(form.other_slot, subject, bare, day, object), form.tail)""",
    "sentence(form, subject, bare, day, object)": "capital(fill(form, subject, bare, day, object))",
    "is_short(form)": "form.slot = 'possessive' OR form.middle = ''",
    "count_links(text)": "len(regexp_extract_all(text, <linking>))",
    "is_generic_office(name)": "regexp_matches(name, <generic>)",
    # "Minister of Education" is nobody's name for one office: say where, unless the name does.
    "office_in(name, place)": """CASE WHEN list_contains(<offices_of>, lower(name))
        THEN concat(<office_of>[1], name, <office_of>[2], place)
        ELSE concat(<office_in>[1], name, <office_in>[2], place) END""",
    # "Governor of Alaska" names Alaska, "Governor of National Intelligence" no place.
    "names_place_after_head(name)": """len(list_filter(regexp_extract_all(name, <placed>, 2),
        lambda w: NOT list_contains(<place_topics>, lower(w)))) > 0""",
    # A place's usual name, then its others, as plain words; "United States of America" also without its end.
    # "Swedish" begins as Sweden does; of another name nearly all is wanted: "Commonwealth" is not "Communications".
    "says_place(words, place_names)": """
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
    # The words are given as a list of one, since a macro's argument is copied to every place where it is named.
    "names_place(name, words, place_names)": """names_place_after_head(name) OR len(list_filter(
        [concat(' ', array_to_string(list_filter(string_split(trim(words), ' '),
            lambda w: NOT list_contains(<place_topics>, w)), ' '), ' ')],
        lambda w: says_place(w, place_names))) > 0""",
    # A slip of the keyboard in a name is not repeated: "Minister of of Health".
    "without_slips(name)": """array_to_string(list_filter(string_split(name, ' '),
        lambda w, i: NOT (list_contains(<small_words>, w) AND i > 1 AND string_split(name, ' ')[i - 1] = w)), ' ')""",
    # A king's office is not called "Queen" any more: such a name speaks of its holder.
    "speaks_of_holder(name_words, label_words)": """
        len(list_filter(<alias_never>, lambda w: contains(name_words, w) AND NOT contains(label_words, w))) > 0""",
    # People write 1,234,567 and 12.5, or 1.234.567 and 12,5.
    "number_phrase(number)": """CASE WHEN number = trunc(number)
        THEN replace(format('{:,}', CAST(number AS HUGEINT)), ',', <thousands>)
        ELSE replace(rtrim(rtrim(CAST(number AS VARCHAR), '0'), '.'), '.', <decimal>) END""",
    # Several names as people write them: the first two, the third and the last.
    "list_text(names)": """CASE WHEN len(names) > 1
        THEN concat(array_to_string(names[1:len(names) - 1], ', '), <last>, names[len(names)]) ELSE names[1] END""",
    # precision: Wikidata's 11 day, 10 month, 9 year; the phrase says no more than it.
    "date_phrase(day, precision)": """replace(replace(replace(
        CASE precision WHEN 9 THEN <in_year> WHEN 10 THEN <in_month> ELSE <on_day> END,
        '{year}', CAST(year(day) AS VARCHAR)), '{month}', <months>[month(day)]), '{day}', CAST(day(day) AS VARCHAR))""",
    # Days that a date's phrase means all of: what says less of them is true of others too.
    "is_unit(first, last, precision)": """CASE precision WHEN 11 THEN first = last
        WHEN 10 THEN day(first) = 1 AND last = last_day(first)
        WHEN 9 THEN first = make_date(year(first), 1, 1) AND last = make_date(year(first), 12, 31)
        ELSE false END""",
    "day_phrase(day)": "coalesce(date_phrase(day, 11), '')",
    # Below, an argument is a row of the table `names`.
    # A name that is part of the other, or shares so many telling words that it can be guessed from it.
    "gives_away(shown, answer)": """contains(shown.words, answer.words)
        OR len(list_filter(answer.alias_words, lambda a: length(a) > 5 AND contains(shown.words, a))) > 0
        OR (len(answer.telling) > 0 AND len(list_intersect(shown.telling, answer.telling)) * 2
            >= len(answer.telling) + CASE WHEN answer.human THEN 1 ELSE 0 END)""",
    "same_name(one, other)": """one.words = other.words
        OR list_contains(other.alias_words, one.words) OR list_contains(one.alias_words, other.words)
        OR list_has_any(one.alias_words, other.alias_words)""",
    # Names that cannot be told apart in an answer: one is the other, or stands in it.
    "names_overlap(one, other)": """contains(other.words, one.words)
        OR contains(one.words, other.words) OR same_name(one, other)
        OR len(list_filter(one.alias_words, lambda a: contains(other.words, a))) > 0
        OR len(list_filter(other.alias_words, lambda a: contains(one.words, a))) > 0""",
    "alive_on(name, day)": "name.ended_kind = 'absent' OR coalesce(name.ended_earliest > day, false)",
}


def _literals(language: Language) -> dict[str, str]:
    scripts = "".join(rf"\p{{{script}}}" for script in language.scripts)
    heads = "|".join(re.escape(head) for head in language.place_heads)
    # Its second group is the word after "of" and a head that leads names of places.
    placed = rf"\b(?i:({heads})) {re.escape(language.linking)} (\p{{Lu}}[\p{{L}}\p{{N}}'’-]*)" if heads else "^\\b(())$"
    return {
        "scripts": f"[{scripts}]" if scripts else LETTERS,
        "begins": _quote(_any_of(tuple(_lead(article) for article in language.articles), "(?i)^(", ")")),
        "article": _quote(_lead(language.articles[0]) if language.articles else ""),
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
        "placed": _quote(placed),
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


def _lead(article: Article) -> str:
    """The article as it leads a name: with a space, but for one that ends in an apostrophe."""
    return article.text if article.text.endswith(("'", "’")) else f"{article.text} "


def _wanted_article(language: Language) -> str:
    """The branches of a CASE: a name's own word for it, then its beginning (its head), then its end."""
    named = ["WHEN false THEN ''"]  # a CASE has a branch even in a language without articles
    begun, ended = [], []
    for article in reversed(language.articles):
        lead = _quote(_lead(article))
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
