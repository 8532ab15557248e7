"""The nearest relatives of our data are read, and what a reader does not know of a file is told."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from chronofacts.pipeline.exchange import import_snapshot
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.pipeline.snapshots.write import read_table
from tests.pipeline.exchange.records import QAEDIT, RIPPLE, WIKIBIGEDIT, WIKIFACTDIFF

FLAT = {
    "case_id": 0, "prompt": "The mother tongue of Ada is", "target_new": "Dutch", "subject": "Ada",
    "ground_truth": "Igbo", "rephrase_prompt": "Ada speaks", "locality_prompt": "The mother tongue of Obi is",
    "locality_ground_truth": "Igbo",
}  # fmt: skip
ZSRE = {
    "subject": "Elm Tower", "src": "Who designed Elm Tower?", "pred": "Wu", "rephrase": "Whose design is Elm Tower?",
    "alt": "Li", "answers": ["Wu"], "loc": "nq question: who sings", "loc_ans": "Ann", "cond": "Wu >> Li",
    "portability": {"Recalled Relation": "(Li, born in, Zug)", "New Question": "Where?", "New Answer": "Zug"},
}  # fmt: skip


def read(folder: Path, format: str, *records: dict[str, Any]) -> tuple[list[dict], Counter[str], list[dict]]:
    """(edits, questions by kind, rejections) of an imported file, which is sound."""
    file = folder / "benchmark.json"
    file.write_text(json.dumps(records))
    import_snapshot(file, format, folder / "S")
    assert verify(folder / "S") == []
    edits, questions, rejections = (read_table(folder / "S", name) for name in ("edits", "questions", "rejections"))
    return edits.to_pylist(), Counter(questions["kind"].to_pylist()), rejections.to_pylist()


@pytest.mark.parametrize(
    ("format", "record", "change", "kinds"),
    [
        ("easyedit", FLAT, ("Igbo", "Dutch"), {"edit": 1, "cloze": 1, "paraphrase": 1, "locality": 1}),
        ("zsre", ZSRE, ("Wu", "Li"), {"edit": 1, "paraphrase": 1, "locality": 1, "multi_hop": 1}),
        ("wikibigedit", WIKIBIGEDIT, (None, "Li"), {"edit": 1, "paraphrase": 2, "locality": 1, "multi_hop": 1}),
        ("qaedit", QAEDIT, (None, "Li"), {"edit": 1, "paraphrase": 1, "locality": 2}),
        (
            "rippleedits",
            RIPPLE,
            ("Lin Wu", "Li Wei"),
            {"edit": 1, "cloze": 1, "locality": 1, "multi_hop": 1, "alias": 1},
        ),
        ("wikifactdiff", WIKIFACTDIFF, ("Wu", "Li"), {"edit": 1, "cloze": 1, "paraphrase": 1, "locality": 1}),
    ],
)
def test_every_field_of_a_record_is_read(
    format: str, record: dict[str, Any], change: tuple[str | None, str], kinds: dict[str, int], tmp_path: Path
) -> None:
    [edit], counted, rejections = read(tmp_path, format, record)
    assert (edit["target_old"], edit["target_new"]) == change
    assert counted == kinds and rejections == []


def test_a_field_that_nobody_knows_is_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("chronofacts"), "propagate", True)
    records = [{**FLAT, "subject": name, "prompt": f"{name} speaks", "mood": "glad"} for name in ("Ada", "Bea")]
    _, _, rejections = read(tmp_path, "easyedit", *records, {**FLAT, "portability": {"One_More": [{"prompt": "x?"}]}})
    assert [row["detail"] for row in rejections if row["reason"] == "unread_field"] == [
        "mood in 2 records",
        "portability.One_More in 1 records",
    ]
    assert "2 records of benchmark.json have a field mood that is not read" in caplog.text


def test_one_answer_in_place_of_two_others_is_no_contradiction(tmp_path: Path) -> None:
    again = {**FLAT, "ground_truth": "Edo", "rephrase_prompt": "The language of Ada is"}
    [edit], counted, rejections = read(tmp_path, "easyedit", FLAT, again)
    assert edit["target_old"] == "Igbo" and counted["paraphrase"] == 2 and rejections == []


def test_several_new_objects_at_once_are_left_out_by_name(tmp_path: Path) -> None:
    more = {"id": "Q94", "label": "Mo", "decision": "new"}
    several = {**WIKIFACTDIFF, "subject": {"id": "Q1", "label": "Ash"}, "objects": [*WIKIFACTDIFF["objects"], more]}
    edits, _, [rejection] = read(tmp_path, "wikifactdiff", WIKIFACTDIFF, several)
    assert len(edits) == 1 and rejection["reason"] == "not_single_valued" and rejection["subject"] == "Q1"


@pytest.mark.parametrize(
    ("relation", "asked", "subject"),
    [
        ("COUNTRY_OF_CITIZENSHIP", "The name of the country of citizenship of Ada Vale is", "Ada Vale"),
        ("SPOUSE", "The name of the spouse of Odo, Duke of Elm is", "Odo, Duke of Elm"),
        ("PLACE_OF_BIRTH", "The place of birth of Ann of Elm is", "Ann of Elm"),
        ("CAST_MEMBER", "The names of the cast members of This is It are", "This is It"),
        ("COUNTRY", "The name of the country which Bay of Elm is associated with is", "Bay of Elm"),
        ("CAPITAL_OF", "The name of the country which Elm is the capital of is", "Elm"),
        ("MEMBER_OF_SPORTS_TEAM", "The name of the sports team which Ada is a member of is", "Ada"),
        ("AWARD_RECEIVED", "The name of the award Ann of Elm won is", "Ann of Elm"),
        ("FOLLOWS", "The Elms of Zug follows", "The Elms of Zug"),
        ("HEADQUARTERS", "The headquarters of Bank of Elm is located in", "Bank of Elm"),
    ],
)
def test_names_that_share_words_are_not_cut_in_two(tmp_path: Path, relation: str, asked: str, subject: str) -> None:
    edit = {"subject_id": "Q91", "relation": relation}
    before = {**edit, "target_id": "Q93", "prompt": f"{asked} United Isles."}
    changed = {**edit, "target_id": "Q92", "prompt": f"{asked} United States, D.C..", "original_fact": before}
    [found], _, _ = read(tmp_path, "rippleedits", {"edit": changed})
    assert (found["prompt"], found["subject_label"]) == (asked, subject)
    assert (found["target_old"], found["target_new"]) == ("United Isles", "United States, D.C.")


def test_a_sentence_without_a_fact_before_is_cut_at_its_verb(tmp_path: Path) -> None:
    edit = {"subject_id": "Q91", "relation": "FOLLOWED_BY", "target_id": "Q92"}
    [found], _, _ = read(tmp_path, "rippleedits", {"edit": {**edit, "prompt": "Elm of Zug is followed by Oak."}})
    assert (found["prompt"], found["subject_label"], found["target_new"]) == (
        "Elm of Zug is followed by", "Elm of Zug", "Oak",
    )  # fmt: skip
