"""A month's snapshot in a store: made if it is missing, completed if it was killed; and months of the past.

What is done leaves a mark (a snapshot in the store), so that a second run does only what is missing.
`flows.scheduled.monthly` adds experiments, publication and a schedule.
"""

from __future__ import annotations

import datetime
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from chronofacts.flows.progress import show_steps
from chronofacts.flows.refresh import refresh as refresh_here
from chronofacts.flows.settings import RefreshSettings
from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.snapshots.store import SnapshotStore, find_changed
from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings, is_endpoint
from chronofacts.pipeline.sources.sparql.http_policy import EndpointFailed
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import remove_leftovers
from chronofacts.schemas.manifest import CURATED, read_manifest

__all__ = [
    "USER_AGENT", "WAITS_MINUTES", "backfill", "choose_day", "choose_since", "endpoint_settings", "fetch_snapshot",
    "forget_copies", "make_month", "make_snapshot", "retry_endpoint", "scratch_of",
]  # fmt: skip

T = TypeVar("T")
Refresh = Callable[[RefreshSettings], Path]

USER_AGENT = "CHRONOFACTS_USER_AGENT"
"""Environment variable, of the command line and of a worker: who asks an endpoint."""
WAITS_MINUTES = (1.0, 10.0, 60.0)
"""Waits before an endpoint that failed is asked again."""

TAKEN = "it is taken as it is; remove it to make it anew"

log = logging.getLogger("chronofacts.monthly")


def choose_day(today: datetime.date) -> datetime.date:
    """The last day of the month before: by now its changes have been entered, and its vandalism reverted."""
    return today.replace(day=1) - datetime.timedelta(days=1)


def choose_since(as_of: datetime.date) -> datetime.date:
    """The same day a year before; the last of February where there is no 29th."""
    try:
        return as_of.replace(year=as_of.year - 1)
    except ValueError:
        return as_of.replace(year=as_of.year - 1, day=28)


def endpoint_settings(user_agent: str, raw: Path | None) -> EndpointSettings:
    """How an endpoint is asked; without a user agent, by that of the environment."""
    return EndpointSettings(user_agent=user_agent or os.environ.get(USER_AGENT, ""), raw=raw)


def make_month(
    store: SnapshotStore,
    source: str,
    since: datetime.date | None,
    as_of: datetime.date,
    relations: Sequence[str],
    user_agent: str,
    raw: Path | None = None,
    waits: Sequence[float] = WAITS_MINUTES,
    refresh: Refresh = refresh_here,
) -> Path:
    """A month's snapshot as a folder to read, taken from the store, or made and added to it.

    since: by default a year before as_of. raw: keeps every answer of an endpoint for good; None: until the snapshot is
    in the store. waits: minutes before an endpoint that failed is asked again. The caller holds the store's lock.
    """
    store.recover()
    before = max((known for known in store.days() if known < as_of), default=None)
    answers = raw or scratch_of(store) / "raw"
    endpoint = endpoint_settings(user_agent, answers)
    first = since or choose_since(as_of)

    def make() -> Path:
        if since is None and as_of in store.days():
            return _check_stored(fetch_snapshot(store, as_of), source, relations)
        return make_snapshot(store, source, first, as_of, before, relations, endpoint, refresh)

    snapshot = retry_endpoint(make, waits)
    if raw is None:
        shutil.rmtree(answers, ignore_errors=True)
    return snapshot


def backfill(
    store: SnapshotStore,
    days: Sequence[datetime.date],
    make: Callable[[datetime.date], Path],
    publish: Callable[[Path], object] | None = None,
) -> dict[datetime.date, Path]:
    """The snapshots of these days, oldest first: those that the store lacks are made, and all are published.

    It stops at the first that fails; what it made stays, and a second run makes the rest.
    """
    made: dict[datetime.date, Path] = {}
    begin = show_steps(*(f"the snapshot of {day}" for day in days))
    with store.lock("backfill"):
        for day in days:
            begin()
            if day in store.days():
                log.info("%s is in the store", day)
            made[day] = make(day)
            if publish is not None:
                publish(made[day])
    return made


