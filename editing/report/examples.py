"""Literal answers before and after, as cards that a reader can filter: the same questions for every editor of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from chronofacts.editing.report.runs import Run, states

__all__ = ["Answer", "Card", "Examples", "choose_examples"]

KINDS = (
    "edit", "paraphrase", "cloze", "preservation", "multi_hop", "hop_by_hop", "chain_of_thought", "history", "timeline",
    "locality", "alias", "reverse", "fluency",
)  # fmt: skip
"""Examples come in this order, then other kinds."""
UNSHOWN = ("general", "hop", "date_year", "date_month", "date_day")
EXAMPLES_PER_KIND = 12
VERDICTS = ("right", "stale", "wrong")
WIKIDATA = "https://www.wikidata.org/wiki/"
ITEM, STATEMENT = (
    re.compile(r"Q[1-9]\d*"),
    re.compile(r"(Q[1-9]\d*)\$[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"),
)
OWN_IDS = ("sample", "import")
"""Sources whose statements have ids of our own, in the form of Wikidata's."""


class Answer(NamedTuple):
    editor: str
    """The label of the model state."""
    text: str
    verdict: str
    style: str
    """right, stale or wrong; free where nothing is right or wrong."""


class Card(NamedTuple):
    """One question, and what every model state of its run said."""

    kind: str
    relation: str
    hops: str
    prompt: str
    answer: str
    """Empty where there is no right one."""
    before: str
    """The outdated one; empty where there is none."""
    answers: Sequence[Answer]
    ids: str
    links: Sequence[tuple[str, str]]
    """(text, address) of the item and the statements behind the edit."""

    @property
    def verdicts(self) -> str:
        """Of the editors alone, where there are any: the unedited model comes first."""
        return " ".join(sorted({one.style for one in (self.answers[1:] or self.answers)}))


class Examples(NamedTuple):
    cards: Sequence[Card]
    questions: int
    """How many were asked, of which these are a sample."""

    def values(self, name: str) -> list[str]:
        """What a filter by a field can be set to."""
        found = {getattr(card, name) for card in self.cards} - {""}
        return list(dict.fromkeys(card.kind for card in self.cards)) if name == "kind" else sorted(found)

    @property
    def editors(self) -> list[str]:
        return list(dict.fromkeys(one.editor for card in self.cards for one in card.answers))


def choose_examples(runs: Sequence[Run]) -> Examples:
    """Of every run and kind of question at most `EXAMPLES_PER_KIND`, evenly from the whole table."""
    cards, asked = [], 0
    for run in runs:
        of_run = [state for state in states(runs) if state.run is run]
        unedited = run.scores["none"].to_pylist()
        found = {name: {_key(row): row for row in table.to_pylist()} for name, table in run.scores.items()}
        by_kind = _group(unedited)
        asked += sum(map(len, by_kind.values()))
        for index in _choose(by_kind):
            row = unedited[index]
            said = [(state.label, found[state.editor].get(_key(row))) for state in of_run]
            answers = [_answer(label, one) for label, one in said if one is not None]
            cards.append(_make_card(row, answers, str(run.about["snapshot"].get("source", ""))))
    return Examples(cards, asked)


def _key(row: Mapping[str, Any]) -> tuple[str, str, int]:
    """By which one question is found again in another model state: single edits and batches have another order."""
    return row["kind"], row["question_id"], row["phrasing"]


def _group(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Kind -> rows, without other wordings."""
    by_kind: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if not row["phrasing"] and row["kind"] not in UNSHOWN:
            by_kind.setdefault(row["kind"], []).append(index)
    return by_kind


def _choose(by_kind: Mapping[str, Sequence[int]]) -> list[int]:
    chosen = []
    for kind in sorted(by_kind, key=lambda name: (KINDS.index(name) if name in KINDS else len(KINDS), name)):
        of_kind = by_kind[kind]
        count = min(EXAMPLES_PER_KIND, len(of_kind))
        chosen += [of_kind[number * len(of_kind) // count] for number in range(count)]
    return chosen


def _make_card(row: Mapping[str, Any], answers: Sequence[Answer], source: str) -> Card:
    free = row["kind"] == "fluency"
    ids = f"question {row['question_id']} · fact {row['fact']}"
    return Card(
        kind=row["kind"], relation=row["relation"] or "", hops="" if row["hops"] is None else str(row["hops"]),
        prompt=row["prompt"], answer="" if free else str(row["answer"]), before=row["answer_before"] or "",
        answers=answers, ids=ids, links=_link(row, source),
    )  # fmt: skip


def _link(row: Mapping[str, Any], source: str) -> list[tuple[str, str]]:
    """The item of the edit and the statements behind it, as far as their ids are Wikidata's."""
    subject, found = str(row.get("subject") or ""), []
    if ITEM.fullmatch(subject):
        found.append((subject, WIKIDATA + subject))
    for number, statement in enumerate(row.get("statement_ids") or (), 1):
        known = STATEMENT.fullmatch(statement)
        if known and source and source not in OWN_IDS:
            found.append((f"statement {number}", f"{WIKIDATA}{known[1]}#{statement}"))
    return found


def _answer(label: str, scored: Mapping[str, Any]) -> Answer:
    text = " → ".join(scored["walk"]) if scored.get("walk") else scored["generated"]
    if scored.get("ngram_entropy") is not None:
        return Answer(label, text, f"{scored['ngram_entropy']:.1f} bits", "free")
    verdict = "right" if scored["exact_match"] else "stale" if scored["exact_match_before"] else "wrong"
    return Answer(label, text, verdict, verdict)
