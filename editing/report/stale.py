"""How stale a model is, for a terminal, as a page and as JSON (`runs.stale_run`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from chronofacts.editing.metrics.answer_states import STATES
from chronofacts.editing.report import plots
from chronofacts.editing.report.cutoff import describe_cutoff
from chronofacts.editing.report.document import label_plot, render_page
from chronofacts.editing.report.runs import Interval
from chronofacts.editing.report.sections import Plot
from chronofacts.editing.report.tables import Cell, Table
from chronofacts.editing.runs.stale_run import Staleness
from chronofacts.schemas.base_answers import FILE
from chronofacts.schemas.files import create_folder

__all__ = ["stale_as_json", "stale_as_text", "write_stale"]

TITLES = {"month": "By month of the change", "relation": "By relation", "popularity": "By popularity of the subject"}
MOST_MONTHS = 24
"""Of a terminal's table; with more it has years."""
MEANINGS = {
    "known": "the new answer", "stale": "the old answer", "other": "another one", "silent": "nothing",
}  # fmt: skip
BAR = 20


def write_stale(found: Staleness, out: Path) -> Path:
    """Write `index.html`, `staleness.json` and `base_answers.parquet` into a new folder; returns the page's path."""
    with create_folder(out) as folder:
        pq.write_table(found.base_answers.combine_chunks(), folder / FILE)
        text = json.dumps(stale_as_json(found), indent=1, ensure_ascii=False, default=str)
        (folder / "staleness.json").write_text(text + "\n", encoding="utf-8")
        (folder / "index.html").write_text(_as_page(found), encoding="utf-8")
    return out / "index.html"


def stale_as_json(found: Staleness) -> dict[str, Any]:
    """Shares with intervals over all and by group, the cutoff, the most embarrassing answers."""
    shares: dict[str, dict[str | None, dict[str, Any]]] = {}
    for row in found.shares.to_pylist():
        figure = {name: row[name] for name in ("value", "low", "high", "n")}
        shares.setdefault(row["by"], {}).setdefault(row["group"], {})[row["state"]] = figure
    groups = {by: [{by: group, **states} for group, states in shares.get(by, {}).items()] for by in TITLES}
    manifest = found.manifest
    return {
        "model": found.model,
        "model_hash": found.model_hash,
        "snapshot": {"name": manifest.name, "since": manifest.since, "as_of": manifest.as_of},
        "facts": found.facts,
        "facts_with_old_answer": found.with_old_answer,
        "answers": shares.get("all", {}).get(None, {}),
        "cutoff": asdict(found.cutoff) if found.cutoff else None,
        "by_month": groups["month"],
        "by_relation": groups["relation"],
        "by_popularity": groups["popularity"] or None,
        "in_sentences": dict(found.in_sentences),
        "most_embarrassing": [asdict(one) for one in found.embarrassing],
    }


def stale_as_text(found: Staleness) -> str:
    """Plain text for a terminal."""
    parts = [_headline(found), describe_cutoff(found.months, found.cutoff, found.model)]
    by_month = [row for row in found.shares.to_pylist() if row["by"] == "month"]
    by = "year" if len({row["group"] for row in by_month}) > MOST_MONTHS else "month"
    parts.append(_text_table(_years(by_month) if by == "year" else by_month, f"{by} of the change"))
    for name in ("relation", "popularity"):
        parts.append(_text_table([row for row in found.shares.to_pylist() if row["by"] == name], name))
    if found.embarrassing:
        lines = ["Its most embarrassing stale answers:"]
        for number, one in enumerate(found.embarrassing, 1):
            lines.append(f"{number:2}. {one.question} {one.generated!r}, but since {one.changed_on}: {one.answer}")
        parts.append("\n".join(lines))
    return "\n\n".join(filter(None, [*parts, _unsaid(found)]))


def _headline(found: Staleness) -> str:
    shares = {state: figure for _, state, figure in _shares(found, "all")}
    said = ", ".join(
        f"{MEANINGS[state]} {one.value:.0%} ({one.low:.0%} to {one.high:.0%})" for state, one in shares.items()
    )
    return (
        f"{found.model} about {found.facts} facts that changed between {found.manifest.since} and "
        f"{found.manifest.as_of}: {said}."
    )


def _unsaid(found: Staleness) -> str:
    """What the figures leave out."""
    asked, lines = found.scores.num_rows, []
    if found.with_old_answer < asked:
        without = asked - found.with_old_answer
        lines.append(f"Of {without} facts no old answer is known (injections, updates): none of them can be stale.")
    if any(found.in_sentences.values()):
        lines.append(
            f"Of the other answers {found.in_sentences['new']} name the new answer within a sentence, and "
            f"{found.in_sentences['old']} the old one: exact match counts neither."
        )
    if not any(row["by"] == "popularity" for row in found.shares.to_pylist()):
        lines.append("The snapshot does not say how popular its subjects are (sitelinks), so nothing is told by it.")
    return " ".join(lines)


