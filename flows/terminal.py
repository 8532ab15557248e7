"""Tables and examples for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

from chronofacts.pipeline.snapshots.compare import count_kinds
from chronofacts.pipeline.snapshots.entity_report import Finding
from chronofacts.pipeline.snapshots.live_check import LiveStatement
from chronofacts.pipeline.snapshots.summary import Summary
from chronofacts.schemas.dates import tell_days
from chronofacts.schemas.plain_text import plain
from chronofacts.schemas.reasons import explain

__all__ = ["print_answers", "print_audit", "print_differences", "print_inspection", "print_now"]


def escape(text: str) -> str:
    """Text from outside as text: neither markup nor anything that a terminal obeys."""
    return escape_markup(plain(text))


def print_inspection(found: Summary) -> None:
    """Counts per table, relation, kind and reason, with an example of each kind and reason."""
    console = Console(highlight=False)
    manifest = found.manifest
    console.print(
        f"[bold]{escape(manifest.name)}[/bold]  ({escape(manifest.source_detail)}, language {manifest.language})"
    )
    _print_counts(console, "table", found.tables)
    _print_counts(console, "edits by relation", found.edits_by_relation)
    _print_counts(console, "edits by kind", found.edits_by_kind)
    _print_counts(console, "before the edits", found.edits_by_before)
    kinds = Table("questions by kind", "", "example", "answer", box=None, padding=(0, 1))
    for kind, count in found.questions_by_kind.items():
        kinds.add_row(kind, str(count), *(escape(text) for text in found.question_examples[kind]))
    console.print(kinds)
    _print_counts(console, "questions by hops", found.questions_by_hops)
    reasons = Table("left out because", "", "meaning and an example", box=None, padding=(0, 1))
    for reason, count in found.rejections_by_reason.items():
        text = f"{escape(explain(reason))}\n[dim]{escape(found.rejection_examples[reason])}[/dim]"
        reasons.add_row(reason, str(count), text)
    console.print(reasons)
    if set_aside := manifest.describe_set_aside():
        console.print(f"[bold]{escape(set_aside)}[/bold]")


def print_answers(rows: Sequence[Mapping[str, str | None]]) -> None:
    """What a model answered before and after an edit, and what it was taught."""
    table = Table("question", "before", "after", "taught", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*(escape(row[name] or "") for name in ("prompt", "before", "after", "target")))
    Console(highlight=False).print(table)


def print_audit(qid: str, findings: list[Finding]) -> None:
    """What was kept and left out about one entity, stage by stage."""
    console = Console(highlight=False)
    stage = ""
    for finding in findings:
        if finding.stage != stage:
            stage = finding.stage
            console.print(f"[bold]{stage}[/bold] about {escape(qid)}")
        sign = "kept    " if finding.kept else "left out"
        console.print(f"  {sign}  {escape(finding.what)}", soft_wrap=True)
        console.print(f"            [dim]{escape(finding.why)}  {escape(' '.join(finding.ids))}[/dim]", soft_wrap=True)


def print_now(qid: str, lines: list[LiveStatement]) -> None:
    """How Wikidata's word of this moment differs from what the snapshot has of one entity."""
    console = Console(highlight=False)
    console.print(f"[bold]Wikidata now[/bold] about {escape(qid)}")
    meanings = {"gone": "only in the snapshot", "other": "only in Wikidata"}
    for line in lines:
        sign = meanings.get(line.verdict, line.verdict)
        console.print(f"  {sign:20}  {escape(line.what)}", soft_wrap=True)
        about = "  ".join(filter(None, (line.detail, *line.ids)))
        console.print(f"  {'':20}  [dim]{escape(about)}[/dim]", soft_wrap=True)
    if not lines:
        console.print("  no statement of the properties that the snapshot has")


def print_differences(differences: pa.Table) -> None:
    """Counts per kind, and every difference in one line."""
    console = Console(highlight=False)
    _print_counts(console, "difference", count_kinds(differences))
    for row in differences.to_pylist():
        day = tell_days(row["changed_on_earliest"], row["changed_on_latest"])
        change = f"{row['old_label'] or '(nothing)'} -> {row['new_label'] or '(nothing)'}"
        line = f"{row['kind']}: {row['relation']} of {row['subject_label'] or row['subject']}: {change} {day}".rstrip()
        console.print(escape(line), soft_wrap=True)
        ids = " ".join(row["statement_ids"])
        console.print(f"    [dim]{escape(row['detail'] or '')}  {escape(ids)}[/dim]", soft_wrap=True)


def _print_counts(console: Console, title: str, counts: dict[str, int]) -> None:
    table = Table(title, "", box=None, padding=(0, 1))
    for name, count in counts.items():
        table.add_row(escape(name), str(count))
    console.print(table)
