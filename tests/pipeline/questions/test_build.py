"""The question set as a whole: kinds, hygiene, determinism."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.pipeline.questions.build import QuestionTables
from chronofacts.schemas.reasons import REASONS
from chronofacts.schemas.tables import EDITS, QUESTIONS, SENTENCES
from tests.pipeline.questions.question_world import small_country, small_questions, world


def of_kind(made: QuestionTables, kind: str) -> list[dict]:
    return [row for row in made.questions.to_pylist() if row["kind"] == kind]


def reasons(made: QuestionTables) -> Counter[str]:
    return Counter(made.rejections["reason"].to_pylist())


def plain(text: str) -> str:
    return " " + " ".join(re.findall(r"[^\W_]+", text.lower())) + " "


def test_every_kind_of_question_is_asked_about_one_edit() -> None:
    made = small_questions()
    kinds = Counter(made.questions["kind"].to_pylist())
    assert set(kinds) == {
        "edit", "paraphrase", "cloze", "alias", "reverse", "multi_hop", "locality", "history", "timeline"
    }  # fmt: skip
    assert kinds["paraphrase"] >= 4
    assert kinds["history"] >= 2
    assert set(made.questions["locality_kind"].drop_null().to_pylist()) == {"relation", "subject", "object"}


def test_an_edit_reads_as_a_person_would_ask() -> None:
    edit = small_questions().edits.to_pylist()[0]
    assert edit["prompt"] == "Who is the head of government of France?"
    assert edit["cloze"] == "The head of government of France is"
    assert (edit["target_old"], edit["target_new"]) == ("Jean Castex", "Gabriel Attal")
    assert edit["paraphrases"][1] == "Who is France's head of government?"


def test_tables_have_exactly_the_schemas() -> None:
    made = small_questions()
    assert made.edits.schema.equals(EDITS)
    assert made.questions.schema.equals(QUESTIONS)
    assert made.sentences.schema.equals(SENTENCES)


def test_the_same_input_in_any_order_and_in_any_parts_gives_the_same_tables() -> None:
    first = small_questions()
    for other in (small_country().questions(shuffled=3), small_country().questions(edits_per_part=1, threads=1)):
        for field in dataclasses.fields(QuestionTables):
            assert getattr(first, field.name).equals(getattr(other, field.name)), field.name


def test_a_chain_probes_its_edits_in_whatever_part_they_are_put_into_words() -> None:
    told = world().person("Q1", "Ada Bell").named("Q2", "Greytown FC").named("Q3", "Whitby Town")
    told.person("Q4", "Bea Hill").person("Q5", "Cat Moor").person("Q6", "Eva Vale")
    told.changed("club", "Q1", "Q2", "Q3", "2022-01-01").held("captain", "Q2", "Q4").changed(
        "captain", "Q3", "Q5", "Q6"
    )
    whole, parted = told.questions(), told.questions(edits_per_part=1)
    assert {len(row["edit_ids"]) for row in of_kind(whole, "multi_hop")} == {2}
    assert whole.rejections.equals(parted.rejections)
    assert not [row for row in parted.rejections.to_pylist() if "multi_hop" in row["detail"]]


def test_another_seed_draws_other_probes_of_the_same_edits() -> None:
    one, other = small_questions(), small_country().questions(seed=2)
    assert one.edits.equals(other.edits)
    assert one.questions["question_id"].to_pylist() != other.questions["question_id"].to_pylist()


def test_no_changes_give_empty_tables() -> None:
    made = world().named("Q1", "France").named("Q2", "Paris").held("capital", "Q1", "Q2").questions()
    assert (made.edits.num_rows, made.questions.num_rows, made.sentences.num_rows) == (0, 0, 0)


def test_a_reverse_question_is_not_asked_when_two_subjects_share_the_answer() -> None:
    told = world().named("Q1", "Redland").named("Q2", "Blueland").person("Q3", "King Old").person("Q4", "King New")
    made = told.changed("head_of_state", "Q1", "Q3", "Q4").changed("head_of_state", "Q2", "Q3", "Q4").questions()
    assert made.edits.num_rows == 2 and not of_kind(made, "reverse")


@pytest.mark.parametrize(("other", "asked"), [(("2019-01-01", None), False), (("2019-01-01", "2022-01-01"), True)])
def test_a_reverse_question_is_not_asked_of_somebody_who_may_hold_another_office(
    other: tuple[str, str | None], asked: bool
) -> None:
    told = world().named("Q1", "Redland").named("Q2", "Blueland").person("Q3", "King Old").person("Q4", "King New")
    told.person("Q5", "King Third").changed("head_of_state", "Q1", "Q3", "Q4")
    told.held("head_of_state", "Q2", "Q5", "2018-01-01").held("head_of_state", "Q2", "Q4", *other)
    assert bool(of_kind(told.questions(), "reverse")) == asked


def test_the_same_change_said_by_two_relations_is_one_edit() -> None:
    told = world().named("Q1", "Chancellor of Redland").person("Q2", "Ada Old").person("Q3", "Bea New")
    told.changed("office_holder", "Q1", "Q2", "Q3").changed("officeholder", "Q1", "Q2", "Q3")
    made = told.questions()
    assert made.edits["relation"].to_pylist() == ["office_holder"]
    assert reasons(made)["said_twice"] == 1


def test_a_change_whose_twin_is_no_edit_is_not_said_twice_but_left_out_for_the_same_reason() -> None:
    told = world().named("Q1", "King of Redland").person("Q2", "Ada of Redland").named("Q5", "Oldtown")
    told.named("Q6", "Mayor of Oldtown").person("Q7", "Bea").person("Q8", "Cat Moor").person("Q9", "Eva Vale")
    for relation in ("office_holder", "officeholder"):
        told.changed(relation, "Q1", None, "Q2").changed(relation, "Q6", "Q7", "Q8")
    made = told.changed("mayor", "Q5", "Q7", "Q9").questions()
    assert made.edits.num_rows == 0
    assert sorted((row["reason"], row["relation"], row["subject"]) for row in made.rejections.to_pylist()) == [
        ("answer_in_question", "office_holder", "Q1"),
        ("answer_in_question", "officeholder", "Q1"),
        ("contradicting_answers", "mayor", "Q5"),
        ("contradicting_answers", "office_holder", "Q6"),
        ("contradicting_answers", "officeholder", "Q6"),
    ]


def test_a_city_and_its_office_of_whom_one_question_asks_are_one_edit() -> None:
    told = world().named("Q1", "Oldtown").named("Q5", "Mayor of Oldtown").person("Q2", "Ada Old").person("Q3", "Bea")
    told.changed("mayor", "Q1", "Q2", "Q3").changed("office_holder", "Q5", None, "Q3")
    made = told.questions()
    assert made.edits["prompt"].to_pylist() == ["Who is the mayor of Oldtown?"]
    assert reasons(made)["said_twice"] == 1


def test_a_city_and_its_office_of_whom_one_question_has_two_answers_are_no_edits() -> None:
    told = world().named("Q1", "Oldtown").named("Q5", "Mayor of Oldtown").person("Q2", "Ada Old").person("Q3", "Bea")
    told.person("Q4", "Cat Moor").changed("mayor", "Q1", "Q2", "Q3").changed("office_holder", "Q5", "Q2", "Q4")
    made = told.questions()
    assert made.edits.num_rows == 0 and reasons(made)["contradicting_answers"] == 2


def test_no_two_edits_of_single_values_and_no_two_locality_questions_of_the_sample_read_alike(
    sample_snapshot: Path,
) -> None:
    edits, questions = (pq.read_table(sample_snapshot / name).to_pylist() for name in ("edits", "questions"))
    asked = Counter(row["prompt"].casefold() for row in edits if row["kind"] not in ("addition", "removal"))
    asked += Counter(row["question"].casefold() for row in questions if row["kind"] == "locality")
    assert len(asked) > 500 and [text for text, times in asked.items() if times > 1] == []


def test_a_name_that_leaves_out_whose_it_is_is_no_alias_to_ask_by() -> None:
    told = world().named("Q1", "Socialist Party of Redland", "Partido Socialista", "S", "SPR", "Socialists of Redland")
    told.person("Q2", "Ada Bell").person("Q3", "Bea Hill").changed("chairperson", "Q1", "Q2", "Q3")
    asked = {row["subject_label"] for row in of_kind(told.questions(aliases_per_edit=9), "alias")}
    assert asked == {"SPR", "Socialists of Redland"}


def test_an_alias_that_names_another_subject_is_not_asked() -> None:
    told = world().named("Q1", "Redland", "The Land").named("Q2", "Blueland", "The Land")
    told.person("Q3", "Ada Old").person("Q4", "Bea New").person("Q5", "Cat Mid").person("Q6", "Dee Last")
    made = told.changed("head_of_state", "Q1", "Q3", "Q4").changed("head_of_state", "Q2", "Q5", "Q6").questions()
    assert not of_kind(made, "alias")


def test_a_name_that_cannot_be_asked_is_rejected_with_its_reason() -> None:
    cases = [
        (None, "Ada Old", "Bea New", "no_label"),
        ("Redland", None, "Bea New", "no_label"),
        ("Q1", "Ada Old", "Bea New", "unusable_label"),
        ("A" * 300, "Ada Old", "Bea New", "unusable_label"),
        ("Red\nland", "Ada Old", "Bea New", "unusable_label"),
        ("Red{s}land", "Ada Old", "Bea New", "unusable_label"),
        ("ארץ אדומה", "Ada Old", "Bea New", "unusable_label"),
        ("Red\u202eland", "Ada Old", "Bea New", "unusable_label"),
        ("Blueland", "Ada Same", "Ada Same", "same_name"),
        ("Ada Company", "Zed Old", "Ada Company", "answer_in_question"),
    ]
    told = world()
    for number, (subject, old, new, _) in enumerate(cases):
        told.named(f"Q1{number}", subject).person(f"Q2{number}", old).person(f"Q3{number}", new)
        told.changed("ceo", f"Q1{number}", f"Q2{number}", f"Q3{number}")
    made = told.questions()
    assert made.edits.num_rows == 0
    found = sorted((row["subject"], row["reason"]) for row in made.rejections.to_pylist())
    assert found == [(f"Q1{number}", reason) for number, (*_, reason) in enumerate(cases)]


def test_two_subjects_of_one_name_are_rejected_as_ambiguous() -> None:
    told = world().named("Q1", "Springfield").named("Q2", "Springfield").person("Q3", "Ada Old").person("Q4", "Bea New")
    made = told.changed("head_of_government", "Q1", "Q3", "Q4").held("head_of_government", "Q2", "Q3").questions()
    assert reasons(made)["ambiguous_name"] == 1 and made.edits.num_rows == 0


SIGNS = ['Philip "Brave" Land', "O'Brien's Co", "100% Land $1", "Ünïted Çaña", "C++ & Sons"]


@cache
def several_changes() -> QuestionTables:
    """Changes of several kinds that have nothing to do with each other, in one world."""
    told = world().person("Q2", "Ada Old").person("Q3", "Bea New").named("Q4", "Kosova Institute")
    told.changed("chairperson", "Q4", None, "Q2")
    for number, subject in enumerate(SIGNS):
        told.named(f"Q1{number}", subject).changed("ceo", f"Q1{number}", "Q2", "Q3")
    told.named("Q5", "Redland").changed("population", "Q5", "+1234567", "+1300000")
    told.named("Q6", "Blueland").named("Q7", "2017").named("Q8", "Newtown").held("capital", "Q6", "Q8")
    told.changed("anthem", "Q6", "Q7", "Q8")
    told.named("Q20", "Minister of Education").named("Q21", "Philippines").held("jurisdiction", "Q20", "Q21")
    return told.changed("office_holder", "Q20", "Q2", "Q3").questions(history_per_edit=9)


def about(made: QuestionTables, kind: str, subject: str) -> list[dict]:
    return [row for row in of_kind(made, kind) if row["subject"] == subject]


def edit_of(made: QuestionTables, subject: str) -> dict:
    (edit,) = (row for row in made.edits.to_pylist() if row["subject"] == subject)
    return edit


def test_an_injection_has_no_answer_before() -> None:
    (row,) = about(several_changes(), "edit", "Q4")
    assert row["answer_before"] is None and edit_of(several_changes(), "Q4")["target_old"] is None


def test_a_name_with_quotes_or_signs_stands_in_the_question_as_it_is() -> None:
    asked = {row["question"] for row in of_kind(several_changes(), "edit") if row["relation"] == "ceo"}
    assert asked == {f"Who is the chief executive officer of {subject}?" for subject in SIGNS}


def test_an_answer_that_is_a_year_is_not_asked_about_that_year() -> None:
    asked = {row["question"] for row in about(several_changes(), "history", "Q6")}
    assert asked and all("2017" not in text for text in asked)


def test_numbers_are_written_for_people_and_both_spellings_count() -> None:
    edit = edit_of(several_changes(), "Q5")
    assert (edit["target_new"], edit["new_aliases"]) == ("1,300,000", ["1300000"])


def test_an_office_of_many_places_is_asked_with_its_place() -> None:
    assert edit_of(several_changes(), "Q20")["prompt"] == "Who is the Minister of Education in the Philippines?"


def test_splits_follow_the_edited_subject_and_never_mix() -> None:
    told = world()
    for i in range(40):
        told.named(f"Q{i + 1}", f"Land {i}").person(f"Q1{i:02}", f"Ada{i} Old{i}").person(f"Q2{i:02}", f"Bea{i} New{i}")
        told.changed("head_of_state", f"Q{i + 1}", f"Q1{i:02}", f"Q2{i:02}")
    made = told.questions(train_share=0.5)
    splits: dict[str, set[str]] = {}
    for row in made.questions.to_pylist():
        for edit in row["edit_ids"]:
            splits.setdefault(edit, set()).add(row["split"])
    assert all(len(found) == 1 for edit, found in splits.items())
    assert set.union(*splits.values()) == {"train", "test"}


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12)


# Many worlds in one: building a set costs more than its rows.
@settings(max_examples=4, deadline=None)
@given(names=st.lists(NAMES, min_size=91, max_size=91))
def test_no_question_says_its_answer_and_no_text_has_two_answers_whatever_the_names(names: list[str]) -> None:
    told = world()
    for i in range(13):
        land, other, town, old, new, stays, alias = names[i * 7 : i * 7 + 7]
        a, b, c, d, e, f = (f"Q{10 + i}{k}" for k in range(1, 7))
        told.named(a, land, alias).named(b, other).named(c, town).person(d, old).person(e, new).person(f, stays)
        told.changed("head_of_state", a, d, e).held("capital", a, c).held("head_of_state", b, f)
        told.held("birthplace", e, c).held("birthplace", d, b).held("citizenship", f, a)
    answers: dict[str, set[str]] = {}
    for row in told.questions().questions.to_pylist():
        for text in (row["question"], *row["phrasings"]):
            assert plain(row["answer"]) not in plain(text)
            answers.setdefault(text, set()).add(row["answer_id"])
    assert all(len(found) == 1 for found in answers.values())


def test_rejections_are_sorted_and_of_the_closed_list() -> None:
    told = small_country().named("Q40", "Oak University").named("Q50", None).named("Q51", "Oldtown")
    told.held("educated_at", "Q5001", "Q40").held("educated_at", "Q5002", "Q40")
    told.changed("capital", "Q50", "Q51", "Q90").changed("ceo", "Q31", "Q5003", "Q5004")
    table = told.questions(hops_per_edit=1).rejections.to_pylist()
    assert [row["reason"] for row in table] == ["no_label", "hop_over_cap", "hop_unchanged", "no_probe"]
    assert all(REASONS[row["reason"]][0] == row["stage"] for row in table)
    assert table == sorted(table, key=lambda row: (row["stage"], row["reason"]))
