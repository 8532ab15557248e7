"""A real HTTP server that answers as `wbgetentities` does, over a small world that a test may change."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


def statement(subject: str, pid: str, value: str) -> dict:
    return {
        "id": f"{subject.lower()}$1-{pid}", "type": "statement", "rank": "preferred",
        "mainsnak": {
            "snaktype": "value", "property": pid,
            "datavalue": {"type": "wikibase-entityid", "value": {"entity-type": "item", "id": value}},
        },
    }  # fmt: skip


def entity(qid: str, label: str, **claims: str) -> dict:
    return {
        "type": "item", "id": qid, "lastrevid": 77, "modified": "2026-11-20T10:00:00Z",
        "labels": {"mul": {"language": "mul", "value": label}, "fi": {"language": "fi", "value": f"{label} (fi)"}},
        "aliases": {"en": [{"language": "en", "value": f"alias of {label}"}]}, "descriptions": [],
        "claims": {pid: [statement(qid, pid, value)] for pid, value in claims.items()} or [],
        "sitelinks": {"enwiki": {"site": "enwiki", "title": label}},
    }  # fmt: skip


ENTITIES = {
    f"Q{number}": entity(f"Q{number}", f"Name {number}", P6=f"Q{number + 1000}", P31="Q6256")
    for number in range(1, 121)
}
MERGED = {"Q900": "Q7"}


class Api(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, str]] = []
        self.troubles: list[tuple[int, dict[str, str], dict]] = []
        self.entities = copy.deepcopy(ENTITIES)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/w/api.php"


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.asked.append({name: values[0] for name, values in form.items()})
        if self.server.troubles:
            self._send(*self.server.troubles.pop(0))
            return
        found = {}
        for qid in form["ids"][0].split("|"):
            if qid in MERGED:
                found[qid] = {**self.server.entities[MERGED[qid]], "redirects": {"from": qid, "to": MERGED[qid]}}
            else:
                found[qid] = self.server.entities.get(qid, {"id": qid, "missing": ""})
        self._send(200, {}, {"entities": found, "success": 1})

    def _send(self, status: int, headers: dict[str, str], reply: dict) -> None:
        body = json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving() -> Iterator[Api]:
    """The server while it runs."""
    with Api() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()
