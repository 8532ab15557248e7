"""`chronofacts stale`: what a model believes that is no longer true, asked of it without any editor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from chronofacts.editing.models.load import save_model
from chronofacts.flows.cli import app
from chronofacts.pipeline.snapshots.store import open_store
from chronofacts.schemas.base_answers import BASE_ANSWERS, read_base_answers
from tests.editing.models.families import tiny, tiny_tokenizer
from tests.pipeline.publishing.small_snapshot import make_snapshot

runner = CliRunner()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("stale")
    save_model(tiny("llama"), tiny_tokenizer(), place / "tiny")
    make_snapshot(place / "S")
    return place


def stale(place: Path, *words: object) -> Any:
    return runner.invoke(app, [str(word) for word in ("stale", place / "tiny", "--quiet", *words)])


def test_shares_add_up_and_the_base_answers_are_kept(place: Path, tmp_path: Path) -> None:
    done = stale(place, "--snapshot", place / "S", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert sum(one["value"] for one in found["answers"].values()) == pytest.approx(1)
    assert {"known", "stale", "other", "silent"} == set(found["answers"])
    assert found["answers"]["stale"]["low"] <= found["answers"]["stale"]["value"] <= found["answers"]["stale"]["high"]
    answers = read_base_answers(tmp_path / "out")
    questions = pq.read_table(place / "S" / "questions").to_pylist()
    asked = {row["question_id"]: row for row in questions if row["kind"] == "edit"}
    assert answers.schema.equals(BASE_ANSWERS) and set(answers["question_id"].to_pylist()) == set(asked)
    assert json.loads((tmp_path / "out" / "staleness.json").read_text())["answers"] == found["answers"]
    page = (tmp_path / "out" / "index.html").read_text()
    assert (
        "What does" in page
        and "<script>" in page
        and "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    )
    for name in answers["model"].to_pylist():
        assert not name.startswith("/") and name.endswith("/tiny")


def test_the_newest_snapshot_of_the_store_is_asked_about(place: Path, tmp_path: Path) -> None:
    open_store(str(tmp_path / "store")).add(place / "S")
    done = stale(place, "--store", tmp_path / "store")
    assert done.exit_code == 0, done.stderr
    assert "2025-01-01" in done.stdout and "month of the change" in done.stdout


def test_a_store_that_is_not_there_is_not_made(place: Path, tmp_path: Path) -> None:
    done = stale(place, "--store", tmp_path / "none")
    assert done.exit_code == 2 and "--snapshot S" in done.stderr and "refresh" in done.stderr
    assert not (tmp_path / "none").exists()
