"""Sets of values as edits and questions: what is asked of what joined, left and stays, and what is left out."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from chronofacts.pipeline.exchange import export_snapshot, import_benchmark
from chronofacts.pipeline.questions.build import QuestionTables
from chronofacts.pipeline.snapshots.entity_report import report_entity
from chronofacts.pipeline.snapshots.summary import summarise
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.schemas.catalogue import load_catalogue
from chronofacts.schemas.catalogue_checks import choose_wording
from tests.pipeline.membership_world import questions_of, rows, snapshot_of, unions
from tests.pipeline.timelines.statement_world import World, world


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return snapshot_of(unions("P37"), tmp_path_factory.mktemp("unions") / "snapshot")


SET_KINDS = ("edit", "paraphrase", "cloze", "alias")


def named(row: dict, column: str = "answer_set", role: str | None = None) -> list[str]:
    return [value["label"] for value in row[column] if role in (None, value["role"])]


@cache
def told_of(reads: str) -> QuestionTables:
    """What is asked of `unions`, made once."""
    return questions_of(unions(reads))


def clubs(*firms: tuple[int, int, int]) -> World:
    """Firms Q1, Q2 …, each with so many owners that joined, that stay and that left."""
    made = world()
    for number, word in enumerate(WORDS, 10):
        made.called(f"Q{number}", f"{word} Guild")
    for firm, counts in enumerate(firms, 1):
        made.called(f"Q{firm}", f"Orlo {WORDS[-firm]} Works").country(f"Q{firm}", "P37")
        number = 10
        for count, dates in zip(counts, (("2022-01-01",), ("2000-01-01",), ("2000-01-01", "2023-01-01")), strict=True):
            for _ in range(count):
                made.held_by(f"Q{number}", *dates)
                number += 1
    return made


def reasons(told: QuestionTables) -> dict[str, dict[str, list[str]]]:
    """Subject -> reason -> ids."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in told.rejections.to_pylist():
        found.setdefault(row["subject"], {})[row["reason"]] = row["ids"]
    return found


WORDS = [
    "Amber", "Birch", "Cedar", "Dahlia", "Elder", "Fennel", "Ginkgo", "Hazel", "Ivy", "Juniper", "Kelp", "Larch",
    "Maple", "Nettle", "Oak", "Poplar", "Quince", "Rowan", "Sorrel", "Thyme",
]  # fmt: skip


def test_an_addition_is_asked_as_one_plural_question_with_its_set() -> None:
    made = told_of("P37")
    (edit,) = rows(made.edits, kind="addition")
    assert (edit["prompt"], edit["target_old"], edit["target_new"]) == (
        "What are the official languages of Finland?",
        "the European Union and the United Nations",
        "the European Union, NATO and the United Nations",
    )
    assert (edit["old_object"], edit["new_object"], edit["before"]) == (None, "Q7184", "known")
    assert [value["id"] for value in edit["stays"]] == ["Q1065", "Q458"]
    asked = [row for row in rows(made.questions, subject="Q33") if row["kind"] in SET_KINDS]
    assert {row["kind"] for row in asked} == set(SET_KINDS)
    for row in asked:
        assert (row["edit_ids"], row["answer"], row["answer_id"]) == ([edit["edit_id"]], edit["target_new"], "Q7184")
        assert named(row, role="joined") == ["NATO"] and row["chain"] == [] and row["hops"] == 1
        assert named(row, "answer_before_set") == ["United Nations", "European Union"]


def test_a_removal_names_what_stays_and_expects_what_left_to_go() -> None:
    made = told_of("P37")
    (edit,) = rows(made.edits, kind="removal")
    assert (edit["old_label"], edit["new_object"], edit["new_label"], edit["target_new"]) == (
        "Council of Europe", None, None, "the United Nations",
    )  # fmt: skip
    (asked,) = rows(made.questions, subject="Q159", kind="edit")
    assert named(asked, "answer_before_set", "left") == ["Council of Europe"] and asked["answer_id"] == "Q8908"


def test_what_stays_is_asked_in_a_wording_that_no_edit_is_taught_in() -> None:
    made = told_of("P37")
    taught = {text for edit in made.edits.to_pylist() for text in (edit["prompt"], *edit["paraphrases"], edit["cloze"])}
    asked = rows(made.questions, kind="preservation")
    stays = [tuple(v["label"] for v in row["answer_set"] if v["role"] == "stays") for row in asked]
    assert {*stays} == {("United Nations", "European Union"), ("United Nations",)}
    assert {row["answer"] for row in asked} == {"the European Union, NATO and the United Nations", "the United Nations"}
    assert all(row["question"] not in taught for row in asked)


