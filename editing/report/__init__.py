"""Runs as one self-contained page that a person can read, as Markdown, as a terminal table and as JSON.

The page loads nothing: plots are inline SVG, style and the little script (`page.html`) are inline, every text is
escaped. It reads run folders only (`runs.experiment`), and takes names in them for what they may be: hostile. Several
runs are merged: every model state is a row, and the leaderboard ranks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chronofacts.editing.report.markdown import as_markdown, text_table
from chronofacts.editing.report.page import as_page
from chronofacts.editing.report.runs import intervals, read_runs, states
from chronofacts.schemas.files import create_folder

__all__ = ["as_json", "run_warnings", "terminal_table", "write_report"]


def write_report(runs: Sequence[Path], out: Path) -> Path:
    """Write `index.html` and `report.md` into a new folder; returns the page's path.

    Raises BadInput when out is not empty or a folder is no run, CheckFailed when a run is damaged.
    """
    read = read_runs(runs)
    with create_folder(out) as folder:
        (folder / "index.html").write_text(as_page(read), encoding="utf-8")
        (folder / "report.md").write_text(as_markdown(read), encoding="utf-8")
    return out / "index.html"


def as_json(runs: Sequence[Path]) -> dict[str, dict[str, float]]:
    """{editor: {metric: value}}; with several runs of one editor, `run/editor`. `none` is the unedited model.

    Figures of one kind of change, or of edits that the unedited model answers in one way, have its name behind the
    metric: `edit_success/update`, `edit_success/stale`.
    """
    figures = {}
    for state in states(read_runs(runs)):
        groups = [item for by in ("kind", "base_state") for item in intervals(state, by).items()]
        figures[state.label] = dict(state.figures) | {f"{metric}/{group}": one.value for (metric, group), one in groups}
    return figures


def terminal_table(runs: Sequence[Path]) -> str:
    """Editors by metrics, in plain text, and below them what the runs warn of."""
    found = read_runs(runs)
    return "\n".join([text_table(found), *(f"warning: {text}" for run in found for text in run.warnings)])


def run_warnings(runs: Sequence[Path]) -> list[str]:
    """Why figures of these runs say less than they seem to; none for sound ones."""
    return [text for run in read_runs(runs) for text in run.warnings]
