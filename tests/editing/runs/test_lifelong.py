"""The lifelong curve: what is asked after how many edits, at what price, and that it changes no score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronofacts.editing.metrics.definitions import LIFELONG
from chronofacts.editing.models.load import save_model
from chronofacts.editing.report import write_report
from chronofacts.editing.runs import experiment
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.lifelong import LifelongSample, choose_moments
from chronofacts.editing.runs.lm_eval_tasks import TaskFigure
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import ScoringSettings, all_probes
from chronofacts.editing.snapshot import Snapshot
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer


@given(st.integers(1, 5000), st.integers(0, 40))
def test_the_last_chunk_is_always_a_moment_and_there_are_hardly_more_than_wished(chunks: int, points: int) -> None:
    moments = choose_moments(chunks, points)
    assert len(moments) <= points + 1 and moments <= set(range(1, chunks + 1))
    assert (chunks in moments) == (points > 0)
    assert choose_moments(1000, 10) == {1, 2, 5, 10, 22, 46, 100, 215, 464, 1000}


def sample_of(snapshot: Snapshot, moments: int) -> LifelongSample:
    names, several = (snapshot.questions[name].to_pylist() for name in ("question_id", "edit_ids"))
    needs = {name: frozenset(ids) for name, ids in zip(names, several, strict=True)}
    probes = all_probes(snapshot.questions, snapshot.sentences, ScoringSettings())
    return LifelongSample(probes, needs, moments, seed=0)


def test_ten_moments_cost_less_than_two_full_evaluations(snapshot: Snapshot) -> None:
    sample = sample_of(snapshot, 10)
    ids = sorted(snapshot.edits["edit_id"].to_pylist())
    asked = sum(sample.after(frozenset(ids[: 3 * number])).num_rows for number in range(1, 11))
    assert asked >= 0.8 * sample.probes.num_rows
    own = pc.sum(pc.equal(snapshot.questions["kind"], "edit")).as_py()  # each chunk's own questions right after it
    assert asked + own <= 2 * sample.probes.num_rows


def test_only_what_was_edited_is_tested_and_what_must_not_move_is_asked_from_the_first_moment_on(
    snapshot: Snapshot,
) -> None:
    sample, first = sample_of(snapshot, 3), frozenset(sorted(snapshot.edits["edit_id"].to_pylist())[:5])
    rows = sample.after(first).to_pylist()
    assert {"edit", "paraphrase", "locality", "history", "fluency", "general"} <= {row["kind"] for row in rows}
    tested = [row for row in rows if row["kind"] in ("edit", "paraphrase", "multi_hop", "cloze")]
    assert tested and all(sample.needs[row["question_id"]] <= first for row in tested)
    everything = sample.after(frozenset(snapshot.edits["edit_id"].to_pylist()))
    assert not set(everything["kind"].to_pylist()) & {"hop", "hop_by_hop"}
    locality = [row["question_id"] for row in rows if row["kind"] == "locality"]
    assert locality == everything.filter(pc.equal(everything["kind"], "locality"))["question_id"].to_pylist()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same edits in three chunks, with the curve and without."""
    place = tmp_path_factory.mktemp("lifelong")
    world = write_invented(place / "S", facts=12, edits=9, people=10)
    save_model(tiny("llama"), tiny_tokenizer(), place / "model")
    made = {}
    for name, points in (("with", "10"), ("without", "0")):
        words = {
            "chunk": "3", "curve_points": points, "steps": "3", "cache": "none", "scoring.fluency": "9",
            "scoring.perplexity": "10", "scoring.fluency_tokens": "12",
        }  # fmt: skip
        run_experiment(world, str(place / "model"), read_settings(["freeze"], words), place / name)
        made[name] = place / name
    return made


def test_each_moment_has_every_metric_right_then_and_at_the_end(runs: dict[str, Path], tmp_path: Path) -> None:
    rows = pq.read_table(runs["with"] / "metrics.parquet").to_pylist()
    then = {(r["metric"], r["group"]): r for r in rows if r["by"] == "edits"}
    end = {(r["metric"], r["group"]): r for r in rows if r["by"] == "edits_at_end"}
    assert {edits for _, edits in then} == {"3", "6", "9"}
    assert {metric for metric, _ in then} == set(LIFELONG) - {"preservation"}
    assert all(r["low"] - 1e-6 <= r["value"] <= r["high"] + 1e-6 for r in then.values())
    of_answers = {key for key in then if key[0] != "fluency"}  # a text may be too short for a figure
    assert of_answers == {key for key in end if key[0] != "fluency"}
    assert all(then[key]["n"] == end[key]["n"] for key in of_answers)
    for metric, _ in (key for key in then.keys() & end.keys() if key[1] == "9"):  # both are the same answers
        assert then[metric, "9"]["value"] == pytest.approx(end[metric, "9"]["value"], abs=1e-4)
    page = write_report([runs["with"]], tmp_path / "page").read_text()
    assert page.count("<figure><h3>After so many edits: ") == len({metric for metric, _ in then})
    assert "The same questions at the end" in page


def test_asking_in_between_changes_no_score(runs: dict[str, Path]) -> None:
    one, other = (pq.read_table(runs[name] / "scores" / "freeze.parquet") for name in ("with", "without"))
    assert one.equals(other)
    assert not (runs["without"] / "lifelong").exists()
    curve = pq.read_table(runs["with"] / "lifelong" / "freeze.parquet")
    assert set(curve["edits"].to_pylist()) == {3, 6, 9} and pa.types.is_int32(curve["edits"].type)


def test_tasks_of_the_harness_are_followed_too(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The harness is no part of the tests' environment: its figure here is the length of the model's first weights."""

    def run_tasks(model: Any, *_: object) -> dict[str, TaskFigure]:
        norm = float(next(model.parameters()).detach().norm())
        return {
            "lm_eval:task:acc": TaskFigure(norm / (1 + norm), None, 20),
            "lm_eval:task:sure": TaskFigure(0.0, 0.1, 20),
        }

    monkeypatch.setattr(experiment, "run_tasks", run_tasks)
    model = str(runs["with"].parent / "model")
    words = {"chunk": "3", "steps": "3", "cache": "none", "scoring.fluency": "0", "scoring.perplexity": "0"}
    words |= {"scoring.hops": "no"}
    figures = experiment.run_experiment(
        runs["with"].parent / "S", model, read_settings(["freeze"], words), tmp_path / "run"
    ).metrics
    rows = pq.read_table(tmp_path / "run" / "metrics.parquet").to_pylist()
    found = {
        int(row["group"]): row["value"]
        for row in rows
        if (row["metric"], row["by"], row["editor"]) == ("lm_eval:task:acc", "edits", "freeze")
    }
    assert list(found) == [3, 6, 9]
    of_tasks = [row for row in rows if row["metric"].startswith("lm_eval:")]
    assert of_tasks and all(row["low"] < row["value"] < row["high"] for row in of_tasks)
    assert found[9] == figures["freeze"]["lm_eval:task:acc"]
    write_report([tmp_path / "run"], tmp_path / "page")
    page = (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    assert "After so many edits: lm eval:task:acc" in page
