"""Runs as one self-contained page that a person can read, as Markdown, as a terminal table and as JSON.

The page loads nothing: plots are inline SVG, style and the little script are inline, every text is escaped. It reads
run folders only (`experiment`), and takes names in them for what they may be: hostile. Leaves out a leaderboard over
time.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from editing import plots
from schemas.errors import BadInput, CheckFailed
from schemas.folders import written_aside

__all__ = ["as_json", "terminal_table", "write_report"]

COLUMNS = {
    "edit_success": "edit success",
    "paraphrase": "paraphrase",
    "portability": "portability",
    "multi_hop": "multi-hop",
    "locality": "locality",
    "history": "history",
    "stale_rate": "stale",
    "seconds": "seconds",
    "peak_memory_mb": "peak MB",
}
"""Metric -> heading of its column."""
MEANING = {
    "edit_success": "the new fact is given, asked in the wording of the edit",
    "paraphrase": "the new fact is given in wordings that no editor was trained on",
    "portability": "it is used: by another name, in reverse, over several hops",
    "multi_hop": "a question over several facts is answered rightly in any of its wordings",
    "locality": "facts that did not change are answered as before the edit",
    "history": "the past is still known: who it was on a date before the change",
    "stale_rate": "the outdated answer is still given to a question about now (less is better)",
    "seconds": "editing, without scoring",
    "peak_memory_mb": "most memory of the process while editing or scoring",
}
EXAMPLES_PER_KIND = 12


@dataclass(frozen=True)
class _Run:
    """What a run folder holds."""

    folder: Path
    about: Mapping[str, Any]
    metrics: pa.Table
    scores: Mapping[str, pa.Table]


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write `index.html` and `report.md` into a new folder; returns the page's path.

    Raises BadInput when out is not empty or a folder is no run.
    """
    read = [_read_run(folder) for folder in runs]
    with written_aside(out) as folder:
        (folder / "index.html").write_text(_page(read), encoding="utf-8")
        (folder / "report.md").write_text(_markdown(read), encoding="utf-8")
    return out / "index.html"


def as_json(runs: Sequence[Path]) -> dict[str, dict[str, float]]:
    """{editor: {metric: value}}; with several runs of one editor, `run/editor`. `none` is the unedited model."""
    return {label: dict(run.about["metrics"][editor]) for label, run, editor in _states([_read_run(r) for r in runs])}


def terminal_table(runs: Sequence[Path]) -> str:
    """Editors by metrics, in plain text."""
    return _text_table([_read_run(folder) for folder in runs])


# ------------------------------------------------------------------------------------------------ reading


def _read_run(folder: Path) -> _Run:
    file = folder / "run.json"
    if not file.is_file():
        raise BadInput(f"{folder} is not a run (it has no run.json); make one with `chronofacts experiment`")
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        scores = {name: pq.read_table(folder / "scores" / f"{name}.parquet") for name in about["metrics"]}
        return _Run(folder, about, pq.read_table(folder / "metrics.parquet"), scores)
    except (ValueError, KeyError, OSError, pa.ArrowInvalid) as error:
        raise CheckFailed(f"the run {folder} is damaged ({error}); run the experiment again") from error


def _states(runs: Sequence[_Run]) -> list[tuple[str, _Run, str]]:
    """(label, run, editor) of every model state; labels are unique."""
    named = [(editor, run) for run in runs for editor in run.about["metrics"]]
    seen = [editor for editor, _ in named]
    labels = []
    for editor, run in named:
        label = editor if seen.count(editor) == 1 else f"{run.folder.name}/{editor}"
        while label in [used for used, _, _ in labels]:
            label += "'"
        labels.append((label, run, editor))
    return labels


def _intervals(
    run: _Run, editor: str, by: str = "all"
) -> dict[tuple[str, str | None], tuple[float, float, float, int]]:
    """(metric, group) -> value, low, high, n."""
    table = run.metrics.filter(pc.and_(pc.equal(run.metrics["editor"], editor), pc.equal(run.metrics["by"], by)))
    return {(r["metric"], r["group"]): (r["value"], r["low"], r["high"], r["n"]) for r in table.to_pylist()}


