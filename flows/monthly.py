"""The `monthly` flow: refresh, publish, experiment, and tell what happened; safe to run again at any time.

Every step leaves something that says it is done (a snapshot in the store, a tag on the Hub, a run folder), and
a second run does only what is missing. So a run that was killed is mended by running it again.
"""

from __future__ import annotations

import datetime
import logging
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows.experiment import experiment
from flows.publish import publish
from flows.refresh import refresh
from pipeline.card import escape
from pipeline.compare import compare_snapshots, count_kinds
from pipeline.inspection import inspect
from pipeline.sources.live import EndpointOptions
from pipeline.store import Retention, SnapshotStore, open_store
from schemas.catalogue import load_catalogue
from schemas.errors import BadInput
from schemas.manifest import read_manifest
from schemas.reasons import explain

__all__ = ["WEBHOOK", "day_of_snapshot", "monthly"]

WEBHOOK = "CHRONOFACTS_WEBHOOK"
"""Environment variable: an address that gets a JSON message when a run fails."""
_SHOWN = 200

log = logging.getLogger("chronofacts.monthly")


def tell_failure(flow: Any, run: Any, state: Any) -> None:
    """Log a failed run, and post it to the webhook if there is one; its address is never logged."""
    message = f"{flow.name} {run.name} ended as {state.name}: {state.message or 'no message'}"
    log.error(message)
    address = os.environ.get(WEBHOOK)
    if not address:
        return
    try:
        requests.post(address, json={"text": message}, timeout=10).raise_for_status()
    except requests.RequestException as error:
        log.error("the webhook in %s did not take the message (%s)", WEBHOOK, type(error).__name__)


def day_of_snapshot(today: datetime.date) -> datetime.date:
    """The last day of the month before: by now its changes have been entered, and its vandalism reverted."""
    return today.replace(day=1) - datetime.timedelta(days=1)


_HOOKS: list[Any] = [tell_failure]


@flow(name="monthly", on_failure=_HOOKS, on_crashed=_HOOKS, validate_parameters=False)
def monthly(
    source: str = "wdqs",
    since: datetime.date | None = None,
    as_of: datetime.date | None = None,
    store: str = "data/snapshots",
    runs: str = "runs",
    relations: Sequence[str] = (),
    repo: str | None = None,
    endpoint: str | None = None,
    models: Sequence[str] = (),
    editors: Sequence[str] = ("none", "lora", "lora+replay"),
    settings: dict[str, str] | None = None,
    keep_last: int = 12,
    user_agent: str = "",
    raw: str | None = None,
) -> dict[str, Any]:
    """Make this month's snapshot, publish it, experiment on it, and drop what the policy does not keep.

    source: as of `refresh`. as_of: by default the last day of the month before today; since: a year earlier.
    store: a folder or an fsspec address that holds all snapshots. runs: folder of the experiments' results.
    repo: dataset of the Hub, ORG/NAME; none: nothing is published. endpoint: address of the Hub.
    models: names or folders, or small-world; none: no experiments. settings: the `--set` words of experiments.
    keep_last: how many snapshots stay, besides the first of each year. user_agent, raw: of an endpoint.
    """
    day = as_of or day_of_snapshot(datetime.datetime.now(datetime.UTC).date())
    first = since or day.replace(year=day.year - 1, day=min(day.day, 28))
    opened = open_store(store)
    with opened.lock("monthly"):
        opened.recover()
        before = max((known for known in opened.days() if known < day), default=None)
        asked = EndpointOptions(user_agent=user_agent, raw=Path(raw) if raw else None)
        snapshot = make_snapshot(opened, source, first, day, before, relations, asked)
        if before is not None:
            tell_changes(opened.folder(before, Path(runs)), snapshot)
        tell_rejections(snapshot)
        if repo:
            publish(snapshot, repo, endpoint)
        reports = [experiment_on(snapshot, day, model, editors, settings or {}, Path(runs)) for model in models]
        pruned = opened.prune(Retention(keep_last=keep_last))
    return {"snapshot": str(snapshot), "reports": [str(page) for page in reports], "removed": [str(d) for d in pruned]}


def make_snapshot(
    store: SnapshotStore,
    source: str,
    since: datetime.date,
    as_of: datetime.date,
    before: datetime.date | None,
    relations: Sequence[str],
    endpoint: EndpointOptions,
) -> Path:
    """The snapshot of the day from the store, where it is made first if it is missing.

    Raises BadInput when the store has one of that day that was made from other days or relations.
    """
    scratch = Path(f"{store.root}-work") if store.renames else Path("data/work")
    if as_of in store.days():
        found = store.folder(as_of, scratch)
        if read_manifest(found).since != since:
            raise BadInput(f"the store has a snapshot of {as_of} since {read_manifest(found).since}, not {since}")
        return found
    shutil.rmtree(scratch / str(as_of), ignore_errors=True)  # what a killed run left
    # Only a query service tells revisions, by which the older snapshot can be brought up to date.
    older = store.folder(before, scratch) if before and _tells_revisions(source) else None
    made = refresh(source, since, as_of, scratch / str(as_of), relations, endpoint=endpoint, update=older)
    store.add(made)
    shutil.rmtree(scratch / str(as_of), ignore_errors=True)
    return store.folder(as_of, scratch)


def _tells_revisions(source: str) -> bool:
    return source in ("wdqs", "qlever") or source.startswith(("http://", "https://"))


@task(name="tell-changes", cache_policy=NO_CACHE)
def tell_changes(older: Path, newer: Path) -> None:
    """A Markdown artifact: how the world changed since the snapshot before, and how Wikidata was corrected."""
    catalogue = load_catalogue().select(read_manifest(newer).relations)
    differences = compare_snapshots(older, newer, catalogue)
    counts = ", ".join(f"{kind.replace('_', ' ')}: {number}" for kind, number in count_kinds(differences).items())
    lines = [
        f"Since the snapshot of {read_manifest(older).as_of}: {counts}",
        "",
        "| what | of | was | is | on |",
        "|-|-|-|-|-|",
    ]
    for row in differences.to_pylist()[:_SHOWN]:
        if row["kind"] in ("world_change", "correction"):
            cells = (
                row["relation"],
                row["subject_label"],
                row["old_label"],
                row["new_label"],
                row["changed_on_earliest"],
            )
            lines.append("| " + " | ".join(escape(str(cell if cell is not None else "")) for cell in cells) + " |")
    create_markdown_artifact("\n".join(lines), key="changes", description="What changed since the snapshot before")


@task(name="tell-rejections", cache_policy=NO_CACHE)
def tell_rejections(snapshot: Path) -> None:
    """A table artifact: rejections by reason; and a link to the snapshot with its card."""
    found = inspect(snapshot)
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


def experiment_on(
    snapshot: Path, day: datetime.date, model: str, editors: Sequence[str], settings: dict[str, str], runs: Path
) -> Path:
    """The report page of one model on one snapshot, where it is made first if it is missing."""
    from editing.report import write_report

    folder = runs / f"{day}-{re.sub(r'[^A-Za-z0-9.-]+', '-', model).strip('-.')}"
    if not (folder / "run" / "run.json").is_file():
        experiment(snapshot, model, editors, folder / "run", settings)
    page = folder / "report" / "index.html"
    if not page.is_file():
        page = write_report([folder / "run"], folder / "report")
    create_link_artifact(
        page.absolute().as_uri(), link_text=f"{model} on {day}", key="report", description="The report"
    )
    return page
