"""Which values of a set does a written answer name, and is it then right, or out of date?

"Which organisations is Finland a member of?" has several answers at once, in any order, each under any of its names.
A value is *named* where one of its names stands in the text in whole words (normalised as `answer_match` does) and not
as a part of a longer name: "DR Congo", "Guinea-Bissau" and "Republic of the Congo" do not name Congo or Guinea. Beside
a name stand the text's end, a mark, "and", or, where the name has a capital, a small word. What a sentence says about a
name does not count: "no longer in NATO" names it.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chronofacts.editing.scoring.answer_match import fold, matches, normalise, plain_words

__all__ = ["SetVerdict", "Value", "judge_set", "named"]

Role = Literal["joined", "stays", "left"]
Gap = Literal["space", "dash", "mark"]

PIECE = re.compile(r"[^\s,;:/|()\[\]{}•·]+")
MARKS = re.compile(r"[,;:/|()\[\]{}•·]")
STOPS = ".!?…"
ARTICLES = {"the", "a", "an", "de", "het", "een"}
CONJUNCTIONS = {"and", "or", "en", "plus", "also", "both", "as", "ook", "zowel", "alsook", "evenals"}
BINDING = {
    *("of", "for", "van", "von", "de", "der", "den", "du", "des", "del", "di", "da", "do", "dos", "la", "al", "bin"),
}
"""Small words inside names: with a capital on the other side, too, they make one name of both."""


@dataclass(frozen=True)
class Value:
    """One value of an answer."""

    names: tuple[str, ...]
    role: Role
    """What became of it between the two days."""


@dataclass(frozen=True)
class SetVerdict:
    """What a written answer makes of a set."""

    right: bool
    stale: bool | None
    """It gives the old state; None where there is no other one."""
    share: float
    """Of the values that a right answer must name, so many are named."""


def judge_set(text: str, values: Sequence[Value]) -> SetVerdict:
    """Is the answer right or out of date, values given with what became of them?

    Right: every value that joined is named, and none that left. Where none joined, every value that stays is to be
    named if none left either (preservation), else at least one: silence is no answer. Out of date: a value that left
    is named, or all that held before are and none that joined. At most one of the two is true.
    """
    found = dict(zip(values, named(text, [value.names for value in values]), strict=True))
    by_role: dict[str, list[bool]] = {"joined": [], "stays": [], "left": []}
    for value, is_named in found.items():
        by_role[value.role].append(is_named)
    joined, stays, left = by_role["joined"], by_role["stays"], by_role["left"]
    wanted = joined or stays
    enough = any(stays) if left and stays and not joined else all(wanted)
    right = bool(text.strip()) and enough and not any(left)
    stale = any(left) or (bool(joined) and not any(joined) and bool(stays) and all(stays))
    changed = bool(left or (joined and stays))
    return SetVerdict(right, stale if changed else None, sum(wanted) / len(wanted) if wanted else 1.0)


def named(text: str, values: Sequence[Sequence[str | None]]) -> list[bool]:
    """Of each value, given by its names: does the text name it? Longer names are found first, in any order."""
    owners: dict[tuple[str, ...], set[int]] = {}
    marked: dict[tuple[str, ...], set[int]] = {}
    for index, names in enumerate(values):
        for name in filter(None, names):
            for form, marks in _forms(name):
                owners.setdefault(form, set()).add(index)
                marked.setdefault(form, set()).update(marks)
    words = _words(text)
    if not words:  # a text of nothing but marks may be a name: "!!!"
        return [matches(text, names) for names in values]
    seen: set[int] = set()
    taken = [False] * len(words)
    for size in range(min(max(map(len, owners), default=0), len(words)), 0, -1):
        for start in range(len(words) - size + 1):
            form = tuple(word.text for word in words[start : start + size])
            if form not in owners or any(taken[start : start + size]):
                continue
            inside = {index for index in range(1, size) if words[start + index].gap == "mark"}
            if inside <= marked[form]:
                taken[start : start + size] = [True] * size
                if _stands_alone(words, start, start + size - 1):
                    seen |= owners[form]
    return [index in seen for index in range(len(values))]


@dataclass(frozen=True)
class _Word:
    text: str
    """Normalised."""
    capital: bool
    gap: Gap
    """What stands between it and the word before."""


@functools.lru_cache(maxsize=8192)
def _forms(name: str) -> list[tuple[tuple[str, ...], set[int]]]:
    """The name as words, without a leading article, and before which of them it has a mark."""
    words = _words(name)
    if len(words) > 1 and words[0].text in ("the", "a", "an"):
        words = words[1:]
    marks = {index for index, word in enumerate(words) if word.gap == "mark"}
    whole = tuple(normalise(name).split())
    found = [(tuple(word.text for word in words), marks), (whole, set[int]())]
    return [(form, where) for form, where in found if form]


def _words(text: str) -> list[_Word]:
    folded, found, end = fold(text), list[_Word](), 0
    mark = True
    for piece in PIECE.finditer(folded):
        mark = mark or bool(MARKS.search(folded[end : piece.start()]))
        end, parts = piece.end(), _split_at_dashes(piece[0])
        for index, part in enumerate(parts):
            plain = "".join(plain_words(part))
            if not plain:
                mark = mark or len(parts) > 1 or bool(part)  # a dash or sign by itself, or at a word's edge
                continue
            gap: Gap = "mark" if mark else "dash" if index else "space"
            found.append(_Word(plain, any(map(str.isupper, part)), gap))
            mark = _ends_sentence(part)
    return found


def _split_at_dashes(piece: str) -> list[str]:
    parts = [""]
    for character in piece:
        if unicodedata.category(character) == "Pd":
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _ends_sentence(part: str) -> bool:
    """'NATO.' and '1.' do, 'St.' and 'J.' do not."""
    stem = part.rstrip("\"'”’»")
    if not stem.endswith(tuple(STOPS)):
        return False
    word = stem.rstrip(STOPS)
    short = word.isalpha() and (len(word) == 1 or (len(word) <= 3 and not word.isupper()))
    return not (short and stem[len(word) :] == ".")


def _stands_alone(words: Sequence[_Word], first: int, last: int) -> bool:
    """Is the name from word `first` to word `last` no part of a longer one?"""
    capital = any(word.capital for word in words[first : last + 1])
    return _ends_before(words, first, capital) and _ends_after(words, last, capital)


def _joins(word: _Word) -> bool:
    """'as well as' joins names, 'AS Roma' is one."""
    return word.text in CONJUNCTIONS and (not word.capital or word.text != "as")


def _ends_before(words: Sequence[_Word], first: int, capital: bool) -> bool:
    index = first
    while index and words[index].gap == "space" and words[index - 1].text in ARTICLES:
        index -= 1
    if not index or words[index].gap == "mark":
        return True
    before = words[index - 1]
    if words[index].gap == "dash":
        return False
    if _joins(before):
        return True
    if not capital or before.capital:
        return False
    if before.text not in BINDING:
        return True
    return index < 2 or words[index - 1].gap == "mark" or not words[index - 2].capital


def _ends_after(words: Sequence[_Word], last: int, capital: bool) -> bool:
    index = last + 1
    if index == len(words) or words[index].gap == "mark":
        return True
    if words[index].gap == "dash":
        return False
    if _joins(words[index]):
        return True
    if not capital or words[index].capital:
        return False
    if words[index].text not in BINDING:
        return True
    index += 1
    while index < len(words) and words[index].gap == "space" and words[index].text in ARTICLES:
        index += 1
    return index == len(words) or words[index].gap == "mark" or not words[index].capital
