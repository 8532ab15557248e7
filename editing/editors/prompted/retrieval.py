"""Find texts by likeness of letters: TF-IDF over character n-grams within words, with numpy and no download.

Letters rather than words, so that inflections and small misspellings are still found. Leaves out meaning: "wed" is not
near "spouse".
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

__all__ = ["Retriever"]

SHORTEST, LONGEST = 3, 5


class Retriever:
    """An index over fixed texts; a query costs the length of its n-grams' postings, not the size of the vocabulary."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._size = len(texts)
        counts = [Counter(_ngrams(text)) for text in texts]
        found = Counter(gram for count in counts for gram in count)
        self._rarity = {gram: float(np.log((1 + len(texts)) / (1 + number)) + 1) for gram, number in found.items()}
        postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for index, count in enumerate(counts):
            weights = self._weigh(count)
            for gram, weight in weights.items():
                postings[gram].append((index, weight))
        self._postings = {
            gram: (np.array([i for i, _ in pairs]), np.array([w for _, w in pairs])) for gram, pairs in postings.items()
        }

    def likeness(self, query: str) -> np.ndarray:
        """Cosine of the query with every text: (texts,), between 0 and 1."""
        weights = self._weigh(Counter(_ngrams(query)))
        likeness = np.zeros(self._size)
        for gram, weight in weights.items():
            if gram in self._postings:
                texts, theirs = self._postings[gram]
                likeness[texts] += weight * theirs
        return likeness

    def nearest(self, query: str, most: int) -> list[tuple[int, float]]:
        """(index, cosine) of the texts that are most alike, the first of equals first; none that share no n-gram."""
        likeness = self.likeness(query)
        order = np.argsort(-likeness, kind="stable")[:most]
        return [(int(index), float(likeness[index])) for index in order if likeness[index] > 0]

    def _weigh(self, count: Counter[str]) -> dict[str, float]:
        """Sublinear term frequency times smoothed inverse document frequency, of length 1 (Salton & Buckley 1988)."""
        unseen = float(np.log(1 + self._size) + 1)
        raw = {gram: (1 + np.log(number)) * self._rarity.get(gram, unseen) for gram, number in count.items()}
        length = float(np.sqrt(sum(weight * weight for weight in raw.values()))) or 1.0
        return {gram: float(weight / length) for gram, weight in raw.items()}


def _ngrams(text: str) -> list[str]:
    grams = []
    for word in text.casefold().split():
        padded = f" {word.strip('?!.,:;')} "
        for size in range(SHORTEST, LONGEST + 1):
            grams += [padded[start : start + size] for start in range(max(1, len(padded) - size + 1))]
    return grams
