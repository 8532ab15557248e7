"""Labels are text of strangers: in HTML, Markdown, YAML, SQL, SPARQL and a terminal they stay text.

The report's page is attacked in tests/editing/report/test_page.py.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from typer.testing import CliRunner

from chronofacts.flows.cli import app
from chronofacts.pipeline.publishing.charts import edits_by_month_svg, edits_by_relation_svg
from chronofacts.pipeline.snapshots.markdown import escape
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.pipeline.sources.sparql import queries
from chronofacts.pipeline.storage.session import connect, register
from chronofacts.schemas.plain_text import plain
from tests.pipeline.publishing.small_snapshot import make_snapshot

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "| a | b |\n# Z\n[x](javascript:alert(1)) `` ` ``",
    "---\nlicense: evil\n---\n: - & * ! %YAML {a: b}",
    "'); DROP TABLE edits; -- \"; SELECT * FROM read_csv('/etc/passwd')",
    '"@en } ; INSERT DATA { <a> <b> <c> } #',
    "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x9b31m\u202egnp.exe\r\b\x00",
)
runner = CliRunner()


@pytest.fixture(
    scope="module", params=range(len(HOSTILE)), ids=["html", "markdown", "yaml", "sql", "sparql", "terminal"]
)
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """(a name, a sound snapshot in which somebody has it)"""
    name = HOSTILE[request.param]
    return name, make_snapshot(tmp_path_factory.mktemp("hostile") / "S", surname=name)


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)


def test_a_name_comes_through_every_table_as_it_is(hostile: tuple[str, Path]) -> None:
    name, snapshot = hostile
    assert any(name in label for label in read_table(snapshot, "edits")["new_label"].to_pylist())
    assert verify(snapshot) == []


def test_the_card_keeps_its_metadata_its_headings_and_no_markup(hostile: tuple[str, Path]) -> None:
    _, snapshot = hostile
    front, _, body = (snapshot / "README.md").read_text().removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(front)["license"] == "cc0-1.0" and len(yaml.safe_load(front)["configs"]) > 3
    tags = Tags()
    tags.feed(re.sub(r"`[^`]*`", "", body))
    assert not {"script", "img"} & set(tags.found)
    assert not re.search(r"(?<!\\)\]\(javascript:", body)
    assert not any(line.startswith(("# Z", "license: evil")) for line in body.splitlines())
    assert "\x1b" not in body and "\x00" not in body


def test_a_chart_is_well_formed(hostile: tuple[str, Path]) -> None:
    import xml.etree.ElementTree as xml

    name, snapshot = hostile
    edits = read_table(snapshot, "edits")
    named = edits.set_column(edits.schema.get_field_index("relation"), "relation", pa.array([name] * len(edits)))
    for text in (edits_by_month_svg(edits), edits_by_relation_svg(named)):
        if not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text):  # which no XML may hold; relations are our own words
            xml.fromstring(text)
        assert "<script" not in text and "<img" not in text


def test_a_name_in_a_query_is_a_value(hostile: tuple[str, Path]) -> None:
    name, _ = hostile
    with connect() as connection:
        register(connection, edits=pa.table({"label": [name, "another"]}))
        found = connection.sql("SELECT label FROM edits WHERE label = $name", params={"name": name}).to_arrow_table()
        assert found["label"].to_pylist() == [name]
        assert connection.sql("SELECT count(*) AS n FROM edits").to_arrow_table()["n"].to_pylist() == [2]


@pytest.mark.parametrize("qid", ["Q1 } INSERT DATA { <a> <b> <c> }", "Q1> ?x", "P31", "Q", "Q1\n", "Q٣"])
def test_only_ids_enter_sparql(qid: str) -> None:
    for ask in (
        lambda: queries.statements(["P39"], [qid]),
        lambda: queries.subjects_with_value("P39", [qid]),
        lambda: queries.redirects([qid]),
        lambda: queries.revisions([qid]),
    ):
        with pytest.raises(ValueError, match="QID"):
            ask()
    with pytest.raises(ValueError, match="PID"):
        queries.discover([qid.replace("P31", "P31 }")])
    with pytest.raises(ValueError, match="language"):
        queries.entities(["P39"], ["Q1"], ['en") } #'])


@pytest.mark.parametrize(
    "command", [["inspect"], ["inspect", "--json"], ["inspect", "--why", "Q11"], ["verify"], ["diff"]]
)
def test_a_terminal_is_told_nothing_that_it_obeys(
    hostile: tuple[str, Path], command: list[str], tmp_path: Path
) -> None:
    _, snapshot = hostile
    paths = [str(snapshot)] if command[0] != "diff" else [str(make_snapshot(tmp_path / "other")), str(snapshot)]
    result = runner.invoke(app, [command[0], *paths, *command[1:]])
    assert result.exit_code == 0, result.output
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", result.output)
    if "--json" in command:
        json.loads(result.stdout)


def test_an_error_that_quotes_what_was_given_is_one_harmless_line(tmp_path: Path) -> None:
    result = runner.invoke(app, ["verify", str(tmp_path / "\x1b[2J\nchronofacts: all is well\u202e")])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1 and "\x1b" not in result.stderr and "\u202e" not in result.stderr


def test_plain_text_stays_what_it_is_in_any_script() -> None:
    text = "Dalia Grybauskaitė, 文在寅, محمد, ‌نیم‌فاصله, 🇳🇱\n\tx"
    assert plain(text) == text
    assert plain("a\x1b[31mb\x9bc\rd\u202ee") == "a�[31mb�c�d�e"


def test_markdown_escapes_every_sign_that_means_something() -> None:
    for sign in r"\`*_{}[]()#+!|~":
        assert escape(sign) == f"\\{sign}"
    assert escape("<b>&\n\nx") == "&lt;b&gt;&amp; x"
