"""The pictures of README, by headless Chromium: a report's page, a model followed through the months, and the Prefect
UI after a monthly run.

Run: python docs/pictures.py report REPORT/index.html     a report of `chronofacts demo`
     python docs/pictures.py months RUN/index.html        a run of `python -m benchmarks.months`
     python docs/pictures.py ui                           a server, two months on the sample, a local Hub
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

DOCS = ROOT / "docs"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage")


def picture(address: str, out: Path, width: int, height: int, shows: str) -> None:
    """A PNG of a page, two seconds after it shows some words."""
    browser = next(path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name)))
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", f"--remote-debugging-port={port}",
                   f"--window-size={width},{height}", address]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                pages = answered(f"http://127.0.0.1:{port}/json/list", 60)
                page = next(page for page in pages if page["type"] == "page")
                with connect(page["webSocketDebuggerUrl"], max_size=None) as to_page:
                    for _ in range(180):
                        text = asked(to_page, "Runtime.evaluate", expression="document.body.innerText")
                        if shows in text["result"].get("value", ""):
                            break
                        time.sleep(1)
                    else:
                        raise TimeoutError(f"{address} does not show {shows!r}")
                    time.sleep(2)
                    told = asked(to_page, "Page.captureScreenshot")
                out.write_bytes(base64.b64decode(told["data"]))
            finally:
                process.terminate()
    print(f"{out}: {out.stat().st_size // 1024} kB", flush=True)


def asked(to_page: ClientConnection, method: str, **parameters: Any) -> dict[str, Any]:
    """What the browser answers to a call of its DevTools protocol."""
    to_page.send(json.dumps({"id": 1, "method": method, "params": parameters}))
    return dict(json.loads(to_page.recv(timeout=120))["result"])


def answered(address: str | urllib.request.Request, patience_s: float) -> Any:
    """The JSON at an address, as soon as somebody answers there."""
    until = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def latest_artifact(address: str, key: str) -> str:
    """Id of the newest artifact of a key. That of `/artifacts/KEY/latest` is another, which the UI does not know."""
    asked = json.dumps({"artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1}).encode()
    request = urllib.request.Request(f"{address}/api/artifacts/filter", asked, {"Content-Type": "application/json"})
    return str(answered(request, 30)[0]["id"])


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def pictures_of_the_ui(folder: Path) -> None:
    """A month on a server of its own, and the pages that a maintainer opens afterwards."""
    from tests.flows.two_months import FIRST, SECOND, Installation
    from tests.pipeline.publishing.local_hub import local_hub
    from tests.pipeline.sources.sample_world import sample_as_of
    from tests.pipeline.sources.sparql.endpoint_server import serving

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": f"{address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }  # fmt: skip
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            answered(f"{address}/api/health", 120)
            with local_hub() as hub, serving(sample_as_of(FIRST)) as endpoint:
                installation = Installation(folder / "installation", hub, endpoint, f"{address}/api")
                for day in (FIRST, SECOND):
                    month = installation.month(day)
                    print(day, month.code, f"{month.seconds:.0f} s", month.errors[-300:], flush=True)
            picture(f"{address}/artifacts", folder / "prefect-artifacts.png", 1200, 640, "rejections")
            page = f"{address}/artifacts/artifact/{latest_artifact(address, 'changes')}"
            picture(page, folder / "prefect-changes.png", 1200, 720, "Since the snapshot")
        finally:
            server.terminate()


def main() -> None:
    if sys.argv[1:2] == ["report"] and len(sys.argv) == 3:
        picture(Path(sys.argv[2]).absolute().as_uri(), DOCS / "report.png", 1200, 1060, "Results")
    elif sys.argv[1:2] == ["months"] and len(sys.argv) == 3:
        picture(Path(sys.argv[2]).absolute().as_uri(), DOCS / "months.png", 1200, 760, "Through the months")
    elif sys.argv[1:2] == ["ui"]:
        with tempfile.TemporaryDirectory() as name:
            pictures_of_the_ui(Path(name))
            for path in Path(name).glob("prefect-*.png"):
                shutil.copy(path, DOCS)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
