"""What the tables, the examples and the page say, by their values."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chronofacts.editing.metrics.definitions import DEFINITIONS, FORGETTING
from chronofacts.editing.report import as_json, terminal_table, write_report
from chronofacts.editing.report.examples import choose_examples
from chronofacts.editing.report.names import NAMES, heading, label
from chronofacts.editing.report.runs import Run, read_runs, shorten_paths, states
from chronofacts.editing.report.summary import describe_making
from chronofacts.editing.report.tables import _best, breakdown_tables, difference_tables, main_metrics, metric_table
from chronofacts.schemas.errors import BadInput
from tests.editing.conftest import Experiment

STATEMENT = "Q90$0A1B2C3D-1111-4222-8333-444455556666"


@pytest.fixture
def run(experiment: Experiment) -> Run:
    return read_runs([experiment.run])[0]


def changed(experiment: Experiment, folder: Path, **columns: list[str] | str) -> Path:
    """The run again, with other values in every row of its scores, and read from another source."""
    shutil.copytree(experiment.run, folder, ignore=shutil.ignore_patterns("model", "adapters"))
    about = json.loads((folder / "run.json").read_text())
    about["snapshot"]["source"] = columns.pop("source", "wdqs")
    (folder / "run.json").write_text(json.dumps(about))
    for file in (folder / "scores").iterdir():
        table = pq.read_table(file)
        for name, value in columns.items():
            field = table.schema.field(name)
            table = table.set_column(
                table.column_names.index(name), field, pa.array([value] * table.num_rows, field.type)
            )
        pq.write_table(table, file)
    return folder


def test_no_two_metrics_have_one_name_and_all_names_are_those_of_the_figures() -> None:
    assert len({label(metric) for metric in NAMES}) == len(NAMES)
    assert set(NAMES) - {"seconds", "peak_memory_mb"} <= DEFINITIONS.keys() | FORGETTING.keys()
    assert heading("history") == "history ↑" and heading("history_kept") == "history kept ↑"
    assert heading("stale_rate") == "stale rate ↓"


def test_tables_plots_and_json_call_a_metric_alike(experiment: Experiment, tmp_path: Path) -> None:
    page = write_report([experiment.run], tmp_path / "out").read_text()
    told = (tmp_path / "out" / "report.md").read_text()
    for metric in ("edit_success", "history", "stale_rate"):
        assert metric in as_json([experiment.run])["lora"]
        assert f"<th scope=col>{heading(metric)}</th>" in page and f">{heading(metric)}</text>" in page
        assert f"| {heading(metric)} |" in told and heading(metric) in terminal_table([experiment.run])
    assert "neighbours kept" not in page and "reworded" not in page


def test_where_one_editor_is_in_several_runs_every_row_names_its_run(run: Run, tmp_path: Path) -> None:
    assert [state.label for state in states([run])] == [state.editor for state in states([run])]
    only = next(iter(run.about["metrics"]))
    other = replace(run, folder=tmp_path / "other", about={**run.about, "metrics": {only: run.about["metrics"][only]}})
    labels = [state.label for state in states([run, other])]
    assert labels == [*(f"{run.folder.name}/{editor}" for editor in run.about["metrics"]), f"other/{only}"]


def test_every_figure_has_its_interval_and_the_number_of_its_questions(run: Run) -> None:
    found = states([run])
    tables = [metric_table(found, main_metrics(found)), *breakdown_tables(found), *difference_tables([run])]
    shown = [
        (heading, cell) for table in tables for row in table.rows
        for heading, cell in zip(table.headings[1:], row[1:], strict=True)
    ]  # fmt: skip
    figures = [cell for heading, cell in shown if cell.value is not None and not heading.startswith(("sec", "peak"))]
    assert len(figures) > 40 and all(cell.span and cell.n for cell in figures)


@pytest.mark.parametrize(("values", "best"), [([0.0, 0.0], None), ([0.2], None), ([0.2, None, 0.4], 0.4), ([], None)])
def test_none_is_the_best_where_all_are_equal(values: list[float | None], best: float | None) -> None:
    assert _best("edit_success", values) == best


def test_the_best_editor_is_marked_and_the_unedited_model_never_is(run: Run) -> None:
    table = metric_table(states([run]), ["stale_rate", "history"])
    for column in (1, 2):
        cells = {row[0].text: row[column] for row in table.rows}
        edited = [cell.value for name, cell in cells.items() if name != "none" and cell.value is not None]
        best = (min(edited) if column == 1 else max(edited)) if len(set(edited)) > 1 else None
        assert cells["none"].value is not None
        assert {name for name, cell in cells.items() if cell.best} == {
            name for name, cell in cells.items() if name != "none" and cell.value == best
        }


def test_differences_are_those_of_the_figures_and_marked_where_they_leave_out_zero(run: Run) -> None:
    figures = run.about["metrics"]
    table = next(one for one in difference_tables([run]) if one.title == "none")
    assert table.headings[1] == "edit success ↑" and [row[0].text for row in table.rows] == [
        "lora − none", "lora+replay − none",
    ]  # fmt: skip
    for row, editor in zip(table.rows, ("lora", "lora+replay"), strict=True):
        wanted = figures[editor]["edit_success"] - figures["none"]["edit_success"]
        assert row[1].value == pytest.approx(wanted) and wanted > 0.5 and row[1].best and row[1].text.startswith("+")


def test_a_run_without_differences_has_no_such_table(experiment: Experiment, tmp_path: Path) -> None:
    folder = changed(experiment, tmp_path / "older")
    (folder / "differences.parquet").unlink()
    assert difference_tables(read_runs([folder])) == []
    assert "Differences between" not in write_report([folder], tmp_path / "out").read_text()


def test_an_example_links_its_item_and_its_statements_on_wikidata(experiment: Experiment, tmp_path: Path) -> None:
    folder = changed(experiment, tmp_path / "run", subject="Q90", statement_ids=[STATEMENT])
    links = [("Q90", "https://www.wikidata.org/wiki/Q90")]
    statement = ("statement 1", f"https://www.wikidata.org/wiki/Q90#{STATEMENT}")
    assert choose_examples(read_runs([folder])).cards[0].links == [*links, statement]
    page = write_report([folder], tmp_path / "out").read_text()
    assert f'<a href="https://www.wikidata.org/wiki/Q90#{STATEMENT}"' in page
    by_hand = changed(experiment, tmp_path / "sample", subject="Q90", statement_ids=[STATEMENT], source="sample")
    assert choose_examples(read_runs([by_hand])).cards[0].links == links


def test_an_id_that_is_not_wikidatas_is_no_link(experiment: Experiment, tmp_path: Path) -> None:
    evil = ("javascript:alert(1)", "Q1' onclick='x", 'Q1"><script>x</script>', "Q90\n", "Q0")
    folders = [
        changed(experiment, tmp_path / str(number), subject=one, statement_ids=[one, f"{one}${STATEMENT[4:]}"])
        for number, one in enumerate(evil)
    ]
    cards = {one: choose_examples([run]).cards for one, run in zip(evil, read_runs(folders), strict=True)}
    assert {one: [card.links for card in of_one if card.links] for one, of_one in cards.items()} == {
        x: [] for x in evil
    }
    assert "wikidata.org" not in write_report(folders, tmp_path / "out").read_text()


def test_the_page_says_when_with_what_and_where_the_run_was_made(run: Run) -> None:
    made = dict(describe_making(run))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\+00:00", made["date"])
    assert made["chronofacts"].startswith(run.about["code"]["version"])
    assert made["device"] == "cpu" and "torch " in made["packages"] and run.about["model"]["hash"] in made["model"]


def test_an_unfinished_run_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".R.partial" / ".work").mkdir(parents=True)
    for folder in (tmp_path / "R", tmp_path / ".R.partial"):
        with pytest.raises(BadInput, match=r"is unfinished; run the same .* again[^\n]*$"):
            read_runs([folder])


def test_a_small_world_below_its_target_is_told_first(experiment: Experiment, tmp_path: Path) -> None:
    folder = changed(experiment, tmp_path / "run")
    about = json.loads((folder / "run.json").read_text())
    about["warnings"] = ["the small world knows 20 % of what it was to know"]
    (folder / "run.json").write_text(json.dumps(about))
    page = write_report([folder], tmp_path / "out").read_text()
    assert "run: the small world knows 20 % of what it was to know" in page[: page.index("<h2>")]
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert "knows 20 % of what it was to know" in markdown[: markdown.index("|")]


def test_a_page_names_no_folder_of_the_machine_that_made_it() -> None:
    about = {"name": "/home/ann/models/llama", "more": ["C:\\Users\\ann\\m", "org/name", "a / b"]}
    assert shorten_paths(about) == {"name": "models/llama", "more": ["ann/m", "org/name", "a / b"]}
