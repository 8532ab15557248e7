"""Literal answers before and after, as cards that a reader can filter: the same questions for every editor of a run."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from chronofacts.editing.report.runs import Run, states

__all__ = ["examples"]

KINDS = (
    "edit", "paraphrase", "cloze", "preservation", "multi_hop", "hop_by_hop", "chain_of_thought", "history", "timeline",
    "locality", "alias", "reverse", "fluency",
)  # fmt: skip
"""Examples come in this order, then other kinds."""
UNSHOWN = ("general", "hop")
EXAMPLES_PER_KIND = 12
VERDICTS = ("right", "stale", "wrong")


def examples(runs: Sequence[Run]) -> str:
    """The section of the page; names in it are escaped."""
    kinds: dict[str, None] = {}
    cards = []
    for run in runs:
        of_run = [state for state in states(runs) if state.run is run]
        columns = {editor: table.to_pylist() for editor, table in run.scores.items()}
        for place in _chosen(columns["none"]):
            row = columns["none"][place]
            kinds[row["kind"]] = None
            cards.append(_card(row, [(state.label, columns[state.editor][place]) for state in of_run]))
    by_kind = "".join(_button("kind", kind) for kind in kinds)
    by_verdict = "".join(_button("verdict", verdict) for verdict in VERDICTS)
    return (
        "<section><h2>Examples</h2><p class=note>What the model said, word for word.</p>"
        f"<div class=filter role=group aria-label='kind of question'>{_all('kind')}{by_kind}</div>"
        f"<div class=filter role=group aria-label='answers of an editor'>{_all('verdict')}{by_verdict}</div>"
        "<label class=search>Search <input type=search id=search placeholder='a name or a word'></label>"
        f"<p class=note id=shown aria-live=polite></p><div id=examples>{''.join(cards)}</div></section>"
    )


def _chosen(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Of every kind at most so many questions, evenly from the whole table."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if not row["phrasing"] and row["kind"] not in UNSHOWN:
            places.setdefault(row["kind"], []).append(place)
    chosen = []
    for kind in sorted(places, key=lambda name: (KINDS.index(name) if name in KINDS else len(KINDS), name)):
        of_kind = places[kind]
        count = min(EXAMPLES_PER_KIND, len(of_kind))
        chosen += [of_kind[index * len(of_kind) // count] for index in range(count)]
    return chosen


def _card(row: Mapping[str, Any], answers: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    before = f" · <span class=old>before: {_e(row['answer_before'])}</span>" if row["answer_before"] else ""
    lines, verdicts = [], []
    for label, scored in answers:
        verdict = _verdict(scored)
        verdicts.append(verdict)
        walk = " → ".join(scored["walk"]) if scored.get("walk") else scored["generated"]
        said = _e(walk) or "<i>nothing</i>"
        lines.append(
            f"<tr><th scope=row>{_e(label)}</th><td class={_style(verdict)}>{said}</td><td>{verdict}</td></tr>"
        )
    edited = verdicts[1:] or verdicts  # the untouched model comes first, and is not what a reader filters by
    gold = f"<p class=gold>right: {_e(row['answer'])}{before}</p>" if row["kind"] != "fluency" else ""
    return (
        f"<article data-kind='{_e(row['kind'])}' data-verdict='{' '.join(sorted(set(map(_style, edited))))}'>"
        f"<p><b class=kind>{_e(row['kind'])}</b> {_e(row['prompt'])}</p>{gold}<table>{''.join(lines)}</table></article>"
    )


def _verdict(scored: Mapping[str, Any]) -> str:
    if scored.get("ngram_entropy") is not None:
        return f"{scored['ngram_entropy']:.1f} bits"
    return "right" if scored["exact_match"] else "stale" if scored["exact_match_before"] else "wrong"


def _style(verdict: str) -> str:
    return verdict if verdict in VERDICTS else "free"


def _button(what: str, value: str) -> str:
    return f"<button type=button data-filter={what} data-show='{_e(value)}' aria-pressed=false>{_e(value)}</button>"


def _all(what: str) -> str:
    return f"<button type=button data-filter={what} data-show='' aria-pressed=true>all</button>"


def _e(text: Any) -> str:
    return html.escape(str(text), quote=True)
