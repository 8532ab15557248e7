"""Fluency as n-gram entropy: how little a text repeats itself."""

from __future__ import annotations

import math
import re
from collections import Counter

__all__ = ["ngram_entropy"]

WORD = re.compile(r"\w+|[^\w\s]")
WEIGHTS = {2: 2 / 3, 3: 4 / 3}


def ngram_entropy(text: str) -> float | None:
    """Weighted entropy in bits of a text's bigrams and trigrams; None for a text of fewer than three words.

    sum over n in {2, 3} of w_n * H_n / 2, H_n = -sum over n-grams g of f(g) log2 f(g), w_2 = 2/3, w_3 = 4/3: the mean
    of the two weighted entropies, as in ROME (Meng et al. 2022, after Zhang et al. 2018, arXiv 1809.05972). Words and
    punctuation marks are the tokens. KnowEdit reports the same figure.
    """
    words = WORD.findall(text)
    if len(words) < max(WEIGHTS):
        return None
    return sum(weight * _entropy(words, n) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


def _entropy(words: list[str], n: int) -> float:
    counts = Counter(zip(*(words[place:] for place in range(n)), strict=False))
    total = sum(counts.values())
    return -sum(count / total * math.log2(count / total) for count in counts.values())
