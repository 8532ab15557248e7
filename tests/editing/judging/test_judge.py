"""A judge beside exact match: answers go out, verdicts come back, and a hash ties each verdict to its answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from chronofacts.editing.judging.agreement import measure_agreement
from chronofacts.editing.judging.items import hash_prompt
from chronofacts.editing.judging.verdicts import read_verdicts
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.flows.cli import app
from tests.editing.invented_world import write_invented
from tests.editing.models.families import CONFIGS, tiny, tiny_tokenizer

runner = CliRunner()
CHEAP = {"cache": "none", "scoring.fluency": "2", "scoring.perplexity": "5"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: str) -> Path:
    place = tmp_path_factory.mktemp("judged")
    snapshot = write_invented(place / "S", facts=4, edits=2, people=6)
    run_experiment(snapshot, model, read_settings(["memory"], CHEAP), place / "R")
    return place / "R"


def exported(source: Path, out: Path, *more: str) -> list[dict[str, Any]]:
    done = runner.invoke(app, ["export", str(source), "--format", "judge", "--out", str(out), *more])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]


def judged(items: list[dict[str, Any]], file: Path, verdict: Any, judge: str = "a person") -> Path:
    keys = ("question", "gold", "answer", "prompt_hash")
    rows = [{key: item[key] for key in keys} | {"verdict": verdict(item), "judge": judge} for item in items]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return file


def imported(file: Path, run: Path) -> Any:
    return runner.invoke(app, ["import", str(file), "--format", "judge", "--out", str(run)])


def test_answers_of_a_run_and_of_its_folder_of_scores_are_the_same(run: Path, tmp_path: Path) -> None:
    items = exported(run, tmp_path / "J")
    assert items == exported(run / "scores", tmp_path / "K")
    assert {item["editor"] for item in items} == {"none", "memory"}
    assert not {item["kind"] for item in items} & {"fluency", "general", "hop"}
    scores = {
        (r["editor"], r["kind"], r["question_id"], r["phrasing"]): r
        for file in (run / "scores").glob("*.parquet")
        for r in pq.read_table(file).to_pylist()
    }
    for item in items:
        row = scores[item["editor"], item["kind"], item["question_id"], item["phrasing"]]
        assert (item["question"], item["answer"], item["gold"]) == (row["prompt"], row["generated"], row["names"])
        assert item["exact_match"] == row["exact_match"]
        assert item["question"] in item["prompt"] and item["gold"][0] in item["prompt"]


def test_verdicts_come_back_and_the_report_shows_how_far_they_agree(run: Path, tmp_path: Path) -> None:
    items = exported(run, tmp_path / "J")
    agreeing = judged(items, tmp_path / "yes.jsonl", lambda item: "yes" if item["exact_match"] else "No.")
    assert imported(agreeing, run).exit_code == 0
    always = judged(items, tmp_path / "always.jsonl", lambda item: "right", "optimist")
    assert imported(always, run).exit_code == 0
    done = runner.invoke(app, ["report", str(run), "--out", str(tmp_path / "page")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "page" / "report.md").read_text()
    section = text.partition("## Exact match and judges")[2].partition("\n## ")[0]
    (agreed,) = [line for line in section.splitlines() if line.startswith("| memory | a person")]
    right = [item["exact_match"] for item in items if item["editor"] == "memory"]
    assert any(right) and not all(right)
    share = f"{sum(right) / len(right):.2f}"
    assert agreed == f"| memory | a person | {len(right)} | 1.00 | 1.00 | {share} | {share} |"
    (blind,) = [line for line in section.splitlines() if line.startswith("| memory | optimist")]
    assert blind == f"| memory | optimist | {len(right)} | {share} | 0.00 | {share} | 1.00 |"
    assert "Exact match and judges" in (tmp_path / "page" / "index.html").read_text()


def test_a_second_file_of_a_judge_adds_to_the_first_and_its_verdicts_count(run: Path, tmp_path: Path) -> None:
    kept = Path(shutil.copytree(run, tmp_path / "R"))
    items = list({item["prompt_hash"]: item for item in exported(run, tmp_path / "J")}.values())
    first, second = items[: len(items) // 2], items[len(items) // 2 - 1 :]
    assert "0 were there before" in imported(judged(first, tmp_path / "1.jsonl", lambda _: "no", "Ann"), kept).output
    done = imported(judged(second, tmp_path / "2.jsonl", lambda _: "yes", "Ann"), kept)
    assert f"{len(first)} were there before, 1 of them replaced" in done.output, done.output
    verdicts = [row for row in read_verdicts(kept).to_pylist() if row["judge"] == "Ann"]
    again = {item["prompt_hash"] for item in second}
    assert {row["prompt_hash"] for row in verdicts} == {item["prompt_hash"] for item in items}
    assert len(verdicts) == len(items) and all(row["right"] == (row["prompt_hash"] in again) for row in verdicts)


def test_a_local_model_judges_and_its_verdicts_are_taken(run: Path, model: str, tmp_path: Path) -> None:
    done = runner.invoke(
        app, ["export", str(run), "--format", "judge", "--judge", model, "--out", str(tmp_path / "short")]
    )
    assert done.exit_code == 2 and "cannot read what it is to judge" in done.output, done.output
    assert not (tmp_path / "short").exists()
    reader = str(tmp_path / "reader")
    config = CONFIGS["llama"]()
    config.max_position_embeddings = 2048
    AutoModelForCausalLM.from_config(config).save_pretrained(reader)
    tiny_tokenizer().save_pretrained(reader)
    items = exported(run, tmp_path / "J", "--judge", reader)
    lines = [json.loads(line) for line in (tmp_path / "J" / "verdicts.jsonl").read_text().splitlines()]
    assert {line["prompt_hash"] for line in lines} == {item["prompt_hash"] for item in items}
    assert len(lines) == len({item["prompt_hash"] for item in items})
    assert {line["verdict"] for line in lines} <= {"yes", "no"}
    assert len({line["judge"] for line in lines}) == 1 and lines[0]["judge"].startswith("reader ")
    assert imported(tmp_path / "J" / "verdicts.jsonl", run).exit_code == 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda row: row | {"answer": "another"}, "line 1: prompt_hash"),
        (lambda row: row | {"gold": "one text"}, "gold should be the list"),
        (lambda row: row | {"judge": " "}, "say who judged"),
        (lambda row: row | {"question": None}, "question should be a text, found null"),
        (lambda row: {key: row[key] for key in row if key != "verdict"}, "the field verdict is missing"),
        (
            lambda row: row | {"answer": "x", "prompt_hash": hash_prompt(row["question"], row["gold"], "x")},
            "no verdict",
        ),
    ],
)
def test_a_verdict_that_is_not_about_the_run_is_told_and_nothing_is_kept(
    run: Path, tmp_path: Path, spoil: Any, words: str
) -> None:
    before = sorted(path.name for path in run.rglob("*.parquet"))
    row = {key: value for key, value in exported(run, tmp_path / "J")[0].items() if key != "prompt"}
    file = tmp_path / "verdicts.jsonl"
    file.write_text(json.dumps(spoil(row | {"verdict": "yes", "judge": "stranger"})) + "\n")
    done = imported(file, run)
    assert done.exit_code == 2 and words in done.output, done.output
    assert sorted(path.name for path in run.rglob("*.parquet")) == before


def test_a_folder_that_holds_no_run_is_told(tmp_path: Path) -> None:
    done = runner.invoke(app, ["export", str(tmp_path), "--format", "judge", "--out", str(tmp_path / "J")])
    assert done.exit_code == 2 and "neither a run nor a folder of its scores" in done.output
    (tmp_path / "v.jsonl").write_text("{}\n")
    assert "is no run" in imported(tmp_path / "v.jsonl", tmp_path).output


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_agreement_is_the_same_both_ways_and_kappa_is_one_only_where_all_agree(pairs: list[tuple[bool, bool]]) -> None:
    judged, matched = [one for one, _ in pairs], [other for _, other in pairs]
    one, other = measure_agreement(judged, matched), measure_agreement(matched, judged)
    assert one is not None and other is not None
    assert (one.agreed, one.kappa) == (other.agreed, other.kappa)
    assert one.kappa is None or one.kappa <= 1 + 1e-9
    assert (one.agreed == 1) == (judged == matched)
    if one.kappa is not None:
        assert (one.kappa > 1 - 1e-9) == (judged == matched)


def test_kappa_is_that_of_the_textbook() -> None:
    judged = [True] * 25 + [False] * 25
    matched = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    found = measure_agreement(judged, matched)
    assert found is not None and (found.n, found.agreed) == (50, 0.7) and found.kappa == pytest.approx(0.4)
