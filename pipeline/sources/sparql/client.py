"""A SPARQL endpoint over HTTP: SPARQLWrapper's requests on a pooled, compressed `requests` session.

One query is asked at a time. An answer is streamed into the recording, read to its very end there, and only
then counts; rows are always read from what was kept, so that a replay takes the same way.
CSV and TSV are not asked for: in them a cut-off answer looks whole.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import pyoxigraph
import requests
from SPARQLWrapper import JSON, POST, POSTDIRECTLY, SELECT, SPARQLWrapper

from chronofacts.pipeline.sources import QueryTooBig
from chronofacts.pipeline.sources.sparql.bounded_http import BoundedHttp, HttpFault, Reply
from chronofacts.pipeline.sources.sparql.http_policy import (
    EndpointFailed,
    HttpSettings,
    Verdict,
    ask_again,
    is_sparql_json,
    judge_cut,
    judge_reply,
)
from chronofacts.pipeline.sources.sparql.rate_limit import Budget, Clock
from chronofacts.pipeline.sources.sparql.recording import AnswerWriter, RecordedQuery, Recording
from chronofacts.pipeline.sources.sparql.results import Solution, solutions
from chronofacts.pipeline.sources.sparql.source import Ask
from chronofacts.schemas.addresses import reveal
from chronofacts.schemas.errors import CheckFailed
from chronofacts.schemas.redact import redact

__all__ = ["ClientSettings", "Endpoint", "replay"]

log = logging.getLogger("chronofacts.endpoint")
_UNREACHED_ATTEMPTS = 3  # of an address where nobody has ever answered: it is probably wrong
_SINGLE_ATTEMPTS = 3  # of a query about one item, which cannot be halved


@dataclass(frozen=True, slots=True)
class ClientSettings(HttpSettings):
    """How one SPARQL endpoint is asked."""

    splits_429: bool = False
    """True for QLever, which answers a time-out with 429."""
    connect_s: float = 10
    silence_s: float = 75
    """Longest time without a byte: the query service gives up after 60."""
    whole_s: float = 300
    """Longest time for one answer."""
    most_bytes: int = 256 << 20
    """Largest answer, unpacked: less is asked at once after one that is larger, whatever it was packed into. The rows
    of one are held in memory."""
    budget_s: float = 60
    """Query time that may be spent at once; refilled by as much a minute."""


class RequestsSPARQL(SPARQLWrapper):  # type: ignore[misc]
    """SPARQLWrapper with another transport: connections are kept, answers compressed and streamed."""

    def __init__(self, settings: ClientSettings, session: requests.Session) -> None:
        super().__init__(settings.address, returnFormat=JSON, agent=settings.user_agent)
        self.setOnlyConneg(True)
        self.setMethod(POST)  # no limit of length, and no answer of five minutes ago
        self.setRequestMethod(POSTDIRECTLY)  # thousands of ids would grow by half in a form
        self._http = BoundedHttp(session, settings.whole_s, settings.most_bytes)
        self._address = settings.address
        self._timeout = (settings.connect_s, settings.silence_s)

    def send(self, query: str) -> AbstractContextManager[Reply]:
        """The reply to a query, whatever its status, its body unread."""
        # `setQuery` would look through the whole text for its kind; ours are all of one.
        self.queryString, self.queryType = query, SELECT
        request = self._createRequest()
        # The address as it was given, with its secrets, which nobody but its host is told.
        return self._http.post(reveal(self._address), request.data, dict(request.header_items()), self._timeout)


class Endpoint:
    """`ask` of one endpoint, whose answers go into one recording."""

    def __init__(self, settings: ClientSettings, recording: Recording, clock: Clock, session: requests.Session) -> None:
        self._settings = settings
        self._recording = recording
        self._clock = clock
        self._session = session
        self._budget = Budget(settings.budget_s, clock)
        self._sparql = RequestsSPARQL(settings, session)
        self.freshness = ""
        """Noted beside every answer, once it is known."""
        self._reached = False
        self.requests = 0
        """How many were sent."""

    def ask(self, query: str) -> Iterator[Solution]:
        """Solutions of a query, asked now or kept in the recording.

        Raises QueryTooBig when less must be asked at once, EndpointFailed when the endpoint cannot be reached
        or keeps failing, BadInput when it refuses.
        """
        return _read_solutions(self._recording, self._recording.find(query) or self._fetch(query))

    def close(self) -> None:
        self._session.close()

    def _fetch(self, query: str) -> RecordedQuery:
        """Ask until there is an answer, or a verdict that it is too much at once."""
        ids = tuple(sorted(set(re.findall(r"\bwd:(Q\d+)", query)), key=lambda qid: int(qid[1:])))
        record = RecordedQuery(self._settings.address, hashlib.sha256(query.encode()).hexdigest(), ids)

        def give_up(verdict: Verdict, attempt: int) -> bool:
            if verdict.act == "less" and (len(ids) != 1 or attempt >= _SINGLE_ATTEMPTS):
                return True
            return not self._reached and attempt == _UNREACHED_ATTEMPTS

        outcome, attempts = ask_again(
            lambda attempt: self._ask_once(query, self._stamp(record, attempt)), self._settings, self._clock, give_up
        )
        if isinstance(outcome, RecordedQuery):
            return outcome
        # An answer that is cut each time is perhaps always cut at the same length: a smaller one may pass.
        if outcome.act == "less" or outcome.cut:
            return self._keep_too_big(query, self._stamp(record, attempts), outcome)
        raise EndpointFailed(
            f"{self._settings.address} gave no answer in {attempts} attempts ({outcome.why}); "
            "check the address and the network, or run the same command again later: finished batches are kept"
        )

    def _stamp(self, record: RecordedQuery, attempt: int) -> RecordedQuery:
        now = self._clock.now().isoformat(timespec="seconds")
        return replace(record, asked_at=now, attempt=attempt, freshness=self.freshness)

    def _keep_too_big(self, query: str, record: RecordedQuery, verdict: Verdict) -> RecordedQuery:
        """Keep that a query was too big, so that neither a resumed run nor a replay asks it again."""
        if len(record.ids) == 1:  # the end of this reading; the next one shall try it again
            raise QueryTooBig(
                f"{self._settings.address} cannot answer about {record.ids[0]} alone ({verdict.why}); "
                "run the same command again when it is less busy"
            )
        log.info("%s; asking for less at once", verdict.why)
        self._recording.keep(record, query, None)
        return record

    def _ask_once(self, query: str, record: RecordedQuery) -> RecordedQuery | Verdict:
        self._budget.wait()
        began = self._clock.monotonic()
        self.requests += 1
        try:
            with self._sparql.send(query) as response, self._recording.writer() as writer:
                self._reached = True
                verdict = self._receive(response, writer, began)
                if verdict is not None:
                    return verdict
                sha256 = writer.close()
                if (cut := _find_cut(writer)) is not None:
                    return cut
                answered = replace(
                    record,
                    seconds=round(self._clock.monotonic() - began, 3),
                    status=response.status,
                    outcome="answer",
                    answer_sha256=sha256,
                    answer_bytes=writer.bytes,
                )
                self._recording.keep(answered, query, writer)
                return answered
        except HttpFault as fault:
            return self._judge_fault(fault)
        finally:
            self._budget.spend(self._clock.monotonic() - began)

    def _judge_fault(self, fault: HttpFault) -> Verdict:
        """What it means that no answer, or no end of it, came."""
        if fault.kind == "silence":
            return Verdict("less", f"no byte in {self._settings.silence_s:.0f} s")
        return Verdict("retry" if fault.kind == "broken" else "less", _shorten(fault))

    def _receive(self, response: Reply, writer: AnswerWriter, began: float) -> Verdict | None:
        """Stream the body to the writer; a verdict when it is no whole answer."""
        settings = self._settings
        if response.status != 200 or not is_sparql_json(response.headers.get("Content-Type")):
            body, now = response.beginning(), self._clock.now()
            return judge_reply(response.status, response.headers, body, settings.address, settings.splits_429, now)
        try:
            for chunk in response.chunks():
                writer.write(chunk)
                if self._clock.monotonic() - began > settings.whole_s:
                    return Verdict("less", f"no end of the answer in {settings.whole_s:.0f} s")
        except HttpFault as fault:
            return judge_cut(writer.tail, _shorten(fault)) if fault.kind == "broken" else self._judge_fault(fault)
        return None


def replay(recording: Recording, folder: Path) -> Ask:
    """`ask` of a finished recording, without any network; CheckFailed for a query that was never asked in it."""

    def ask(query: str) -> Iterator[Solution]:
        if (record := recording.find(query)) is None:
            raise CheckFailed(
                f"{folder} holds no answer to one of the queries (other relations, days or an --update were "
                "read then); give the same options as then, or read from the endpoint again"
            )
        return _read_solutions(recording, record)

    return ask


def _read_solutions(recording: Recording, record: RecordedQuery) -> Iterator[Solution]:
    if record.answer_sha256 is None:
        raise QueryTooBig(
            f"{record.endpoint} does not finish the smallest query that can be asked; "
            "try again when it is less busy, or choose fewer relations"
        )
    return _read_rows(recording, record.answer_sha256)


def _read_rows(recording: Recording, sha256: str) -> Iterator[Solution]:
    """The rows of an answer that was whole when it was kept."""
    try:
        yield from solutions(_parse(recording.open(sha256)))
    except (SyntaxError, ValueError, OSError) as error:
        raise CheckFailed(f"a kept answer is damaged ({_shorten(error)}); refresh again from the endpoint") from error


def _parse(stream: IO[bytes]) -> pyoxigraph.QuerySolutions:
    answer = pyoxigraph.parse_query_results(stream, pyoxigraph.QueryResultsFormat.JSON)
    if not isinstance(answer, pyoxigraph.QuerySolutions):
        raise ValueError("yes or no instead of rows")
    return answer


def _find_cut(writer: AnswerWriter) -> Verdict | None:
    """Read a written answer to its end; a verdict when it is not whole."""
    try:
        with writer.reread() as stream:
            for _ in _parse(stream):
                pass
    except (SyntaxError, ValueError, OSError) as error:
        return judge_cut(writer.tail, _shorten(error))
    return None


def _shorten(error: Exception) -> str:
    """An error as one short line, without the addresses of objects."""
    text = " ".join(re.sub(r"<[^<>]* object at 0x[0-9a-f]+>", "", redact(str(error))).split())
    return text[:200] if isinstance(error, HttpFault) else f"{type(error).__name__}: {text}"[:200]
