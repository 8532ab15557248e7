"""A SPARQL endpoint over HTTP: SPARQLWrapper's interface on a pooled, compressed `requests` session.

One query is asked at a time. An answer is streamed into the raw layer, read to its very end there, and only
then counts; rows are always read from what was kept, so that a replay takes the same way.
Leaves out: what is asked (`pipeline.sources.sparql`), what a reply means (`pipeline.sources.verdicts`), and
CSV or TSV, in which a cut-off answer looks whole.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyoxigraph
import requests
import urllib3
from SPARQLWrapper import JSON, POST, SPARQLWrapper

from pipeline.sources import QueryTooBig
from pipeline.sources.answers import Solution
from pipeline.sources.politeness import Budget, Clock, one_at_a_time
from pipeline.sources.raw import AnswerWriter, Asked, RawRun
from pipeline.sources.sample import solutions
from pipeline.sources.verdicts import EndpointFailed, Verdict, is_sparql_json, judge_cut, judge_reply
from schemas.errors import CheckFailed

__all__ = ["Endpoint", "EndpointSettings", "Replay", "RequestsSPARQL"]

log = logging.getLogger("chronofacts.endpoint")
_CHUNK = 1 << 16
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """How one endpoint is asked."""

    address: str
    user_agent: str
    """The whole header."""
    lock: Path
    """File that is locked while a request runs, whatever process asks."""
    splits_429: bool = False
    """True for QLever, which answers a time-out with 429."""
    connect_s: float = 10
    silence_s: float = 75
    """Longest time without a byte: the query service gives up after 60."""
    whole_s: float = 300
    """Longest time for one answer."""
    budget_s: float = 60
    """Query time that may be spent at once; refilled by as much a minute."""
    attempts: int = 8
    longest_wait_s: float = 3600
    """An endpoint that asks to wait longer than this is left alone."""


class RequestsSPARQL(SPARQLWrapper):  # type: ignore[misc]
    """SPARQLWrapper with another transport: connections are kept, answers compressed and streamed."""

    def __init__(self, settings: EndpointSettings, session: requests.Session) -> None:
        super().__init__(settings.address, returnFormat=JSON, agent=settings.user_agent)
        self.setOnlyConneg(True)
        self.setMethod(POST)  # no limit of length, and no answer of five minutes ago
        self._session = session
        self._timeout = (settings.connect_s, settings.silence_s)

    def send(self, query: str) -> requests.Response:
        """The reply to a query, whatever its status, its body unread."""
        self.setQuery(query)
        request = self._createRequest()
        return self._session.request(
            request.get_method(),
            request.full_url,
            data=request.data,
            headers={**dict(request.header_items()), "Accept-Encoding": "gzip"},
            stream=True,
            timeout=self._timeout,
        )

    def _query(self) -> tuple[Any, str]:
        """What `query()` of SPARQLWrapper calls."""
        response = self.send(self.queryString)
        response.raise_for_status()
        response.raw.decode_content = True
        return response.raw, self.returnFormat


class Endpoint:
    """`ask` of one endpoint within one run of the raw layer."""

    def __init__(self, settings: EndpointSettings, run: RawRun, clock: Clock, session: requests.Session) -> None:
        self._settings = settings
        self._run = run
        self._clock = clock
        self._session = session
        self._budget = Budget(settings.budget_s, clock)
        self._sparql = RequestsSPARQL(settings, session)
        self.freshness = ""
        """Noted beside every answer, once it is known."""
        self.requests = 0
        """How many were sent."""

    def ask(self, query: str) -> Iterator[Solution]:
        """Solutions of a query, asked now or kept in the run.

        Raises QueryTooBig when less must be asked at once, EndpointFailed when the endpoint cannot be reached
        or keeps failing, BadInput when it refuses.
        """
        asked = self._run.find(query) or self._fetch(query)
        return _read(self._run, asked)

    def close(self) -> None:
        self._session.close()

    def _fetch(self, query: str) -> Asked:
        """Ask until there is an answer, or a verdict that it is too much at once."""
        ids = tuple(sorted(set(re.findall(r"\bwd:(Q\d+)", query)), key=lambda qid: int(qid[1:])))
        verdict = Verdict("retry", "never asked")
        for attempt in range(1, self._settings.attempts + 1):
            with one_at_a_time(self._settings.lock):
                outcome = self._ask_once(query, ids, attempt)
            if isinstance(outcome, Asked):
                return outcome
            verdict = outcome
            # A batch of one cannot be halved: it gets three chances.
            if verdict.act == "less" and (len(ids) != 1 or attempt >= 3):
                return self._note(query, ids, attempt, verdict)
            self._pause(verdict, attempt)
        if "cut off" in verdict.why:  # always at the same length, perhaps: a smaller answer may pass
            return self._note(query, ids, self._settings.attempts, verdict)
        raise EndpointFailed(
            f"{self._settings.address} gave no answer in {self._settings.attempts} attempts ({verdict.why}); "
            "check the address and the network, or run the same command again later: finished batches are kept"
        )

    def _pause(self, verdict: Verdict, attempt: int) -> None:
        wait = verdict.wait_s if verdict.wait_s is not None else min(60.0, 2.0 ** (attempt - 1))
        if wait > self._settings.longest_wait_s:
            raise EndpointFailed(
                f"{self._settings.address} asks to wait {wait:.0f} s; run the same command again after that: "
                "finished batches are kept"
            )
        log.info("%s; asking again in %.0f s", verdict.why, wait)
        self._clock.sleep(wait)

    def _ask_once(self, query: str, ids: tuple[str, ...], attempt: int) -> Asked | Verdict:
        self._budget.wait()
        began, moment = self._clock.monotonic(), self._clock.now()
        self.requests += 1
        try:
            with self._sparql.send(query) as response, self._run.writer() as writer:
                outcome = self._receive(response, writer, began)
                if outcome is not None:
                    return outcome
                sha256 = writer.close()
                if (cut := self._unreadable(writer)) is not None:
                    return cut
                seconds = self._clock.monotonic() - began
                asked = self._asked(query, ids, moment, attempt, seconds, response.status_code, sha256, writer.bytes)
                self._run.keep(asked, query, writer)
                return asked
        except requests.exceptions.ReadTimeout:
            return Verdict("less", f"no byte in {self._settings.silence_s:.0f} s")
        except requests.exceptions.InvalidURL as error:
            raise EndpointFailed(f"{self._settings.address} is no address ({error}); give http://… or https://…") from error
        except requests.RequestException as error:
            return Verdict("retry", _plain(error))
        finally:
            self._budget.spend(self._clock.monotonic() - began)

    def _receive(self, response: requests.Response, writer: AnswerWriter, began: float) -> Verdict | None:
        """Stream the body to the writer; a verdict when it is no whole answer."""
        settings = self._settings
        if response.status_code != 200 or not is_sparql_json(response.headers.get("Content-Type")):
            body = _beginning(response)
            now = self._clock.now()
            verdict = judge_reply(response.status_code, response.headers, body, settings.address, settings.splits_429, now)
            if verdict.act == "less":
                self._budget.spend(settings.budget_s)  # whatever it took here, it took all its time there
            return verdict
        try:
            for chunk in response.iter_content(_CHUNK):
                writer.write(chunk)
                if self._clock.monotonic() - began > settings.whole_s:
                    return Verdict("less", f"no end of the answer in {settings.whole_s:.0f} s")
        except _BROKEN as error:
            return judge_cut(writer.tail, _plain(error))
        return None

    def _unreadable(self, writer: AnswerWriter) -> Verdict | None:
        """Read a written answer to its end; a verdict when it is not whole."""
        try:
            for _ in _parse(pa_stream(writer.path)):
                pass
        except (SyntaxError, ValueError, OSError) as error:
            return judge_cut(writer.tail, _plain(error))
        return None

    def _note(self, query: str, ids: tuple[str, ...], attempt: int, verdict: Verdict) -> Asked:
        """Keep that a query was too big, so that neither a resumed run nor a replay asks it again."""
        log.info("%s; asking for less at once", verdict.why)
        asked = self._asked(query, ids, self._clock.now(), attempt, 0.0, 0, None, 0)
        self._run.keep(asked, query, None)
        return asked

    def _asked(
        self,
        query: str,
        ids: tuple[str, ...],
        moment: Any,
        attempt: int,
        seconds: float,
        status: int,
        sha256: str | None,
        size: int,
    ) -> Asked:
        return Asked(
            endpoint=self._settings.address,
            query_sha256=hashlib.sha256(query.encode()).hexdigest(),
            ids=ids,
            asked_at=moment.isoformat(timespec="seconds"),
            attempt=attempt,
            seconds=round(seconds, 3),
            status=status,
            freshness=self.freshness,
            outcome="answer" if sha256 else "too_big",
            answer_sha256=sha256,
            answer_bytes=size,
        )
