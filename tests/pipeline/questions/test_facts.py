"""The table of facts: what is certain on both dates, with its object before and after."""

from __future__ import annotations

from tests.pipeline.questions.question_world import World, world


def redland() -> World:
    """A country with a new head of state and a capital that stays."""
    told = world().named("Q1", "Redland").named("Q2", "Oldtown").person("Q3", "Ada Bell").person("Q4", "Bea Hill")
    return told.held("capital", "Q1", "Q2").changed("head_of_state", "Q1", "Q3", "Q4")


def facts(told: World) -> dict[tuple[str, str], dict]:
    return {(row["relation"], row["subject"]): row for row in told.chosen("facts")}


def test_an_edit_is_a_fact_with_two_objects_and_what_stays_is_one_with_the_same() -> None:
    found = facts(redland())
    edit, stable = found["head_of_state", "Q1"], found["capital", "Q1"]
    assert (edit["before"], edit["after"], stable["before"], stable["after"]) == ("Q3", "Q4", "Q2", "Q2")
    assert edit["edit_id"] is not None and stable["edit_id"] is None
    assert len(found) == 2


def test_what_is_uncertain_on_one_of_the_dates_is_no_fact() -> None:
    told = redland().named("Q5", "Blueland").held("capital", "Q5", None, "2022-01-01").held("currency", "Q5", None)
    assert {subject for _, subject in facts(told)} == {"Q1"}


def test_of_two_relations_that_say_the_same_only_the_earlier_is_a_fact() -> None:
    told = redland().named("Q6", "Chancellor of Redland").person("Q7", "Cat Moor")
    told.held("office_holder", "Q6", "Q7").held("officeholder", "Q6", "Q7")
    assert [relation for relation, subject in facts(told) if subject == "Q6"] == ["office_holder"]


def test_a_fact_about_a_shared_name_starts_no_chain_and_asks_nothing() -> None:
    told = redland().person("Q8", "Eva Vale").person("Q9", "Eva Vale").person("Q7", "Cat Moor")
    for person in ("Q7", "Q8", "Q9"):
        told.held("citizenship", person, "Q1")
    found = facts(told)
    assert [found["citizenship", person]["nameable"] for person in ("Q7", "Q8", "Q9")] == [True, False, False]
    assert [found["citizenship", person]["unaskable"] for person in ("Q7", "Q8", "Q9")] == [False, True, True]


def test_of_the_dead_only_what_is_true_for_ever_is_a_fact() -> None:
    told = redland().person("Q7", "Cat Moor", died="2019-05-01").named("Q8", "Red Party")
    told.held("party", "Q7", "Q8").held("birthplace", "Q7", "Q2")
    assert [relation for relation, subject in facts(told) if subject == "Q7"] == ["birthplace"]


def test_the_party_of_a_head_of_state_is_in_doubt_unless_they_lead_the_government_too() -> None:
    told = redland().named("Q5", "Blueland").named("Q8", "Red Party").person("Q7", "Cat Moor").person("Q9", "Dan Fox")
    told.held("head_of_state", "Q5", "Q7").held("head_of_government", "Q5", "Q7")
    for person in ("Q3", "Q4", "Q7", "Q9"):
        told.held("party", person, "Q8")
    assert {subject for relation, subject in facts(told) if relation == "party"} == {"Q7", "Q9"}