def test_the_past_is_asked_with_the_set_of_that_year() -> None:
    asked = {
        row["asked_on"].year: row["answer"] for row in rows(told_of("P37").questions, kind="history", subject="Q33")
    }
    assert asked[1994] == "the United Nations"
    assert asked[2020] == "the European Union and the United Nations"
    assert 1995 not in asked or asked[1995] == asked[2020]  # it began on the first day of that year


def test_a_year_in_which_a_value_is_uncertain_is_not_asked() -> None:
    made = unions("P37").country("Q33", "P37").held_by("Q146165", "1950", "2000")
    years = {
        row["asked_on"].year
        for row in rows(questions_of(made, history_per_edit=50).questions, kind="history", subject="Q33")
    }
    assert 2000 not in years and 1999 in years


def test_the_neighbours_are_a_set_of_another_and_another_fact_of_the_same() -> None:
    asked = rows(told_of("P37").questions, kind="locality")
    assert {(row["locality_kind"], row["subject_label"], row["answer"]) for row in asked} >= {
        ("relation", "Denmark", "the Nordic Council and the United Nations"), ("subject", "Finland", "Helsinki"),
    }  # fmt: skip


def test_of_a_large_set_only_what_joined_is_asked() -> None:
    made = questions_of(clubs((2, 9, 0)))
    assert {edit["target_new"] for edit in made.edits.to_pylist()} == {"Amber Guild and Birch Guild"}
    assert {edit["target_old"] for edit in made.edits.to_pylist()} == {None}
    (asked,) = rows(made.questions, kind="edit")
    assert named(asked) == ["Amber Guild", "Birch Guild"] and len(asked["edit_ids"]) == 2
    assert "preservation" not in made.questions["kind"].to_pylist()


def test_nobody_is_asked_to_name_more_than_eight_that_joined_or_that_stay() -> None:
    told = questions_of(clubs((9, 1, 0), (0, 9, 1), (0, 8, 1)))
    assert set(reasons(told)["Q1"]) == {"too_many_values"}
    assert reasons(told)["Q2"] == {"too_many_values": ["Q19"]}
    assert told.edits["subject"].to_pylist() == ["Q3"]


def test_a_set_of_which_nothing_is_left_is_no_question() -> None:
    told = questions_of(clubs((0, 0, 2), (1, 0, 1)))
    assert reasons(told)["Q1"]["nothing_stays"]
    assert told.edits["subject"].to_pylist() == ["Q2", "Q2"]


def test_names_that_contain_each_other_cannot_tell_what_left() -> None:
    made = world().called("Q1", "Orlo Works").called("Q10", "Amber Guild").called("Q11", "Amber Guild North")
    made.country("Q1", "P37").held_by("Q10", "2000", "2023-01-01").held_by("Q11", "2001-01-01")
    assert reasons(questions_of(made)) == {"Q1": {"same_name": ["Q10"]}}


def test_a_value_without_a_name_is_left_out_of_the_set_and_says_why() -> None:
    made = clubs((1, 2, 0)).called("Q30", "").country("Q1", "P37").held_by("Q30", "1999")
    told = questions_of(made)
    assert [edit["target_new"] for edit in told.edits.to_pylist()] == ["Amber Guild, Birch Guild and Cedar Guild"]
    assert ("no_label", ["Q30"]) in [(row["reason"], row["ids"]) for row in told.rejections.to_pylist()]


def test_many_parts_give_what_one_part_gives() -> None:
    made = unions("P37")
    for number, word in enumerate(WORDS[:6]):
        made.called(f"Q2{number:02}", f"{word} Land").country(f"Q2{number:02}", "P463")
        made.held_by("Q146165", "1950-01-01").held_by("Q458", "2022-01-01")
    one, many = (questions_of(made, edits_per_part=size) for size in (1000, 3))
    for name in ("edits", "questions", "sentences", "rejections"):
        assert getattr(one, name).equals(getattr(many, name)), name


def test_the_small_world_tells_the_set_at_since_in_the_plural() -> None:
    told = told_of("P37").sentences.to_pylist()
    said = {
        row["answer"]
        for row in told
        if row["relation"] == "official_language" and row["subject"] == "Q33" and not row["asked_on"]
    }
    assert said == {"the European Union and the United Nations"}
    assert {row["held_out"] for row in told if row["subject"] == "Q33" and row["form"] == "question"} == {True, False}
    prompts = {row["prompt"] for row in told}
    guards = rows(told_of("P37").questions, kind="locality")
    assert all(prompts & {row["question"], *row["phrasings"]} for row in guards)


