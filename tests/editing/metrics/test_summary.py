"""Metrics against figures worked out by hand; intervals against closed forms, and how often they hold the truth."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.editing.facts import Change
from chronofacts.editing.metrics.summary import (
    as_mapping,
    compare,
    paired_differences,
    share_interval,
    summarise,
    summarise_forgetting,
)
from chronofacts.editing.scoring import SCORES
from chronofacts.schemas.errors import CheckFailed


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


def test_the_interval_is_over_facts_and_not_over_questions() -> None:
    two_facts = table(*(probe(f"q{n}", "edit", n < 20, fact=f"e{n // 20}") for n in range(40)))
    row = summarise(two_facts, two_facts).to_pylist()[0]
    assert row["value"] == 0.5 and row["low"] < 0.12 and row["high"] > 0.88
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


def test_a_chain_is_known_when_every_one_of_its_facts_is() -> None:
    scores = table(
        probe("q1", "multi_hop", False, hops=2, edited_hops=1),
        probe("q1", "hop", True), probe("q1", "hop", True, phrasing=1),
        probe("q2", "multi_hop", True, hops=3, edited_hops=2),
        probe("q2", "hop", True), probe("q2", "hop", False, phrasing=1), probe("q2", "hop", True, phrasing=2),
    )  # fmt: skip
    rows = {(row["metric"], row["by"], row["group"]): row["value"] for row in summarise(scores, scores).to_pylist()}
    assert rows["instance_wise", "all", None] == 0.5
    assert (rows["instance_wise", "hops", "2"], rows["instance_wise", "hops", "3"]) == (1.0, 0.0)
    assert (rows["multi_hop", "edited_hops", "1"], rows["multi_hop", "edited_hops", "2"]) == (0.0, 1.0)


def test_a_walk_and_a_thought_are_figures_of_their_own() -> None:
    scores = table(
        probe("q1", "multi_hop", False, hops=2), probe("q1", "hop_by_hop", True, hops=2),
        probe("q1", "chain_of_thought", False, hops=2),
    )  # fmt: skip
    figures = as_mapping(summarise(scores, scores))
    assert (figures["multi_hop"], figures["hop_by_hop"], figures["chain_of_thought"]) == (0.0, 1.0, 0.0)
    assert figures["portability"] == 0.0


def test_edit_wise_accuracy_is_of_clozes() -> None:
    scores = table(probe("q1", "cloze", True), probe("q2", "cloze", False), probe("q3", "edit", False))
    figures = as_mapping(summarise(scores, scores))
    assert figures["edit_wise"] == 0.5 and figures["edit_success"] == 0.0


def test_history_kept_counts_only_what_was_known() -> None:
    base = table(probe("q1", "history", True), probe("q2", "history", True), probe("q3", "history", False))
    after = table(probe("q1", "history", True), probe("q2", "history", False), probe("q3", "history", True))
    figures = as_mapping(summarise(after, base))
    assert figures["history_kept"] == 0.5 and figures["history"] == pytest.approx(2 / 3)


def test_date_sensitivity_asks_whether_now_and_then_get_different_answers() -> None:
    scores = table(
        probe("q1", "edit", True, fact="e1"),
        probe("q2", "history", True, fact="e1", answer="Zoe", generated="Zoe"),
        probe("q3", "history", False, fact="e1", answer="Max", generated="ann."),
        probe("q4", "history", True, fact="e1"),  # the right answer then is that of now: nothing to tell apart
        probe("q5", "history", True, fact="e2", answer="Max", generated="Max"),
    )
    assert as_mapping(summarise(scores, scores))["date_sensitivity"] == 0.5


def test_the_gap_between_forced_and_free_is_a_figure() -> None:
    scores = table(probe("q1", "edit", False, token_accuracy=0.75, answer_argmax=False), probe("q2", "edit", True))
    figures = as_mapping(summarise(scores, scores))
    assert figures["forced_gap"] == pytest.approx(0.375)
    assert figures["token_accuracy"] - figures["edit_success"] == pytest.approx(figures["forced_gap"])


def test_perplexity_weighs_texts_by_their_tokens() -> None:
    scores = table(
        probe("s1", "general", False, exact_match=None, nll_answer=1.0, tokens=30),
        probe("s2", "general", False, exact_match=None, nll_answer=3.0, tokens=10),
    )
    row = summarise(scores, scores).to_pylist()[0]
    assert row["metric"] == "perplexity" and row["value"] == pytest.approx(math.exp(1.5))
    assert math.exp(1.0) <= row["low"] <= row["value"] <= row["high"] <= math.exp(3.0) + 1e-6


def test_fluency_is_the_mean_entropy_of_what_was_written() -> None:
    scores = table(*(probe(f"q{n}", "fluency", False, exact_match=None, ngram_entropy=float(n)) for n in range(4)))
    assert as_mapping(summarise(scores, scores))["fluency"] == 1.5


def test_the_interval_of_one_figure_does_not_depend_on_the_others() -> None:
    edits = [probe(f"q{n}", "edit", n % 3 == 0) for n in range(30)]
    alone = summarise(table(*edits), table(*edits)).to_pylist()[0]
    more = table(*edits, *(probe(f"h{n}", "history", n % 2 == 0) for n in range(9)))
    assert alone in summarise(more, more).to_pylist()


def test_forgetting_is_right_at_once_and_wrong_at_the_end() -> None:
    then = table(*(probe(f"q{n}", "edit", n < 3) for n in range(4)))
    then = then.append_column("chunk", pa.array([0, 0, 1, 1], pa.int32()))
    end = table(*(probe(f"q{n}", "edit", n in (2, 3)) for n in range(4)))
    rows = {(row["metric"], row["group"]): row["value"] for row in summarise_forgetting(then, end).to_pylist()}
    assert (rows["success_at_once", None], rows["success_at_end", None]) == (0.75, 0.5)
    assert (rows["forgotten", None], rows["forgotten", "0"], rows["forgotten", "1"]) == (0.5, 1.0, 0.0)


def change(kind: str, before: str) -> Change:
    return Change(kind, before, datetime.date(2022, 1, 1), datetime.date(2022, 1, 1))


CHANGES = {
    "e1": change("modification", "known"),
    "e2": change("injection", "nobody"),
    "e3": change("update", "unknown"),
    "e4": change("addition", "known"),
}


def test_the_kinds_of_change_are_figures_of_their_own() -> None:
    scores = table(
        probe("q1", "edit", True, fact="e1", exact_match_before=False),
        probe("q2", "edit", False, fact="e2"),
        probe("q3", "edit", True, fact="e3"),
        probe("q4", "edit", False, fact="e4", exact_match_before=True),
        probe("q5", "paraphrase", True, fact="e2"),
        probe("q6", "edit", True, fact="elsewhere"),
    )
    rows = summarise(scores, scores, changes=CHANGES).to_pylist()
    by = {(row["metric"], row["by"], row["group"]): (row["value"], row["n"]) for row in rows}
    kinds = {group: value for (metric, what, group), value in by.items() if (metric, what) == ("edit_success", "kind")}
    assert kinds == {"modification": (1.0, 1), "injection": (0.0, 1), "update": (1.0, 1), "addition": (0.0, 1)}
    assert by["edit_success", "before", "known"] == (0.5, 2)
    assert by["edit_success", "before", "unknown"] == (1.0, 1)
    assert by["paraphrase", "kind", "injection"] == (1.0, 1)
    assert by["stale_rate", "kind", "addition"] == (1.0, 1) and ("stale_rate", "kind", "update") not in by
    assert by["edit_success", "all", None] == (pytest.approx(0.6), 5)
    assert not [row for row in summarise(scores, scores).to_pylist() if row["by"] in ("kind", "before")]


def test_preservation_is_of_whole_sets_and_its_share_of_their_values() -> None:
    scores = table(
        probe("q1", "preservation", True, fact="e4", named_share=1.0),
        probe("q2", "preservation", False, fact="e4", named_share=0.5),
        probe("q3", "edit", True, fact="e4", named_share=0.0),
        probe("q4", "preservation", False, named_share=None),
    )
    figures = as_mapping(summarise(scores, scores, changes=CHANGES))
    assert figures["preservation"] == pytest.approx(1 / 3) and figures["preservation_share"] == 0.75
    assert figures["edit_success"] == 1.0


def test_editors_are_compared_on_the_questions_that_both_were_asked() -> None:
    base = table(*(probe(f"q{n}", "edit", False) for n in range(40)))
    good = table(*(probe(f"q{n}", "edit", n < 30) for n in range(40)))
    better = table(*(probe(f"q{n}", "edit", n < 34) for n in range(39)))
    rows = {(r["first"], r["second"]): r for r in compare({"none": base, "a": good, "b": better}, base).to_pylist()}
    row = rows["a", "b"]
    assert row["metric"] == "edit_success" and row["n"] == 39 and row["value"] == pytest.approx(-4 / 39)
    assert row["low"] < row["value"] < row["high"] and rows["none", "a"]["high"] < -0.5
    assert compare({"none": base}, base).num_rows == 0


def ones(right: int, count: int) -> np.ndarray:
    return np.array([1.0] * right + [0.0] * (count - right))


def names(count: int, each: int = 1) -> list[str]:
    return [f"e{number // each}" for number in range(count)]


def test_all_right_and_all_wrong_are_as_sure_as_wilson_says() -> None:
    assert share_interval(ones(60, 60), names(60)) == pytest.approx((0.9398, 1.0), abs=0.0005)
    assert share_interval(ones(0, 60), names(60)) == pytest.approx((0.0, 0.0602), abs=0.0005)
    assert share_interval(ones(1, 1), names(1)) == pytest.approx((0.2065, 1.0), abs=0.0005)


def test_a_question_a_fact_is_wilsons_interval() -> None:
    assert share_interval(ones(45, 60), names(60)) == pytest.approx((0.6277, 0.8422), abs=0.001)


def test_more_questions_about_the_same_facts_make_nothing_surer() -> None:
    once, often = share_interval(ones(45, 60), names(60)), share_interval(ones(180, 240), names(240, each=4))
    assert often == pytest.approx(once, abs=0.002)
    assert share_interval(ones(240, 240), names(240, each=4)) == pytest.approx((0.9398, 1.0), abs=0.0005)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=1, max_size=60))
def test_the_interval_holds_the_share_and_has_a_width(answers: list[tuple[bool, int]]) -> None:
    values = np.array([float(right) for right, _ in answers])
    low, high = share_interval(values, [str(fact) for _, fact in answers])
    assert 0 <= low <= values.mean() <= high <= 1 and high - low > 0.01


@pytest.mark.parametrize("truth", [0.5, 0.9, 0.98])
def test_nineteen_of_twenty_intervals_hold_the_truth(truth: float) -> None:
    """Facts of four questions each that mostly stand or fall together."""
    chance = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        fact = np.repeat(chance.random(50) < truth, 4)
        own = chance.random(200) < truth
        low, high = share_interval(np.where(chance.random(200) < 0.8, fact, own).astype(float), names(200, each=4))
        held += low <= truth <= high
    assert held / 400 >= 0.92


def test_a_difference_is_of_the_same_questions() -> None:
    """Both answer half of the questions: the same half, or the other one."""
    half, other = ones(30, 60), 1 - ones(30, 60)
    same, apart = paired_differences(np.array([half, half]), np.array([half, other]), names(60), 0, "d")
    assert same[0] == apart[0] == 0.0
    assert same[2] - same[1] < 0.12 and apart[2] - apart[1] > 0.4


def test_a_difference_of_facts_that_are_all_alike_is_not_certain() -> None:
    ((mean, low, high),) = paired_differences(ones(60, 60)[None], ones(0, 60)[None], names(60), 0, "d")
    assert (mean, high) == (1.0, 1.0) and 0.85 < low < 0.99
