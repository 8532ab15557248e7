"""The catalogue that ships is whole; a wrong one says where and what to mend."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from chronofacts.schemas.catalogue import CATALOGUE_PATH, load_catalogue
from chronofacts.schemas.catalogue_checks import wordings_of
from chronofacts.schemas.errors import BadInput

LANGUAGE = """
[languages.en]
months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December"]
in_year = "in {year}"
in_month = "in {month} {year}"
on_day = "on {day} {month} {year}"
article = "the"
possessive = "'s"
"""
POSSESSIVE = 'possessive = "\'s"\n'
RELATION = """
[relations.ceo]
property = "P169"
object_kind = "item"
single_valued = true
[relations.ceo.en]
answer = "who"
now = "Who is the CEO of {s}?"
paraphrases = ["Who runs {s}?", "Who leads {s}?", "Who is {s}'s CEO?", "Who heads {s}?"]
on_date = "Who was the CEO of {s} {d}?"
on_date_paraphrases = ["Who ran {s} {d}?", "Who led {s} {d}?"]
before = "Who was the CEO of {s} before {o}?"
cloze = "The CEO of {s} is"
cloze_on_date = "The CEO of {s} {d} was"
noun = "the CEO of {s}"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "relations.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_catalogue_holds_at_least_forty_relations() -> None:
    catalogue = load_catalogue()
    assert len(catalogue.relations) >= 40
    wanted = (
        "P6 P35 P39 P1308 P1313 P1906 P169 P488 P1037 P3975 P286 P54 P108 P69 P102 P127 P749 P159 P26 P551 P118 P115 "
        "P210 P38 P36 P17 P27 P19 P20 P112 P50 P57 P176 P137 P463 P1448 P1082 P166 P1346 P2388 P2389 P30 P1001"
    )
    assert set(wanted.split()) <= {relation.property for relation in catalogue.relations}


@pytest.mark.parametrize("language", [language.code for language in load_catalogue().languages])
def test_every_relation_has_wordings_for_now_a_date_and_hops(language: str) -> None:
    for relation in load_catalogue().relations:
        words = relation.words_in(language)
        assert len(words.paraphrases) >= 4, relation.id
        assert len(words.nested_questions) >= 3, relation.id
        assert (words.on_date is None) == (relation.undated == "always"), relation.id


def test_the_hash_is_that_of_the_file() -> None:
    assert load_catalogue().hash == hashlib.sha256(CATALOGUE_PATH.read_bytes()).hexdigest()


def test_a_selection_takes_ids_and_properties_and_keeps_the_files_order() -> None:
    chosen = load_catalogue().select(["P6", "office_holder"])
    assert [relation.id for relation in chosen.relations] == ["office_holder", "head_of_government", "mayor"]


@pytest.mark.parametrize(("name", "near"), [("head_of_goverment", "head_of_government"), ("P3900", "P39")])
def test_an_unknown_relation_is_named_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(BadInput, match=f"{name}.*{near}"):
        load_catalogue().select([name])


def test_a_language_that_is_missing_is_named() -> None:
    with pytest.raises(BadInput, match=r"no words in 'xx'; it has en, nl: add \[relations\.ceo\.xx\]"):
        load_catalogue().by_id["ceo"].words_in("xx")
    with pytest.raises(BadInput, match=r"no language 'xx' in the catalogue; it has en, nl: add \[languages\.xx\]"):
        load_catalogue().require_language("xx")


def test_a_language_without_words_for_a_relation_is_not_taken(tmp_path: Path) -> None:
    second = LANGUAGE.replace("[languages.en]", "[languages.xx]")
    catalogue = load_catalogue(written(tmp_path, LANGUAGE + second + RELATION))
    catalogue.require_language("en")
    with pytest.raises(BadInput, match="relation ceo has no words in 'xx'"):
        catalogue.require_language("xx")


def test_a_small_catalogue_of_ones_own_loads(tmp_path: Path) -> None:
    catalogue = load_catalogue(written(tmp_path, LANGUAGE + RELATION))
    assert catalogue.by_id["ceo"].words_in("en").now == "Who is the CEO of {s}?"


