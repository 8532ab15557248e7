"""Runs as one self-contained page that a person can read, as Markdown, as a terminal table and as JSON.

The page loads nothing: plots are inline SVG, style and the little script (`report_page.html`) are inline, every text is
escaped. It reads
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
KINDS = ("edit", "paraphrase", "cloze", "multi_hop", "history", "timeline", "locality", "alias", "reverse")
"""Examples come in this order, then other kinds."""
EXAMPLES_PER_KIND = 12
SENTENCES_FOR_ALL = 3
"""With more editors than these, the headline speaks of the best only."""


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
    labels: list[tuple[str, _Run, str]] = []
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

    lines = ["# What changed, and did the model learn it?", ""]
    lines += [part for line in _headline(runs) for part in (safe(line), "")]
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
    """The result in a few sentences: before, and after the editors that taught most and that kept most of the past."""
    lines = []
    for run in runs:
        snapshot, figures = run.about["snapshot"], run.about["metrics"]
        before = figures["none"]
        lines.append(
            f"Between {snapshot['since']} and {snapshot['as_of']}, {snapshot['edits']} facts changed about which the "
            f"model {run.about['model']['name']} was asked. Untouched, it gave the new answer to "
            f"{_share(before, 'edit_success')} of them, and the outdated one to {_share(before, 'stale_rate')} of the "
            "questions about now."
        )
        edited = {name: values for name, values in figures.items() if name != "none"}
        best = (
            {max(edited, key=lambda n: edited[n].get(m, 0.0)) for m in ("edit_success", "history")} if edited else set()
        )
        for name, values in edited.items():
            if name in best or len(edited) <= SENTENCES_FOR_ALL:
                lines.append(
                    f"After {name} ({values['seconds']:.0f} s) it gave the new answer to "
                    f"{_share(values, 'edit_success')}, was right over several hops in {_share(values, 'multi_hop')}, "
                    f"answered {_share(values, 'locality')} of what did not change as before, and still knew "
                    f"{_share(values, 'history')} of the past (untouched: {_share(before, 'history')})."
                )
    return lines


def _share(values: Mapping[str, float], metric: str) -> str:
    return f"{values[metric]:.0%}" if metric in values else "(not asked)"


def _command(run: _Run) -> str:
    about = run.about
    editors = ",".join(about["metrics"])
    given = "".join(f" --set {key}={value}" for key, value in about["settings"]["given"].items())
    command = (
        f"chronofacts experiment SNAPSHOT --model {about['model']['name']} --editor {editors}{given} --out RUN"
        f"   # SNAPSHOT: {about['snapshot']['name']}, {about['snapshot']['hash']}"
    )
    return " ".join(command.split())  # one line, whatever the names: in Markdown a new line would end the code


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
    shell = (Path(__file__).parent / "report_page.html").read_text(encoding="utf-8")
    return shell.replace("@BODY@", "\n".join(body))


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
    relations = [(label, _commonest_relations(run, editor)) for label, run, editor in _states(runs) if editor != "none"]
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


def _commonest_relations(run: _Run, editor: str) -> dict[str, tuple[float, float, float]]:
    """Edit success by relation with its interval, the relation with the most edits first."""
    found = _intervals(run, editor, "relation")
    of_edits = [
        (n, str(of), (value, low, high)) for (m, of), (value, low, high, n) in found.items() if m == "edit_success"
    ]
    return {of: interval for _, of, interval in sorted(of_edits, key=lambda item: (-item[0], item[1]))}


def _examples(runs: Sequence[_Run]) -> str:
    """Literal answers before and after, the same questions for every editor of a run."""
    kinds: dict[str, None] = {}
    cards = []
    for run in runs:
        labels = [(label, editor) for label, of, editor in _states(runs) if of is run]
        columns = {editor: table.to_pylist() for editor, table in run.scores.items()}
        for place in _chosen(columns["none"]):
            row = columns["none"][place]
            kinds[row["kind"]] = None
            cards.append(_card(row, [(label, columns[editor][place]) for label, editor in labels]))
    buttons = "".join(f"<button type=button data-show='{_e(kind)}'>{_e(kind)}</button>" for kind in kinds)
    return (
        "<section><h2>Examples</h2><p class=note>What the model said, word for word.</p>"
        f"<div class=filter><button type=button data-show='' aria-pressed=true>all</button>{buttons}</div>"
        f"<div id=examples>{''.join(cards)}</div></section>"
    )


def _chosen(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Of every kind at most so many questions, evenly from the whole table."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if not row["phrasing"]:
            places.setdefault(row["kind"], []).append(place)
    chosen = []
    for kind in sorted(places, key=lambda name: (KINDS.index(name) if name in KINDS else len(KINDS), name)):
        of_kind = places[kind]
        count = min(EXAMPLES_PER_KIND, len(of_kind))
        chosen += [of_kind[index * len(of_kind) // count] for index in range(count)]
    return chosen


def _card(row: Mapping[str, Any], answers: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    before = f" · <span class=old>before: {_e(row['answer_before'])}</span>" if row["answer_before"] else ""
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
