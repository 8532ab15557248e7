"""What is small on the way and huge when it is unpacked costs neither the memory nor the disk."""

from __future__ import annotations

import gzip
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import chronofacts.pipeline.publishing.hub
from chronofacts.pipeline.sources.dump.lines import DumpLines
from chronofacts.pipeline.sources.sample import load_triples
from chronofacts.pipeline.sources.sparql.client import QueryTooBig
from chronofacts.pipeline.sources.sparql.http_policy import EndpointFailed
from chronofacts.schemas.documents import Unreadable, parse_toml
from chronofacts.schemas.errors import CheckFailed, ChronoFactsError
from tests.pipeline.publishing.local_hub import LocalHub
from tests.pipeline.publishing.sending import REPO, TAG, send
from tests.pipeline.sources.sparql.endpoint_server import FakeTime, endpoint_at

ROOT = Path(__file__).resolve().parents[2]
MB = 1 << 20


def packed(megabytes: int) -> bytes:
    """A gzip stream of blanks (in members of one megabyte each), a thousandth of its content."""
    return gzip.compress(b" " * MB, 9) * megabytes


def test_a_key_of_thousands_of_parts_is_refused_whatever_signs_are_in_it() -> None:
    for piece in ("a.", '"\u2028".'):
        with pytest.raises(Unreadable, match="dots"):
            parse_toml(f"{piece * 5000}a = 1\n")


@pytest.fixture(scope="module")
def bombing() -> Iterator[str]:
    """An endpoint every answer of which is 64 MB of blanks in 64 kB, and says that it is JSON."""
    body = packed(64)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/sparql-results+json")
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Who leaves in the middle of such an answer is right."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/sparql"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_endpoints_answer_that_swells_is_left_and_nothing_of_it_kept(bombing: str, tmp_path: Path) -> None:
    time = FakeTime()
    with (
        endpoint_at(bombing, tmp_path, time, most_bytes=8 * MB) as endpoint,
        pytest.raises((EndpointFailed, QueryTooBig), match="more than 8 MB"),
    ):
        list(endpoint.ask("SELECT * WHERE { VALUES ?item { wd:Q1 } }"))
    assert sum(path.stat().st_size for path in (tmp_path / "raw").rglob("*") if path.is_file()) < MB


def test_a_dump_of_one_endless_line_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "all.json.gz"
    path.write_bytes(gzip.compress(b"[\n") + packed(700) + gzip.compress(b"\n]\n"))
    code = (
        "import sys; from pathlib import Path\n"
        "from chronofacts.pipeline.sources.dump.lines import DumpLines\n"
        "from chronofacts.schemas.errors import ChronoFactsError\n"
        "def peak(): return int(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]) // 1024\n"
        "before = peak()\n"
        "try:\n"
        "    with DumpLines(Path(sys.argv[1])) as lines: found = list(lines)\n"
        "except ChronoFactsError: found = []\n"
        "print(len(found), peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    found, megabytes = map(int, done.stdout.split())
    assert found == 0
    assert megabytes < 400  # of 700; a line is read to 64 MB


def test_bytes_that_only_look_packed_are_told(tmp_path: Path) -> None:
    for name, content in (("all.json.gz", packed(1)[:400]), ("all.json.zst", b"\x28\xb5\x2f\xfd" + bytes(200))):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ChronoFactsError), DumpLines(path) as lines:
            list(lines)
    (tmp_path / "triples.nt.gz").write_bytes(packed(1)[:400])
    with pytest.raises(CheckFailed, match="cannot be read to its end"):
        load_triples([tmp_path / "triples.nt.gz"])


def test_a_parquet_file_that_swells_is_not_compared_with(
    hub: LocalHub, snapshot: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stream = io.BytesIO()
    pq.write_table(pa.table({"edit_id": ["x" * 1000] * 30_000}), stream, compression="zstd", use_dictionary=False)
    assert len(stream.getvalue()) < MB
    hub.create(REPO)
    hub.repos[REPO].tags["2024-12-01"] = hub.push(REPO, "edits/edits-test.parquet", stream.getvalue())
    monkeypatch.setattr(chronofacts.pipeline.publishing.hub, "_MOST_BYTES", 20 * MB)
    monkeypatch.setattr(logging.getLogger("chronofacts"), "propagate", True)
    send(hub, snapshot)
    assert "not compared" in caplog.text and "unpacks to more than 20 MB" in caplog.text
    assert "`2024-12-01` has another layout" in hub.content(REPO, TAG, "README.md").decode()
