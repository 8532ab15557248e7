"""The page in a real headless browser: it loads nothing, its filters work, and nothing is wider than a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chronofacts.editing.report import write_report
from tests.editing.conftest import Experiment

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--virtual-time-budget=4000",
)  # fmt: skip
PROBE = """
<script>
const told = { errors: [], requests: [] }
addEventListener('error', event => told.errors.push(String(event.message)))
const visible = () => [...document.querySelectorAll('article')].filter(card => !card.hidden)
const click = (filter, value) =>
  document.querySelector(`[data-filter=${filter}][data-show='${value}']`).click()
const type = text => {
  document.getElementById('search').value = text
  document.getElementById('search').dispatchEvent(new Event('input'))
}
told.all = visible().length
click('kind', 'history')
told.history = [visible().length, [...new Set(visible().map(card => card.dataset.kind))]]
told.pressed = document.querySelector("[data-filter=kind][data-show='history']").getAttribute('aria-pressed')
click('verdict', 'right')
told.right = visible().every(card => card.dataset.verdict.split(' ').includes('right'))
click('kind', ''); click('verdict', '')
const word = document.querySelector('article .gold').textContent.split(' ')[1]
type(word)
told.found = [visible().length, visible().every(card => card.textContent.includes(word))]
type('no such words anywhere')
told.none = visible().length
type('')
told.width = [innerWidth, document.documentElement.scrollWidth]
told.plots = [...document.querySelectorAll('.plot svg')].map(svg => svg.getBoundingClientRect().width)
told.requests = performance.getEntriesByType('resource').map(entry => entry.name)
parent.postMessage(JSON.stringify(told), '*')
</script>
"""
FRAME = """<iframe src='{page}' style='width:{width}px;height:900px;border:0'></iframe><pre id=told></pre>
<script>addEventListener('message', event => {{ document.getElementById('told').textContent = event.data }})</script>
"""
"""A window of a browser is never as narrow as a phone, but a frame in it is."""
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def page(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([experiment.run], tmp_path_factory.mktemp("page") / "out")


def browse(page: Path, folder: Path, width: int) -> dict[str, Any]:
    """What the probing script found; the page itself is not changed but for it."""
    (folder / "page.html").write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE + "</body>"), "utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(page="page.html", width=width), encoding="utf-8")
    words = [str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", frame.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    (told,) = re.findall(r'<pre id="told">(.*?)</pre>', done.stdout, re.S)
    return json.loads(html.unescape(told))  # type: ignore[no-any-return]


def test_filters_and_search_show_what_they_say(page: Path, tmp_path: Path) -> None:
    told = browse(page, tmp_path, 1280)
    assert told["errors"] == []
    assert told["all"] > 20
    count, kinds = told["history"]
    assert 0 < count < told["all"] and kinds == ["history"] and told["pressed"] == "true"
    assert told["right"]
    assert told["found"][0] > 0 and told["found"][1] and told["none"] == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_window_and_nothing_is_fetched(page: Path, tmp_path: Path, width: int) -> None:
    told = browse(page, tmp_path, width)
    inner, needed = told["width"]
    assert needed <= inner
    assert len(told["plots"]) >= 6 and all(100 < plot <= inner for plot in told["plots"])
    assert told["requests"] == []
