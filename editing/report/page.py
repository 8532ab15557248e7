"""The page: what the template `page.html` shows (`document`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from chronofacts.editing.report import tables
from chronofacts.editing.report.document import label_plot, render_page
from chronofacts.editing.report.examples import VERDICTS, choose_examples
from chronofacts.editing.report.names import NAMES, label
from chronofacts.editing.report.runs import Run, State, intervals, shorten_paths, states
from chronofacts.editing.report.sections import all_plots
from chronofacts.editing.report.summary import command, describe_making, explain_intervals, summarise, warnings

__all__ = ["as_page", "list_figures"]

GROUPS = (
    "all",
    "base_state",
    "relation",
    "kind",
    "before",
    "hops",
    "edited_hops",
    "edited_at",
    "locality_kind",
    "chunk",
    "batches",
    "edits",
    "edits_at_end",
)


def as_page(runs: Sequence[Run]) -> str:
    """The whole document."""
    found = states(runs)
    main, more = tables.main_metrics(found), tables.more_metrics(found)
    return render_page(
        "page.html",
        title=_title(runs),
        warnings=warnings(runs), summary=summarise(runs),
        results=tables.metric_table(found, main), notes=explain_intervals(runs),
        main=main, more=more, names=NAMES, label=label,
        kinds=tables.kind_table(found),
        base_states=tables.state_table(found),
        leaderboard=tables.leaderboard_table(runs, main) if len(runs) > 1 else None,
        differences=tables.difference_tables(runs),
        plots=[(plot, label_plot(plot.svg, plot.title, plot.caption)) for plot in all_plots(runs)],
        details=tables.metric_table(found, more) if more else None,
        breakdowns=[*tables.breakdown_tables(found), *tables.judge_tables(runs)],
        examples=choose_examples(runs), verdicts=VERDICTS,
        runs=[(run, describe_making(run), command(run), _settings(run)) for run in runs],
        data=json.dumps(_data(runs, found), ensure_ascii=False, default=str),
    )  # fmt: skip


def list_figures(state: State) -> list[dict[str, Any]]:
    """Every figure of a model state, by the names of `metrics.summary.METRICS`."""
    rows = []
    for by in GROUPS:
        for (metric, group), one in intervals(state, by).items():
            rows.append({"editor": state.label, "metric": metric, "by": by, "group": group, **one._asdict()})
    for metric in tables.COSTS:
        if metric in state.figures:
            value = state.figures[metric]
            rows.append({"editor": state.label, "metric": metric, "by": "all", "group": None, "value": value})
    return rows


def _title(runs: Sequence[Run]) -> str:
    models = ", ".join(dict.fromkeys(run.model for run in runs))
    return f"ChronoFacts: {models}, {', '.join(dict.fromkeys(run.as_of for run in runs))}"


def _data(runs: Sequence[Run], found: Sequence[State]) -> dict[str, Any]:
    """What a reader can download."""
    return {
        "runs": [{"run": run.folder.name, **dict(describe_making(run))} for run in runs],
        "figures": [row for state in found for row in list_figures(state)],
        "differences": [
            {"run": run.folder.name, **row}
            for run in runs
            for row in (run.differences.to_pylist() if run.differences is not None else ())
        ],
    }


def _settings(run: Run) -> str:
    shown = {key: value for key, value in run.about.items() if key != "metrics"}
    return json.dumps(shorten_paths(shown), indent=1, ensure_ascii=False)
