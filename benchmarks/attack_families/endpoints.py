"""Endpoints that never end, swell, lie or lead elsewhere: each request ends in its time, with its lock free."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import requests

from benchmarks.attack_families import Attack, Broken
from chronofacts.pipeline.snapshots.live_check import compare_statements
from chronofacts.pipeline.sources import QueryTooBig
from chronofacts.pipeline.sources.sparql.client import ClientSettings, Endpoint
from chronofacts.pipeline.sources.sparql.http_policy import HttpSettings
from chronofacts.pipeline.sources.sparql.rate_limit import SYSTEM_CLOCK, Clock
from chronofacts.pipeline.sources.sparql.recording import open_recording
from chronofacts.pipeline.sources.wikibase_api import EntityApi
from chronofacts.schemas.errors import ChronoFactsError
from chronofacts.schemas.files import lock_file

__all__ = ["attacks"]

WHOLE_S = 0.5
"""Deadline of a request in these attacks."""
PATIENCE_S = 6.0
"""Within which three attempts of it must have ended."""
QUERY = "SELECT * WHERE { VALUES ?item { wd:Q1 } }"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/sparql-results+json\r\n"
EMPTY = b'{"head":{"vars":["item"]},"results":{"bindings":[]}}'

Talk = Callable[[socket.socket], None]


def _drip(head: bytes, one: bytes) -> Talk:
    """A beginning, and then for ever a little more."""

    def talk(client: socket.socket) -> None:
        client.sendall(head)
        while True:
            client.sendall(one)
            time.sleep(0.02)

    return talk


def _say(*parts: bytes) -> Talk:
    def talk(client: socket.socket) -> None:
        for part in parts:
            client.sendall(part)

    return talk


def _flood(head: bytes, one: bytes) -> Talk:
    def talk(client: socket.socket) -> None:
        client.sendall(head)
        while True:
            client.sendall(one)

    return talk


SLOW: Mapping[str, Talk] = {
    "silence": lambda client: time.sleep(60),
    "a status line": _drip(b"HTTP/1.1 200 O", b"K"),
    "headers": _drip(OK, b"X-A: b\r\n"),
    "one header": _drip(OK + b"X-A: ", b"b"),
    "a body with a length": _drip(OK + b"Content-Length: 1000000\r\n\r\n" + EMPTY[:10], b" "),
    "a body until the end": _drip(OK + b"Connection: close\r\n\r\n" + EMPTY[:10], b" "),
    "a body in chunks": _drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "a packed body": _drip(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(EMPTY)[:12], b"\x00"),
    "empty packed members": _drip(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"")),
    "an error's body": _drip(b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\nx", b"y"),
    "hundreds of continues": _drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}
SWELLING: Mapping[str, Talk] = {
    "blanks without end": _flood(OK + b"Connection: close\r\n\r\n", b" " * 65536),
    "packed blanks": _flood(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b" " * 1_000_000)),
    "packed twice": _say(
        OK + b"Content-Encoding: gzip, gzip\r\n\r\n", gzip.compress(gzip.compress(b" " * 100_000_000))
    ),
    "another packing": _say(OK + b"Content-Encoding: br\r\n\r\nxxxx"),
    "a header of a megabyte": _say(OK + b"X-A: " + b"b" * (1 << 20) + b"\r\n\r\n"),
    "ten thousand headers": _say(OK + b"X-A: b\r\n" * 10_000 + b"\r\n"),
}


def _reply(status: str, headers: str = "", body: bytes = b"") -> Talk:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    return _say(head.encode() + body)


ELSEWHERE: Mapping[str, Talk] = {
    f"a redirect to {where[:30]!r}": _reply("302 Found", f"Location: {where}\r\n")
    for where in (
        "http://[::1",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "//evil",
        "",
        "gopher://x",
        "\x00",
    )
} | {
    f"Retry-After: {value[:30]!r}": _reply("429 Busy", f"Retry-After: {value}\r\n")
    for value in ("9" * 400, "-1", "Fri, 99 Dec 99999999999999 00:00:00 GMT", "٣", "1e9", "nan", "0x10")
}


def _bindings(*rows: Mapping[str, object], variables: tuple[str, ...] = ("item",)) -> bytes:
    return json.dumps({"head": {"vars": list(variables)}, "results": {"bindings": list(rows)}}).encode()


WRONG: Mapping[str, bytes] = {
    "nothing": b"",
    "no JSON": b"<html>",
    "yes or no": b'{"head":{},"boolean":true}',
    "lists in lists": b"[" * 100_000,
    "no variables": b'{"head":{},"results":{"bindings":[]}}',
    "half a character": _bindings({"item": {"type": "literal", "value": "\ud800"}}),
    "an unknown type": _bindings({"item": {"type": "evil", "value": "x"}}),
    "an IRI that is none": _bindings({"item": {"type": "uri", "value": "no iri at all <>"}}),
    "a triple": _bindings({"item": {"type": "triple", "value": {}}}),
    "bindings that are no list": b'{"head":{"vars":["item"]},"results":{"bindings":5}}',
    "a number for a text": _bindings({"item": {"type": "literal", "value": 5}}),
    "cut off": EMPTY[:-3],
    "two answers": EMPTY + EMPTY,
}
API: Mapping[str, bytes] = {
    "nothing": b"", "null": b"null", "a list": b"[]", "a number": b"5", "lists in lists": b"[" * 100_000,
    "no entities": b"{}", "entities are a list": b'{"entities": []}', "entities are null": b'{"entities": null}',
    "an entity is null": b'{"entities": {"Q1": null}}',
    "an entity without id": b'{"entities": {"Q1": {}}}',
    "an id that is a number": b'{"entities": {"Q1": {"id": 5}}}',
    "an id that is a path": b'{"entities": {"Q1": {"id": "../x"}}}',
    "half a character": b'{"entities": {"Q1": {"id": "Q1", "labels": {"en": {"value": "\\ud800"}}}}}',
    "claims are a text": b'{"entities": {"Q1": {"id": "Q1", "claims": "x"}}}',
    "a claim is a number": b'{"entities": {"Q1": {"id": "Q1", "claims": {"P6": [5, null, {}]}}}}',
    "a redirect that is a text": b'{"entities": {"Q1": {"id": "Q2", "redirects": "x"}}}',
    "a number of 5,000 digits": b'{"entities": {"Q1": {"id": "Q1", "lastrevid": ' + b"9" * 5000 + b"}}}",
    "error is a text": b'{"error": "x"}', "error is null": b'{"error": null}',
    "error has no code": b'{"error": {"info": []}}',
    "an error of a megabyte": b'{"error": {"info": "' + b"x" * 1_000_000 + b'"}}',
    "not UTF-8": b'{"entities": "\xff"}',
}  # fmt: skip


def attacks(folder: Path) -> Iterator[Attack]:
    for name, talk in {**SLOW, **SWELLING, **ELSEWHERE}.items():
        yield Attack(f"SPARQL, {name}", partial(_ask_sparql, folder, talk))
        yield Attack(f"the API, {name}", partial(_ask_api, folder, talk))
    for name, body in WRONG.items():
        yield Attack(f"SPARQL, {name}", partial(_ask_sparql, folder, _say(_with_length(OK, body))))
    for name, body in API.items():
        yield Attack(f"the API, {name}", partial(_ask_api, folder, _say(_with_length(OK, body))))


def _with_length(head: bytes, body: bytes) -> bytes:
    return head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@contextmanager
def _server(talk: Talk) -> Iterator[str]:
    """A server that reads a request and then talks; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve(client: socket.socket) -> None:
            with client:
                try:
                    client.settimeout(PATIENCE_S)
                    client.recv(65536)
                    talk(client)
                except OSError:
                    pass

        def accept() -> None:
            while not ended.is_set():
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/sparql"
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)


