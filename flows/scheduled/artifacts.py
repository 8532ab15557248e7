"""What a monthly run shows in the Prefect UI: changes, rejections, links to snapshot, card and report."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from chronofacts.pipeline.snapshots.compare import compare_snapshots, count_kinds
from chronofacts.pipeline.snapshots.markdown import escape
from chronofacts.pipeline.snapshots.summary import summarise
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.errors import ChronoFactsError
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.reasons import explain

__all__ = ["show_changes", "show_rejections", "show_report", "show_set_aside"]

_SHOWN = 200

log = logging.getLogger("chronofacts.monthly")


@task(name="show-changes", cache_policy=NO_CACHE)
def show_changes(older: Path, newer: Path) -> None:
    """A Markdown artifact: how the world changed since the snapshot before, and how Wikidata was corrected.

    Snapshots of other relations or languages cannot be compared: then it says so.
    """
    catalogue = load_catalogue().select(read_manifest(newer).relations)
    try:
        differences = compare_snapshots(older, newer, catalogue)
    except ChronoFactsError as error:
        log.warning("the changes since %s are not shown: %s", older.name, error)
        create_markdown_artifact(f"Not compared: {escape(str(error))}", key="changes", description="What changed")
        return
    counts = ", ".join(f"{kind.replace('_', ' ')}: {number}" for kind, number in count_kinds(differences).items())
    since = f"Since the snapshot of {read_manifest(older).as_of}: {counts}"
    lines = [since, "", "| what | of | was | is | on |", "|-|-|-|-|-|"]
    columns = ("relation", "subject_label", "old_label", "new_label", "changed_on_earliest")
    for row in differences.to_pylist()[:_SHOWN]:
        if row["kind"] in ("world_change", "correction"):
            cells = ("" if row[column] is None else str(row[column]) for column in columns)
            lines.append("| " + " | ".join(map(escape, cells)) + " |")
    create_markdown_artifact("\n".join(lines), key="changes", description="What changed since the snapshot before")


@task(name="show-rejections", cache_policy=NO_CACHE)
def show_rejections(snapshot: Path) -> None:
    """A table artifact: rejections by reason; and a link to the snapshot with its card."""
    found = summarise(snapshot)
    rows = [
        {"reason": reason, "rows": number, "meaning": explain(reason), "example": found.rejection_examples[reason]}
        for reason, number in found.rejections_by_reason.items()
    ]
    create_table_artifact(rows, key="rejections", description="What was left out, and why")
    create_link_artifact(
        (snapshot / "README.md").absolute().as_uri(),
        link_text=f"{snapshot.name}: {found.tables['edits']} edits, {found.tables['questions']} questions",
        key="snapshot",
        description="The snapshot's card",
    )


@task(name="show-set-aside", cache_policy=NO_CACHE)
def show_set_aside(manifest: SnapshotManifest) -> None:
    """A Markdown artifact: what the last check set aside; none where all was valid."""
    if not manifest.set_aside:
        return
    lines = [
        f"{escape(manifest.name)}: {manifest.describe_set_aside()}. Why: `rejections`, stage `verify`.",
        "",
        "| promise | meaning | edits | questions | sentences |",
        "|-|-|-|-|-|",
    ]
    for promise, counts in sorted(manifest.set_aside.items()):
        numbers = " | ".join(str(counts.get(table, 0)) for table in ("edits", "questions", "sentences"))
        lines.append(f"| {promise} | {explain(promise)} | {numbers} |")
    create_markdown_artifact("\n".join(lines), key="set-aside", description="What the last check set aside")


@task(name="show-report", cache_policy=NO_CACHE)
def show_report(page: Path, table: str, model: str, day: datetime.date) -> None:
    """A link to the report page, and the figures of all editors as the UI shows them."""
    create_link_artifact(
        page.absolute().as_uri(), link_text=f"{model} on {day}", key="report", description="The report"
    )
    create_markdown_artifact(
        f"`{escape(model)}` on {day}\n\n```text\n{table}\n```", key="figures", description="What the editors did"
    )