def test_what_joined_an_open_set_is_asked_by_its_day_and_no_list_is_called_whole() -> None:
    made = told_of("P463")
    (edit,) = rows(made.edits, kind="addition")
    assert (edit["prompt"], edit["target_old"], edit["target_new"]) == (
        "Which organisation or grouping did Finland join on 4 April 2023?", None, "NATO",
    )  # fmt: skip
    assert [value["id"] for value in edit["stays"]] == ["Q1065", "Q458"]
    for row in rows(made.questions, subject="Q33"):
        if row["kind"] in SET_KINDS:
            assert (named(row), row["answer_before_set"], row["answer_id"]) == (["NATO"], [], "Q7184")
    assert not rows(made.questions, relation="member_of", kind="history")


def test_what_left_an_open_set_is_the_answer_to_its_question() -> None:
    made = told_of("P463")
    (asked,) = rows(made.questions, subject="Q159", kind="edit")
    assert asked["question"] == "Which organisation or grouping did Russia leave on 16 March 2022?"
    assert (named(asked, role="left"), asked["answer"]) == (["Council of Europe"], "the Council of Europe")
    assert rows(made.edits, kind="removal")[0]["target_new"] == "the Council of Europe"


def test_what_stays_in_an_open_set_is_asked_by_the_day_on_which_it_joined() -> None:
    made = told_of("P463")
    asked = {row["question"]: row for row in rows(made.questions, kind="preservation", subject="Q33")}
    assert {question: row["answer"] for question, row in asked.items()} == {
        "Which organisation or grouping did Finland join on 1 January 1995?": "the European Union",
        "Which organisation or grouping did Finland join on 14 December 1955?": "the United Nations",
    }
    (edit,) = rows(made.edits, kind="addition")
    assert all(row["edit_ids"] == [edit["edit_id"]] for row in asked.values())
    prompts = {row["prompt"] for row in made.sentences.to_pylist()}
    assert set(asked) <= prompts and edit["prompt"] not in prompts


def test_a_day_on_which_something_else_joined_that_is_gone_is_not_asked() -> None:
    made = unions().country("Q33", "P463").held_by("Q146165", "1995-01-01", "2010-01-01")
    asked = [row["question"] for row in rows(questions_of(made).questions, kind="preservation", subject="Q33")]
    assert asked == ["Which organisation or grouping did Finland join on 14 December 1955?"]


@pytest.mark.parametrize("other", ["1995", "1995-01"])
def test_a_day_on_which_something_else_may_have_joined_is_not_asked(other: str) -> None:
    told = questions_of(unions().country("Q33", "P463").held_by("Q146165", other))
    asked = [row["question"] for row in rows(told.questions, kind="preservation", subject="Q33")]
    days = {"1995": [], "1995-01": ["Which organisations or groupings did Finland join in January 1995?"]}[other]
    assert sorted(asked) == sorted([*days, "Which organisation or grouping did Finland join on 14 December 1955?"])


@pytest.mark.parametrize(("began", "ended", "edits"), [("2023", "2023", 0), ("2022", "2022", 1)])
def test_a_day_on_which_something_that_is_gone_may_have_joined_makes_no_edit(
    began: str, ended: str, edits: int
) -> None:
    told = questions_of(unions().country("Q33", "P463").held_by("Q146165", began, ended))
    assert len(rows(told.edits, kind="addition", subject="Q33")) == edits
    refused = [row["ids"] for row in rows(told.rejections, reason="uncertain_others")]
    assert refused == [["Q7184"]] * (1 - edits)


def test_all_that_joined_an_open_set_on_one_day_is_one_question() -> None:
    joined = {
        "Q34": ("2023-04-04", {"Which organisations or groupings did Sweden join on 4 April 2023?"}),
        "Q55": ("2023", {"Which organisations or groupings did the Netherlands join in 2023?"}),
        "Q33": (
            "2022-05-01",
            {
                "Which organisation or grouping did Finland join on 4 April 2023?",
                "Which organisation or grouping did Finland join on 1 May 2022?",
            },
        ),
    }
    made = unions()
    for qid, (other, _) in joined.items():
        made.country(qid, "P463").held_by("Q8908", other)
        if qid != "Q33":
            made.held_by("Q1065", "1955-12-14").held_by("Q7184", "2023-04-04")
    told = questions_of(made)
    for qid, (_, prompts) in joined.items():
        edits = rows(told.edits, kind="addition", subject=qid)
        assert ({edit["prompt"] for edit in edits}, len(edits)) == (prompts, 2)
        for row in rows(told.questions, kind="edit", subject=qid):
            assert len(row["answer_set"]) == len(row["edit_ids"]) == 3 - len(prompts)


