"""The result in a few sentences, and the command that makes it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from chronofacts.editing.report.runs import Run, shorten_paths
from chronofacts.editing.report.sections import cutoff_sentence

__all__ = ["command", "describe_making", "explain_intervals", "summarise", "warnings"]

SENTENCES_FOR_ALL = 3
"""With more editors than these, the summary speaks of the best only."""


def summarise(runs: Sequence[Run]) -> list[str]:
    """Figures before, and after the editors that taught most and that kept most of the past; where knowledge ends."""
    lines = []
    for run in runs:
        snapshot, figures = run.about["snapshot"], run.about["metrics"]
        before = figures["none"]
        facts = snapshot.get("facts", snapshot.get("edits"))  # runs of older versions count the edits alone
        lines.append(
            f"Between {snapshot['since']} and {snapshot['as_of']}, {facts} facts changed about which the "
            f"model {run.model} was asked. Unedited, it gave the new answer to "
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
                    f"{_share(values, 'history')} of the past (unedited: {_share(before, 'history')})."
                )
        if known := cutoff_sentence(run):
            lines.append(known)
    return lines


def warnings(runs: Sequence[Run]) -> list[str]:
    """What a reader must know before the figures."""
    return [f"{run.folder.name}: {text}" for run in runs for text in run.warnings]


def describe_making(run: Run) -> list[tuple[str, str]]:
    """When, by what and where a run was made: (what, value); without what its `run.json` lacks."""
    about, machine = run.about, run.about.get("machine", {})
    code, snapshot = about.get("code", {}), about["snapshot"]
    packages = ", ".join(f"{name} {one}" for name, one in machine.get("versions", {}).items())
    found = [
        ("run", run.folder.name),
        ("date", about.get("written_at")),
        ("chronofacts", " at commit ".join(filter(None, (code.get("version"), code.get("commit"))))),
        ("model", f"{run.model} (hash {about['model']['hash']})"),
        ("snapshot", f"{snapshot['name']} (hash {snapshot['hash']})"),
        ("device", machine.get("gpu") or machine.get("device")),
        ("processor", f"{machine.get('processor')}, {machine.get('threads')} of {machine.get('cores')} cores"),
        ("duration", f"{about['seconds']:,.0f} s" if "seconds" in about else None),
        ("packages", f"Python {machine['python']}, {packages}" if "python" in machine else packages),
    ]
    return [(what, str(value)) for what, value in found if value]


def explain_intervals(runs: Sequence[Run]) -> list[str]:
    """How sure the figures are, and by what method."""
    older = [run.folder.name for run in runs if "code" not in run.about]
    notes = [
        "Beside each figure: its 95 % interval over facts, and n, the number of questions. Shares have Wilson's score "
        "interval (Wilson 1927) with the effective number of facts as trials (Korn & Graubard 1998), forced gap, "
        "fluency and perplexity a bootstrap over facts (Efron & Tibshirani 1993). ↑ more is better, ↓ less is; the "
        "best editor is in bold."
    ]
    if older:
        notes.append(f"Made by an older version, with bootstrap intervals of all figures: {', '.join(older)}.")
    return notes


def command(run: Run) -> str:
    """The call that makes the run again, on one line; folders by their last two parts, to be put in place."""
    about = shorten_paths(run.about)
    folders = {name: one.get("config", {}).get("folder") for name, one in about.get("editors", {}).items()}
    own = [name for name in about["metrics"] if not folders.get(name)]
    if about["settings"].get("run", {}).get("batches"):  # lora-k1, lora-k100: one editor, with two sizes of batches
        own = list(dict.fromkeys(re.sub(r"-k(\d+|all)$", "", name) for name in own))
    editors = ",".join(own)
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
