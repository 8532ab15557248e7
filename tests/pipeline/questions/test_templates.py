"""Grammar: articles, possessives and dates as people write them."""

from __future__ import annotations

import datetime
import re

import duckdb
import pytest

from chronofacts.pipeline.questions.macros import create_macros
from chronofacts.pipeline.questions.templates import create_catalogue_tables, list_vocabulary
from chronofacts.schemas.catalogue import load_catalogue


def prepared(language: str) -> duckdb.DuckDBPyConnection:
    connection, catalogue = duckdb.connect(), load_catalogue()
    create_catalogue_tables(connection, catalogue, language)
    create_macros(connection, catalogue.language(language))
    return connection


@pytest.fixture(scope="module")
def words() -> duckdb.DuckDBPyConnection:
    return prepared("en")


@pytest.fixture(scope="module")
def woorden() -> duckdb.DuckDBPyConnection:
    return prepared("nl")


def evaluated(words: duckdb.DuckDBPyConnection, sql: str, *values: object) -> object:
    row = words.execute(f"SELECT {sql}", list(values)).fetchone()
    return row[0] if row else None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Netherlands", "the Netherlands"),
        ("United States of America", "the United States of America"),
        ("Philippines", "the Philippines"),
        ("Solomon Islands", "the Solomon Islands"),
        ("Bank of England", "the Bank of England"),
        ("Bank of America", "Bank of America"),
        ("International Monetary Fund", "the International Monetary Fund"),
        ("The Gambia", "the Gambia"),
        ("The Bahamas", "the Bahamas"),
        ("The Philippines", "the Philippines"),
        ("The Hague", "The Hague"),
        ("The New York Times", "The New York Times"),
        ("France", "France"),
        ("NATO", "NATO"),
        ("WTO", "the WTO"),
        ("Germany national football team", "the Germany national football team"),
    ],
)
def test_names_take_the_article_that_they_want(words: duckdb.DuckDBPyConnection, name: str, shown: str) -> None:
    assert evaluated(words, "listed_name($1)", name) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Verenigde Staten", "de Verenigde Staten"),
        ("Verenigd Koninkrijk", "het Verenigd Koninkrijk"),
        ("Internationaal Monetair Fonds", "het Internationaal Monetair Fonds"),
        ("Europees Parlement", "het Europees Parlement"),
        ("Europese Unie", "de Europese Unie"),
        ("Filipijnen", "de Filipijnen"),
        ("Nederland", "Nederland"),
        ("Deutsche Bank", "Deutsche Bank"),
        ("De Nederlandsche Bank", "De Nederlandsche Bank"),
        ("Raad voor het Nationaal Fonds", "de Raad voor het Nationaal Fonds"),  # its head goes before its end
    ],
)
def test_a_language_may_have_several_articles(woorden: duckdb.DuckDBPyConnection, name: str, shown: str) -> None:
    assert evaluated(woorden, "listed_name($1)", name) == shown


@pytest.mark.parametrize(
    ("office", "shown"),
    [("president van Frankrijk", "de president van Frankrijk"), ("lid van de Raad", "het lid van de Raad")],
)
def test_an_office_takes_the_first_article_unless_another_is_wanted(
    woorden: duckdb.DuckDBPyConnection, office: str, shown: str
) -> None:
    assert evaluated(woorden, "with_the($1)", office) == shown


def test_dates_and_numbers_are_written_as_the_language_writes_them(
    words: duckdb.DuckDBPyConnection, woorden: duckdb.DuckDBPyConnection
) -> None:
    assert evaluated(woorden, "date_phrase($1::DATE, 11)", datetime.date(2019, 5, 3)) == "op 3 mei 2019"
    assert [evaluated(one, "number_phrase(1234567::DECIMAL(38, 6))") for one in (words, woorden)] == [
        "1,234,567", "1.234.567",
    ]  # fmt: skip
    assert [evaluated(one, "number_phrase(12.5::DECIMAL(38, 6))") for one in (words, woorden)] == ["12.5", "12,5"]