@pytest.mark.parametrize(
    ("old", "new", "line_of", "problem"),
    [
        ("Who runs {s}?", "Who runs it?", "Who runs it?", "placeholder {s}"),
        ("Who led {s} {d}?", "Who led {s}?", "Who led {s}?", "placeholder {d}"),
        ("Who runs {s}?", "Who leads {s}?", "Who leads {s}?", "already used"),
        ("Who runs {s}?", "Who runs {x}{s}?", "Who runs {x}{s}?", "only the placeholders"),
        ("Who runs {s}?", "Who runs {s}", "Who runs {s}", "end with a question mark"),
        ("The CEO of {s} is", "The CEO of {s} is?", "The CEO of {s} is?", "not end with a question mark"),
        ("Who runs {s}?", "Who  runs {s}?", "Who  runs {s}?", "double space"),
        ("Who runs {s}?", "Who runs the {s}?", "Who runs the {s}?", "article"),
        ('"P169"', '"P0169"', "P0169", "not a property id"),
        ('"item"', '"thing"', "object_kind", "use one of item, string, quantity"),
        ("single_valued = true", 'single_valued = "yes"', "single_valued", "true or false"),
        ("single_valued = true", "single_valued = true\nsingel = 1", "singel", "unknown key 'singel'"),
        ("single_valued = true", 'single_valued = true\nobject_types = ["5"]', "object_types", "not an id like Q5"),
        ("single_valued = true", 'single_valued = true\nmoves_with = ["boss"]', "boss", "unknown relation 'boss'"),
        (', "Who heads {s}?"]', "]", "paraphrases =", "give at least 4"),
        ("single_valued = true", 'single_valued = true\njoins = ["boss"]', "boss", "unknown relation 'boss'"),
        ("single_valued = true", 'single_valued = true\njoins = ["ceo"]', 'joins = ["ceo"]', "together say one fact"),
        ("single_valued = true", "single_valued = true\nlongest_chain = 9", "longest_chain", "give 2 to 4"),
        ("single_valued = true", "single_valued = true\nend_share = 15", "end_share", "give a part of 1"),
        (POSSESSIVE, f'{POSSESSIVE}scripts = ["Runes"]\n', "Runes", "use one of Arabic"),
        (POSSESSIVE, f'{POSSESSIVE}islands = ["Malta"]\n', "islands =", "needs on_island"),
        (POSSESSIVE, f'{POSSESSIVE}office_of = "{{office}}"\n', "office_of", "end with {place}"),
        ('noun = "the CEO of {s}"', "", "[relations.ceo.en]", "lacks noun"),
        ('answer = "who"', 'answer = "whom"', "answer", "use one of who, what, which, where"),
        ("[relations.ceo.en]", "[relations.ceo.fr]", "[relations.ceo", r"no [languages.fr]"),
        (POSSESSIVE, "", "Who is {s}'s CEO?", "the language has no `possessive`"),
        ('article = "the"', 'article_names = ["Hague"]', "article_names", "needs `article`"),
        (POSSESSIVE, f'{POSSESSIVE}articles = "a"\n', "articles =", "give a table"),
        (POSSESSIVE, f"{POSSESSIVE}[languages.en.articles.a]\nname = []\n", "name = []", "unknown key 'name'"),
        (POSSESSIVE, f"{POSSESSIVE}[languages.en.articles.the]\nnames = []\n", "articles.the", "already"),
        (
            POSSESSIVE,
            f'{POSSESSIVE}article_names = ["Hague"]\n[languages.en.articles.a]\nnames = ["Hague"]\n',
            'names = ["Hague"]',
            "stands under two articles",
        ),
    ],
)
def test_a_bad_entry_is_told_with_file_line_and_mend(
    tmp_path: Path, old: str, new: str, line_of: str, problem: str
) -> None:
    text = LANGUAGE + RELATION
    assert old in text
    text = text.replace(old, new)
    path = written(tmp_path, text)
    with pytest.raises(BadInput) as caught:
        load_catalogue(path)
    found = re.match(rf"{re.escape(str(path))}, line (\d+): ", str(caught.value))
    assert found and problem in str(caught.value), caught.value
    assert line_of in text.splitlines()[int(found[1]) - 1]


