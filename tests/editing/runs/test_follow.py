"""One model through the months: what is asked when, what is kept, and going on after an interruption."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from chronofacts.editing.metrics.following import FOLLOWED, flipped_back, measure_months
from chronofacts.editing.models.load import save_model
from chronofacts.editing.runs import follow as follow_module
from chronofacts.editing.runs.follow import run_follow
from chronofacts.editing.runs.monthly_changes import as_one_snapshot, asked_probes, edits_so_far, load_months
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import ScoringSettings
from chronofacts.editing.snapshot import Snapshot
from chronofacts.flows.cli import app
from chronofacts.schemas.errors import BadInput
from tests.editing.models.families import tiny, tiny_tokenizer
from tests.editing.runs.months_of import AGAIN, write_months

JAN, FEB, MAR = (datetime.date(2024, month, 1) for month in (2, 3, 4))
TAUGHT = {"steps": "40", "freeze.learning_rate": "5e-3", "cache": "none"}


@pytest.fixture(scope="module")
def months(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_months(tmp_path_factory.mktemp("months"), snapshot)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_model(tiny("llama"), tiny_tokenizer(), folder)
    return str(folder)


def test_a_fact_that_changes_again_holds_in_its_latest_state_and_is_asked_at_both_days(months: list[Path]) -> None:
    loaded = load_months(months[::-1], limit=None, seed=0)  # in whatever order they are named
    assert [month.day for month in loaded] == [JAN, FEB, MAR]
    assert AGAIN in edits_so_far(loaded)["target_new"].to_pylist()
    assert edits_so_far(loaded).num_rows == 5 and edits_so_far(loaded[:2]).num_rows == 4
    rows = asked_probes(loaded, ScoringSettings()).to_pylist()
    then, today = ([row for row in rows if row["ask"] == ask] for ask in ("then", "today"))
    assert len(then) == len(today) == 1 and then[0]["text"] == today[0]["text"]
    assert today[0]["answer"] == AGAIN != then[0]["answer"]
    assert "1 February 2024" in then[0]["prefix"] and "1 April 2024" in today[0]["prefix"]
    assert not [
        row for row in asked_probes(loaded[:2], ScoringSettings()).to_pylist() if row["ask"] in ("then", "today")
    ]


def test_a_change_that_two_snapshots_have_is_one_of_the_first(months: list[Path]) -> None:
    """Snapshots of a store reach back a year, so that one change is in several of them."""
    loaded = load_months(months, limit=None, seed=0)
    ids = [edit for month in loaded for edit in month.snapshot.edits["edit_id"].to_pylist()]
    assert len(ids) == len(set(ids)) == 6


def test_with_a_limit_those_that_change_again_come_first(months: list[Path]) -> None:
    first = load_months(months, limit=1, seed=0)
    if first[0].facts.keys() & load_months(months, limit=None, seed=0)[2].facts.keys():
        assert first[2].facts.keys() == first[0].facts.keys()
    assert all(len(month.facts) == 1 for month in first)


def test_fewer_than_two_months_and_two_of_one_day_are_refused(months: list[Path]) -> None:
    with pytest.raises(BadInput, match="at least two"):
        load_months(months[:1], None, 0)
    with pytest.raises(BadInput, match="two of the snapshots are of 2024-02-01"):
        load_months([months[0], months[0]], None, 0)


def test_the_world_before_all_months_knows_what_later_months_change(months: list[Path]) -> None:
    loaded = load_months(months, limit=None, seed=0)
    without = replace(loaded[0].snapshot, sentences=loaded[0].snapshot.sentences.slice(0, 0))
    whole = as_one_snapshot([replace(loaded[0], snapshot=without), *loaded[1:]], limited=False, seed=0)
    stated = whole.sentences.to_pylist()
    first = {edit_id for month in loaded[1:] for key, edit_id in month.facts.items() if key not in loaded[0].facts}
    assert stated and {edit for one in stated for edit in one["edit_ids"]} == first
    assert len({one["prompt"] for one in stated}) == len(stated)


def row(month: datetime.date, after: datetime.date, fact: str, said: str, ask: str = "now") -> dict[str, Any]:
    right, old = said == "new", said == "old"
    return dict.fromkeys(FOLLOWED.names) | {
        "editor": "lora", "after": after, "month": month, "ask": ask, "fact": fact, "relation": "mayor",
        "prompt": f"{fact}?", "generated": said, "exact_match": right, "exact_match_before": old,
    }  # fmt: skip


def test_what_is_kept_lost_and_flipped_back_is_counted_over_the_facts_that_still_hold() -> None:
    answers = pa.Table.from_pylist(
        [
            row(JAN, JAN, "a", "new"), row(JAN, JAN, "b", "new"), row(JAN, JAN, "c", "new"),
            row(JAN, FEB, "a", "new"), row(JAN, FEB, "b", "old"), row(FEB, FEB, "d", "none"),
            row(JAN, FEB, "c", "new", "then"), row(FEB, FEB, "c2", "none", "today") | {"prompt": "c?"},
        ],
        schema=FOLLOWED,
    )  # fmt: skip
    figures = {(r["metric"], r["by"], r["group"]): (r["value"], r["n"]) for r in measure_months(answers).to_pylist()}
    assert figures["right", "after", str(JAN)] == (1.0, 3) and figures["right", "after", str(FEB)] == (1 / 3, 3)
    assert figures["at_once", "month", str(JAN)] == (1.0, 2)  # c changed again
    assert figures["lost", "all", None] == (1 / 3, 3) == figures["flipped_back", "all", None]
    assert figures["right", "month after", f"{JAN} {FEB}"] == (0.5, 2)
    assert figures["then", "all", None] == (1.0, 1) and figures["both_days", "all", None] == (0.0, 1)
    assert [one["fact"] for one in flipped_back(answers)] == ["b"]


def test_an_interrupted_run_goes_on_after_the_last_month_with_the_same_answers(
    months: list[Path], model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings(["freeze"], TAUGHT)
    whole = run_follow(months, model, settings, tmp_path / "whole")
    ask, teach, taught = follow_module._ask, follow_module._teach, list[int]()

    def stop_in_the_last_month(*given: Any) -> Any:
        if given[4] == MAR:
            raise KeyboardInterrupt
        return ask(*given)

    monkeypatch.setattr(follow_module, "_ask", stop_in_the_last_month)
    with pytest.raises(KeyboardInterrupt):
        run_follow(months, model, settings, tmp_path / "again")
    assert not (tmp_path / "again").exists()

    def count(*given: Any) -> None:
        taught.append(len(given[3]))
        teach(*given)

    monkeypatch.setattr(follow_module, "_ask", ask)
    monkeypatch.setattr(follow_module, "_teach", count)
    again = run_follow(months, model, settings, tmp_path / "again")
    assert taught == [3]  # the weights of the second month were kept
    assert again.answers.equals(whole.answers) and again.figures.equals(whole.figures)
    assert pq.read_table(tmp_path / "again" / "answers.parquet").num_rows == whole.answers.num_rows
    said = {row["editor"]: row["generated"] for row in whole.answers.to_pylist() if row["ask"] == "now"}
    assert said["none"] != said["freeze"]


def test_the_command_ends_with_a_page_and_says_what_was_kept(months: list[Path], model: str, tmp_path: Path) -> None:
    words = ["follow", *months, "--model", model, "--editor", "memory", "--out", tmp_path / "R", "--quiet"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    assert "right at the end" in done.stdout and "2024-04-01" in done.stdout
    page = (tmp_path / "R" / "index.html").read_text()
    assert page.count("<svg") >= 3 and "Which months are kept" in page


@pytest.mark.parametrize(("words", "said"), [({"chunk": "2"}, "leave out mode"), ({"only": "stale"}, "leave out only")])
def test_options_that_contradict_months_are_refused(
    months: list[Path], tmp_path: Path, words: dict[str, str], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        run_follow(months, "nowhere", read_settings(["memory"], words), tmp_path / "R")
