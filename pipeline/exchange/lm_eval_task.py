"""What the exported tasks need when lm-evaluation-harness runs them: their documents, and when an answer is right.

A copy of this file lies beside the tasks' YAML, so it uses nothing of the project. The data lies beside it too, so
the folder can be moved, and the command can be given anywhere.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ARTICLES = ("the ", "a ", "an ")


def documents(file: str, **_: object) -> dict[str, Any]:
    """The documents of one task: {"test": dataset}. file: a JSON Lines file beside this one."""
    import datasets

    path = Path(__file__).resolve().parent / file
    return {"test": datasets.Dataset.from_json(str(path), keep_in_memory=True)}


def judge(document: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Is the generated answer one of the right names (`exact_match`), or else one of the old ones (`stale`)?"""
    right = is_named(results[0], document["answers"])
    return {"exact_match": float(right), "stale": float(not right and is_named(results[0], document["answers_before"]))}


def judge_wording(document: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """As `judge`, for one wording of a question that has several: also what `any_wording` sums up."""
    verdict = judge(document, results)
    return {**verdict, "any_wording": (document["question_id"], verdict["exact_match"])}


def any_wording(items: Iterable[tuple[str, float]]) -> float:
    """Share of questions answered right in at least one of their wordings (MQuAKE's multi-hop accuracy)."""
    best: dict[str, float] = {}
    for question_id, right in items:
        best[question_id] = max(right, best.get(question_id, 0.0))
    return sum(best.values()) / len(best)


def is_named(text: str, names: Iterable[str | None]) -> bool:
    """Is the text's first line, but for case, accents, punctuation and a leading article, one of the names?"""
    written = normalise(text.strip().partition("\n")[0])
    return bool(written) and any(written == normalise(name) for name in names if name)


def normalise(text: str) -> str:
    """As ChronoFacts' own evaluation compares names: after SQuAD, but a dash separates and only Latin accents go."""
    folded = _fold_latin_accents(text).casefold()
    plain = " ".join("".join(_plain(character) for character in folded).split())
    for article in ARTICLES:
        if plain.startswith(article):
            plain = plain[len(article) :]
            break
    return plain or " ".join(folded.split())


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


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Pd" or category.startswith("Z"):
        return " "
    return "" if category.startswith("P") else character