def _shares(found: Staleness, by: str) -> list[tuple[str | None, str, Interval]]:
    rows = found.shares.filter(pc.equal(found.shares["by"], by)).to_pylist()
    return [(r["group"], r["state"], Interval(r["value"], r["low"], r["high"], r["n"])) for r in rows]


def _by_group(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Group -> state -> its row; months in order, relations by their number, popularity by its number."""
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row["group"]), {})[row["state"]] = row

    def order(group: str) -> tuple[int, int, str]:
        by = next(iter(groups[group].values()))["by"]
        number = group.partition("–")[0].split()[0] if by == "popularity" else ""
        count = -int(groups[group]["known"]["n"]) if by == "relation" else 0
        return count, int(number) if number.isdigit() else 0, group

    return {group: groups[group] for group in sorted(groups, key=order)}


def _years(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Months added up; without intervals, which a terminal's table has not."""
    sums: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        one = sums.setdefault((row["group"][:4], row["state"]), [0.0, 0])
        one[0] += row["value"] * row["n"]
        one[1] += row["n"]
    return [
        {"by": "month", "group": year, "state": state, "value": total / n, "n": int(n)}
        for (year, state), (total, n) in sums.items()
    ]


def _text_table(rows: Sequence[dict[str, Any]], what: str) -> str:
    groups = _by_group(rows)
    if not groups:
        return ""
    width = max(len(what), *map(len, groups))
    lines = [f"{what:{width}}  {'n':>5}  " + "  ".join(f"{state:>6}" for state in STATES) + "  stale"]
    for group, states in groups.items():
        figures = "  ".join(f"{states[state]['value']:6.0%}" for state in STATES)
        bar = "#" * round(BAR * states["stale"]["value"])
        lines.append(f"{group:{width}}  {states['known']['n']:5}  {figures}  {bar}".rstrip())
    return "\n".join(lines)


def _as_page(found: Staleness) -> str:
    plot = Plot(
        f"How stale is {found.model}, month by month?",
        plots.staleness(found.months, found.cutoff, "0"),
        "Its answers to what changed in each month; larger points are more facts."
        + (
            " The line is the day at which its knowledge seems to end, the band its 95 % interval."
            if found.cutoff
            else ""
        ),
    )
    relations = Plot(
        "By relation",
        plots.stacked_bars(_values(found, "relation"), STATES, "relations"),
        "The relations with the most changes, and the share of each kind of answer.",
    )
    tables = [_page_table(found, by) for by in ("all", *TITLES)]
    return render_page(
        "stale.html",
        title=f"ChronoFacts: how stale is {found.model}?",
        model=found.model,
        lead=[_headline(found), describe_cutoff(found.months, found.cutoff, found.model)],
        notes=[line for line in [_unsaid(found)] if line],
        tables=[table for table in tables if table.rows],
        plots=[(one, label_plot(one.svg, one.title, one.caption)) for one in (plot, relations) if one.svg],
        embarrassing=_embarrassing_table(found),
        data=json.dumps(stale_as_json(found), ensure_ascii=False, default=str),
    )


def _values(found: Staleness, by: str) -> dict[str, list[float]]:
    groups = _by_group(row for row in found.shares.to_pylist() if row["by"] == by)
    return {group: [states[state]["value"] for state in STATES] for group, states in groups.items()}


def _page_table(found: Staleness, by: str) -> Table:
    groups = _by_group(row for row in found.shares.to_pylist() if row["by"] == by)
    rows = []
    for group, states in groups.items():
        cells = [Cell(f"{s['value']:.2f}", f"{s['low']:.2f}–{s['high']:.2f}", value=s["value"]) for s in _order(states)]
        n = states["known"]["n"]
        rows.append([Cell("all" if by == "all" else group), Cell(f"{n:,}", value=n), *cells])
    headings = ["" if by == "all" else by, "facts", *(f"{state}: {MEANINGS[state]}" for state in STATES)]
    return Table(headings, rows, TITLES.get(by, "All answers"))


def _order(states: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [states[state] for state in STATES]


def _embarrassing_table(found: Staleness) -> Table | None:
    """One row an answer; with the popularity of its subject where the snapshot says it."""
    counted = any(one.sitelinks is not None for one in found.embarrassing)
    rows = []
    for one in found.embarrassing:
        words = [Cell(text) for text in (one.question, one.generated, one.answer, one.changed_on)]
        figures = [Cell(f"{one.years:.1f}", value=one.years), Cell(f"{one.questions:,}", value=one.questions)]
        pages = [Cell("–" if one.sitelinks is None else f"{one.sitelinks:,}", value=one.sitelinks)] if counted else []
        rows.append([*words, *figures, *pages])
    headings = ["question", "it says", "right", "since", "years out of date", "questions on it"]
    title = "Its most embarrassing stale answers"
    return Table([*headings, "pages"] if counted else headings, rows, title) if rows else None
