"""The scheduled flows: `monthly` refreshes, experiments and publishes; `publication` and `experiments` do a part of it;
`backfill` makes the snapshots of months that are past.

Every step leaves a mark that it is done (a snapshot in the store, a run folder, a tag on the Hub), and a second run
does only what is missing: it completes a run that was killed.
The annotations are no texts here: a process of `serve` gets a flow with what its code names, and could not read them.
"""

import datetime
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from prefect import flow
from prefect.runtime import flow_run as running

from chronofacts.flows import months as month_of
from chronofacts.flows.commands.checks import last_days
from chronofacts.flows.months import (
    choose_day,
    fetch_snapshot,
    forget_copies,
    make_month,
)
from chronofacts.flows.scheduled.artifacts import show_changes, show_published, show_rejections, show_report
from chronofacts.flows.scheduled.assets import show_publication, show_run, show_snapshot
from chronofacts.flows.scheduled.flows import experiment, publish, refresh
from chronofacts.flows.scheduled.places import check_places
from chronofacts.flows.scheduled.retention import forget_old_runs, prune_results
from chronofacts.flows.scheduled.run_log import send_logs
from chronofacts.pipeline.publishing.contents import ExperimentReport
from chronofacts.pipeline.publishing.hub import PublishSettings
from chronofacts.pipeline.snapshots.store import Retention, open_store
from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.files import remove_leftovers
from chronofacts.schemas.redact import redact

__all__ = ["WEBHOOK", "backfill", "experiments", "monthly", "publication"]

WEBHOOK = "CHRONOFACTS_WEBHOOK"
"""Environment variable: an address that gets a JSON message when a run fails."""
_DAY_SECONDS = 86_400.0

log = logging.getLogger("chronofacts.monthly")


def report_failure(flow: Any, flow_run: Any, state: Any) -> None:
    """Log a run that failed, crashed or was cancelled, and post it to the webhook if there is one; its address is never
    logged. Prefect calls it with these names."""
    # A worker that tells of a crash knows the run by the name that it had before it began.
    given = getattr(flow_run, "parameters", None) or {}
    about = "".join(f", {key} {given[key]}" for key in ("as_of", "months", "day") if given.get(key))
    message = redact(f"{flow.name} {flow_run.name}{about} ended as {state.name}: {state.message or 'no message'}")
    log.error(message)
    address = os.environ.get(WEBHOOK)
    if not address:
        return
    try:
        requests.post(address, json={"text": message}, timeout=10).raise_for_status()
    except requests.RequestException as error:
        log.error("the webhook in %s did not take the message (%s)", WEBHOOK, type(error).__name__)


def name_by_month() -> str:
    """`2024-12` for the run of a month: that of its `as_of`, or by default the month before today."""
    day = running.parameters.get("as_of") or choose_day(datetime.datetime.now(datetime.UTC).date())
    return str(day)[: len("2024-12")]


_HOOKS: list[Any] = [report_failure]
_SCHEDULED: dict[str, Any] = {"on_failure": _HOOKS, "on_crashed": _HOOKS, "on_cancellation": _HOOKS}


