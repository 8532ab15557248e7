"""Which edits' subjects does a text name? Whole words, any case, the longest name first.

A name that is a word in capitals ("WHO", "US") is named in capitals only: "Who leads us?" names neither.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

__all__ = ["SubjectIndex"]

WORD = re.compile(r"\w+", re.UNICODE)


class SubjectIndex:
    """Names of subjects, found in a text by their words: the cost of a look-up does not grow with their number."""

    def __init__(self, names: Sequence[Sequence[str | None]]) -> None:
        """names: of each subject its label and aliases."""
        self._owners: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._in_any_case: set[tuple[str, int]] = set()
        self._longest = self._subjects = 0
        self.add(names)

    def add(self, names: Sequence[Sequence[str | None]]) -> None:
        """Further subjects, numbered from where the others end."""
        for index, several in enumerate(names, self._subjects):
            for name in several:
                words = tuple(_words(name)) if name else ()
                if words and index not in self._owners[words]:
                    self._owners[words].append(index)
                if name and len(words) == 1 and not _in_capitals(name):
                    self._in_any_case.add((words[0], index))
                self._longest = max(self._longest, len(words))
        self._subjects += len(names)

    def find_named(self, text: str) -> list[int]:
        """Indices of the subjects that the text names, longer names first."""
        return [index for index, _, _ in self.positions_in(text)]

    def positions_in(self, text: str) -> list[tuple[int, int, int]]:
        """(subject, begin, end) in characters, longer names first; without names inside longer ones."""
        spans = [(match.start(), match.end()) for match in WORD.finditer(text)]
        words, taken, found = _words(text), [False] * len(spans), []
        for size in range(min(self._longest, len(words)), 0, -1):
            for start in range(len(words) - size + 1):
                owners = self._owners.get(tuple(words[start : start + size]))
                if owners and size == 1:
                    owners = self._in_this_case(owners, text[slice(*spans[start])])
                if owners and not any(taken[start : start + size]):
                    taken[start : start + size] = [True] * size
                    found += [(owner, spans[start][0], spans[start + size - 1][1]) for owner in owners]
        return found

    def _in_this_case(self, owners: list[int], word: str) -> list[int]:
        if _in_capitals(word):
            return owners
        return [index for index in owners if (word.casefold(), index) in self._in_any_case]


def _in_capitals(name: str) -> bool:
    return len(name) > 1 and name.isupper()


def _words(text: str) -> list[str]:
    return [word.casefold() for word in WORD.findall(text)]
