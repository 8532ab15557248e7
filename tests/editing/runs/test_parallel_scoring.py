"""Probes shared out over processes: the same scores, whatever runs the shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from chronofacts.editing.runs.parallel_scoring import ModelRef, run_in_processes, score_in_shards
from chronofacts.editing.scoring import ScoringSettings, all_probes, evaluate, join_scores
from chronofacts.editing.snapshot import Snapshot
from tests.editing.conftest import Experiment

TWO = ScoringSettings(processes=2, fluency=4, perplexity=4)
EXACT = ("generated", "exact_match", "exact_match_before", "answer_argmax", "walk", "tokens")


def same(one: pa.Table, other: pa.Table) -> None:
    assert one.select(["question_id", "phrasing", "kind"]).equals(other.select(["question_id", "phrasing", "kind"]))
    for name in EXACT:
        assert one[name].to_pylist() == other[name].to_pylist(), name
    for name in ("nll_answer", "nll_answer_before", "p_new_over_old", "token_f1", "token_accuracy"):
        pairs = zip(one[name].to_pylist(), other[name].to_pylist(), strict=True)
        assert all(a == b or a == pytest.approx(b, rel=1e-5, abs=1e-5) for a, b in pairs), name


def test_two_processes_find_what_one_does(experiment: Experiment, snapshot: Snapshot, tmp_path: Path) -> None:
    probes = all_probes(snapshot.questions.slice(0, 90), snapshot.sentences, TWO)
    place = ModelRef(
        str(experiment.run / "model"), device="cpu", adapter=str(experiment.run / "adapters" / "lora+replay")
    )
    shared = join_scores(probes, score_in_shards(place, probes, TWO, tmp_path, run_in_processes))
    known = pq.read_table(experiment.run / "scores" / "lora+replay.parquet").select(shared.column_names)
    ids = pa.array(probes["probe_id"].to_pylist())
    of = {name: index for index, name in enumerate(known["probe_id"].to_pylist())}
    assert {name in of for name in ids.to_pylist() if name} == {True}
    whole = known.take(pa.array([of[name] for name in ids.to_pylist()]))
    assert whole.num_rows == probes.num_rows
    for name in EXACT:
        assert shared[name].to_pylist() == whole[name].to_pylist(), name


def test_shares_come_back_in_the_order_of_the_probes(
    experiment: Experiment, model_and_tokenizer: Any, snapshot: Snapshot, tmp_path: Path
) -> None:
    settings = ScoringSettings(processes=3, fluency=0, perplexity=0)
    probes = all_probes(snapshot.questions.slice(0, 20), snapshot.sentences, settings)
    place = ModelRef(str(experiment.run / "model"), device="cpu")
    results = score_in_shards(place, probes, settings, tmp_path, lambda work, shares: [work(one) for one in shares])
    same(join_scores(probes, results), evaluate(*model_and_tokenizer, probes, settings))


def test_more_processes_than_probes_are_as_many_as_the_probes(
    experiment: Experiment, snapshot: Snapshot, tmp_path: Path
) -> None:
    settings = ScoringSettings(processes=8, fluency=0, perplexity=0, hops=False)
    edits = snapshot.questions.filter(pc.equal(snapshot.questions["kind"], "edit")).slice(0, 2)
    probes = all_probes(edits, snapshot.sentences, settings)
    place = ModelRef(str(experiment.run / "model"), device="cpu")
    counted: list[int] = []

    def spread(work: Any, shares: Any) -> list[Path]:
        counted.append(len(shares))
        return [work(one) for one in shares]

    assert score_in_shards(place, probes, settings, tmp_path, spread).num_rows == 2 and counted == [2]
