"""The same question with the outdated name in its ear, in four ways, and what is asked beside it of several facts.

An edit may hold only while nobody mentions what held before ("superficial editing", arXiv 2505.12636; objections:
HalluEditBench, arXiv 2410.16251). Before the question stands the outdated name, repeated; "Is OLD the …?"; a true
sentence about the past; or the right answer as an earlier turn, to which the question objects. Texts are made of the
snapshot's own questions and sentences, but for the words of the objection and of the pairs, which are
English. Leaves out answers of several values, and facts without an outdated answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

__all__ = ["PRESSURE", "REASONING", "Pressed", "name_aliases", "pair_questions", "press", "put_past"]

PRESSURE = ("pressure_repeated", "pressure_asked", "pressure_past", "pressure_objection")
"""Kinds of probe, one for each way."""
REASONING = ("alias_multi_hop", "same_entity")
"""Kinds of probe that reason about edited facts beyond the snapshot's questions (RippleEdits, UniEdit)."""
TIMES = 3
"""How often the outdated name is repeated."""
OBJECTION = "No, that is wrong. It is {old}. {question}"
SAME = "Do these two questions have the same answer, yes or no? {first} {second}"
DESCRIBED = re.compile(r"(?P<article>The|De|Het) (?P<rest>.+) is")
"""A cloze that a yes-or-no question can be made of, in English and Dutch alike."""


class Pressed(NamedTuple):
    kind: str
    prefix: str
    """What stands before the question, whole lines."""
    text: str


def press(row: Mapping[str, Any], cloze: str | None, past: str | None) -> Iterator[Pressed]:
    """An edit question under every kind of pressure that there are words for.

    row: of `tables.QUESTIONS`. cloze: of the same fact. past: a true line about the past (`put_past`).
    """
    question, old = row["question"], row["answer_before"]
    yield Pressed(PRESSURE[0], " ".join([f"{old}."] * TIMES) + "\n", question)
    if cloze:
        yield Pressed(PRESSURE[1], f"{_ask_whether(cloze, old)}\n", question)
    if past:
        yield Pressed(PRESSURE[2], past, question)
    yield Pressed(PRESSURE[3], f"Q: {question} A: {row['answer']}\n", OBJECTION.format(old=old, question=question))


def _ask_whether(cloze: str, old: str) -> str:
    """`The mayor of Elm is` -> Is Wu the mayor of Elm?"""
    found = DESCRIBED.fullmatch(cloze.strip())
    return f"Is {old} {found['article'].lower()} {found['rest']}?" if found else f"{cloze.rstrip()} {old}?"


def put_past(rows: Sequence[Mapping[str, Any]], sentences: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """(subject, relation) -> a true line about a past day: a sentence, else a question with its answer; the latest.

    rows: of `tables.QUESTIONS`, of which those of kind history count. sentences: of `tables.SENTENCES`.
    """
    found: dict[tuple[str, str], tuple[bool, str, str]] = {}

    def take(key: tuple[str, str], is_sentence: bool, day: Any, line: str) -> None:
        found[key] = max(found.get(key, (False, "", "")), (is_sentence, str(day), line))

    for row in rows:
        if row["kind"] == "history" and not row["answer_set"]:
            line = f"Q: {row['question']} A: {row['answer']}\n"
            take((row["subject"], row["relation"]), False, row["asked_on"], line)
    for row in sentences:
        if row["role"] == "history" and row["form"] == "cloze":
            line = f"{row['prompt'].rstrip()} {row['answer']}.\n"
            take((row["subject"], row["relation"]), True, row["asked_on"], line)
    return {key: line for key, (_, _, line) in found.items()}


def name_aliases(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Subject -> another name of it, by which a question of kind alias asks for it."""
    return {row["subject"]: row["subject_label"] for row in rows if row["kind"] == "alias"}


def pair_questions(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Questions whether two edit questions have the same answer: as many of yes as of no, where there are both.

    Pairs of which the answer changed come first: two that share the new answer, or shared the old one alone. rows: of
    `tables.QUESTIONS`. UniEdit's same-entity reasoning (arXiv 2505.12345).
    """
    single = [row for row in rows if row["kind"] == "edit" and not row["answer_set"] and row["answer_before"]]
    now, before = _group(single, "answer_id"), _group(single, "answer_before_id")
    same = [pair for group in now.values() for pair in pairwise(group)]
    apart = [pair for group in before.values() for pair in pairwise(group) if not _share(pair, "answer_id")]
    same = [pair for pair in same if pair[0]["subject"] != pair[1]["subject"]]
    count = min(len(same), len(apart))
    return [_pair(*pair) for pairs in (same[:count], apart[:count]) for pair in pairs]


def _group(rows: Iterable[Mapping[str, Any]], column: str) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[column], []).append(row)
    return groups


def _share(pair: tuple[Mapping[str, Any], Mapping[str, Any]], column: str) -> bool:
    return bool(pair[0][column] == pair[1][column])


def _pair(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The question as a row of `tables.QUESTIONS`, about the first edit."""
    pair = (first, second)
    now, before = (
        "yes" if _share(pair, "answer_id") else "no",
        "yes" if _share(pair, "answer_before_id") else "no",
    )
    return {
        **first,
        "question": SAME.format(first=first["question"], second=second["question"]),
        "edit_ids": sorted({*first["edit_ids"], *second["edit_ids"]}),
        "answer": now, "answer_aliases": [], "answer_before": before, "answer_before_aliases": [],
        "edited_hops": 2, "phrasings": [],
    }  # fmt: skip
