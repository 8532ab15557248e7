"""An endpoint, or a recording of one, as a source."""

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
from chronofacts.pipeline.sources.sparql.client import ClientSettings, Endpoint, replay
from chronofacts.pipeline.sources.sparql.rate_limit import SYSTEM_CLOCK, Clock, full_user_agent, lock_of
from chronofacts.pipeline.sources.sparql.recording import Recording, find_recording, open_recording
from chronofacts.pipeline.sources.sparql.results import Solution
from chronofacts.pipeline.sources.sparql.source import Ask, SparqlSource
from chronofacts.schemas.errors import BadInput

__all__ = ["ENDPOINTS", "EndpointSettings", "EndpointSource", "is_endpoint", "open_endpoint"]

ENDPOINTS = {"wdqs": "https://query.wikidata.org/sparql", "qlever": "https://qlever.dev/api/wikidata"}
_REPLAY = "raw:"


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What a user may say about an endpoint."""

    user_agent: str = ""
    raw: Path | None = None
    """Where every answer is kept; None: nowhere, once the reading is done."""
    scope: str = ""
    """`whole`: every statement of the relations; `changes`: what changed between the days, and what it names;
    empty: `changes` for the public services, which cannot give all of Wikidata, else `whole`."""


class EndpointSource(SparqlSource):
    """A `SparqlSource` over an endpoint or a recording of one.

    endpoint: None for a recording. close: called with the mark that ends the recording, `finished` or `abandoned`.
    """

    def __init__(self, recording: Recording, ask: Ask, endpoint: Endpoint | None, close: Callable[[str], None]) -> None:
        super().__init__(recording.endpoint, ask, self._read_freshness)
        self.scope = recording.scope
        self.endpoint = endpoint
        self._recording = recording
        self._close = close
        self._fresh: Freshness | None = None

    def finish(self) -> None:
        self._close("finished")

    def abandon(self) -> None:
        self._close("abandoned")

    def _read_freshness(self) -> Freshness:
        if self._fresh is None:
            self._fresh = read_freshness(self.ask(queries.freshness()), self.name, self._recording.started_at)
            if self.endpoint is not None:
                self.endpoint.freshness = self._fresh.detail
        return self._fresh


def is_endpoint(name: str) -> bool:
    """True for `wdqs`, `qlever`, an address, and `raw:DIR`."""
    return name in ENDPOINTS or name.startswith((_REPLAY, "http://", "https://"))


def open_endpoint(name: str, settings: EndpointSettings, clock: Clock = SYSTEM_CLOCK) -> EndpointSource:
    """The endpoint with this name or address; `raw:DIR` is the newest finished recording in DIR, which gives the same
    bytes as the reading itself.

    Raises BadInput for a Wikimedia host without contact data of the operator, an address that is none, and a
    raw folder that cannot be used.
    """
    if name.startswith(_REPLAY):
        folder = Path(name.removeprefix(_REPLAY))
        recording = find_recording(folder)
        return EndpointSource(recording, replay(recording, folder), None, lambda mark: None)
    address = ENDPOINTS.get(name, name)
    if not (host := urlsplit(address).hostname):
        raise BadInput(f"--source {name!r} is no address; give wdqs, qlever or http://HOST/PATH")
    is_public = host.endswith("wikidata.org") or "qlever" in host
    scope = choose_scope(settings.scope, "changes" if is_public else "whole")
    agent = full_user_agent(settings.user_agent, address)
    aside = tempfile.TemporaryDirectory(prefix="chronofacts-raw-") if settings.raw is None else None
    recording = open_recording(settings.raw or Path(aside.name if aside else ""), address, scope, clock)
    asking = ClientSettings(address, agent, lock_of(address), splits_429="qlever" in address)
    endpoint = Endpoint(asking, recording, clock, requests.Session())

    def close(mark: str) -> None:
        recording.finish(mark)
        endpoint.close()
        if aside is not None:
            aside.cleanup()

    return EndpointSource(recording, endpoint.ask, endpoint, close)


def read_freshness(answer: Iterable[Solution], address: str, asked_at: datetime.datetime) -> Freshness:
    """How fresh an endpoint says it is, from the answer to `queries.freshness`.

    QLever's updatesCompleteUntil counts before schema:dateModified, which there is the day of its dump.
    """
    moments: dict[str, datetime.datetime] = {}
    for row in answer:
        name, moment = row["p"].value.rpartition("/")[2].rpartition("#")[2], _read_moment(row["v"].value)
        if moment is not None:
            moments[name] = max(moment, moments.get(name, moment))
    for name in ("updatesCompleteUntil", "dateModified"):
        if name in moments:
            until = moments[name]
            return Freshness(until.date(), asked_at, f"{address}, complete until {until:%Y-%m-%d %H:%M} UTC ({name})")
    return Freshness(
        asked_at.date(), asked_at, f"{address}, which tells no date of its own, asked on {asked_at.date()}"
    )


def _read_moment(text: str) -> datetime.datetime | None:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
