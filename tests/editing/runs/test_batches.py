"""Edits in batches: each starts from the unedited model, every question is asked once, sizes stand side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.editing.report import as_json, terminal_table, write_report
from chronofacts.editing.runs.batches import choose_batches
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.snapshot import Snapshot, load_snapshot
from chronofacts.schemas.errors import BadInput
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

CHEAP = {"cache": "none", "scoring.fluency": "0", "scoring.perplexity": "0", "scoring.hops": "false"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_invented(tmp_path_factory.mktemp("batches") / "S", facts=24, edits=12, people=12)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of random weights."""
    folder = tmp_path_factory.mktemp("model")
    tiny("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    place = tmp_path_factory.mktemp("sets") / "S"
    return load_snapshot(write_invented(place, facts=24, edits=12, people=12, sets=3))


@settings(max_examples=20, deadline=None)
@given(size=st.one_of(st.just("all"), st.integers(1, 20).map(str)), seed=st.integers(0, 5))
def test_every_question_is_asked_once_in_a_batch_that_makes_its_edits(known: Snapshot, size: str, seed: int) -> None:
    batches = choose_batches(known, size, seed)
    asked = [question for batch in batches for question in batch.questions]
    ids = set(known.edits["edit_id"].to_pylist())
    askable = {row["question_id"] for row in known.questions.to_pylist() if set(row["edit_ids"]) & ids}
    assert len(asked) == len(askable) and set(asked) == askable
    cases = 15  # twelve questions over two facts, three sets
    assert len(batches) == 1 if size == "all" else len(batches) == -(-cases // int(size))
    rows = {row["question_id"]: row for row in known.questions.to_pylist()}
    facts = {question: batch.facts for batch in batches for question in batch.questions}
    for question, of in facts.items():
        assert {one if one.startswith("e") else f"{one[:4]}-0" for one in rows[question]["edit_ids"]} <= of


def test_batches_of_a_seed_are_the_same_and_those_of_another_are_not(known: Snapshot) -> None:
    assert choose_batches(known, "4", 1) == choose_batches(known, "4", 1) != choose_batches(known, "4", 2)


def test_batches_have_about_the_same_share_of_each_number_of_hops(known: Snapshot) -> None:
    hops = [2 + number % 3 for number in range(known.questions.num_rows)]
    stratified = Snapshot(
        known.edits, known.questions.set_column(known.questions.column_names.index("hops"), "hops", [hops]),
        known.sentences, known.manifest,
    )  # fmt: skip
    of = dict(zip(known.questions["question_id"].to_pylist(), hops, strict=True))
    kinds = dict(zip(known.questions["question_id"].to_pylist(), known.questions["kind"].to_pylist(), strict=True))
    counts = [
        sorted(of[one] for one in batch.questions if kinds[one] == "multi_hop")
        for batch in choose_batches(stratified, "5", 0)
    ]
    whole = [of[one] for one in kinds if kinds[one] == "multi_hop"]
    for value in (2, 3, 4):
        share = whole.count(value) / 15
        assert all(abs(batch.count(value) - 5 * share) <= 2 for batch in counts)


def test_sizes_stand_side_by_side_and_a_batch_of_all_is_the_edit_of_all(
    world: Path, model: str, tmp_path: Path
) -> None:
    run_experiment(world, model, read_settings(["memory"], CHEAP | {"batches": "1,5,all"}), tmp_path / "R")
    run_experiment(world, model, read_settings(["memory"], CHEAP), tmp_path / "whole")
    about = json.loads((tmp_path / "R" / "run.json").read_text())
    assert list(about["metrics"]) == ["none", "memory-k1", "memory-k5", "memory-kall"]
    assert [about["editors"][f"memory-k{size}"]["report"]["batches"] for size in (1, 5, "all")] == [12, 3, 1]
    every, alone = (
        {(r["question_id"], r["phrasing"]): r["generated"] for r in pq.read_table(path).to_pylist()}
        for path in (tmp_path / "R/scores/memory-kall.parquet", tmp_path / "whole/scores/memory.parquet")
    )
    assert every and all(alone[key] == text for key, text in every.items())
    metrics = pq.read_table(tmp_path / "R" / "metrics.parquet")
    means = metrics.filter(pc.equal(metrics["by"], "batches")).to_pylist()
    (of_five,) = [m for m in means if (m["editor"], m["metric"]) == ("memory-k5", "edit_success")]
    assert (of_five["group"], of_five["n"]) == ("3", 3) and of_five["low"] <= of_five["value"] <= of_five["high"]
    assert not [m for m in means if m["editor"] == "memory-kall"], "one batch has no mean over batches"
    assert "memory-k5" in terminal_table([tmp_path / "R"]) and "memory-k1" in as_json([tmp_path / "R"])
    page = write_report([tmp_path / "R"], tmp_path / "page").read_text()
    assert "Means over batches" in page
    assert "--editor none,memory --set" in page and "batches=1,5,all" in page


def test_an_interrupted_run_goes_on_with_the_batches_that_are_left(world: Path, model: str, tmp_path: Path) -> None:
    chosen = read_settings(["freeze"], CHEAP | {"batches": "8", "freeze.steps": "2"})

    def interrupt(line: str) -> None:
        if line.startswith("freeze-k8: 1 of 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(world, model, chosen, tmp_path / "R", interrupt)
    said: list[str] = []
    run_experiment(world, model, chosen, tmp_path / "R", said.append)
    assert not any(line.startswith("freeze-k8: 1 of 2") for line in said)
    assert any(line.startswith("freeze-k8: 2 of 2") for line in said)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "batches"}, "batches=1,100,all"),
        ({"mode": "chunks", "chunk": "2", "batches": "3"}, "go together"),
        ({"batches": "0"}, "at least 1"),
        ({"batches": "1,few"}, "at least 1 case"),
        ({"batches": "5", "chunk": "2"}, "go together|no chunks"),
        ({"batches": "5", "sweep": "rank=1,2"}, "mode = batches makes many model states; leave out sweep"),
    ],
)
def test_options_that_contradict_batches_are_told_with_the_mend(values: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_settings(["lora"], values)
