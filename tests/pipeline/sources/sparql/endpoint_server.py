"""A real SPARQL endpoint on this machine, before an embedded engine, that can fail in every way the live ones do.

`server.fault(number, query)` names the fault of a request, or None. What each fault is like is from wikidata.md,
sections 2.1, 2.4 and 2.6.
"""

from __future__ import annotations

import datetime
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyoxigraph
import requests

from chronofacts.pipeline.sources.sparql.client import ClientSettings, Endpoint
from chronofacts.pipeline.sources.sparql.rate_limit import Clock
from chronofacts.pipeline.sources.sparql.recording import open_recording

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)
JAVA_TRACE = b"\nSPARQL-QUERY: queryStr=SELECT\njava.util.concurrent.TimeoutException\n\tat java.util.concurrent"
QLEVER_TAIL = b"\n !!!!>># An error has occurred while exporting the query result. Unfortunately due to limitations"
REFUSAL = b"Please set a user-agent and respect our robot policy https://w.wiki/4wJS. See also T400119"
BAN = b"You have been banned until 2026-11-22T12:00:00Z, please respect throttling and retry-after headers."
# fault -> (status, headers, body)
REPLIES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "throttled": (429, {}, b"Too Many Requests"),
    "throttled for 7 s": (429, {"Retry-After": "7"}, b"Too Many Requests"),
    "throttled for 0 s": (429, {"Retry-After": "0"}, b"Please retry in 0 seconds"),
    "throttled for a day": (429, {"Retry-After": "86400"}, b"Too Many Requests"),
    "overloaded": (503, {"Retry-After": "3"}, b"Service Unavailable"),
    "time-out as 500": (500, {}, b"java.util.concurrent.TimeoutException\n\tat java"),
    "time-out as 429": (429, {"Content-Type": "application/json"}, b'{"exception":"Operation timed out."}'),
    "time-out as 504": (504, {}, b"upstream request timeout"),
    "refused with 200": (200, {"Content-Type": "text/plain"}, REFUSAL),
    "refused with 403": (403, {}, REFUSAL),
    "banned": (403, {}, BAN),
    "a page": (200, {"Content-Type": "text/html"}, b"<html>Down for maintenance</html>"),
}
BROKEN = ("cut chunked", "cut gzip", "cut with a Java trace", "cut with QLever's tail", "closed")
TRANSIENT = (
    "throttled for 7 s", "throttled for 0 s", "overloaded", "time-out as 500", "time-out as 504", "a page", *BROKEN,
)  # fmt: skip
"""Faults after which a reading goes on."""


class EndpointServer(ThreadingHTTPServer):
    """`url` answers SPARQL from `store`; `queries` are the requests so far, `agents` their user agents."""

    daemon_threads = True

    def __init__(self, store: pyoxigraph.Store) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store = store
        self.older: pyoxigraph.Store | None = None
        """What the fault `lags` answers from: the world as another replica still knows it."""
        self.fault: Callable[[int, str], str | None] = lambda number, query: None
        self.queries: list[str] = []
        self.agents: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.guard = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/sparql"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for its head to be acknowledged
    disable_nagle_algorithm = True  # else each answer waits for the delayed acknowledgement of its head
    server: EndpointServer

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._reply(parse_qs(urlsplit(self.path).query)["query"][0])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = self.headers["Content-Type"] == "application/x-www-form-urlencoded"
        self._reply(parse_qs(body)["query"][0] if form else body)

    def _reply(self, query: str) -> None:
        server = self.server
        with server.guard:
            number = len(server.queries)
            server.queries.append(query)
            server.agents.append(self.headers["User-Agent"])
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            self._send(query, server.fault(number, query))
        finally:
            with server.guard:
                server.at_once -= 1

    def _send(self, query: str, fault: str | None) -> None:
        if fault in REPLIES:
            status, headers, body = REPLIES[fault]
            self._head(status, {"Content-Type": "text/plain", **headers, "Content-Length": str(len(body))})
            self.wfile.write(body)
            return
        if fault == "closed":
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if fault == "slow":
            time.sleep(1.0)
        try:
            body = self._answer(query, self.server.older if fault == "lags" else self.server.store)
        except SyntaxError as error:
            body = str(error).encode()
            self._head(400, {"Content-Type": "text/plain", "Content-Length": str(len(body))})
            self.wfile.write(body)
            return
        if fault == "cut with a Java trace":
            body = body[: len(body) * 2 // 3] + JAVA_TRACE
        elif fault == "cut with QLever's tail":
            body = body[: len(body) * 2 // 3] + QLEVER_TAIL
        packed = gzip.compress(body, 1)
        if fault == "cut gzip":
            packed = packed[: len(packed) // 2]  # and a length that agrees with it
        headers = {"Content-Type": "application/sparql-results+json", "Content-Encoding": "gzip"}
        if fault == "cut chunked":
            self._head(200, {**headers, "Transfer-Encoding": "chunked"})
            half = packed[: len(packed) // 2]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(half), half))
            self.close_connection = True
            return
        self._head(200, {**headers, "Content-Length": str(len(packed))})
        self.wfile.write(packed)

    def _answer(self, query: str, store: pyoxigraph.Store) -> bytes:
        found = store.query(query)
        body: bytes = found.serialize(format=pyoxigraph.QueryResultsFormat.JSON)
        return body

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serving(store: pyoxigraph.Store) -> Iterator[EndpointServer]:
    with EndpointServer(store) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class FakeTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def clock(self) -> Clock:
        def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        return Clock(lambda: NOON + datetime.timedelta(seconds=sum(self.slept)), lambda: sum(self.slept), sleep)


@contextmanager
def endpoint_at(url: str, folder: Path, time: FakeTime, **settings: object) -> Iterator[Endpoint]:
    """An `Endpoint` at the address that keeps its answers in folder/raw."""
    clock = time.clock()
    with requests.Session() as session:
        yield Endpoint(
            ClientSettings(**{"address": url, "user_agent": "tests", "lock": folder / "lock", **settings}),
            open_recording(folder / "raw", url, "whole", clock),
            clock,
            session,
        )
