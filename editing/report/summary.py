"""The result in a few sentences, and the command that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from chronofacts.editing.report.runs import Run
from chronofacts.editing.report.sections import cutoff_sentence

__all__ = ["command", "summarise"]

SENTENCES_FOR_ALL = 3
"""With more editors than these, the summary speaks of the best only."""


def summarise(runs: Sequence[Run]) -> list[str]:
    """Figures before, and after the editors that taught most and that kept most of the past; where knowledge ends."""
    lines = []
    for run in runs:
        snapshot, figures = run.about["snapshot"], run.about["metrics"]
        before = figures["none"]
        facts = snapshot.get("facts", snapshot["edits"])  # runs of older versions count the edits alone
        lines.append(
            f"Between {snapshot['since']} and {snapshot['as_of']}, {facts} facts changed about which the "
            f"model {run.model} was asked. Untouched, it gave the new answer to "
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
        if known := cutoff_sentence(run):
            lines.append(known)
    return lines


def command(run: Run) -> str:
    """The call that makes the run again, on one line."""
    about = run.about
    folders = {name: one.get("config", {}).get("folder") for name, one in about.get("editors", {}).items()}
    editors = ",".join(name for name in about["metrics"] if not folders.get(name))
    loaded = "".join(f" --load {shlex.quote(folder)}" for folder in folders.values() if folder)
    given = "".join(f" --set {shlex.quote(f'{key}={value}')}" for key, value in about["settings"]["given"].items())
    text = (
        f"chronofacts experiment SNAPSHOT --model {shlex.quote(run.model)} --editor {editors}{loaded}{given} "
        "--out RUN"
        f"   # SNAPSHOT: {about['snapshot']['name']}, {about['snapshot']['hash']}"
    )
    return " ".join(text.split())  # one line, whatever the names: in Markdown a new line would end the code


def _share(values: Mapping[str, float], metric: str) -> str:
    return f"{values[metric]:.0%}" if metric in values else "(not asked)"
