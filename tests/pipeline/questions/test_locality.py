"""Locality probes ask only what no edit touches."""

from __future__ import annotations

from tests.pipeline.questions.question_world import small_country, world


def test_locality_answers_are_the_same_before_and_after_and_no_part_of_the_edit() -> None:
    made = small_country().questions(locality_per_edit=3)
    edit = made.edits.to_pylist()[0]
    found = [row for row in made.questions.to_pylist() if row["kind"] == "locality"]
    assert {row["locality_kind"] for row in found} == {"relation", "subject", "object"}
    for row in found:
        assert row["answer_id"] == row["answer_before_id"]
        assert row["answer_id"] not in (edit["old_object"], edit["new_object"])
        assert (row["subject"], row["relation"]) != (edit["subject"], edit["relation"])


def test_a_relation_that_moves_with_the_edit_is_no_locality() -> None:
    told = world().named("Q1", "Redland").person("Q2", "Ada Old").person("Q3", "Bea New").person("Q4", "Cat Crown")
    made = told.changed("head_of_government", "Q1", "Q2", "Q3").held("head_of_state", "Q1", "Q4").questions()
    assert "locality" not in made.questions["kind"].to_pylist()
    assert "no_probe" in made.rejections["reason"].to_pylist()


def test_a_fact_about_the_dead_is_not_asked_in_the_present_tense() -> None:
    told = world().named("Q1", "Redland").named("Q9", "Green Party").named("Q8", "Oldtown")
    told.person("Q2", "Ada Old").person("Q3", "Bea New", died="2023-01-01")
    told.held("party", "Q3", "Q9").held("birthplace", "Q3", "Q8")
    made = told.changed("founder", "Q1", "Q2", "Q3").questions()
    asked = [row["relation"] for row in made.questions.to_pylist() if row["kind"] == "locality"]
    assert asked == ["birthplace"]


def test_a_fact_that_guards_two_edits_is_one_question() -> None:
    told = world().named("Q1", "Redland").named("Q2", "Blueland").named("Q3", "Greenland Minor")
    for qid, name in (("Q4", "Ada Old"), ("Q5", "Bea New"), ("Q6", "Cat Mid"), ("Q7", "Dee Last"), ("Q8", "Eve Ever")):
        told.person(qid, name)
    told.changed("head_of_state", "Q1", "Q4", "Q5").changed("head_of_state", "Q2", "Q6", "Q7")
    made = told.held("head_of_state", "Q3", "Q8").questions()
    found = [row for row in made.questions.to_pylist() if row["kind"] == "locality"]
    assert len(found) == 1 and len(found[0]["edit_ids"]) == 2
