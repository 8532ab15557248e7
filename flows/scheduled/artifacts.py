"""What a monthly run shows in the Prefect UI: changes, rejections, links to snapshot, card and report."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping
from pathlib import Path

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from chronofacts.pipeline.snapshots.compare import compare_snapshots, count_kinds
from chronofacts.pipeline.snapshots.markdown import escape
from chronofacts.pipeline.snapshots.summary import summarise
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.dates import spell_days
from chronofacts.schemas.errors import ChronoFactsError
from chronofacts.schemas.manifest import SnapshotManifest, read_manifest
from chronofacts.schemas.reasons import explain

__all__ = ["show_changes", "show_published", "show_rejections", "show_report", "show_set_aside"]

_SHOWN = 200
_COLUMNS = {
    "kind": "kind",
    "what": "relation",
    "of": "subject_label",
    "was": "old_label",
    "is": "new_label",
}
"""Titles of the table of changes, and the columns behind them; the last title is `on`."""

log = logging.getLogger("chronofacts.monthly")


@task(name="show-changes", cache_policy=NO_CACHE)
def show_changes(older: Path, newer: Path) -> None:
    """A table artifact: how the world changed since the snapshot before, and how Wikidata was corrected.

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
    told = [row for row in differences.to_pylist() if row["kind"] in ("world_change", "correction")]
    rows = [
        {title: _cell(row[column]) for title, column in _COLUMNS.items()}
        | {"on": spell_days(row["changed_on_earliest"], row["changed_on_latest"])}
        for row in told[:_SHOWN]
    ]
    more = f"; the first {_SHOWN} of {len(told)}" if len(told) > _SHOWN else ""
    create_table_artifact(
        rows, key="changes", description=f"Since the snapshot of {read_manifest(older).as_of}: {counts}{more}"
    )


def _cell(value: object) -> str:
    return "" if value is None else str(value)


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
    """A table artifact: what the last check set aside, by promise; none where all was valid."""
    if not manifest.set_aside:
        return
    rows = [
        {"promise": promise, "meaning": explain(promise)}
        | {table: counts.get(table, 0) for table in ("edits", "questions", "sentences")}
        for promise, counts in sorted(manifest.set_aside.items())
    ]
    told = f"{manifest.name}: {manifest.describe_set_aside()}. Why: `rejections`, stage `verify`"
    create_table_artifact(rows, key="set-aside", description=told)


@task(name="show-report", cache_policy=NO_CACHE)
def show_report(page: Path, figures: Mapping[str, Mapping[str, float]], model: str, day: datetime.date) -> None:
    """A link to the report page, and a table of the figures of all editors."""
    create_link_artifact(
        page.absolute().as_uri(), link_text=f"{model} on {day}", key="report", description="The report"
    )
    rows = [
        {"editor": editor} | {name: round(value, 3) for name, value in metrics.items() if isinstance(value, float)}
        for editor, metrics in figures.items()
    ]
    create_table_artifact(rows, key="figures", description=f"What the editors did: {model} on {day}")


@task(name="show-published", cache_policy=NO_CACHE)
def show_published(url: str, tag: str, pages: Mapping[str, str]) -> None:
    """Links to the Hub's copy of the snapshot's card and of each model's report.

    pages: model -> path in the repository.
    """
    repository = url.partition("/tree/")[0]
    create_link_artifact(url, link_text=f"the snapshot of {tag}", key="snapshot", description="The card on the Hub")
    for model, path in pages.items():
        create_link_artifact(
            f"{repository}/resolve/{tag}/{path}", link_text=f"{model} on {tag}", key="report",
            description="The report on the Hub",
        )  # fmt: skip