def test_an_office_and_its_holder_cannot_be_joined_to_what_says_the_same(tmp_path: Path) -> None:
    text = CATALOGUE_PATH.read_text(encoding="utf-8")
    of_head = "[relations.office_of_head_of_government.en]"
    path = written(tmp_path, text.replace(of_head, f'joins = ["office_holder"]\n{of_head}'))
    with pytest.raises(BadInput, match=r"joins names 'office_holder', but the two together say one fact"):
        load_catalogue(path)


def test_what_has_no_items_is_joined_by_nothing(tmp_path: Path) -> None:
    text = CATALOGUE_PATH.read_text(encoding="utf-8")
    path = written(tmp_path, text.replace("[relations.birth_year.en]", 'joins = ["spouse"]\n[relations.birth_year.en]'))
    with pytest.raises(BadInput, match="its objects are no items but of the kind year"):
        load_catalogue(path)


@pytest.mark.parametrize("language", [language.code for language in load_catalogue().languages])
def test_no_wording_is_one_that_a_strict_reader_struck_out(language: str) -> None:
    struck = re.compile(
        "seat of the capital|without being married|saw the birth|life of .* begin|on the (father|mother)'s side"
        "|in the case of|deputy office to|as its director|In which jurisdiction|rechtsgebied|ter wereld|mag zich"
        "|ongehuwd|verliet|toevertrouwd"
    )
    for relation in load_catalogue().relations:
        words = relation.words_in(language)
        texts = (*wordings_of(words), *words.nested, *words.nested_short, words.noun_named or "")
        assert not [text for text in texts if struck.search(text)]


@pytest.mark.parametrize("text", ["not toml at all =", "", "[relations.ceo]\n"])
def test_a_file_that_is_no_catalogue_is_named(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadInput, match=re.escape(str(path))):
        load_catalogue(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read the relation catalogue"):
        load_catalogue(tmp_path / "none.toml")


MANY = RELATION.replace("single_valued = true", "single_valued = false")
PLURAL = """
[relations.ceo.en.plural]
now = "Who are the CEOs of {s}?"
paraphrases = ["Which CEOs does {s} have?", "Who are {s}'s CEOs?", "By which CEOs is {s} led?"]
preservation = "Who are all those that lead {s}?"
cloze = "The CEOs of {s} are"
on_date = "Who were the CEOs of {s} {d}?"
on_date_paraphrases = ["Which CEOs did {s} have {d}?"]
cloze_on_date = "The CEOs of {s} {d} were"
"""


def test_a_relation_of_several_values_has_words_for_all_of_them(tmp_path: Path) -> None:
    (relation,) = load_catalogue(written(tmp_path, LANGUAGE + MANY + PLURAL)).relations
    plural = relation.words_in("en").plural
    assert relation.may_change_in_part() and plural is not None
    assert (plural.now, len(plural.paraphrases)) == ("Who are the CEOs of {s}?", 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LANGUAGE + MANY, r"lacks the words for several values; add \[relations.ceo.en.plural\]"),
        (LANGUAGE + RELATION + PLURAL, "plural makes no sense"),
        (
            LANGUAGE + MANY + PLURAL.replace('preservation = "Who are all those that lead {s}?"\n', ""),
            "lacks preservation",
        ),
        (LANGUAGE + MANY + PLURAL.replace(', "By which CEOs is {s} led?"', ""), "give at least 3"),
        (LANGUAGE + MANY + PLURAL.replace("CEOs of {s} {d} were", "CEOs of {s} were"), r"placeholder \{d\}"),
        (LANGUAGE + MANY + PLURAL.replace("Who are the CEOs of {s}?", "Who is the CEO of {s}?"), "already used"),
        (LANGUAGE + MANY + PLURAL + 'nouns = "x"\n', "unknown key 'nouns'"),
        (LANGUAGE + 'list_style = "{last} and {first}"\n' + RELATION, "list_style"),
        (LANGUAGE + RELATION.replace('"P169"', '"P169"\nobject_classes = ["club"]'), "not an id like Q5"),
    ],
)
def test_a_slip_in_the_words_for_several_values_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        load_catalogue(written(tmp_path, text))
