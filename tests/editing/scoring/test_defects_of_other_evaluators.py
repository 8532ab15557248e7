"""What evaluators of other toolkits get wrong, one test each; the sources are in their code and their issues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from chronofacts.editing.metrics.summary import as_mapping, summarise
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.key_value_cache import cache_use
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import ScoringSettings, all_probes, evaluate, generate, score, teacher_force
from chronofacts.editing.snapshot import Snapshot
from chronofacts.schemas.errors import BadInput
from tests.editing.conftest import Experiment
from tests.editing.scoring.saying import Saying


def of_kind(questions: pa.Table, kind: str) -> pa.Table:
    return questions.filter(pc.equal(questions["kind"], kind))


def ask_one(
    tokenizer: Any, says: str, answer: str, snapshot: Snapshot, aliases: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The score of one edit question with this answer, of a model that says that."""
    row = of_kind(snapshot.questions, "edit").slice(0, 1).to_pylist()[0]
    row |= {"answer": answer, "answer_before": None, "answer_aliases": list(aliases)}
    table = pa.Table.from_pylist([row], schema=snapshot.questions.schema)
    return score(Saying(tokenizer, f" {says}{tokenizer.eos_token}"), tokenizer, table).to_pylist()[0]


def test_exact_match_is_of_what_the_model_says_and_not_of_forced_tokens(
    model_and_tokenizer: Any, snapshot: Snapshot
) -> None:
    _, tokenizer = model_and_tokenizer
    row = ask_one(tokenizer, "Ann Lee", "Ann Lie", snapshot)
    assert not row["exact_match"] and row["token_f1"] == 0.5 and row["token_accuracy"] < 1


def test_a_longer_answer_is_not_cut_to_the_length_of_the_right_one(
    model_and_tokenizer: Any, snapshot: Snapshot
) -> None:
    _, tokenizer = model_and_tokenizer
    row = ask_one(tokenizer, "Ann Leeward", "Ann", snapshot)
    assert row["generated"] == "Ann Leeward" and not row["exact_match"]


@pytest.mark.parametrize("name", ["St. Louis", "Robert G. Wright", "Apple Inc."])
def test_a_name_with_a_full_stop_can_be_right(model_and_tokenizer: Any, snapshot: Snapshot, name: str) -> None:
    _, tokenizer = model_and_tokenizer
    assert ask_one(tokenizer, name, name, snapshot)["exact_match"]


