"""The report: whole in one file, readable, and safe whatever the names in it are."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronofacts.editing.report import as_json, terminal_table, write_report
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.editing.conftest import Experiment

HOSTILE = "<script>alert('x')</script>\"&$\\frac{"


class Reader(HTMLParser):
    """Collects what a browser would run or load, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts = 0
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action") and not (value or "").startswith("#"):
                self.loads.append(f"{tag} {name}={value}")
            if name.startswith("on"):
                self.handlers.append(f"{tag} {name}")


@pytest.fixture(scope="module")
def page(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_report([experiment.run], tmp_path_factory.mktemp("report") / "out")
    assert (path.parent / "report.md").is_file()
    return path.read_text()


def test_the_page_loads_nothing(page: str) -> None:
    assert Reader(page).loads == []
    assert not re.search(r"@import|url\((?!#|['\"]?#)", page)


def test_the_page_has_the_table_the_plots_and_the_examples(page: str) -> None:
    for editor in ("none", "lora", "lora+replay"):
        assert f"<th scope=row>{editor}</th>" in page
    plots = re.findall(r"<figure><h3>(.*?)</h3><div class=plot><svg", page)
    assert plots == [
        "Learnt, spread, kept", "Learning against remembering", "Before and after", "By relation", "By hops",
        "Against editing time",
    ]  # fmt: skip
    assert "data-kind='edit'" in page and "data-kind='history'" in page
    assert "width=device-width" in page and "chronofacts experiment SNAPSHOT" in page


def test_identifiers_of_the_plots_do_not_collide(page: str) -> None:
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', page)) <= set(identifiers)


def test_hostile_names_stay_text(experiment: Experiment, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(experiment.run, run, ignore=shutil.ignore_patterns("model", "adapters"))
    for file in (run / "scores").iterdir():
        table = pq.read_table(file)
        for name in ("prompt", "answer", "answer_before", "generated", "relation", "kind"):
            column = pa.array([HOSTILE] * table.num_rows)
            table = table.set_column(table.column_names.index(name), name, column)
        pq.write_table(table, file)
    metrics = pq.read_table(run / "metrics.parquet")
    hostile = [HOSTILE if group else None for group in metrics["group"].to_pylist()]
    place = metrics.column_names.index("group")
    pq.write_table(metrics.set_column(place, "group", pa.array(hostile, pa.string())), run / "metrics.parquet")
    about = json.loads((run / "run.json").read_text())
    about["snapshot"]["name"] = about["model"]["name"] = HOSTILE
    (run / "run.json").write_text(json.dumps(about))
    page = write_report([run], tmp_path / "out").read_text()
    reader = Reader(page)
    assert reader.scripts == 1 and not reader.handlers and not reader.loads
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page
    prose = [line for line in (tmp_path / "out" / "report.md").read_text().splitlines() if not line.startswith("    ")]
    assert "<script>" not in "\n".join(prose).replace("\\<", "")


def test_json_has_the_metrics_by_their_names(experiment: Experiment) -> None:
    figures = as_json([experiment.run])
    wanted = {"edit_success", "paraphrase", "portability", "multi_hop", "locality", "history", "stale_rate", "seconds"}
    assert set(figures) == {"none", "lora", "lora+replay"}
    for values in figures.values():
        assert wanted | {"peak_memory_mb"} <= set(values)
    json.dumps(figures)


def test_two_runs_of_one_editor_have_two_names(experiment: Experiment, tmp_path: Path) -> None:
    shutil.copytree(experiment.run, tmp_path / "again", ignore=shutil.ignore_patterns("model", "adapters"))
    figures = as_json([experiment.run, tmp_path / "again"])
    assert {"run/lora", "again/lora"} <= set(figures)


def test_the_terminal_table_has_a_row_per_editor(experiment: Experiment) -> None:
    lines = terminal_table([experiment.run]).splitlines()
    assert lines[0].startswith("editor") and [line.split()[0] for line in lines[1:]] == ["none", "lora", "lora+replay"]


def test_a_folder_that_is_no_run_and_a_full_output_are_refused(experiment: Experiment, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a run"):
        write_report([tmp_path], tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(BadInput, match="not empty"):
        write_report([experiment.run], tmp_path / "full")


def copied(experiment: Experiment, folder: Path, as_of: str | None = None, model: str | None = None) -> Path:
    """The run again, of another snapshot or model by name."""
    shutil.copytree(experiment.run, folder, ignore=shutil.ignore_patterns("model", "adapters"))
    about = json.loads((folder / "run.json").read_text())
    about["snapshot"]["as_of"] = as_of or about["snapshot"]["as_of"]
    about["model"]["name"] = model or about["model"]["name"]
    (folder / "run.json").write_text(json.dumps(about))
    return folder


def test_runs_of_several_snapshots_are_ranked_and_drawn_over_time(experiment: Experiment, tmp_path: Path) -> None:
    later = copied(experiment, tmp_path / "later", as_of="2025-06-01")
    page = write_report([experiment.run, later], tmp_path / "out").read_text()
    assert "<h2>Leaderboard</h2>" in page and "<h3>Over time</h3>" in page
    board = page[page.index("<h2>Leaderboard</h2>") :]
    rows = re.findall(r"<th scope=row>(\d+)</th><td>([\d-]+)</td><td>small-world</td><td>([\w+]+)</td>", board)
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert [row[1] for row in rows] == ["2025-06-01", "2025-06-01", "2025-01-01", "2025-01-01"]
    assert rows[0][2] == "lora+replay"  # it keeps what naive editing loses
    assert "## Leaderboard" in (tmp_path / "out" / "report.md").read_text()


def test_a_single_run_has_no_leaderboard(page: str) -> None:
    assert "Leaderboard" not in page and "<h3>Over time</h3>" not in page


def test_how_stale_a_model_is_is_drawn_for_every_run(experiment: Experiment, tmp_path: Path) -> None:
    run = copied(experiment, tmp_path / "run")
    file = run / "scores" / "none.parquet"
    table = pq.read_table(file)
    numbers = [int(fact[1:]) if re.fullmatch(r"e\d+", fact) else 0 for fact in table["fact"].to_pylist()]
    days = [datetime.date(2021, 1, 1) + datetime.timedelta(days=20 * number) for number in numbers]
    known = [day < datetime.date(2021, 12, 1) for day in days]
    for name, column in (
        ("changed_on_earliest", pa.array(days)), ("changed_on_latest", pa.array(days)),
        ("exact_match", pa.array(known)), ("exact_match_before", pa.array([not one for one in known])),
    ):  # fmt: skip
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, file)
    page = write_report([run], tmp_path / "out").read_text()
    assert "month by month?" in page
    told = re.search(r"knows the world until about (\w+ \d+)", page)
    assert told and told[1] in ("November 2021", "December 2021")


def test_scores_of_another_model_are_refused(experiment: Experiment, tmp_path: Path) -> None:
    run = copied(experiment, tmp_path / "run")
    file = run / "scores" / "lora.parquet"
    table = pq.read_table(file)
    other = pa.array(["0123456789abcdef"] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("model_hash"), "model_hash", other), file)
    with pytest.raises(CheckFailed, match="scores of the model 0123456789abcdef"):
        as_json([run])


def test_a_run_of_an_older_version_can_still_be_read(experiment: Experiment, tmp_path: Path) -> None:
    run = copied(experiment, tmp_path / "run")
    for file in (run / "scores").iterdir():
        newer = ["walk", "ngram_entropy", "tokens", "edited_hops", "asked_on", "probe_id"]
        pq.write_table(pq.read_table(file).drop_columns([*newer, "changed_on_earliest", "changed_on_latest"]), file)
    assert "data-kind='edit'" in write_report([run], tmp_path / "out").read_text()
