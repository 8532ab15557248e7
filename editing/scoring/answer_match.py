"""When is a written answer the right one? Names are compared after a mild normalisation, and any alias counts.

Leaves out judgement by a language model: the rule is one that a person can apply by hand.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["fold", "matches", "normalise", "plain_words", "token_f1"]

ARTICLES = ("the ", "a ", "an ")
NUMBER = re.compile(r"\d+(?:[.,]\d+)+")
THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
POINT = "\ue000"
"""Stands for the point in a number until all punctuation is gone; no text has it."""
REMEMBERED = 1 << 14
"""Texts of which the normalised one is kept: every metric compares the same answers and names again."""


@lru_cache(REMEMBERED)
def normalise(text: str) -> str:
    """Case, accents of Latin letters, punctuation, spaces and a leading article removed.

    After SQuAD's `normalize_answer` (Rajpurkar et al. 2016), with four differences: only a leading article goes
    ("Vitamin A" keeps its A), a dash separates words ("Jean-Luc" = "Jean Luc"), accents are folded on Latin letters
    alone, since in other scripts a mark makes another letter, and the point of a number stays ("14.2" is not "142";
    "36,991,981" = "36991981"). A text of nothing but punctuation stays as it is.
    """
    folded = fold(text).casefold()
    plain = " ".join(plain_words(folded))
    for article in ARTICLES:
        if plain.startswith(article):
            plain = plain[len(article) :]
            break
    return plain or " ".join(folded.replace(POINT, ".").split())


def fold(text: str) -> str:
    """Accents of Latin letters gone, numbers in one spelling, their points kept from `plain_words` (`POINT`)."""
    return NUMBER.sub(_plain_number, _fold_latin_accents(text))


def plain_words(folded: str) -> list[str]:
    """Words of a folded text in small letters, dashes taken for spaces, other punctuation gone."""
    return "".join(map(_plain, folded.casefold())).replace(POINT, ".").split()


def matches(text: str, names: Sequence[str | None]) -> bool:
    """Is the text, normalised, one of the names?"""
    written = normalise(text)
    return bool(written) and any(written == normalise(name) for name in names if name)


def token_f1(text: str, names: Sequence[str | None]) -> float:
    """Best word overlap with any of the names: F1 of the two bags of words (SQuAD)."""
    return max((_overlap(normalise(text).split(), normalise(name).split()) for name in names if name), default=0.0)


def _overlap(written: list[str], wanted: list[str]) -> float:
    shared = sum((Counter(written) & Counter(wanted)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(written), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _fold_latin_accents(text: str) -> str:
    kept: list[str] = []
    after_latin = False
    for character in unicodedata.normalize("NFKD", text):
        if unicodedata.combining(character):
            if not after_latin:
                kept.append(character)
            continue
        after_latin = unicodedata.name(character, "").startswith("LATIN")
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def _plain_number(found: re.Match[str]) -> str:
    if THOUSANDS.fullmatch(found[0]):
        return found[0].replace(",", "").replace(".", "")
    return found[0].replace(",", ".").replace(".", POINT)


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Pd" or category.startswith("Z"):
        return " "
    return "" if category.startswith("P") else character
