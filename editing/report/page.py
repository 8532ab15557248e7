"""The page: sections of HTML put into `page.html`, every name escaped."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chronofacts.editing.report.examples import examples
from chronofacts.editing.report.runs import Run, State, states
from chronofacts.editing.report.sections import all_plots
from chronofacts.editing.report.summary import command, headline
from chronofacts.editing.report.tables import (
    BREAKDOWNS,
    COLUMNS,
    DETAILS,
    MEANING,
    breakdown,
    by_kind,
    cell,
    columns_of,
    leaderboard,
)

__all__ = ["as_page"]


def as_page(runs: Sequence[Run]) -> str:
    """The whole document."""
    found = states(runs)
    measured = [name for name in DETAILS if any(cell(state, name)[0] != "–" for state in found)]
    body = [
        "<header><h1>What changed, and did the model learn it?</h1>",
        *(f"<p class=lead>{_e(line)}</p>" for line in headline(runs)),
        "</header><main>",
        "<section><h2>Results</h2>",
        _metric_table(found, columns_of(found)),
        "<p class=note>Small figures: 95 % bootstrap interval over facts. "
        "Answers are generated freely and compared with every known name of the right answer.</p>",
        _meanings(columns_of(found)),
        _by_kind(found),
        "</section>",
        _leaderboard(runs) if len(runs) > 1 else "",
        _plots(runs),
        _details(found, measured),
        examples(runs),
        _settings(runs),
        "</main>",
    ]
    shell = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    return shell.replace("@BODY@", "\n".join(body))


def _e(text: Any) -> str:
    return html.escape(str(text), quote=True)


def _metric_table(found: Sequence[State], metrics: Sequence[str]) -> str:
    names = COLUMNS | DETAILS
    rows = []
    for state in found:
        cells = ((_e(value), _e(interval)) for value, interval in (cell(state, metric) for metric in metrics))
        tail = "".join(f"<td>{value}<small>{interval}</small></td>" for value, interval in cells)
        rows.append(f"<tr><th scope=row>{_e(state.label)}</th>{tail}</tr>")
    return _table(["editor", *(names[metric] for metric in metrics)], rows)


def _table(headings: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th scope=col>{_e(name)}</th>" for name in headings)
    return (
        f"<div class=wide tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _meanings(metrics: Sequence[str]) -> str:
    names = COLUMNS | DETAILS
    return "<dl>" + "".join(f"<dt>{_e(names[m])}</dt><dd>{_e(MEANING[m])}</dd>" for m in metrics) + "</dl>"


def _by_kind(found: Sequence[State]) -> str:
    headings, cells = by_kind(found)
    if not headings:
        return ""
    rows = [
        f"<tr><th scope=row>{_e(label)}</th>{''.join(f'<td>{_e(one)}</td>' for one in row)}</tr>"
        for label, *row in cells
    ]
    return (
        f"<h3>By kind of change</h3>{_table(headings, rows)}<p class=note>Injection: there was nothing before. Update: "
        "what was before is not known, and an old answer cannot be told. Addition and removal: one value of several; "
        "a question counts as right when it names what joined, and nothing that left.</p>"
    )


def _leaderboard(runs: Sequence[Run]) -> str:
    rows, metrics = [], columns_of(states(runs))
    for number, place in enumerate(leaderboard(runs), 1):
        state = place.state
        cells = [state.run.as_of, state.run.model, state.editor, f"{place.balance:.2f}"]
        cells += [cell(state, metric)[0] for metric in metrics]
        rows.append(f"<tr><th scope=row>{number}</th>{''.join(f'<td>{_e(one)}</td>' for one in cells)}</tr>")
    table = _table(["", "snapshot", "model", "editor", "balance", *(COLUMNS[metric] for metric in metrics)], rows)
    return (
        f"<section><h2>Leaderboard</h2>{table}<p class=note>Balance: harmonic mean of edit success, paraphrase, "
        "locality and history. The newest snapshot first.</p></section>"
    )


def _plots(runs: Sequence[Run]) -> str:
    parts = [
        f"<figure><h3>{_e(plot.title)}</h3><div class=plot>{plot.svg}</div><figcaption>{_e(plot.caption)}</figcaption>"
        "</figure>"
        for plot in all_plots(runs)
    ]
    return f"<section><h2>Plots</h2><div class=plots>{''.join(parts)}</div></section>"


def _details(found: Sequence[State], measured: Sequence[str]) -> str:
    parts = []
    if measured:
        parts.append(f"<h2>More figures</h2>{_metric_table(found, measured)}{_meanings(measured)}")
    for title, (metrics, by) in BREAKDOWNS.items():
        headings, cells = breakdown(found, metrics, by)
        if headings:
            rows = [
                f"<tr><th scope=row>{_e(state.label)}</th>{''.join(f'<td>{_e(one)}</td>' for one in row)}</tr>"
                for state, row in zip(found, cells, strict=True)
            ]
            parts.append(f"<h3>{_e(title)}</h3>{_table(['editor', *headings], rows)}")
    return f"<section>{''.join(parts)}</section>" if parts else ""


def _settings(runs: Sequence[Run]) -> str:
    parts = ["<section><h2>Settings, and how to reproduce</h2>"]
    for run in runs:
        shown = {key: value for key, value in run.about.items() if key != "metrics"}
        text = json.dumps(shown, indent=1, ensure_ascii=False)
        parts.append(f"<pre>{_e(command(run))}</pre><details><summary>{_e(run.folder.name)}: all settings</summary>")
        parts.append(f"<pre>{_e(text)}</pre></details>")
    return "".join(parts) + "</section>"
