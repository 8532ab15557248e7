"""Literal answers before and after, as cards that a reader can filter: the same questions for every editor of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from chronofacts.editing.report.runs import Run, states

__all__ = ["show_examples"]

KINDS = (
    "edit", "paraphrase", "cloze", "preservation", "multi_hop", "hop_by_hop", "chain_of_thought", "history", "timeline",
    "locality", "alias", "reverse", "fluency",
)  # fmt: skip
"""Examples come in this order, then other kinds."""
UNSHOWN = ("general", "hop")
EXAMPLES_PER_KIND = 12
VERDICTS = ("right", "stale", "wrong")


def show_examples(runs: Sequence[Run]) -> str:
    """The section of the page; names in it are escaped."""
    kinds: dict[str, None] = {}
    cards = []
    for run in runs:
        of_run = [state for state in states(runs) if state.run is run]
        columns = {editor: table.to_pylist() for editor, table in run.scores.items()}
        for index in _choose(columns["none"]):
            row = columns["none"][index]
            kinds[row["kind"]] = None
            cards.append(_card(row, [(state.label, columns[state.editor][index]) for state in of_run]))
    by_kind = "".join(_button("kind", kind) for kind in ("", *kinds))
    by_verdict = "".join(_button("verdict", verdict) for verdict in ("", *VERDICTS))
    return (
        "<section><h2>Examples</h2><p class=note>What the model said, word for word.</p>"
        f"<div class=filter role=group aria-label='kind of question'>{by_kind}</div>"
        f"<div class=filter role=group aria-label='answers of an editor'>{by_verdict}</div>"
        "<label class=search>Search <input type=search id=search placeholder='a name or a word'></label>"
        f"<p class=note id=shown aria-live=polite></p><div id=examples>{''.join(cards)}</div></section>"
    )


def _choose(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Of every kind at most so many questions, evenly from the whole table."""
    by_kind: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if not row["phrasing"] and row["kind"] not in UNSHOWN:
            by_kind.setdefault(row["kind"], []).append(index)
    chosen = []
    for kind in sorted(by_kind, key=lambda name: (KINDS.index(name) if name in KINDS else len(KINDS), name)):
        of_kind = by_kind[kind]
        count = min(EXAMPLES_PER_KIND, len(of_kind))
        chosen += [of_kind[number * len(of_kind) // count] for number in range(count)]
    return chosen


def _card(row: Mapping[str, Any], answers: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    before = f" · <span class=old>before: {escape(row['answer_before'])}</span>" if row["answer_before"] else ""
    lines, verdicts = [], []
    for label, scored in answers:
        verdict = _verdict(scored)
        verdicts.append(verdict)
        answer = " → ".join(scored["walk"]) if scored.get("walk") else scored["generated"]
        said = escape(answer) or "<i>nothing</i>"
        lines.append(
            f"<tr><th scope=row>{escape(label)}</th><td class={_style(verdict)}>{said}</td><td>{verdict}</td></tr>"
        )
    edited = verdicts[1:] or verdicts  # a reader does not filter by the unedited model, which comes first
    gold = f"<p class=gold>right: {escape(str(row['answer']))}{before}</p>" if row["kind"] != "fluency" else ""
    kind = escape(row["kind"])
    return (
        f"<article data-kind='{kind}' data-verdict='{' '.join(sorted(set(map(_style, edited))))}'>"
        f"<p><b class=kind>{kind}</b> {escape(row['prompt'])}</p>{gold}<table>{''.join(lines)}</table></article>"
    )


def _verdict(scored: Mapping[str, Any]) -> str:
    if scored.get("ngram_entropy") is not None:
        return f"{scored['ngram_entropy']:.1f} bits"
    return "right" if scored["exact_match"] else "stale" if scored["exact_match_before"] else "wrong"


def _style(verdict: str) -> str:
    return verdict if verdict in VERDICTS else "free"


def _button(what: str, value: str) -> str:
    """Filters by a value; the one without a value shows all, and is pressed first."""
    pressed = "false" if value else "true"
    return (
        f"<button type=button data-filter={what} data-show='{escape(value)}' aria-pressed={pressed}>"
        f"{escape(value) or 'all'}</button>"
    )