@pytest.mark.parametrize("days", ["2021-05-01 2022-09-30", "2023-05-01 2023-05-09"])
def test_of_several_days_none_is_named_as_that_of_a_change(days: str) -> None:
    made = unions().country("Q33", "P463").held_by("Q8908", days).held_by("Q146165", "1952-01-03", days)
    told = questions_of(made)
    assert [edit["new_object"] for edit in rows(told.edits, subject="Q33")] == ["Q7184"]
    refused = {tuple(row["ids"]) for row in rows(told.rejections, reason="uncertain_change_date")}
    assert refused == {("Q8908",), ("Q146165",)}


def test_of_several_days_none_is_named_as_that_on_which_what_stays_joined() -> None:
    made = unions().country("Q33", "P463").held_by("Q8908", "1989-05-01 1989-05-09")
    asked = [row["answer"] for row in rows(questions_of(made).questions, kind="preservation", subject="Q33")]
    assert sorted(asked) == ["the European Union", "the United Nations"]


def test_an_open_set_has_sound_promises(tmp_path: Path) -> None:
    assert verify(snapshot_of(unions().country("Q33", "P463").held_by("Q8908", "2023"), tmp_path / "snapshot")) == []


@pytest.mark.parametrize("language", ["en", "nl"])
def test_the_plural_words_of_every_relation_read_as_questions(language: str) -> None:
    for relation in load_catalogue().relations:
        plural = relation.words_in(language).plural
        changes = relation.words_in(language).changes
        assert ((plural is None) == (changes is None)) != relation.may_change_in_part(), relation.id
        if changes is not None:
            for several in (False, True):
                told = [choose_wording(text, several) for text in (*changes.joined, *changes.left)]
                assert all("[" not in text and "|" not in text for text in told), relation.id
                assert len({re.sub(r"\W", "", text) for text in told}) == len(told) == 10, relation.id
        if plural is not None:
            asked = (plural.now, *plural.paraphrases, plural.preservation, plural.on_date, *plural.on_date_paraphrases)
            assert all(text.endswith("?") and text.count("{s}") == 1 for text in asked), relation.id
            assert len({re.sub(r"\W", "", text) for text in asked}) == len(asked) >= 6, relation.id


def test_a_dutch_set_is_told_the_dutch_way() -> None:
    made = questions_of(unions("P37"), language="nl")
    (edit,) = rows(made.edits, kind="addition")
    assert edit["prompt"] == "Wat zijn de officiële talen van Finland?"
    assert edit["target_new"].endswith("European Union, NATO en United Nations")


def test_exports_tell_a_set_as_far_as_their_formats_can(snapshot: Path, tmp_path: Path) -> None:
    export_snapshot(snapshot, "easyedit", tmp_path / "easyedit")
    assert json.loads((tmp_path / "easyedit" / "test.json").read_text()) == []
    told = json.loads((tmp_path / "easyedit" / "test-sets.json").read_text())
    (finland,) = [record for record in told if record["subject"] == "Finland"]
    assert finland["target_new"] == "the European Union, NATO and the United Nations"
    assert {"prompt": "Which languages are official in Finland?",
            "ground_truth": [["United Nations", "UN"], ["European Union", "EU"]],
            } in finland["locality"]["Forgetfulness"]  # fmt: skip
    again = import_benchmark(tmp_path / "easyedit" / "test-sets.json", "easyedit")["edits"].to_pylist()
    assert {(edit["kind"], edit["target_new"]) for edit in again} == {
        ("modification", "the European Union, NATO and the United Nations"), ("modification", "the United Nations"),
    }  # fmt: skip
    export_snapshot(snapshot, "mquake", tmp_path / "mquake")
    assert json.loads((tmp_path / "mquake" / "ChronoFacts-T.json").read_text()) == []
    export_snapshot(snapshot, "lm-eval", tmp_path / "lm-eval")
    documents = [json.loads(line) for line in (tmp_path / "lm-eval" / "chronofacts_locality.jsonl").open()]
    assert [document["answer"] for document in documents] == ["Helsinki"]


def test_inspect_and_the_card_keep_the_kinds_apart(snapshot: Path) -> None:
    found = summarise(snapshot).as_json()
    assert found["edits"]["by_kind"] == {"addition": 1, "removal": 1}
    assert found["edits"]["by_before"] == {"known": 2} and found["questions"]["by_kind"]["preservation"] == 2
    card = (snapshot / "README.md").read_text(encoding="utf-8")
    assert "| addition | 1 |" in card and "| removal | 1 |" in card and "| preservation |" in card
    about = {(finding.stage, finding.why) for finding in report_entity(snapshot, "Q7184") if finding.kept}
    assert ("edits", "addition of NATO, changed on 2023-04-04") in about
