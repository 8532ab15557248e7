"""CounterFact records, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chronofacts.pipeline.exchange.counterfact import read_counterfact
from tests.pipeline.exchange.invented_set import AS_OF
from tests.pipeline.exchange.records import COUNTERFACT


def read(folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    file = folder / "counterfact.json"
    file.write_text(json.dumps(records), encoding="utf-8")
    return {name: table.to_pylist() for name, table in read_counterfact(file).tables(AS_OF).items()}


def test_the_rewrite_is_an_edit_by_its_cloze(tmp_path: Path) -> None:
    (edit,) = read(tmp_path, COUNTERFACT)["edits"]
    assert (edit["subject_label"], edit["relation"], edit["property"]) == ("Mira Quell", "P103", "P103")
    assert (edit["old_object"], edit["old_label"], edit["new_object"], edit["new_label"]) == (
        "Q12", "Orlish", "Q11", "Veldic",
    )  # fmt: skip
    assert edit["prompt"] == edit["cloze"] == "The mother tongue of Mira Quell is"
    assert edit["paraphrases"] == COUNTERFACT["paraphrase_prompts"]


def test_neighbours_keep_the_old_answer_and_attributes_the_new_one(tmp_path: Path) -> None:
    questions = [q for q in read(tmp_path, COUNTERFACT)["questions"] if q["kind"] == "locality"]
    assert {(q["question"], q["locality_kind"], q["answer"], q["answer_before_id"]) for q in questions} == {
        ("The mother tongue of Tom Ash is", "relation", "Orlish", "Q12"),
        ("Ida Dell, a native", "relation", "Orlish", "Q12"),
        ("The mother tongue of Bo Crane is", "object", "Veldic", "Q11"),
    }


def test_a_second_edit_of_a_fact_is_a_rejection(tmp_path: Path) -> None:
    second = COUNTERFACT | {
        "requested_rewrite": COUNTERFACT["requested_rewrite"] | {"target_new": {"str": "Low", "id": "Q13"}}
    }
    tables = read(tmp_path, COUNTERFACT, second)
    assert [edit["target_new"] for edit in tables["edits"]] == ["Veldic"]
    assert [r["reason"] for r in tables["rejections"]] == ["contradicting_edits"]


def test_json_lines_are_read_too(tmp_path: Path) -> None:
    other = COUNTERFACT | {"requested_rewrite": COUNTERFACT["requested_rewrite"] | {"subject": "Gil Hart"}}
    file = tmp_path / "counterfact.jsonl"
    file.write_text("\n".join(json.dumps(record) for record in (COUNTERFACT, other)) + "\n")
    assert {edit.subject for edit in read_counterfact(file).edits.values()} == {"Mira Quell", "Gil Hart"}
