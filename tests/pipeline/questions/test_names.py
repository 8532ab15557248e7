"""Names in questions: whose office it is, articles within a sentence, scripts and slips."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronofacts.pipeline.questions.build import QuestionTables
from chronofacts.pipeline.snapshots.write import read_table
from tests.conftest import AS_OF
from tests.pipeline.questions.question_world import World, world

Place = tuple[str, tuple[str, ...]]
"""Its name, and its others."""


def office(label: str, place: str | None = None) -> World:
    """An office that changed hands, and its place."""
    told = world().named("Q1", label).person("Q3", "Ada Old").person("Q4", "Bea New")
    if place:
        told.named("Q2", place).held("jurisdiction", "Q1", "Q2")
    return told.changed("office_holder", "Q1", "Q3", "Q4")


def prompts(offices: dict[str, Place], relation: str = "jurisdiction") -> dict[str, str]:
    """How each of the offices of one world is asked, by its name; all of them changed hands."""
    told = world().person("Q3", "Ada Old").person("Q4", "Bea New")
    for number, (label, (place, others)) in enumerate(offices.items(), 100):
        told.named(f"Q1{number}", label).named(f"Q2{number}", place, *others)
        told.held(relation, f"Q1{number}", f"Q2{number}").changed("office_holder", f"Q1{number}", "Q3", "Q4")
    asked = {edit["subject"]: edit["prompt"] for edit in told.questions().edits.to_pylist()}
    return {label: asked.get(f"Q1{number}", "not asked") for number, label in enumerate(offices, 100)}


def taken_over(names: list[str], **settings: object) -> QuestionTables:
    """Lands whose heads of state are now people of these names."""
    told = world().person("Q2", "Ada Old")
    for number, name in enumerate(names):
        told.named(f"Q1{number}", f"Land {number}").person(f"Q3{number}", name)
        told.changed("head_of_state", f"Q1{number}", "Q2", f"Q3{number}")
    return told.questions(**settings)


def test_a_name_is_a_label_its_plain_words_and_the_words_that_would_give_it_away() -> None:
    told = office("Minister of Tides of Zorland", "Zorland").person("Q5", "Zoë O'Brien-Müller", "Z. O'Brien", "Zoë")
    rows = {row["id"]: row for row in told.changed("ceo", "Q2", "Q3", "Q5").chosen("names")}
    person, place = rows["Q5"], rows["Q2"]
    assert (person["words"], person["alias_words"]) == (" zoe o brien muller ", [" z o brien ", " zoe "])
    assert sorted(person["telling"]) == ["brien", "muller"]  # "zoe" is too short to tell
    assert (person["aliases"], person["asked_aliases"]) == (["Z. O'Brien", "Zoë"], ["Z. O'Brien"])
    assert (person["reason"], person["is_office"], place["is_office"], rows["Q1"]["is_office"]) == (
        None, False, False, True,
    )  # fmt: skip
    assert (person["shown"], rows["Q1"]["shown"]) == ("Zoë O'Brien-Müller", "the Minister of Tides of Zorland")


@pytest.mark.parametrize("relation", ["jurisdiction", "country"])
def test_an_office_whose_name_does_not_say_whose_it_is_gets_its_place(relation: str) -> None:
    labels = (
        "Assistant Minister for Trade", "Federal Minister for Railways", "Governor of the Central Bank",
        "President of the Supreme Court", "President of the Senate", "Executive Secretary", "Ombudsman",
        "Chief of the General Staff", "President of Parliament", "Special Minister of State",
    )  # fmt: skip
    asked = prompts(dict.fromkeys(labels, ("Zorland", ())), relation)
    assert asked == {label: f"Who is the {label} in Zorland?" for label in labels}


def test_a_king_is_of_his_land_rather_than_in_it() -> None:
    labels = ("King", "Monarch", "Mayor", "President", "Prime Minister")
    asked = prompts(dict.fromkeys(labels, ("Bahamas", ())))
    assert asked == {label: f"Who is the {label} of the Bahamas?" for label in labels}


def test_an_office_whose_name_says_whose_it_is_stays_as_it_is() -> None:
    offices: dict[str, Place] = {
        "Minister of Health of Zorland": ("Zorland", ()),
        "Swedish Minister of Health": ("Sweden", ()),
        "President of the United States": ("United States of America", ()),
        "President of the French Republic": ("France", ("French Republic",)),
        "Governor of the Narodowy Bank Polski": ("Poland", ("Polska",)),
        "Governor of Alaska": ("United States of America", ()),
        "governor of São Paulo": ("Brazil", ()),
        "Governor of the Bank of England": ("United Kingdom", ()),
        "Speaker of the Knesset": ("Israel", ()),
        "White House Chief of Staff": ("United States of America", ()),
    }
    assert prompts(offices) == {label: f"Who is the {label}?" for label in offices}


def test_a_word_that_only_looks_like_the_place_does_not_name_it() -> None:
    offices: dict[str, Place] = {
        "Minister for Communications": ("Australia", ("Commonwealth of Australia",)),
        "Minister of Children": ("Chile", ()),
        "Minister without Portfolio": ("Portugal", ()),
        "Chief Minister of Punjab": ("India", ()),
        "Minister of Trade and Industry": ("Andorra", ("AND",)),
    }
    assert prompts(offices) == {label: f"Who is the {label} in {place}?" for label, (place, _) in offices.items()}


def test_an_office_that_nobody_holds_for_certain_has_its_article_too() -> None:
    told = office("Minister of Tides", "Zorland").named("Q5", "Minister of Dunes", "Dune Minister")
    told.entities["Q5"]["types"] = ["Q4164871"]
    told.held("country", "Q5", "Q2").named("Q6", "Oldtown").named("Q7", "Newtown")
    made = told.changed("headquarters", "Q5", "Q6", "Q7").questions()
    asked = {row["question"] for row in made.questions.to_pylist() if row["subject"] == "Q5"}
    assert "Where is the Minister of Dunes in Zorland headquartered?" in asked


def test_a_word_written_twice_by_mistake_is_said_once() -> None:
    assert list(prompts({"Minister of of Health of Zorland": ("Zorland", ())}).values()) == [
        "Who is the Minister of Health of Zorland?"
    ]


@pytest.mark.parametrize("language", ["en", "nl"])
def test_a_name_in_another_script_is_not_shown(language: str) -> None:
    names = ["장상윤", "Людмила", "Ράνια Τζίμα", "王毅", "Oleksіï"]  # the last has one letter of another
    made = taken_over(names, language=language)
    assert made.edits.num_rows == 0
    assert {(row["subject"], row["reason"]) for row in made.rejections.to_pylist()} == {
        (f"Q1{number}", "unusable_label") for number in range(len(names))
    }


def test_letters_with_marks_are_latin() -> None:
    names = ["Lương Cường", "Fiamē Naomi Mataʻafa", "Þórður Ægisson", "Žydrūnas Ilgauskas"]
    assert set(taken_over(names).edits["new_label"].to_pylist()) == set(names)


def test_an_office_without_a_name_in_the_language_is_not_asked() -> None:
    told = office("Minister of Tides of Zorland", "Zorland")
    for entity in told.entities.values():
        entity["label_language"] = "mul"
    told.entities["Q1"]["label_language"] = "en"
    made = told.questions(language="nl")
    assert made.edits.num_rows == 0
    assert made.rejections["reason"].to_pylist() == ["foreign_title"]


def test_a_count_of_people_is_not_asked_as_todays_years_after_it_was_made(sample_snapshot: Path) -> None:
    counted = {
        (row["subject"], row["object"]): row["valid_from_earliest"]
        for row in read_table(sample_snapshot, "timelines").to_pylist()
        if row["relation"] == "population"
    }
    assert min(counted.values()).year < AS_OF.year - 2  # there are old counts that could be asked
    for row in read_table(sample_snapshot, "questions").to_pylist():
        for link in row["chain"]:
            if link["relation"] == "population" and row["asked_on"] is None:
                assert (AS_OF - counted[link["subject"], link["object"]]).days <= 2 * 366, row["question"]
