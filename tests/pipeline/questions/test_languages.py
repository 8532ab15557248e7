"""A second language: names in it or told as fallbacks, questions in its own grammar, and English as it was."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

import pytest

from chronofacts.flows.refresh import refresh
from chronofacts.flows.settings import RefreshSettings
from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.snapshots.verify import verify
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.pipeline.sources.sparql.results import RdfTerm, label_table
from tests.conftest import AS_OF, SINCE
from tests.pipeline.questions.question_world import small_country

RELATIONS = ["head_of_government", "office_holder", "capital", "birthplace", "country", "citizenship", "jurisdiction"]


@pytest.fixture(scope="module")
def dutch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dutch") / "snapshot"
    return refresh(RefreshSettings("sample", out, SnapshotSettings(SINCE, AS_OF, "nl"), tuple(RELATIONS)))


@functools.cache
def dutch_questions() -> list[dict]:
    """The questions of `small_country` in Dutch, where only some things have a name in Dutch."""
    told = small_country()
    for entity in told.entities.values():
        entity["label_language"], entity["alias_languages"] = "en", ["en"] * len(entity["aliases"])
    for qid, label, code in (("Q142", "Frankrijk", "nl"), ("Q5001", "Jean Castex", "mul"), ("Q90", "Parijs", "nl")):
        told.entities[qid].update(label=label, label_language=code)
    told.entities["Q142"].update(aliases=["Franse Republiek", "French Republic"], alias_languages=["nl", "en"])
    return told.questions(language="nl").questions.to_pylist()


def test_a_dutch_snapshot_is_sound_and_has_every_kind_of_question(dutch: Path) -> None:
    assert verify(dutch) == []
    questions = read_table(dutch, "questions").to_pylist()
    kinds = {"edit", "paraphrase", "cloze", "alias", "reverse", "multi_hop", "locality", "history", "timeline"}
    assert {row["kind"] for row in questions} == kinds
    asked = {text for row in questions for text in (row["question"], *row["phrasings"])}
    assert "Wie is de regeringsleider van het Verenigd Koninkrijk?" in asked
    assert [text for text in asked if re.search(r"\b(who|what|which|where)\b", text, re.IGNORECASE)] == []


def test_a_dutch_snapshot_counts_its_fallbacks_and_says_so_on_its_card(dutch: Path) -> None:
    entities = read_table(dutch, "entities")
    counts = json.loads((dutch / "manifest.json").read_text(encoding="utf-8"))["label_languages"]
    assert counts == {code: entities["label_language"].to_pylist().count(code) for code in ("en", "mul", "nl")}
    assert min(counts.values()) > 0
    card = (dutch / "README.md").read_text(encoding="utf-8")
    assert f"{counts['nl']} are named in `nl`" in card and f"{counts['en']} in `en`" in card


def test_every_question_lists_the_english_names_that_it_shows(dutch: Path) -> None:
    languages = {row["qid"]: row["label_language"] for row in read_table(dutch, "entities").to_pylist()}
    questions = read_table(dutch, "questions").to_pylist()
    assert {bool(row["fallback_names"]) for row in questions} == {True, False}
    for row in questions:
        shown = {row["answer_id"], row["answer_before_id"]} | ({row["subject"]} if row["kind"] != "alias" else set())
        shown |= {row["chain"][0]["object"]} if row["kind"] == "timeline" else set()
        assert row["fallback_names"] == sorted(qid for qid in shown if languages.get(qid) == "en"), row


def test_an_english_snapshot_has_no_fallbacks(sample_snapshot: Path) -> None:
    assert not any(read_table(sample_snapshot, "questions")["fallback_names"].to_pylist())
    assert set(read_table(sample_snapshot, "entities")["label_language"].to_pylist()) == {"en"}
    assert "fallback_names`" not in (sample_snapshot / "README.md").read_text(encoding="utf-8").partition("## ")[0]


def test_a_name_for_all_languages_is_no_fallback() -> None:
    edit = next(row for row in dutch_questions() if row["kind"] == "edit")
    assert (edit["question"], edit["answer_before"]) == ("Wie is de regeringsleider van Frankrijk?", "Jean Castex")
    assert edit["fallback_names"] == ["Q5002"]  # Gabriel Attal, who has an English name alone


def test_only_another_name_in_the_language_asks_and_every_name_counts_as_right() -> None:
    told = dutch_questions()
    assert {row["subject_label"] for row in told if row["kind"] == "alias"} == {"Franse Republiek"}
    reverse = next(row for row in told if row["kind"] == "reverse")
    assert (reverse["answer"], reverse["answer_aliases"]) == ("Frankrijk", ["Franse Republiek", "French Republic"])


def test_labels_and_aliases_are_taken_in_the_language_then_mul_then_english() -> None:
    def name(qid: str, predicate: str, text: str, code: str) -> dict[str, RdfTerm]:
        item, kind = RdfTerm("uri", f"http://www.wikidata.org/entity/{qid}"), RdfTerm("uri", predicate)
        return {"item": item, "p": kind, "v": RdfTerm("literal", text, "", code)}

    label, alias = "http://www.w3.org/2000/01/rdf-schema#label", "http://www.w3.org/2004/02/skos/core#altLabel"
    told = [
        *(name("Q1", label, text, code) for text, code in (("one", "en"), ("een", "nl"), ("eins", "de"))),
        *(name("Q1", alias, text, code) for text, code in (("1", "mul"), ("1", "en"), ("the one", "en"))),
        *(name("Q2", label, text, code) for text, code in (("Two", "mul"), ("Two", "en"))),
        name("Q3", label, "three", "en"),
    ]

    rows = label_table(["Q1", "Q2", "Q3"], told, {}, "nl").to_pylist()
    assert [(row["label"], row["label_language"]) for row in rows] == [("een", "nl"), ("Two", "mul"), ("three", "en")]
    assert [dict(zip(row["aliases"], row["alias_languages"], strict=True)) for row in rows] == [
        {"1": "mul", "one": "en", "the one": "en"}, {}, {},
    ]  # fmt: skip
