"""The page: sections of HTML in the frame of `page.html`, every name escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from chronofacts.editing.report import tables
from chronofacts.editing.report.examples import show_examples
from chronofacts.editing.report.runs import Run, State, states
from chronofacts.editing.report.sections import all_plots
from chronofacts.editing.report.summary import command, summarise
from chronofacts.editing.report.tables import MEANING, NAMES, Table

__all__ = ["as_page"]


def as_page(runs: Sequence[Run]) -> str:
    """The whole document."""
    found = states(runs)
    metrics = tables.main_metrics(found)
    body = [
        "<header><h1>What changed, and did the model learn it?</h1>",
        *(f"<p class=lead>{escape(line)}</p>" for line in summarise(runs)),
        "</header><main>",
        "<section><h2>Results</h2>",
        _show_table(tables.metric_table(found, metrics)),
        "<p class=note>Small figures: 95 % bootstrap interval over facts. "
        "Answers are generated freely and compared with every known name of the right answer.</p>",
        _show_meanings(metrics),
        _show_kinds(found),
        "</section>",
        _show_leaderboard(runs, metrics) if len(runs) > 1 else "",
        _show_plots(runs),
        _show_details(found),
        show_examples(runs),
        _show_settings(runs),
        "</main>",
    ]
    shell = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    return shell.replace("@BODY@", "\n".join(body))


def _show_table(table: Table) -> str:
    head = "".join(f"<th scope=col>{escape(name)}</th>" for name in table.headings)
    rows = []
    for (name, _), *cells in table.rows:
        small = (f"{escape(text)}<small>{escape(span)}</small>" if span else escape(text) for text, span in cells)
        rows.append(f"<tr><th scope=row>{escape(name)}</th>{''.join(f'<td>{one}</td>' for one in small)}</tr>")
    return (
        f"<div class=wide tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _show_meanings(metrics: Sequence[str]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(NAMES[m])}</dt><dd>{escape(MEANING[m])}</dd>" for m in metrics) + "</dl>"


def _show_kinds(found: Sequence[State]) -> str:
    table = tables.kind_table(found)
    if table is None:
        return ""
    return (
        f"<h3>{table.title}</h3>{_show_table(table)}<p class=note>Injection: there was nothing before. Update: "
        "what was before is not known, and an old answer cannot be told. Addition and removal: one value of several; "
        "a question counts as right when it names what joined, and nothing that left.</p>"
    )


def _show_leaderboard(runs: Sequence[Run], metrics: Sequence[str]) -> str:
    table = _show_table(tables.leaderboard_table(runs, metrics))
    return (
        f"<section><h2>Leaderboard</h2>{table}<p class=note>Balance: harmonic mean of edit success, paraphrase, "
        "locality and history. The newest snapshot first.</p></section>"
    )


def _show_plots(runs: Sequence[Run]) -> str:
    parts = [
        f"<figure><h3>{escape(plot.title)}</h3><div class=plot>{plot.svg}</div>"
        f"<figcaption>{escape(plot.caption)}</figcaption></figure>"
        for plot in all_plots(runs)
    ]
    return f"<section><h2>Plots</h2><div class=plots>{''.join(parts)}</div></section>"


def _show_details(found: Sequence[State]) -> str:
    parts, metrics = [], tables.more_metrics(found)
    if metrics:
        table = _show_table(tables.metric_table(found, metrics))
        parts.append(f"<h2>More figures</h2>{table}{_show_meanings(metrics)}")
    parts += [f"<h3>{escape(table.title)}</h3>{_show_table(table)}" for table in tables.breakdown_tables(found)]
    return f"<section>{''.join(parts)}</section>" if parts else ""


def _show_settings(runs: Sequence[Run]) -> str:
    parts = ["<section><h2>Settings, and how to reproduce</h2>"]
    for run in runs:
        shown = {key: value for key, value in run.about.items() if key != "metrics"}
        text = json.dumps(shown, indent=1, ensure_ascii=False)
        parts.append(f"<pre>{escape(command(run))}</pre><details><summary>{escape(run.folder.name)}: all settings")
        parts.append(f"</summary><pre>{escape(text)}</pre></details>")
    return "".join(parts) + "</section>"
