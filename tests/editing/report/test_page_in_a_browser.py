"""The page in a real headless browser: it loads nothing, its filters work, and nothing is wider than a phone."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
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
const told = { errors: [], requests: [], blocked: [] }
addEventListener('error', event => told.errors.push(String(event.message)))
addEventListener('securitypolicyviolation', event => told.blocked.push(event.violatedDirective))
const visible = () => [...document.querySelectorAll('article')].filter(card => !card.hidden)
const choose = (filter, value) => {
  const select = document.querySelector(`[data-filter=${filter}]`)
  select.value = value
  select.dispatchEvent(new Event('change'))
}
const type = text => {
  document.getElementById('search').value = text
  document.getElementById('search').dispatchEvent(new Event('input'))
}
told.all = document.querySelectorAll('article').length
told.first = visible().length
document.getElementById('further').click()
told.further = visible().length
choose('kind', 'locality')
told.locality = [visible().length, [...new Set(visible().map(card => card.dataset.kind))]]
choose('editor', 'lora'); choose('verdict', 'wrong')
told.wrong = visible().map(card => card.querySelector("[data-editor='lora']").dataset.verdict)
choose('kind', ''); choose('editor', ''); choose('verdict', ''); choose('relation', 'coach')
told.relations = [...new Set(visible().map(card => card.dataset.relation))]
choose('relation', '')
const word = document.querySelector('article .gold').textContent.split(' ')[1]
type(word)
told.found = [visible().length, visible().every(card => card.textContent.includes(word))]
type('no such words anywhere')
told.none = visible().length
type('')
const table = document.querySelector('#results table')
const column = () => [...table.tBodies[0].rows].map(row => Number(row.cells[1].dataset.value))
const sorter = table.querySelectorAll('thead button')[1]
sorter.click()
told.sorted = [table.querySelectorAll('thead th')[1].getAttribute('aria-sort'), column()]
sorter.click()
told.turned = [table.querySelectorAll('thead th')[1].getAttribute('aria-sort'), column()]
const reference = document.getElementById('reference')
reference.value = 'none'
reference.dispatchEvent(new Event('change'))
told.references = [...document.querySelectorAll('[data-reference]')].filter(part => !part.hidden)
  .map(part => [part.dataset.reference, part.querySelector('tbody th').textContent])
const blobs = []
URL.createObjectURL = blob => { blobs.push(blob); return '#' }
document.getElementById('csv').click()
document.getElementById('json').click()
told.width = [innerWidth, document.documentElement.scrollWidth]
told.plots = [...document.querySelectorAll('.plot svg')].map(svg => svg.getBoundingClientRect().width)
told.alt = [...document.querySelectorAll('.plot svg')].map(svg => svg.getAttribute('aria-label'))
told.letters = document.querySelectorAll('.plot svg text').length
told.requests = performance.getEntriesByType('resource').map(entry => entry.name)
const sneaked = document.createElement('script')
sneaked.textContent = 'told.ran = true'
document.body.append(sneaked)
Promise.all(blobs.map(blob => blob.text())).then(texts => {
  [told.csv, told.json] = texts
  parent.postMessage(JSON.stringify(told), '*')
})
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
    """What the probing script found; the page itself is not changed, but that it allows the script by its hash."""
    allowed = base64.b64encode(hashlib.sha256(PROBE.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8").replace("script-src ", f"script-src 'sha256-{allowed}' ", 1)
    text = text.replace("</body>", f"<script>{PROBE}</script></body>")
    (folder / "page.html").write_text(text, "utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(page="page.html", width=width), encoding="utf-8")
    words = [str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", frame.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    (told,) = re.findall(r'<pre id="told">(.*?)</pre>', done.stdout, re.S)
    return json.loads(html.unescape(told))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def told(page: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of a wide window."""
    return browse(page, tmp_path_factory.mktemp("wide"), 1280)


def test_filters_and_search_show_what_they_say(told: dict[str, Any]) -> None:
    assert told["errors"] == []
    assert told["first"] == 20 < told["further"] <= told["all"]
    count, kinds = told["locality"]
    assert 0 < count < told["all"] and kinds == ["locality"]
    assert told["wrong"] and set(told["wrong"]) == {"wrong"}
    assert told["relations"] == ["coach"]
    assert told["found"][0] > 0 and told["found"][1] and told["none"] == 0


def test_tables_sort_and_differences_have_the_reference_that_was_chosen(told: dict[str, Any]) -> None:
    order, values = told["sorted"]
    assert order == "descending" and values == sorted(values, reverse=True) and len(set(values)) > 1
    assert told["turned"] == ["ascending", sorted(values)]
    ((chosen, first),) = told["references"]
    assert chosen == "none" and first.endswith("− none")


def test_the_figures_that_are_saved_are_those_of_the_run(told: dict[str, Any], experiment: Experiment) -> None:
    figures = json.loads(told["json"])["figures"]
    rows = list(csv.DictReader(io.StringIO(told["csv"], newline="")))
    assert len(rows) == len(figures) > 30
    for got in (figures, rows):
        of = {(row["editor"], row["metric"]): row for row in got if row["by"] == "all"}
        for editor, values in experiment.summary.metrics.items():
            for metric, value in values.items():
                assert float(of[editor, metric]["value"]) == pytest.approx(value)
        assert int(of["lora", "edit_success"]["n"]) == 30


def test_nothing_is_wider_than_the_window_and_nothing_is_fetched(
    page: Path, told: dict[str, Any], tmp_path: Path
) -> None:
    for found in (told, browse(page, tmp_path, 390)):
        inner, needed = found["width"]
        assert needed <= inner
        assert len(found["plots"]) >= 6 and all(100 < plot <= inner for plot in found["plots"])
        assert all(found["alt"]) and found["letters"] > 50
        assert found["requests"] == []


def test_the_page_lets_no_script_run_but_its_own(told: dict[str, Any]) -> None:
    assert "ran" not in told and set(told["blocked"]) <= {"script-src-elem"}


def test_a_print_has_at_most_six_pages(page: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.pdf"
    words = [str(BROWSER), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={out}", page.as_uri()]
    subprocess.run(words, capture_output=True, timeout=120, check=True)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", out.read_bytes())) <= 6