def test_another_name_of_the_answer_is_right(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    _, tokenizer = model_and_tokenizer
    assert ask_one(tokenizer, "Joe Biden", "Joseph Robinette Biden Jr.", snapshot, ("Joe Biden",))["exact_match"]


def test_an_empty_answer_is_an_error_and_not_left_out_in_silence(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    _, tokenizer = model_and_tokenizer
    with pytest.raises(BadInput, match="empty answer"):
        ask_one(tokenizer, "Ann", "  ", snapshot)


def test_records_are_scored_together_and_the_vocabulary_only_where_answers_are(
    model_and_tokenizer: Any, snapshot: Snapshot
) -> None:
    model, tokenizer = model_and_tokenizer
    questions = of_kind(snapshot.questions, "edit")
    prompts = [f"Q: {text} A:" for text in questions["question"].to_pylist()]
    rows = encode(tokenizer, prompts, questions["answer"].to_pylist())
    teacher_force(model, rows[:1], 64, share=False)  # tried once for each model
    sizes: list[tuple[int, int]] = []
    watch = model.lm_head.register_forward_hook(lambda part, given, made: sizes.append(tuple(made.shape[:2])))
    teacher_force(model, rows, 64, share=False)
    watch.remove()
    assert sizes == [(1, sum(len(row.ids) - row.start for row in rows))]


def test_generation_reads_every_token_once(model_and_tokenizer: Any) -> None:
    model, tokenizer = model_and_tokenizer
    cache_use(model)  # tried once for each model
    read: list[int] = []
    watch = model.model.register_forward_pre_hook(
        lambda part, given, named: read.append(named["input_ids"].shape[1]), with_kwargs=True
    )
    prompt = tuple(tokenizer("Q: Who is the mayor of Linz? A:")["input_ids"])
    generate(model, tokenizer, [prompt], 12, to_the_end=True)
    watch.remove()
    assert read == [len(prompt), *([1] * 11)]


def test_fluency_is_the_same_every_time(model_and_tokenizer: Any, snapshot: Snapshot) -> None:
    settings = ScoringSettings(hops=False, perplexity=0, fluency=5, fluency_tokens=20)
    probes = all_probes(snapshot.questions, snapshot.sentences, settings)
    writing = probes.filter(pc.equal(probes["way"], "write"))
    first = evaluate(*model_and_tokenizer, writing, settings)
    torch.manual_seed(7)
    again = evaluate(*model_and_tokenizer, writing, settings)
    assert first.equals(again) and all(value > 0 for value in first["ngram_entropy"].to_pylist())


def test_locality_compares_free_answers_and_not_tokens_after_the_gold_ones(experiment: Experiment) -> None:
    base = pq.read_table(experiment.run / "scores" / "none.parquet")
    after = pq.read_table(experiment.run / "scores" / "lora.parquet")
    pairs = zip(base.to_pylist(), after.to_pylist(), strict=True)
    kept = [a["generated"] == b["generated"] for a, b in pairs if a["kind"] == "locality"]
    assert experiment.summary.metrics["lora"]["locality"] == pytest.approx(sum(kept) / len(kept))
    assert experiment.summary.metrics["none"]["locality"] == 1.0


def test_a_multi_hop_question_needs_all_its_edits_and_any_of_its_wordings(experiment: Experiment) -> None:
    rows = [
        r for r in pq.read_table(experiment.run / "scores" / "lora.parquet").to_pylist() if r["kind"] == "multi_hop"
    ]
    of: dict[str, list[bool]] = {}
    for row in rows:
        of.setdefault(row["question_id"], []).append(row["exact_match"])
    assert all(len(wordings) == 3 for wordings in of.values())
    share = sum(any(wordings) for wordings in of.values()) / len(of)
    assert experiment.summary.metrics["lora"]["multi_hop"] == pytest.approx(share)


def test_edits_are_scored_right_after_they_are_made_and_when_all_are(experiment: Experiment, tmp_path: Path) -> None:
    settings = {"chunk": "10", "lora.epochs": "15", "scoring.fluency": "0", "scoring.hops": "false"}
    model = str(experiment.run / "model")
    summary = run_experiment(experiment.snapshot, model, read_settings(["lora"], settings), tmp_path / "run")
    curve = pq.read_table(tmp_path / "run" / "curve" / "lora.parquet")
    assert sorted(set(curve["chunk"].to_pylist())) == [0, 1, 2]
    figures = summary.metrics["lora"]
    assert figures["success_at_end"] == pytest.approx(figures["edit_success"])
    assert figures["success_at_once"] > figures["success_at_end"]  # later chunks overwrite earlier ones
    assert figures["forgotten"] >= figures["success_at_once"] - figures["success_at_end"] - 1e-9
    metrics = pq.read_table(tmp_path / "run" / "metrics.parquet").to_pylist()
    by_chunk = {
        row["group"]: row["n"] for row in metrics if row["metric"] == "success_at_once" and row["by"] == "chunk"
    }
    assert by_chunk == {"0": 10, "1": 10, "2": 10}


def test_the_time_of_editing_is_told_apart_from_that_of_scoring(experiment: Experiment) -> None:
    import json

    editors = json.loads((experiment.run / "run.json").read_text())["editors"]
    assert editors["none"]["seconds"] == 0.0 < editors["none"]["scoring_seconds"]
    assert editors["lora"]["seconds"] > 0.0 and editors["lora"]["scoring_seconds"] > 0.0


def test_a_figure_comes_with_its_uncertainty_over_facts(experiment: Experiment) -> None:
    rows = pq.read_table(experiment.run / "metrics.parquet").to_pylist()
    assert all(row["low"] <= row["value"] + 1e-9 and row["value"] <= row["high"] + 1e-9 for row in rows if row["n"] > 5)
    scores = pq.read_table(experiment.run / "scores" / "lora.parquet")
    assert as_mapping(summarise(scores, scores))["forced_gap"] is not None
