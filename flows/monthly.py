"""The scheduled flows: `monthly` refreshes, experiments, publishes, tells; `publication`, `experiments`: a part of it.

Every step leaves something that says it is done (a snapshot in the store, a run folder, a tag on the Hub), and
a second run does only what is missing. So a run that was killed is mended by running it again.
Leaves out: what the artifacts say (`flows.findings`), and what is thrown away (`flows.upkeep`).
"""

from __future__ import annotations

import datetime
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import requests
from prefect import flow

from chronofacts.flows.experiment import experiment
from chronofacts.flows.findings import tell_changes, tell_rejections, tell_report
from chronofacts.flows.publish import publish
from chronofacts.flows.refresh import refresh
from chronofacts.flows.upkeep import forget_old_runs, prune_results
from chronofacts.pipeline.publishing.contents import ExperimentReport
from chronofacts.pipeline.snapshots.store import Retention, SnapshotStore, open_store
from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointOptions, is_endpoint
from chronofacts.pipeline.sources.sparql.http_policy import EndpointFailed
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import remove_leftovers
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.redact import redact

__all__ = ["WEBHOOK", "day_of_snapshot", "experiments", "monthly", "patiently", "publication"]

T = TypeVar("T")

WEBHOOK = "CHRONOFACTS_WEBHOOK"
"""Environment variable: an address that gets a JSON message when a run fails."""
_WAITS_MINUTES = (1.0, 10.0, 60.0)
_DAY_SECONDS = 86_400.0

log = logging.getLogger("chronofacts.monthly")


def tell_failure(flow: Any, run: Any, state: Any) -> None:
    """Log a failed run, and post it to the webhook if there is one; its address is never logged."""
    message = redact(f"{flow.name} {run.name} ended as {state.name}: {state.message or 'no message'}")
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


@flow(
    name="monthly",
    on_failure=_HOOKS,
    on_crashed=_HOOKS,
    on_cancellation=_HOOKS,
    timeout_seconds=2 * _DAY_SECONDS,
    validate_parameters=False,
)
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
    history_days: int = 400,
    user_agent: str = "",
    raw: str | None = None,
    retry_minutes: Sequence[float] = _WAITS_MINUTES,
) -> dict[str, Any]:
    """Make this month's snapshot, experiment on it, publish both, and drop what the policy does not keep.

    An experiment that fails does not keep the snapshot from being published; the run fails after that.

    Args:
        source: As of `refresh`: wdqs, qlever, the address of an endpoint, a dump's file, or sample.
        since: First day; by default a year before as_of.
        as_of: Second day; by default the last day of the month before today.
        store: Folder or fsspec address (s3://…, gs://…) that holds all snapshots.
        runs: Folder of the experiments' results.
        relations: Ids or properties of relations; none: all.
        repo: Dataset of the Hub, ORG/NAME; none: nothing is published.
        endpoint: Address of the Hub; none: HF_ENDPOINT, or huggingface.co.
        models: Names on the Hub or folders, or small-world; none: no experiments.
        editors: Editors by name.
        settings: The `--set` words of experiments.
        keep_last: How many snapshots stay with their results, besides the first of each year.
        history_days: After how many days the records of runs are forgotten in Prefect's database.
        user_agent: Who asks an endpoint, with a URL or an e-mail address.
        raw: Folder that keeps every answer of an endpoint for good; none: only until the snapshot is in the store.
        retry_minutes: Waits before an endpoint that failed is asked again; what it had answered is not asked again.
    """
    day = as_of or day_of_snapshot(datetime.datetime.now(datetime.UTC).date())
    first = since or day.replace(year=day.year - 1, day=min(day.day, 28))
    opened = open_store(store)
    results = Path(runs)
    with opened.lock("monthly"):
        opened.recover()
        before = max((known for known in opened.days() if known < day), default=None)
        work = _scratch(opened)
        asked = EndpointOptions(user_agent=user_agent, raw=Path(raw) if raw else work / "raw")

        def refreshed() -> Path:
            return make_snapshot(opened, source, first, day, before, relations, asked)

        snapshot = patiently(refreshed, retry_minutes)
        if before is not None:
            tell_changes(opened.folder(before, work), snapshot)
        tell_rejections(snapshot)
        reports, failed = experiment_on_all(snapshot, day, models, editors, settings or {}, results)
        if repo:
            publish(snapshot, repo, endpoint, reports=reports)
        pruned = opened.prune(Retention(keep_last=keep_last))
        removed_runs = prune_results(results, opened.days())
        if not raw:
            shutil.rmtree(work / "raw", ignore_errors=True)
    forget_old_runs(history_days, datetime.datetime.now(datetime.UTC))
    if failed:
        raise CheckFailed(f"the snapshot of {day} is done, but not all experiments: {'; '.join(failed)}")
    return {
        "snapshot": str(snapshot),
        "reports": [str(report.page) for report in reports],
        "removed": [str(gone) for gone in pruned],
        "removed_runs": removed_runs,
    }


@flow(name="publication", on_failure=_HOOKS, on_crashed=_HOOKS, timeout_seconds=_DAY_SECONDS, validate_parameters=False)
def publication(repo: str, store: str = "data/snapshots", day: str = "latest", endpoint: str | None = None) -> str:
    """Publish a snapshot of the store; does nothing when it is there. Returns its address.

    Args:
        repo: Dataset of the Hub, ORG/NAME.
        store: Folder or fsspec address that holds all snapshots.
        day: Which of them: latest, or YYYY-MM-DD.
        endpoint: Address of the Hub; none: HF_ENDPOINT, or huggingface.co.
    """
    opened = open_store(store)
    return publish(_snapshot_of(opened, opened.resolve(day)), repo, endpoint).url