@flow(name="monthly", flow_run_name=name_by_month, timeout_seconds=2 * _DAY_SECONDS, **_SCHEDULED)
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
    retry_minutes: Sequence[float] = month_of.WAITS_MINUTES,
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
        user_agent: Who asks an endpoint, with a URL or an e-mail address; none: CHRONOFACTS_USER_AGENT of the worker.
        raw: Folder that keeps every answer of an endpoint for good; none: only until the snapshot is in the store.
        retry_minutes: Waits before an endpoint that failed is asked again; what it had answered is not asked again.
    """
    send_logs()
    check_places()
    day = as_of or choose_day(datetime.datetime.now(datetime.UTC).date())
    opened = open_store(store)
    results = Path(runs)
    with opened.lock("monthly"):
        snapshot = make_month(
            opened, source, since, day, relations, user_agent, Path(raw) if raw else None, retry_minutes, refresh
        )
        before = max((known for known in opened.days() if known < day), default=None)
        if before is not None:
            show_changes(fetch_snapshot(opened, before), snapshot)
        show_rejections(snapshot)
        show_snapshot(snapshot)
        reports, failed = experiment_on_all(snapshot, day, models, editors, settings or {}, results)
        if repo:
            publish_and_show(snapshot, repo, endpoint, reports)
        pruned = opened.prune(Retention(keep_last=keep_last))
        forget_copies(opened, pruned)
        removed_runs = prune_results(results, opened.days())
    forget_old_runs(history_days, datetime.datetime.now(datetime.UTC))
    if failed:
        raise CheckFailed(f"the snapshot of {day} is done, but not all experiments: {'; '.join(failed)}")
    return {
        "snapshot": str(snapshot),
        "reports": [str(report.page) for report in reports],
        "removed": [str(gone) for gone in pruned],
        "removed_runs": removed_runs,
    }


@flow(name="publication", timeout_seconds=_DAY_SECONDS, **_SCHEDULED)
def publication(repo: str, store: str = "data/snapshots", day: str = "latest", endpoint: str | None = None) -> str:
    """Publish a snapshot of the store; does nothing when it is there. Returns its address.

    Args:
        repo: Dataset of the Hub, ORG/NAME.
        store: Folder or fsspec address that holds all snapshots.
        day: Which of them: latest, or YYYY-MM-DD.
        endpoint: Address of the Hub; none: HF_ENDPOINT, or huggingface.co.
    """
    send_logs()
    check_places()
    opened = open_store(store)
    return publish_and_show(fetch_snapshot(opened, opened.resolve(day)), repo, endpoint)


@flow(name="experiments", timeout_seconds=2 * _DAY_SECONDS, **_SCHEDULED)
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
    send_logs()
    check_places()
    opened = open_store(store)
    chosen = opened.resolve(day)
    snapshot = fetch_snapshot(opened, chosen)
    reports, failed = experiment_on_all(snapshot, chosen, models, editors, settings or {}, Path(runs))
    if repo and reports:
        publish_and_show(snapshot, repo, endpoint, reports)
    if failed:
        raise CheckFailed(f"not all experiments on {chosen} are done: {'; '.join(failed)}")
    return [str(report.page) for report in reports]


@flow(name="backfill", flow_run_name="{months}", timeout_seconds=7 * _DAY_SECONDS, **_SCHEDULED)
def backfill(
    months: str,
    source: str = "wdqs",
    store: str = "data/snapshots",
    relations: Sequence[str] = (),
    repo: str | None = None,
    endpoint: str | None = None,
    user_agent: str = "",
    raw: str | None = None,
) -> list[str]:
    """Make the snapshots of past months that the store lacks, each since a year before; a run that was killed goes on.

    Args:
        months: `2024-01..2024-12`, or one month.
        source: As of `monthly`.
        store: Folder or fsspec address (s3://…, gs://…) that holds all snapshots.
        relations: Ids or properties of relations; none: all.
        repo: Dataset of the Hub, ORG/NAME, to which each is published; none: nothing is published.
        endpoint: Address of the Hub; none: HF_ENDPOINT, or huggingface.co.
        user_agent: Who asks an endpoint, with a URL or an e-mail address; none: CHRONOFACTS_USER_AGENT of the worker.
        raw: Folder that keeps every answer of an endpoint for good; none: only until a snapshot is in the store.
    """
    send_logs()
    check_places()
    opened, answers = open_store(store), Path(raw) if raw else None

    def make(day: datetime.date) -> Path:
        snapshot = make_month(opened, source, None, day, relations, user_agent, answers, refresh=refresh)
        show_snapshot(snapshot)
        return snapshot

    def send(snapshot: Path) -> None:
        if repo:
            publish_and_show(snapshot, repo, endpoint)

    return [str(made) for made in month_of.backfill(opened, last_days(months), make, send).values()]


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
    """The report of one model on one snapshot, made first if it is missing."""
    from chronofacts.editing.report import as_json, write_report
    from chronofacts.editing.runs.settings import read_settings

    name = re.sub(r"[^A-Za-z0-9.-]+", "-", model).strip("-.")
    folder = runs / f"{day}-{name}"
    if not (folder / "run" / "run.json").is_file():
        experiment(snapshot, model, read_settings(editors, settings), folder / "run")
    page = folder / "report" / "index.html"
    if not page.is_file():
        remove_leftovers(folder / "report")
        page = write_report([folder / "run"], folder / "report")
    figures = as_json([folder / "run"])
    show_report(page, figures, model, day)
    show_run(folder / "run", snapshot, model, figures)
    return ExperimentReport(model, name, page, figures)


def publish_and_show(snapshot: Path, repo: str, endpoint: str | None, reports: Sequence[ExperimentReport] = ()) -> str:
    """Publish a snapshot with its reports, and link what lies on the Hub, which any browser can open; its address."""
    published = publish(snapshot, repo, PublishSettings(endpoint), reports)
    tag = published.plan.tag
    day = datetime.date.fromisoformat(tag)
    show_published(published.url, tag, {report.model: report.file(day) for report in reports})
    show_publication(repo, published.url, tag, snapshot, [report.page.parents[1] / "run" for report in reports])
    return published.url