def _ask_sparql(folder: Path, talk: Talk) -> str:
    work = folder / uuid.uuid4().hex
    with _server(talk) as address, requests.Session() as session:
        settings = ClientSettings(
            address, "attack", folder / "lock", attempts=2, whole_s=WHOLE_S, silence_s=5, most_bytes=16 << 20
        )
        clock = Clock(SYSTEM_CLOCK.now, SYSTEM_CLOCK.monotonic, lambda seconds: None)
        endpoint = Endpoint(settings, open_recording(work, address, "whole", clock), clock, session)
        return _in_time(folder, lambda: list(endpoint.ask(QUERY)))


def _ask_api(folder: Path, talk: Talk) -> str:
    with _server(talk) as address, requests.Session() as session:
        clock = Clock(SYSTEM_CLOCK.now, SYSTEM_CLOCK.monotonic, lambda seconds: None)
        api = EntityApi(HttpSettings(address, "attack", folder / "lock", attempts=2), clock, session, WHOLE_S, 16 << 20)

        def read() -> object:
            found = api.read(["Q1"], ["P6"], "en")
            return compare_statements(found.statements, found.statements)

        return _in_time(folder, read)


def _in_time(folder: Path, ask: Callable[[], object]) -> str:
    """How asking ended; Broken when it took longer than its deadlines, or the lock is still held."""
    began = time.monotonic()
    try:
        ask()
        met = "answered"
    except (ChronoFactsError, QueryTooBig) as error:
        met = " ".join(str(error).split())
    if (seconds := time.monotonic() - began) > PATIENCE_S:
        raise Broken(f"it took {seconds:.1f} s")
    with lock_file(folder / "lock", wait=False, remove=True):
        return met
