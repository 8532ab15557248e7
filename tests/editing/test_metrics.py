"""Metrics against figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from editing.metrics import as_mapping, summarise
from editing.scoring import SCORES
from schemas.errors import CheckFailed


def probe(question: str, kind: str, right: bool, **more: Any) -> dict[str, Any]:
    row = dict.fromkeys(SCORES.names) | {
        "question_id": question, "phrasing": 0, "kind": kind, "relation": "mayor", "hops": 1, "fact": question,
        "prompt": f"{question}?", "answer": "Ann", "generated": "Ann" if right else "Bob", "exact_match": right,
        "token_f1": float(right), "token_accuracy": float(right),
    }  # fmt: skip
    return row | more


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCORES)


def test_edit_success_is_the_share_of_edit_questions_that_are_right() -> None:
    scores = table(*(probe(f"q{n}", "edit", n < 3) for n in range(4)))
    assert as_mapping(summarise(scores, scores))["edit_success"] == 0.75


def test_a_multi_hop_question_is_right_when_any_wording_is() -> None:
    scores = table(
        probe("q1", "multi_hop", False, hops=2),
        probe("q1", "multi_hop", True, hops=2, phrasing=1),
        probe("q2", "multi_hop", False, hops=3),
        probe("q2", "multi_hop", False, hops=3, phrasing=1),
    )
    rows = {
        (row["by"], row["group"]): row for row in summarise(scores, scores).to_pylist() if row["metric"] == "multi_hop"
    }
    assert rows["all", None]["value"] == 0.5 and rows["all", None]["n"] == 2
    assert rows["hops", "2"]["value"] == 1.0 and rows["hops", "3"]["value"] == 0.0


def test_locality_compares_with_the_unedited_model_and_not_with_the_truth() -> None:
    base = table(probe("q1", "locality", False, generated="Zoe"), probe("q2", "locality", True))
    after = table(probe("q1", "locality", False, generated="zoe."), probe("q2", "locality", False, generated="Bob"))
    figures = as_mapping(summarise(after, base))
    assert figures["locality"] == 0.5 and figures["locality_gold"] == 0.0


def test_stale_rate_counts_the_old_answer_where_there_is_one() -> None:
    scores = table(
        probe("q1", "edit", False, exact_match_before=True),
        probe("q2", "paraphrase", True, exact_match_before=False),
        probe("q3", "edit", True, exact_match_before=None),
        probe("q4", "history", True, exact_match_before=True),
    )
    assert as_mapping(summarise(scores, scores))["stale_rate"] == 0.5


def test_a_wording_that_was_trained_is_no_paraphrase() -> None:
    scores = table(probe("q1", "paraphrase", True), probe("q2", "paraphrase", False))
    assert as_mapping(summarise(scores, scores, frozenset({"q1?"})))["paraphrase"] == 0.0


def test_portability_takes_alias_reverse_and_hops_together() -> None:
    scores = table(probe("q1", "alias", True), probe("q2", "reverse", False), probe("q3", "multi_hop", True))
    assert as_mapping(summarise(scores, scores))["portability"] == pytest.approx(2 / 3)


def test_the_interval_resamples_facts_and_not_questions() -> None:
    one_fact = table(*(probe(f"q{n}", "edit", n % 2 == 0, fact="e1") for n in range(40)))
    row = summarise(one_fact, one_fact).to_pylist()[0]
    assert (row["value"], row["low"], row["high"]) == (0.5, 0.5, 0.5)
    many = table(*(probe(f"q{n}", "edit", n % 2 == 0) for n in range(40)))
    row = summarise(many, many).to_pylist()[0]
    assert row["low"] < 0.45 < 0.55 < row["high"]


def test_the_same_seed_gives_the_same_interval() -> None:
    scores = table(*(probe(f"q{n}", "edit", n % 3 == 0) for n in range(30)))
    assert summarise(scores, scores, seed=4).equals(summarise(scores, scores, seed=4))


def test_a_kind_that_was_not_asked_has_no_row() -> None:
    scores = table(probe("q1", "edit", True))
    assert "history" not in as_mapping(summarise(scores, scores))


def test_scores_of_other_probes_are_refused() -> None:
    with pytest.raises(CheckFailed, match="q2"):
        summarise(table(probe("q2", "edit", True)), table(probe("q1", "edit", True)))
