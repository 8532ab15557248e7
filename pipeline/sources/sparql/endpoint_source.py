"""A live endpoint, or a kept reading of one, as a source.

Leaves out: which statements are wanted (`pipeline.sources.sparql.neighbourhood` when it is what changed).
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from chronofacts.pipeline.sources import Freshness, choose_scope
from chronofacts.pipeline.sources.sparql import queries
from chronofacts.pipeline.sources.sparql.client import Endpoint, EndpointSettings, Replay
from chronofacts.pipeline.sources.sparql.rate_limit import SYSTEM_CLOCK, Clock, full_user_agent, lock_of
from chronofacts.pipeline.sources.sparql.recording import RawRun, find_run, open_run
from chronofacts.pipeline.sources.sparql.results import Solution
from chronofacts.pipeline.sources.sparql.source import Ask, SparqlSource
from chronofacts.schemas.errors import BadInput

__all__ = ["ENDPOINTS", "EndpointOptions", "LiveSource", "is_endpoint", "open_live", "open_replay"]

ENDPOINTS = {"wdqs": "https://query.wikidata.org/sparql", "qlever": "https://qlever.dev/api/wikidata"}
_REPLAY = "raw:"


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """What a user may say about a live source."""

    user_agent: str = ""
    raw: Path | None = None
    """Where every answer is kept; None: nowhere, once the reading is done."""
    scope: str = ""
    """`whole`: every statement of the relations; `changes`: what changed between the days, and what it names;
    empty: `changes` for the public services, which cannot give all of Wikidata, else `whole`."""


class LiveSource(SparqlSource):
    """A `SparqlSource` over an endpoint or a kept reading of one.

    endpoint: None for a kept reading.
    close: called with the mark that ends the run, `finished` or `abandoned`.
    """

    def __init__(self, run: RawRun, ask: Ask, endpoint: Endpoint | None, close: Callable[[str], None]) -> None:
        super().__init__(run.endpoint, ask, self._fresh)
        self.scope = run.scope
        self.endpoint = endpoint
        self._run = run
        self._close = close
        self._known: Freshness | None = None

    def finish(self) -> None:
        self._close("finished")

    def abandon(self) -> None:
        self._close("abandoned")

    def _fresh(self) -> Freshness:
        if self._known is None:
            self._known = read_freshness(self._ask(queries.freshness()), self._run.endpoint, self._run.started_at)
            if self.endpoint is not None:
                self.endpoint.freshness = self._known.detail
        return self._known


def is_endpoint(name: str) -> bool:
    """True for `wdqs`, `qlever`, an address, and `raw:DIR`."""
    return name in ENDPOINTS or name.startswith((_REPLAY, "http://", "https://"))


def open_live(name: str, options: EndpointOptions, clock: Clock = SYSTEM_CLOCK) -> LiveSource:
    """The endpoint with this name or address; `raw:DIR` is the newest finished reading in DIR.

    Raises BadInput for a Wikimedia host without contact data of the operator, an address that is none, and a
    raw folder that cannot be used.
    """
    if name.startswith(_REPLAY):
        return open_replay(Path(name.removeprefix(_REPLAY)), clock)
    address = ENDPOINTS.get(name, name)
    if not urlsplit(address).hostname:
        raise BadInput(f"--source {name!r} is no address; give wdqs, qlever or http://HOST/PATH")
    scope = choose_scope(options.scope, "changes" if _is_public(address) else "whole")
    agent = full_user_agent(options.user_agent, address)
    aside = tempfile.TemporaryDirectory(prefix="chronofacts-raw-") if options.raw is None else None
    run = open_run(options.raw or Path(aside.name if aside else ""), address, scope, clock)
    settings = EndpointSettings(address, agent, lock_of(address), splits_429="qlever" in address)
    endpoint = Endpoint(settings, run, clock, requests.Session())

    def close(mark: str) -> None:
        run.finish(mark)
        endpoint.close()
        if aside is not None:
            aside.cleanup()

    return LiveSource(run, endpoint.ask, endpoint, close)


def open_replay(folder: Path, clock: Clock = SYSTEM_CLOCK) -> LiveSource:
    """The newest finished reading in a raw folder; it gives the same bytes as the reading itself."""
    run = find_run(folder, clock)
    return LiveSource(run, Replay(run, folder).ask, None, lambda mark: None)


def _is_public(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return host.endswith("wikidata.org") or "qlever" in host


def read_freshness(answer: Iterable[Solution], address: str, asked_at: datetime.datetime) -> Freshness:
    """How fresh an endpoint says it is, from the answer to `queries.freshness`.

    QLever's updatesCompleteUntil counts before schema:dateModified, which there is the day of its dump.
    """
    told: dict[str, datetime.datetime] = {}
    for row in answer:
        name, moment = row["p"].value.rpartition("/")[2].rpartition("#")[2], _moment(row["v"].value)
        if moment is not None:
            told[name] = max(moment, told.get(name, moment))
    for name in ("updatesCompleteUntil", "dateModified"):
        if name in told:
            until = told[name]
            return Freshness(until.date(), asked_at, f"{address}, complete until {until:%Y-%m-%d %H:%M} UTC ({name})")
    return Freshness(
        asked_at.date(), asked_at, f"{address}, which tells no date of its own, asked on {asked_at.date()}"
    )


def _moment(text: str) -> datetime.datetime | None:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
