"""zsRE records, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chronofacts.pipeline.exchange.zsre import read_zsre
from chronofacts.schemas.errors import BadInput
from tests.pipeline.exchange.invented_set import AS_OF
from tests.pipeline.exchange.records import ZSRE


def read(folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    file = folder / "zsre_mend_eval.json"
    file.write_text(json.dumps(records), encoding="utf-8")
    return {name: table.to_pylist() for name, table in read_zsre(file).tables(AS_OF).items()}


def test_alt_is_taught_in_place_of_the_true_answer(tmp_path: Path) -> None:
    (edit,) = read(tmp_path, ZSRE)["edits"]
    assert (edit["prompt"], edit["target_new"], edit["target_old"]) == (
        "Who designed Tulle Hall?",
        "Bo Crane",
        "Ana Brill",
    )
    assert (edit["relation"], edit["old_aliases"]) == ("Who designed {}?", ["A. Brill"])
    assert edit["paraphrases"] == ["By whom was Tulle Hall designed?"]


def test_the_unrelated_question_is_written_as_a_question_and_must_not_move(tmp_path: Path) -> None:
    (question,) = [q for q in read(tmp_path, ZSRE)["questions"] if q["kind"] == "locality"]
    assert question["question"] == "when was the orlo bridge opened?"
    assert (question["answer"], question["answer_before"]) == ("1931", "1931")


def test_a_repeated_record_counts_once_and_is_told(tmp_path: Path) -> None:
    tables = read(tmp_path, ZSRE, ZSRE, ZSRE)
    assert len(tables["edits"]) == 1
    (told,) = tables["rejections"]
    assert told["reason"] == "repeated_record" and "2 times" in told["detail"]


@pytest.mark.parametrize("field", ["alt", "src", "subject", "rephrase", "loc", "loc_ans"])
def test_a_text_that_no_snapshot_may_hold_is_told_with_its_record_and_field(tmp_path: Path, field: str) -> None:
    with pytest.raises(BadInput, match=f"record 2: {field} is a text of more than 1 MB"):
        read(tmp_path, ZSRE, ZSRE | {field: "é" * 600_000})


def test_a_cell_that_pandas_left_empty_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="record 1: alt should be a text, found NaN"):
        read(tmp_path, ZSRE | {"alt": float("nan")})
    asked = {question["kind"] for question in read(tmp_path, ZSRE | {"loc": float("nan")})["questions"]}
    assert "locality" not in asked and "edit" in asked


def test_a_record_without_an_answer_to_teach_is_a_rejection(tmp_path: Path) -> None:
    tables = read(tmp_path, ZSRE, ZSRE | {"subject": "Orlo Hall", "alt": ""})
    assert len(tables["edits"]) == 1
    assert [r["reason"] for r in tables["rejections"]] == ["no_label"]
