"""When an answer counts as right."""

import pytest

from chronofacts.editing.scoring.answer_match import matches, normalise, token_f1


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("St Louis", "St. Louis"),
        ("apple inc", "Apple Inc."),
        ("José Sánchez", "Jose Sanchez"),
        ("the Netherlands", "Netherlands"),
        ("Jean-Luc Dehaene", "Jean Luc Dehaene"),
        ("  Robert   G. Wright ", "Robert G. Wright"),
        ("STRASSE", "Straße"),
        ("O’Neill", "O'Neill"),
        ("14.2", "14.2"),
        ("36991981", "36,991,981"),
        ("17.590.672", "17590672"),
        ("3,5", "3.5"),
        ("version 14.2.", "Version 14.2"),
    ],
)
def test_one_name_in_two_spellings_is_one_answer(written: str, name: str) -> None:
    assert matches(written, [name])


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Ann", "Ann Lee"),
        ("Ann Lee Smith", "Ann Lee"),
        ("Vitamin A", "Vitamin"),
        ("Мой", "Мои"),
        ("", "the"),
        ("कि", "के"),
        ("142", "14.2"),
        ("1.42", "14.2"),
        ("14.2.1", "14.2"),
        ("14", "14.2"),
    ],
)
def test_another_name_is_another_answer(written: str, name: str) -> None:
    assert not matches(written, [name])


def test_any_alias_counts_and_a_missing_one_does_not() -> None:
    assert matches("USA", ["United States of America", "U.S.A.", None])
    assert not matches("", ["", None])


def test_only_a_leading_article_goes() -> None:
    assert normalise("The Man in the High Castle") == "man in the high castle"
    assert normalise("A") == "a"


def test_punctuation_alone_stays_what_it_is() -> None:
    assert normalise("!!!") == "!!!"


def test_token_f1_by_hand() -> None:
    assert token_f1("Ann Lee Smith", ["Ann Lee"]) == pytest.approx(2 * (2 / 3) * 1 / (2 / 3 + 1))
    assert token_f1("Bob", ["Ann Lee", "Bob"]) == 1.0
    assert token_f1("Zoe", ["Ann Lee"]) == 0.0