def retry_endpoint(work: Callable[[], T], waits: Sequence[float], sleep: Callable[[float], None] = time.sleep) -> T:
    """The result of work, tried again after each of the waits (minutes) while an endpoint fails."""
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
    endpoint: EndpointSettings,
    refresh: Refresh = refresh_here,
) -> Path:
    """The snapshot of the day from the store, made first by `refresh` if it is missing.

    Takes one that a killed run finished and did not store, if it was made for the same. Raises BadInput when the store
    has one of that day that was made from other days.
    """
    scratch = scratch_of(store)
    if as_of in store.days():
        found = fetch_snapshot(store, as_of)
        if read_manifest(found).since != since:
            raise BadInput(f"the store has a snapshot of {as_of} since {read_manifest(found).since}, not {since}")
        return _check_stored(found, source, relations)
    # Only a query service has revisions, by which the older snapshot can be brought up to date.
    has_revisions = is_endpoint(source) and not source.startswith("raw:")
    older = fetch_snapshot(store, before) if before and has_revisions else None
    made, mark = scratch / str(as_of), scratch / f"{as_of}.made-for"
    purpose = repr((source, since, as_of, tuple(relations), before if older else None))
    if not (made / "manifest.json").is_file() or not mark.is_file() or mark.read_text(encoding="utf-8") != purpose:
        shutil.rmtree(made, ignore_errors=True)
        remove_leftovers(made)
        scratch.mkdir(parents=True, exist_ok=True)
        mark.write_text(purpose, encoding="utf-8")
        snapshot = SnapshotSettings(since, as_of)
        refresh(RefreshSettings(source, made, snapshot, tuple(relations), older, endpoint))
    store.add(made)
    shutil.rmtree(made, ignore_errors=True)
    mark.unlink(missing_ok=True)
    return fetch_snapshot(store, as_of)


def _check_stored(found: Path, source: str, relations: Sequence[str]) -> Path:
    """A snapshot of the store that is taken as it is; a warning says where it was asked of other sources or relations.

    relations: by name or property; none means all that the catalogue had then. Raises CheckFailed where a file is
    missing or is not the one that was written.
    """
    manifest = read_manifest(found)
    if (name := find_changed(found, manifest)) is not None:
        raise CheckFailed(
            f"{found / name} is missing or changed since it was written; remove {found} and run the same command "
            "again, which makes it anew"
        )
    asked = {one.id for one in load_catalogue().select(tuple(relations)).relations} if relations else None
    if asked is not None and asked != set(manifest.relations):
        has = ", ".join(manifest.relations[:5]) + (", …" if len(manifest.relations) > 5 else "")
        log.warning("%s has other relations than are asked for (%s); %s", found, has, TAKEN)
    if (manifest.source == CURATED) != (source == CURATED):
        log.warning("%s was made from %s, and not from %s; %s", found, manifest.source, source, TAKEN)
    return found


def scratch_of(store: SnapshotStore) -> Path:
    """A folder of this machine for what is not finished, and for copies of what lies elsewhere."""
    return Path(f"{store.root}-work") if store.renames else Path("data/work", store.root.strip("/"))


def forget_copies(store: SnapshotStore, days: Iterable[datetime.date]) -> None:
    """Remove this machine's copies of snapshots that the store has no more."""
    for day in days:
        shutil.rmtree(scratch_of(store) / "copies" / str(day), ignore_errors=True)


def fetch_snapshot(store: SnapshotStore, day: datetime.date) -> Path:
    """A snapshot of the store as a folder to read. Raises CheckFailed for a day under which one of another day lies."""
    copies = scratch_of(store) / "copies"
    if not store.renames and (copies / str(day) / "manifest.json").is_file():
        found = copies / str(day)  # fetched whole, with every sum checked
    else:
        found = store.folder(day, copies)
    if (of := read_manifest(found).as_of) != day:
        raise CheckFailed(
            f"{found} holds a snapshot of {of}, and not of {day}; move it to where it belongs, or remove it"
        )
    return found
