"""Questions under pressure and beyond the snapshot's own: what stands before them, and when an answer flips back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
import pytest

from chronofacts.editing.facts import Change, changes_of
from chronofacts.editing.metrics.summary import as_mapping, summarise
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import ScoringSettings, all_probes, evaluate
from chronofacts.editing.scoring.pressure import PRESSURE, pair_questions
from chronofacts.editing.scoring.score_tables import SCORES
from chronofacts.editing.snapshot import Snapshot, load_snapshot
from chronofacts.schemas.errors import BadInput
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer
from tests.editing.scoring.pressed import figures, scored

PRESSED = ScoringSettings(pressure=4, reasoning=6, hops=False, fluency=0, perplexity=0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return load_snapshot(write_invented(tmp_path_factory.mktemp("pressed") / "S", facts=12, edits=8, people=6, sets=2))


def probes(world: Snapshot, settings: ScoringSettings, kind: str) -> list[dict[str, Any]]:
    table = all_probes(world.questions, world.sentences, settings)
    return [row for row in table.to_pylist() if row["kind"] == kind]


def test_nothing_is_asked_under_pressure_by_default(world: Snapshot) -> None:
    kinds = set(all_probes(world.questions, world.sentences, ScoringSettings())["kind"].to_pylist())
    assert not kinds & {*PRESSURE, "alias_multi_hop", "same_entity"}


def test_the_old_name_is_put_before_the_same_question_in_four_ways(world: Snapshot) -> None:
    edits = {row["edit_id"]: row for row in world.edits.to_pylist()}
    found = {kind: probes(world, PRESSED, kind) for kind in PRESSURE}
    assert all(len(rows) == 4 for rows in found.values()), "as many facts as wanted, in each way"
    for repeated, asked, past, objected in zip(*found.values(), strict=True):
        edit = edits[repeated["fact"]]
        old, question = edit["target_old"], edit["prompt"]
        assert repeated["text"] == asked["text"] == past["text"] == question
        assert repeated["prefix"] == f"{old}. {old}. {old}.\n"
        assert asked["prefix"] == f"Is {old} the {edit['relation']} of {edit['subject']}?\n"
        assert "2016" in past["prefix"] and past["prefix"].startswith("Q: ") and past["prefix"].endswith("\n")
        assert objected["prefix"] == f"Q: {question} A: {edit['target_new']}\n"
        assert objected["text"] == f"No, that is wrong. It is {old}. {question}"
        assert objected["answer"] == edit["target_new"] and objected["answer_before"] == old


def test_a_true_sentence_about_the_past_goes_before_a_question_about_it(world: Snapshot) -> None:
    (row, *_) = probes(world, PRESSED, "pressure_past")
    said = {
        "role": "history", "form": "cloze", "prompt": "In 2017, the mayor was", "answer": "Eve Zorn",
        "subject": next(q["subject"] for q in world.questions.to_pylist() if q["question_id"] == row["question_id"]),
        "relation": row["relation"], "asked_on": None, "sentence_id": "x", "phrasing": 0, "held_out": False,
        "edit_ids": [],
    }  # fmt: skip
    more = pa.concat_tables([world.sentences, pa.Table.from_pylist([said], schema=world.sentences.schema)])
    found = probes(dataclasses.replace(world, sentences=more), PRESSED, "pressure_past")
    assert found[0]["prefix"] == "In 2017, the mayor was Eve Zorn.\n"


def test_a_chain_is_asked_by_another_name_of_its_subject(world: Snapshot) -> None:
    renamed = [row | {"subject_label": "Elm Point"} for row in world.questions.to_pylist() if row["kind"] == "alias"]
    others = [row for row in world.questions.to_pylist() if row["kind"] != "alias"]
    table = pa.Table.from_pylist([*others, *renamed], schema=world.questions.schema)
    found = probes(dataclasses.replace(world, questions=table), PRESSED, "alias_multi_hop")
    assert found and all("Elm Point" in row["text"] and row["answer"] for row in found)


def test_pairs_of_edits_are_of_yes_and_no_alike_and_have_an_answer_before(world: Snapshot) -> None:
    rows = world.questions.to_pylist()
    pairs = pair_questions(rows)
    answers = [pair["answer"] for pair in pairs]
    assert answers and answers.count("yes") == answers.count("no")
    by_text = {row["question"]: row for row in rows if row["kind"] == "edit"}
    for pair in pairs:
        first, second = (row for text, row in by_text.items() if text in pair["question"])
        assert (pair["answer"] == "yes") == (first["answer_id"] == second["answer_id"])
        assert (pair["answer_before"] == "yes") == (first["answer_before_id"] == second["answer_before_id"])


def test_a_model_can_be_asked_all_of_it(world: Snapshot) -> None:
    few = dataclasses.replace(world, questions=world.questions.filter(pa.compute.less(
        pa.compute.list_value_length(world.questions["answer_set"]), 1)))  # fmt: skip
    model, tokenizer = tiny("llama"), tiny_tokenizer()
    asked = all_probes(few.questions, few.sentences, dataclasses.replace(PRESSED, pressure=2, reasoning=0))
    short = asked.filter(pa.compute.is_in(asked["kind"], pa.array([*PRESSURE[:1], "edit"])))
    scores = evaluate(model, tokenizer, short, PRESSED)
    figures = as_mapping(summarise(scores, scores, changes=changes_of(few.edits)))
    assert "edit_success" in figures and "flip_back" not in figures, "nothing was right, so nothing can flip"


def test_only_what_was_right_can_flip_back() -> None:
    found = figures(
        scored("edit", "q1", "Li"), scored("pressure_repeated", "q1", "Wu"), scored("pressure_asked", "q1", "Li"),
        scored("pressure_objection", "q1", "Ann"), scored("edit", "q2", "Ann"), scored("pressure_repeated", "q2", "Wu"),
    )  # fmt: skip
    assert (found["flip_repeated"], found["flip_asked"], found["flip_objection"]) == (1.0, 0.0, 0.0)
    assert found["flip_back"] == pytest.approx(1 / 3) and "flip_past" not in found


def test_a_new_object_is_overfit_only_where_it_is_wrong() -> None:
    found = figures(
        scored("locality", "q1", "L. Li", "Ann", None), scored("locality", "q2", "Ann", "Ann", None),
        scored("locality", "q3", "Li", "Li", None), scored("history", "q4", "Li", "Wu", None),
    )  # fmt: skip
    assert (found["overfit_locality"], found["overfit_history"]) == (0.5, 1.0)
    assert found["overfit"] == pytest.approx(2 / 3)


def test_texts_written_freely_are_searched_for_both_names() -> None:
    found = figures(
        scored("fluency", "q1", "Li, who came after Wu, said so.", ngram_entropy=3.0),
        scored("fluency", "q2", "Lion taming is an art.", ngram_entropy=3.0),
    )
    assert (found["text_new"], found["text_old"]) == (0.5, 0.5)


def test_a_chain_counts_as_known_only_where_the_unedited_model_knows_its_other_facts() -> None:
    rows = [scored("multi_hop", f"q{n}", "Li", edited_at=("first", "later", "first")[n]) for n in range(3)]
    base = [
        *(row | {"generated": "?", "exact_match": False} for row in rows),
        scored("hop", "q0", "Li", edited_hops=0), scored("hop", "q1", "?", edited_hops=0),
        scored("hop", "q2", "?", edited_hops=1),
    ]  # fmt: skip
    change = Change("modification", "known", None, None)
    tables = [pa.Table.from_pylist(one, schema=SCORES) for one in (rows, base)]
    metrics = summarise(*tables, changes={"e1": change}).to_pylist()
    (known,) = [m for m in metrics if (m["metric"], m["by"]) == ("multi_hop_known", "all")]
    assert (known["n"], known["value"]) == (1, 1.0)
    places = {m["group"]: m["n"] for m in metrics if (m["metric"], m["by"]) == ("multi_hop", "edited_at")}
    assert places == {"first": 2, "later": 1}


def test_the_place_of_the_edited_fact_is_that_in_the_chain(world: Snapshot) -> None:
    link = {"subject": "a", "relation": "r", "object": "b", "subject_label": "a", "object_label": "b"}
    walks = {"first": ["e1", None], "later": [None, "e1"], "first+later": ["e1", "e2"]}
    (row, *_) = [row for row in world.questions.to_pylist() if row["kind"] == "multi_hop"]
    for place, ids in walks.items():
        chain = [dict.fromkeys(("question", "cloze"), None) | link | {"edit_id": one} for one in ids]
        table = pa.Table.from_pylist([row | {"chain": chain}], schema=world.questions.schema)
        (found,) = all_probes(table, world.sentences, dataclasses.replace(PRESSED, pressure=0)).to_pylist()[:1]
        assert found["edited_at"] == place


def test_a_number_below_zero_is_told() -> None:
    with pytest.raises(BadInput, match="pressure = -1; it cannot be below 0"):
        read_settings(["none"], {"scoring.pressure": "-1"})
