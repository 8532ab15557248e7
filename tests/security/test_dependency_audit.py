"""`make audit` against an advisory service on this machine: a known advisory does not pass, nor does silence."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[2]
BROKEN = "requests"


@contextmanager
def advisory_service(broken: str | None) -> Iterator[tuple[str, list[str]]]:
    """(address, packages asked about) of a service in OSV's terms, that knows one advisory or none."""
    asked: list[str] = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = query["package"]["name"]
            asked.append(name)
            package = {"name": name, "ecosystem": "PyPI"}
            fixed = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999"}]}
            known = {"id": "PYSEC-0000-1", "summary": "made up", "affected": [{"package": package, "ranges": [fixed]}]}
            body = json.dumps({"vulns": [known]} if name == broken else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query", asked
    finally:
        server.shutdown()
        server.server_close()


def audit(address: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`make audit` of the environment that runs this test, which is not made anew."""
    (folder / ".ready").touch()
    words = ["make", "audit", f"VENV={folder}", f"RUN={Path(sys.executable).parent}", f"OSV_URL={address}"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_a_package_with_a_known_advisory_fails_the_audit_by_name(tmp_path: Path) -> None:
    with advisory_service(BROKEN) as (address, asked):
        done = audit(address, tmp_path)
    assert done.returncode != 0
    assert BROKEN in done.stdout and "PYSEC-0000-1" in done.stdout and "999" in done.stdout
    assert {"duckdb", "prefect", "pyarrow", "torch", "transformers"} <= set(asked)


def test_an_environment_without_advisories_passes_the_audit(tmp_path: Path) -> None:
    with advisory_service(None) as (address, _asked):
        assert audit(address, tmp_path).returncode == 0


def test_a_service_that_does_not_answer_is_no_clean_bill(tmp_path: Path) -> None:
    with advisory_service(None) as (address, _asked):
        pass
    assert audit(address, tmp_path).returncode != 0