# ------------------------------------------------------------------------------------------------ tables


def _cell(run: _Run, editor: str, metric: str) -> tuple[str, str]:
    """A figure and its interval as text; dashes where it was not measured."""
    if metric in ("seconds", "peak_memory_mb"):
        value = run.about["metrics"][editor].get(metric)
        return ("–" if value is None else f"{value:,.1f}" if metric == "seconds" else f"{value:,.0f}"), ""
    found = _intervals(run, editor).get((metric, None))
    return ("–", "") if found is None else (f"{found[0]:.2f}", f"{found[1]:.2f}–{found[2]:.2f}")


def _text_table(runs: Sequence[_Run]) -> str:
    rows = [["editor", *COLUMNS.values()]]
    rows += [[label, *(_cell(run, editor, metric)[0] for metric in COLUMNS)] for label, run, editor in _states(runs)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _markdown(runs: Sequence[_Run]) -> str:
    def safe(text: str) -> str:
        return re.sub(r"([|<>`*_\[\]])", r"\\\1", " ".join(text.split()))

    lines = ["# What changed, and did the model learn it?", "", *(safe(line) for line in _headline(runs)), ""]
    lines += ["| editor | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for label, run, editor in _states(runs):
        cells = [" ".join(part for part in _bracketed(_cell(run, editor, metric)) if part) for metric in COLUMNS]
        lines.append(f"| {safe(label)} | " + " | ".join(cells) + " |")
    lines += ["", "In brackets: 95 % bootstrap interval over facts.", ""]
    lines += [f"- **{COLUMNS[metric]}**: {meaning}" for metric, meaning in MEANING.items()]
    lines += ["", "## How to reproduce", ""]
    lines += [f"    {_command(run)}" for run in runs]
    return "\n".join(lines) + "\n"


def _bracketed(cell: tuple[str, str]) -> tuple[str, str]:
    return cell[0], f"[{cell[1]}]" if cell[1] else ""


def _headline(runs: Sequence[_Run]) -> list[str]:
    """The result in two or three sentences."""
    lines = []
    for run in runs:
        about, figures = run.about, run.about["metrics"]
        edited = {name: values for name, values in figures.items() if name != "none"}
        lines.append(
            f"Between {about['snapshot']['since']} and {about['snapshot']['as_of']}, {about['snapshot']['edits']} facts "
            f"changed that the model {about['model']['name']} was asked about. Untouched, it gave the new answer to "
            f"{figures['none'].get('edit_success', 0):.0%} of them, and the outdated one to "
            f"{figures['none'].get('stale_rate', 0):.0%} of the questions about now."
        )
        for name, values in edited.items():
            lines.append(
                f"After {name} ({values['seconds']:.0f} s) it gave the new answer to {values.get('edit_success', 0):.0%}, "
                f"used it over several hops in {values.get('multi_hop', 0):.0%}, answered "
                f"{values.get('locality', 0):.0%} of what did not change as before, and still knew "
                f"{values.get('history', 0):.0%} of the past (before: {figures['none'].get('history', 0):.0%})."
            )
    return lines


def _command(run: _Run) -> str:
    about = run.about
    editors = ",".join(about["metrics"])
    given = "".join(f" --set {key}={value}" for key, value in about["settings"]["given"].items())
    return (
        f"chronofacts experiment SNAPSHOT --model {about['model']['name']} --editor {editors}{given} --out RUN"
        f"   # SNAPSHOT: {about['snapshot']['name']}, {about['snapshot']['hash']}"
    )


# ------------------------------------------------------------------------------------------------ page


def _page(runs: Sequence[_Run]) -> str:
    body = [
        "<header><h1>What changed, and did the model learn it?</h1>",
        *(f"<p class=lead>{_e(line)}</p>" for line in _headline(runs)),
        "</header><main>",
        "<section><h2>Results</h2>",
        _html_table(runs),
        "<p class=note>Small figures: 95 % bootstrap interval over facts. "
        "Answers are generated freely and compared with every known name of the right answer.</p>",
        "<dl>"
        + "".join(f"<dt>{_e(COLUMNS[m])}</dt><dd>{_e(text)}</dd>" for m, text in MEANING.items())
        + "</dl></section>",
        _plots(runs),
        _examples(runs),
        _settings(runs),
        "</main>",
    ]
    return PAGE.replace("@BODY@", "\n".join(body))


def _e(text: Any) -> str:
    return html.escape(str(text), quote=True)


def _html_table(runs: Sequence[_Run]) -> str:
    head = (
        "<tr><th scope=col>editor</th>"
        + "".join(f"<th scope=col>{_e(name)}</th>" for name in COLUMNS.values())
        + "</tr>"
    )
    rows = []
    for label, run, editor in _states(runs):
        cells = []
        for metric in COLUMNS:
            value, interval = _cell(run, editor, metric)
            cells.append(f"<td>{_e(value)}<small>{_e(interval)}</small></td>")
        rows.append(f"<tr><th scope=row>{_e(label)}</th>{''.join(cells)}</tr>")
    return f"<div class=wide><table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"


def _plots(runs: Sequence[_Run]) -> str:
    states = [(label, _intervals(run, editor)) for label, run, editor in _states(runs)]
    flat = [(label, {m: v[:3] for (m, group), v in found.items() if group is None}) for label, found in states]
    relations = [
        (label, {group: v[:3] for (m, group), v in _intervals(run, editor, "relation").items() if m == "edit_success"})
        for label, run, editor in _states(runs)
        if editor != "none"
    ]
    figures = [
        (
            "Learnt, spread, kept",
            plots.metric_bars(flat),
            "What each editor taught, what followed from it, what stayed.",
        ),
        (
            "Learning against remembering",
            plots.trade_off(flat),
            "Up and to the right is better: new facts, past intact.",
        ),
        ("By relation", plots.relation_bars(relations), "Edit success by kind of fact, the commonest relations."),
    ]
    parts = [
        f"<figure><h3>{_e(title)}</h3><div class=plot>{svg}</div><figcaption>{_e(caption)}</figcaption></figure>"
        for title, svg, caption in figures
        if svg
    ]
    return f"<section><h2>Plots</h2><div class=plots>{''.join(parts)}</div></section>"


def _examples(runs: Sequence[_Run]) -> str:
    """Literal answers before and after, the same questions for every editor of a run."""
    kinds: dict[str, int] = {}
    cards = []
    for run in runs:
        labels = [(label, editor) for label, of, editor in _states(runs) if of is run]
        columns = {editor: table.to_pylist() for editor, table in run.scores.items()}
        for place, row in enumerate(columns["none"]):
            kind = row["kind"]
            if row["phrasing"] or kinds.get(kind, 0) >= EXAMPLES_PER_KIND * len(runs) or place % _stride(run, kind):
                continue
            kinds[kind] = kinds.get(kind, 0) + 1
            answers = [(label, columns[editor][place]) for label, editor in labels]
            cards.append(_card(row, answers))
    buttons = "".join(f"<button type=button data-show='{_e(kind)}'>{_e(kind)}</button>" for kind in kinds)
    return (
        "<section><h2>Examples</h2><p class=note>What the model said, word for word.</p>"
        f"<div class=filter><button type=button data-show='' aria-pressed=true>all</button>{buttons}</div>"
        f"<div id=examples>{''.join(cards)}</div></section>"
    )


def _stride(run: _Run, kind: str) -> int:
    """Take every n-th row, so that the examples come from the whole table."""
    count = pc.sum(pc.equal(run.scores["none"]["kind"], kind)).as_py()
    return max(1, count // (EXAMPLES_PER_KIND * 2))


def _card(row: Mapping[str, Any], answers: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    before = f" <span class=old>before: {_e(row['answer_before'])}</span>" if row["answer_before"] else ""
    lines = []
    for label, scored in answers:
        verdict = "right" if scored["exact_match"] else "stale" if scored["exact_match_before"] else "wrong"
        said = _e(scored["generated"]) or "<i>nothing</i>"
        lines.append(f"<tr><th scope=row>{_e(label)}</th><td class={verdict}>{said}</td><td>{verdict}</td></tr>")
    return (
        f"<article data-kind='{_e(row['kind'])}'><p><b class=kind>{_e(row['kind'])}</b> {_e(row['prompt'])}</p>"
        f"<p class=gold>right: {_e(row['answer'])}{before}</p><table>{''.join(lines)}</table></article>"
    )


def _settings(runs: Sequence[_Run]) -> str:
    parts = ["<section><h2>Settings, and how to reproduce</h2>"]
    for run in runs:
        shown = {key: value for key, value in run.about.items() if key != "metrics"}
        text = json.dumps(shown, indent=1, ensure_ascii=False)
        parts.append(f"<pre>{_e(_command(run))}</pre><details><summary>{_e(run.folder.name)}: all settings</summary>")
        parts.append(f"<pre>{_e(text)}</pre></details>")
    return "".join(parts) + "</section>"


PAGE = """<!doctype html>
<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width, initial-scale=1">
<meta http-equiv=Content-Security-Policy content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>ChronoFacts: what changed, and did the model learn it?</title>
<style>
:root{color-scheme:light;--ink:#1c2430;--soft:#5b6675;--line:#d9dee5;--good:#0b6e4f;--bad:#a3262a;--old:#8a5a00}
*{box-sizing:border-box}body{margin:0;background:#fff;color:var(--ink);font:16px/1.5 system-ui,sans-serif}
header,main{max-width:68rem;margin:0 auto;padding:1rem}h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.25rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:0 0 .3rem}.lead{max-width:44rem;margin:.5rem 0}
.note,figcaption{color:var(--soft);font-size:.9rem}.wide{overflow-x:auto}table{border-collapse:collapse}
.wide table{min-width:100%}th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th:first-child{text-align:left}td small{display:block;color:var(--soft);font-size:.72rem;white-space:nowrap}
.wide th:first-child{position:sticky;left:0;background:#fff}dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;font-size:.9rem}
dt{font-weight:600}dd{margin:0;color:var(--soft)}.plots{display:grid;gap:1.5rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,28rem),1fr))}
figure{margin:0}.plot svg{width:100%;height:auto}.filter{display:flex;flex-wrap:wrap;gap:.4rem;margin:.5rem 0}
button{font:inherit;font-size:.9rem;min-height:2.4rem;padding:.2rem .8rem;border:1px solid var(--line);border-radius:1.2rem;background:#fff;color:var(--ink)}
button[aria-pressed=true]{background:var(--ink);color:#fff}article{border:1px solid var(--line);border-radius:.5rem;padding:.6rem .8rem;margin:.6rem 0}
article p{margin:.1rem 0;overflow-wrap:anywhere}article table{width:100%;margin-top:.3rem;table-layout:fixed}article th,article td{text-align:left;padding:.2rem .4rem;overflow-wrap:anywhere}
article th{width:8.5rem;font-weight:500;color:var(--soft)}article td:last-child{width:4.2rem;font-size:.85rem;color:var(--soft)}
.kind{font-size:.75rem;background:#eef1f5;padding:.1rem .4rem;border-radius:.3rem}.gold{font-size:.9rem;color:var(--soft)}.right{color:var(--good)}.wrong{color:var(--bad)}.stale{color:var(--old)}
pre{overflow-x:auto;background:#f5f7f9;padding:.7rem;border-radius:.4rem;font-size:.82rem;white-space:pre-wrap;overflow-wrap:anywhere}
@media(max-width:30rem){dl{display:block}dd{margin-bottom:.4rem}article th{width:6.2rem}}
</style></head><body>
@BODY@
<script>
document.querySelectorAll('[data-show]').forEach(function(button){button.addEventListener('click',function(){
document.querySelectorAll('[data-show]').forEach(function(other){other.setAttribute('aria-pressed',other===button)});
document.querySelectorAll('article').forEach(function(card){card.hidden=button.dataset.show!==''&&card.dataset.kind!==button.dataset.show})})})
</script></body></html>
"""