@pytest.mark.parametrize(
    ("name", "owned"), [("France", "France's"), ("the Netherlands", "the Netherlands'"), ("CERN", "CERN's")]
)
def test_possessives(words: duckdb.DuckDBPyConnection, name: str, owned: str) -> None:
    assert evaluated(words, "possessive($1)", name) == owned


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Malta", "Welke valuta is op Malta in omloop?"),
        ("Bahama's", "Welke valuta is op de Bahama's in omloop?"),
        ("Frankrijk", "Welke valuta is in Frankrijk in omloop?"),
    ],
)
def test_in_dutch_one_is_on_an_island(woorden: duckdb.DuckDBPyConnection, name: str, text: str) -> None:
    form = "(SELECT form FROM templates WHERE relation = 'currency' AND use = 'now' AND number = 3)"
    assert evaluated(woorden, f"fill({form}, listed_name($1), $1, '', '')", name) == text


@pytest.mark.parametrize(("precision", "phrase"), [(9, "in 2019"), (10, "in May 2019"), (11, "on 3 May 2019")])
def test_a_date_says_no_more_than_its_precision(words: duckdb.DuckDBPyConnection, precision: int, phrase: str) -> None:
    assert evaluated(words, "date_phrase($1::DATE, $2)", datetime.date(2019, 5, 3), precision) == phrase


def test_a_sentence_begins_with_a_capital_and_names_keep_their_own(words: duckdb.DuckDBPyConnection) -> None:
    assert evaluated(words, "capital('the euro is')") == "The euro is"
    assert evaluated(words, "with_the('prime minister of Canada')") == "the prime minister of Canada"


@pytest.mark.parametrize("name", ["{s}", "{d} {o}", "%s", "$1", "a\\b", 'it\'s "so"', "{"])
def test_a_name_is_never_read_as_a_pattern(words: duckdb.DuckDBPyConnection, name: str) -> None:
    form = "(SELECT form FROM templates WHERE relation = 'ceo' AND use = 'on_date' AND number = 0)"
    text = evaluated(words, f"fill({form}, $1, $1, 'in 2019', '')", name)
    assert text == f"Who was the chief executive officer of {name} in 2019?"


def test_every_template_of_every_relation_is_there_once(words: duckdb.DuckDBPyConnection) -> None:
    counted = words.execute("SELECT count(*), count(DISTINCT (relation, use, number)) FROM templates").fetchone()
    assert counted and counted[0] == counted[1] > 500


def test_moving_relations_are_known_in_both_directions(words: duckdb.DuckDBPyConnection) -> None:
    pairs = set(words.execute("SELECT relation, other FROM moves").fetchall())
    assert ("office_holder", "head_of_government") in pairs and ("head_of_government", "office_holder") in pairs
    assert all((b, a) in pairs for a, b in pairs)


def test_the_vocabulary_is_made_of_the_questions_words() -> None:
    words = list_vocabulary(load_catalogue(), "en")
    assert {"who", "head", "government"} <= set(words) and "france" not in words


# What stands beside such a verb is its subject, since it takes no object.
SINGULAR = re.compile(
    r"\b(behoort|behoorde|inwoners heeft|is|ligt|lag|sloot|trad|vertrok|was|werd|wordt|zegde) X\b"
    r"|\bX (\w+ )*lid (is|was|werd)\b|^X (is|was)\b"
)
OF_COUNTRIES = (
    "anthem", "capital", "continent", "currency", "form_of_government", "head_of_government", "head_of_state",
    "legislature", "member_of", "official_language", "official_name", "population",
)  # fmt: skip


def test_no_dutch_wording_has_a_country_as_the_subject_of_a_singular_verb(woorden: duckdb.DuckDBPyConnection) -> None:
    rows = woorden.execute(
        "SELECT relation, sentence(form, 'X', 'X', 'in 2020', 'O') FROM templates WHERE list_contains($1, relation)",
        [OF_COUNTRIES],
    ).fetchall()
    assert {relation for relation, _ in rows} == set(OF_COUNTRIES)
    assert [text for _, text in rows if SINGULAR.search(text)] == []
