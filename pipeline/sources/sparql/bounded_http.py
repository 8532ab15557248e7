"""One HTTP request with a bound on everything: a deadline for the whole of it, and bytes for the body.

A server that sends a byte now and then never runs into a time-out of its socket, wherever it does so: within the
handshake, the headers, a body with a length or without, packed or empty. So a watch ends the connection itself when the
time is over. Whatever the libraries below raise is `HttpFault`. A redirect is a reply like any other, and is not
followed: the address that was given is the one that is trusted with what is asked.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal

import requests
import urllib3
from requests.adapters import HTTPAdapter

__all__ = ["BoundedHttp", "HttpFault", "Reply"]

_CHUNK = 1 << 16
_PACKED = ("", "identity", "gzip", "x-gzip")
"""What was asked for; several layers of packing unfold beyond any bound before a byte of them is seen."""


class HttpFault(Exception):
    """kind: `silence` (no byte for long), `late` (no end in time), `large`, or `broken` (anything else)."""

    def __init__(self, kind: Literal["silence", "late", "large", "broken"], why: str) -> None:
        super().__init__(why)
        self.kind = kind


class Reply:
    """A reply whose body is still to be read."""

    def __init__(self, response: requests.Response, watch: _Watch, most_bytes: int) -> None:
        self.status, self.headers = response.status_code, response.headers
        self._response, self._watch, self._most_bytes = response, watch, most_bytes

    def chunks(self) -> Iterator[bytes]:
        """The body, unpacked, in pieces. Raises HttpFault where it does not come to its end."""
        packed = self.headers.get("Content-Encoding", "").strip().lower()
        if packed not in _PACKED:
            raise HttpFault("broken", f"the answer is packed as {packed[:40]!r}, which was not asked for")
        size = 0
        with self._watch.faults():
            for chunk in self._response.iter_content(_CHUNK):
                size += len(chunk)
                if size > self._most_bytes:
                    raise HttpFault("large", f"an answer of more than {self._most_bytes >> 20} MB")
                yield chunk
                if self._watch.expired:
                    raise self._watch.late()

    def beginning(self) -> str:
        """The first characters of the body, as far as they can be read."""
        try:
            return next(self.chunks(), b"").decode("utf-8", "replace")
        except HttpFault:
            return ""


class BoundedHttp:
    """Requests over one session. whole_s: seconds for one request, from its beginning to the end of its body."""

    def __init__(self, session: requests.Session, whole_s: float, most_bytes: int) -> None:
        self._session, self._whole_s, self._most_bytes = session, whole_s, most_bytes
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        adapter = _Adapter(self._sockets)
        session.mount("http://", adapter)
        session.mount("https://", adapter)

    @contextmanager
    def post(
        self, address: str, data: Any, headers: Mapping[str, str], timeout: float | tuple[float, float]
    ) -> Iterator[Reply]:
        """The reply to a request. timeout: seconds without a byte, or that and those of connecting in front."""
        with _Watch(self._sockets, self._whole_s) as watch:
            with watch.faults():
                response = self._session.post(
                    address,
                    data=data,
                    headers={**headers, "Accept-Encoding": "gzip"},
                    stream=True,
                    timeout=timeout,
                    allow_redirects=False,
                )
            with response:
                yield Reply(response, watch, self._most_bytes)

    def close(self) -> None:
        self._session.close()


class _Watch:
    """Ends every connection of a session when the time is over."""

    def __init__(self, sockets: weakref.WeakSet[socket.socket], seconds: float) -> None:
        self._sockets, self._seconds = sockets, seconds
        self.expired = False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def late(self) -> HttpFault:
        return HttpFault("late", f"no end of the answer in {self._seconds:.0f} s")

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Whatever requests, urllib3, http.client, ssl and zlib raise becomes a fault of one of four kinds."""
        try:
            yield
        except HttpFault:
            raise
        except Exception as error:
            if self.expired:
                raise self.late() from None
            said = " ".join(str(error).split())[:300]
            quiet = isinstance(error, requests.exceptions.ReadTimeout) or "timed out" in said
            connecting = isinstance(error, requests.exceptions.ConnectTimeout)
            raise HttpFault("silence" if quiet and not connecting else "broken", _named(error, said)) from error

    def _end(self) -> None:
        self.expired = True
        for known in list(self._sockets):
            # Of the socket itself, without TLS's farewell, which would wait for the other side.
            with suppress(OSError):
                socket.socket.shutdown(known, socket.SHUT_RDWR)


def _named(error: Exception, said: str) -> str:
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


class _Adapter(HTTPAdapter):
    """Transport whose sockets are known to the watch from the moment they are connected."""

    def __init__(self, sockets: weakref.WeakSet[socket.socket]) -> None:
        self._classes = {
            "http": _pool(urllib3.HTTPConnectionPool, sockets),
            "https": _pool(urllib3.HTTPSConnectionPool, sockets),
        }
        super().__init__()

    def init_poolmanager(self, *sizes: Any, **named: Any) -> None:
        super().init_poolmanager(*sizes, **named)  # type: ignore[no-untyped-call]
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, proxy: str, **named: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **named)  # type: ignore[no-untyped-call]
        manager.pool_classes_by_scheme = self._classes
        return manager


def _pool(pool: type[Any], sockets: weakref.WeakSet[socket.socket]) -> type[Any]:
    plain = pool.ConnectionCls

    class Connection(plain):  # type: ignore[misc,valid-type]
        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()
            # TLS takes the socket over and gives it back under another name: a second handle ends its handshake too.
            self._during = socket.socket(fileno=os.dup(made.fileno()))
            sockets.add(self._during)
            sockets.add(made)
            return made

        def connect(self) -> None:
            try:
                super().connect()
                sockets.add(self.sock)
            finally:
                if (during := getattr(self, "_during", None)) is not None:
                    during.close()

    class Pool(pool):  # type: ignore[misc,valid-type]
        ConnectionCls = Connection

    return Pool
