"""MQuAKE records, field by field, and what becomes of cases that contradict each other."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings

from chronofacts.pipeline.exchange.collector import plain
from chronofacts.pipeline.exchange.mquake import read_mquake
from chronofacts.pipeline.exchange.mquake_cases import write_mquake
from chronofacts.schemas.errors import BadInput
from tests.pipeline.exchange.invented_set import AS_OF, CHAIR, PREMIER, contents, multi_hop, renamed
from tests.pipeline.exchange.records import CASE, NAME


def other_case(subject: str, start: str, old: tuple[str, str], new: tuple[str, str]) -> dict[str, Any]:
    """A one-hop case that edits the premier of another country, or of the same one otherwise."""
    hop = {"question": f"Who is the premier of {start}?", "cloze": f"The premier of {start} is", "answer_alias": []}
    case = copy.deepcopy(CASE)
    case["requested_rewrite"][0] |= {
        "subject": start,
        "question": hop["question"],
        "target_true": {"str": old[1], "id": old[0]},
        "target_new": {"str": new[1], "id": new[0]},
    }
    case |= {
        "questions": [f"Who heads {start}?"], "answer": old[1], "answer_alias": [], "new_answer": new[1],
        "single_hops": [hop | {"answer": old[1]}], "new_single_hops": [hop | {"answer": new[1]}],
    }  # fmt: skip
    label = "head of government"
    case["orig"] = {
        "triples": [[subject, "P6", old[0]]], "triples_labeled": [[start, label, old[1]]],
        "new_triples": [[subject, "P6", new[0]]], "new_triples_labeled": [[start, label, new[1]]],
        "edit_triples": [[subject, "P6", new[0]]],
    }  # fmt: skip
    return case


def read(folder: Path, *cases: dict[str, Any]) -> dict[str, Any]:
    file = folder / "MQuAKE.json"
    file.write_text(json.dumps(cases), encoding="utf-8")
    return {name: table.to_pylist() for name, table in read_mquake(file).tables(AS_OF).items()}


def test_a_case_has_the_fields_of_mquake_t_in_their_shapes(tmp_path: Path) -> None:
    (file,) = write_mquake(contents(PREMIER, CHAIR), tmp_path)
    (case,) = json.loads(file.read_text(encoding="utf-8"))
    carried = case.pop("chronofacts")
    assert carried["edits"][PREMIER.edit_id]["statement_ids"] == ["Q1$A", "Q1$B"]
    expected = {key: value for key, value in CASE.items() if key != "answer_extended"} | {
        "questions": list(wordings()),
        "new_answer_alias": ["I. Dell"],
    }
    expected["single_hops"] = [CASE["single_hops"][0], CASE["single_hops"][1] | {"answer_alias": []}]
    expected["new_single_hops"] = [
        CASE["new_single_hops"][0],
        CASE["new_single_hops"][1] | {"answer_alias": ["I. Dell"]},
    ]
    assert case == expected


def wordings() -> tuple[str, ...]:
    question = multi_hop(PREMIER)
    return (question.question, *question.phrasings)


def test_a_relation_read_backwards_is_marked_and_read_again(tmp_path: Path) -> None:
    from dataclasses import replace

    edit = replace(PREMIER, relation="office_holder", pid="P39", inverse=True)
    (file,) = write_mquake(contents(edit, asked=[multi_hop(edit)]), tmp_path)
    (case,) = json.loads(file.read_text(encoding="utf-8"))
    assert case["requested_rewrite"][0]["relation_id"] == "^P39"
    assert case["orig"]["edit_triples"] == [["Q1", "^P39", "Q3"]]
    (row,) = read_mquake(file).tables(AS_OF)["edits"].to_pylist()
    assert (row["relation"], row["property"], row["inverse"]) == ("office_holder", "P39", True)


def test_a_question_whose_old_walk_is_not_known_is_left_out(tmp_path: Path) -> None:
    known = contents(PREMIER)
    (file,) = write_mquake(known, tmp_path)
    assert len(json.loads(file.read_text())) == 1
    (question,) = [q for q in known.questions if q["kind"] == "multi_hop"]
    question["answer_before_id"] = None
    (file,) = write_mquake(known, tmp_path)
    assert json.loads(file.read_text()) == []


@settings(max_examples=25, deadline=None)
@given(subject=NAME, old=NAME, new=NAME)
def test_what_is_written_and_read_again_is_the_same(subject: str, old: str, new: str) -> None:
    assume(plain(old) != plain(new) and not set("{}") & set(subject))
    edit = renamed(PREMIER, subject, old, new, [])
    given_contents = contents(edit, asked=[multi_hop(edit)])
    with tempfile.TemporaryDirectory() as folder:
        (file,) = write_mquake(given_contents, Path(folder))
        tables = read_mquake(file).tables(AS_OF)
    assert tables["edits"].to_pylist() == given_contents.edits
    assert tables["questions"].to_pylist() == given_contents.questions


def test_a_published_case_becomes_an_edit_and_a_chain(tmp_path: Path) -> None:
    tables = read(tmp_path, CASE)
    (edit,) = tables["edits"]
    assert (edit["subject"], edit["relation"], edit["property"]) == ("Q1", "head_of_government", "P6")
    assert (edit["old_object"], edit["new_object"], edit["object_kind"]) == ("Q2", "Q3", "item")
    assert (edit["prompt"], edit["cloze"]) == ("Who is the premier of Veldor?", "The premier of Veldor is")
    assert (edit["old_aliases"], edit["new_aliases"]) == (["A. Brill"], ["Robert Crane"])
    (question,) = [q for q in tables["questions"] if q["kind"] == "multi_hop"]
    assert [question["question"], *question["phrasings"]] == CASE["questions"]
    assert (question["answer"], question["answer_id"], question["answer_before"]) == ("Ida Dell", "Q5", "Tom Ash")
    assert (question["hops"], question["edited_hops"], question["edit_ids"]) == (2, 1, [edit["edit_id"]])
    assert [(link["subject"], link["object"], link["object_before"]) for link in question["chain"]] == [
        ("Q1", "Q3", "Q2"),
        ("Q3", "Q5", "Q5"),
    ]


def test_the_world_before_is_told_in_sentences(tmp_path: Path) -> None:
    told = {(s["prompt"], s["answer"]) for s in read(tmp_path, CASE)["sentences"]}
    assert ("Who is the premier of Veldor?", "Ana Brill") in told
    assert ("The spouse of Ana Brill is", "Tom Ash") in told
    assert ("Who is the spouse of Bo Crane?", "Ida Dell") in told
    assert (CASE["questions"][0], "Tom Ash") in told
    assert not any(answer == "Bo Crane" for _, answer in told)


def test_the_same_edit_in_two_cases_is_one_edit(tmp_path: Path) -> None:
    again = copy.deepcopy(CASE) | {"case_id": 2, "questions": ["Who married Veldor's premier?"]}
    tables = read(tmp_path, CASE, again)
    assert len(tables["edits"]) == 1
    assert len([q for q in tables["questions"] if q["kind"] == "multi_hop"]) == 2


def test_a_case_that_edits_a_fact_otherwise_is_rejected_with_its_questions(tmp_path: Path) -> None:
    tables = read(tmp_path, CASE, other_case("Q1", "Veldor", ("Q2", "Ana Brill"), ("Q7", "Gil Hart")))
    assert [edit["target_new"] for edit in tables["edits"]] == ["Bo Crane"]
    assert "Who heads Veldor?" not in {q["question"] for q in tables["questions"]}
    assert [r["reason"] for r in tables["rejections"]] == ["contradicting_edits"] * 2


def test_a_question_that_walks_over_what_another_case_edits_is_rejected(tmp_path: Path) -> None:
    divorce = other_case("Q3", "Bo Crane", ("Q5", "Ida Dell"), ("Q7", "Gil Hart"))
    divorce = json.loads(json.dumps(divorce).replace('"P6"', '"P26"').replace("head of government", "spouse"))
    tables = read(tmp_path, CASE, divorce)
    assert len(tables["edits"]) == 2
    assert CASE["questions"][0] not in {q["question"] for q in tables["questions"]}
    assert [r["reason"] for r in tables["rejections"]] == ["contradicting_edits"]


def test_further_answers_count_as_outdated_ones_but_never_those_of_the_other_side(tmp_path: Path) -> None:
    extended = {"answer_extended": ["Tom Ash", "Rob Elm", "ida dell"], "new_answer_extended": ["Ida D.", "Tom Ash"]}
    tables = read(tmp_path, CASE | extended)
    (question,) = [q for q in tables["questions"] if q["kind"] == "multi_hop"]
    assert question["answer_before_aliases"] == ["T. Ash", "Rob Elm"]
    assert question["answer_aliases"] == ["Ida D."]
    told = {(r["reason"], r["detail"]) for r in tables["rejections"]}
    assert told == {
        ("answer_of_both", "answer_extended has the answer of the other side 1 times"),
        ("answer_of_both", "new_answer_extended has the answer of the other side 1 times"),
    }


def test_a_case_that_is_there_twice_counts_once_and_is_told(tmp_path: Path) -> None:
    twice = CASE | {"questions": [*CASE["questions"], CASE["questions"][0]]}
    tables = read(tmp_path, CASE, twice, CASE)
    (question,) = [q for q in tables["questions"] if q["kind"] == "multi_hop"]
    assert [question["question"], *question["phrasings"]] == CASE["questions"]
    assert [(r["reason"], r["detail"]) for r in tables["rejections"]] == [
        ("repeated_record", "a question over several facts, asked by an earlier record, 2 times"),
        ("repeated_record", "a wording within a case, word for word as another, 1 times"),
    ]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda case: case.pop("questions"), ["record 1", "questions", "missing"]),
        (lambda case: case["requested_rewrite"][0]["target_new"].pop("str"), ["requested_rewrite[0].target_new.str"]),
        (lambda case: case["orig"].update(new_triples="Q1"), ["orig.new_triples", "triples"]),
        (lambda case: case.update(new_answer=None), ["new_answer", "a text"]),
    ],
)
def test_a_case_that_lacks_a_field_names_the_record_and_the_field(tmp_path: Path, spoil: Any, words: list[str]) -> None:
    case = copy.deepcopy(CASE)
    spoil(case)
    with pytest.raises(BadInput) as raised:
        read(tmp_path, case)
    assert all(word in str(raised.value) for word in words), raised.value