@flow(
    name="experiments",
    on_failure=_HOOKS,
    on_crashed=_HOOKS,
    timeout_seconds=2 * _DAY_SECONDS,
    validate_parameters=False,
)
def experiments(
    models: Sequence[str],
    editors: Sequence[str] = ("none", "lora", "lora+replay"),
    settings: dict[str, str] | None = None,
    store: str = "data/snapshots",
    day: str = "latest",
    runs: str = "runs",
    repo: str | None = None,
    endpoint: str | None = None,
) -> list[str]:
    """Experiment on a snapshot of the store, on a machine with a GPU say, and add the reports to its publication.

    Args:
        models: Names on the Hub or folders, or small-world.
        editors: Editors by name.
        settings: The `--set` words of experiments.
        store: Folder or fsspec address that holds all snapshots.
        day: Which of them: latest, or YYYY-MM-DD.
        runs: Folder of the results.
        repo: Dataset of the Hub, ORG/NAME, whose card then links the reports; none: they stay here.
        endpoint: Address of the Hub; none: HF_ENDPOINT, or huggingface.co.
    """
    opened = open_store(store)
    chosen = opened.resolve(day)
    snapshot = _snapshot_of(opened, chosen)
    reports, failed = experiment_on_all(snapshot, chosen, models, editors, settings or {}, Path(runs))
    if repo and reports:
        publish(snapshot, repo, endpoint, reports=reports)
    if failed:
        raise CheckFailed(f"not all experiments on {chosen} are done: {'; '.join(failed)}")
    return [str(report.page) for report in reports]


def patiently(work: Callable[[], T], waits: Sequence[float], sleep: Callable[[float], None] = time.sleep) -> T:
    """The result of work, tried again after each of the waits (minutes) while an endpoint cannot be reached.

    Wrong use and unsound data are not tried again: they end the same.
    """
    for minutes in waits:
        try:
            return work()
        except EndpointFailed as error:
            log.warning("%s; trying again in %g minutes", error, minutes)
            sleep(60 * minutes)
    return work()


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

    One that a killed run finished and did not store is taken, if it was made for the same.
    Raises BadInput when the store has one of that day that was made from other days.
    """
    scratch = _scratch(store)
    if as_of in store.days():
        found = _snapshot_of(store, as_of)
        if read_manifest(found).since != since:
            raise BadInput(f"the store has a snapshot of {as_of} since {read_manifest(found).since}, not {since}")
        return found
    # Only a query service tells revisions, by which the older snapshot can be brought up to date.
    tells_revisions = is_endpoint(source) and not source.startswith("raw:")
    older = _snapshot_of(store, before) if before and tells_revisions else None
    made, mark = scratch / str(as_of), scratch / f"{as_of}.made-for"
    purpose = repr((source, since, as_of, tuple(relations), before if older else None))
    if not (made / "manifest.json").is_file() or not mark.is_file() or mark.read_text(encoding="utf-8") != purpose:
        shutil.rmtree(made, ignore_errors=True)
        remove_leftovers(made)
        scratch.mkdir(parents=True, exist_ok=True)
        mark.write_text(purpose, encoding="utf-8")
        refresh(source, since, as_of, made, relations, endpoint=endpoint, update=older)
    store.add(made)
    shutil.rmtree(made, ignore_errors=True)
    mark.unlink(missing_ok=True)
    return _snapshot_of(store, as_of)


def _scratch(store: SnapshotStore) -> Path:
    """A folder of this machine for what is not finished, and for copies of what lies elsewhere."""
    return Path(f"{store.root}-work") if store.renames else Path("data/work")


def _snapshot_of(store: SnapshotStore, day: datetime.date) -> Path:
    """A snapshot of the store as a folder to read."""
    copies = _scratch(store) / "copies"
    if not store.renames and (copies / str(day) / "manifest.json").is_file():
        return copies / str(day)  # fetched whole, with every sum checked
    return store.folder(day, copies)


def experiment_on_all(
    snapshot: Path,
    day: datetime.date,
    models: Sequence[str],
    editors: Sequence[str],
    settings: dict[str, str],
    runs: Path,
) -> tuple[list[ExperimentReport], list[str]]:
    """The reports of all models on one snapshot, and a line for each model that failed."""
    reports, failed = [], []
    for model in models:
        try:
            reports.append(experiment_on(snapshot, day, model, editors, settings, runs))
        except Exception as error:  # of one model; the others and the publication go on
            log.exception("the experiment with %s failed", model)
            failed.append(f"{model}: {' '.join(redact(str(error)).split())}")
    return reports, failed


def experiment_on(
    snapshot: Path, day: datetime.date, model: str, editors: Sequence[str], settings: dict[str, str], runs: Path
) -> ExperimentReport:
    """The report of one model on one snapshot, where it is made first if it is missing."""
    from chronofacts.editing.report import as_json, terminal_table, write_report

    name = re.sub(r"[^A-Za-z0-9.-]+", "-", model).strip("-.")
    folder = runs / f"{day}-{name}"
    if not (folder / "run" / "run.json").is_file():
        experiment(snapshot, model, editors, folder / "run", settings)
    page = folder / "report" / "index.html"
    if not page.is_file():
        remove_leftovers(folder / "report")
        page = write_report([folder / "run"], folder / "report")
    tell_report(page, terminal_table([folder / "run"]), model, day)
    return ExperimentReport(model, name, page, as_json([folder / "run"]))
